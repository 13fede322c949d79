"""The walk lane of a list that has a history: load, backfill, reconcile, window by window.

crawl.py   a crawl's phases in order: bookmark, plan, walk, count, seal
plan.py    how many windows of creation days a list is cut into
walk.py    the windows' pages, fetched ahead, committed in order
counts.py  one count: totals of the API between two looks at the history, and the rows here
prove.py   windows counted, cut or compared where they differ, sealed; doubt where that is vain
rewalk.py  what a compared window did not meet: asked for by id, then tombstoned
audit.py   which days are compared: those in doubt, and a part of the months each night
"""
