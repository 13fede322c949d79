"""The Celery application: `celery -A sync worker` and `celery -A sync beat`.

celery.py    the application: queues, pool, logging, a graceful end
start.py     the wait of a worker or beat for the schema of its release
transport.py how Celery reaches Redis: TLS, Sentinel, refusals, Redis's clock
messages.py  what a message must be to reach Celery
tasks.py     the tasks, a few lines each
places.py    how many lanes of each kind this process works on at once
alive.py     files that say when this process last consumed a queue, for health checks
schedule.py  what beat sends, and how often
"""
