"""The Celery application: `celery -A sync worker` and `celery -A sync beat`.

celery.py    the application: queues, pool, logging, a graceful end
tasks.py     the tasks, a few lines each
schedule.py  what beat sends, and how often
"""
