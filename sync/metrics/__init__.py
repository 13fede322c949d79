"""What Prometheus is told, and whether the service is ready: read when asked, from one place.

Counts live in Postgres and Redis, where every worker adds to them, so one process can tell them
all and none is lost with a worker.

rows.py      from Postgres: lag, coverage, rows, failures, leases, queues of work
budget.py    from Redis: the request budget, and messages waiting; samples of it for the page
scraping.py  both, as Prometheus reads them
ready.py     whether the service can work
"""
