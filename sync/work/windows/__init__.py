"""The walk lane of a list that has a history: load, backfill and reconcile, window by window.

crawl.py   a crawl's phases in order: bookmark, plan, walk, count, seal
plan.py    the windows of creation days that a list is cut into
walk.py    the windows' pages, fetched ahead, committed in order
counts.py  a count: totals of the API between two looks at the history, and the rows here
prove.py   windows counted, cut or compared where they differ, sealed, or put in doubt
rewalk.py  rows that a compared window did not show: requested by id, then marked as deleted
audit.py   the days to compare: those in doubt, and a part of the months each night
"""
