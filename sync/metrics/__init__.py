"""Metrics for Prometheus, and the readiness check; both are computed when asked for.

Counts live in Postgres and Redis, where every worker adds to them, so one process can report all
of them and a worker that ends loses none.

rows.py      from Postgres: lag, coverage, rows, failures, leases, queues of work
budget.py    from Redis: the request budget, and messages waiting; samples of it for the page
scraping.py  both, in Prometheus's text format
ready.py     the readiness check
"""
