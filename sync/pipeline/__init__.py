"""The way of a page, from the request to the row. Start reading here.

work.py      a task arrives: take the lease, do a slice, hand over
asking.py    one request: slot, as_of, and what the answer means
follow.py    a feed: head and tail, records read again            (the feed lane)
reread.py    records read again by id, and what their absence means
listed.py    a list with a feed: load, backfill, reconcile        (the walk lane, from here on)
walk.py      the windows' pages, fetched ahead, committed in order
prove.py     windows counted in a bracket of the feed, until nothing differs
older.py     history older than the bookmark
sweep.py     small lists read whole
parents.py   methods asked once for every record of another resource: a pass over them all
parent.py    one of those parents, its list read whole
cursor.py    lists behind an opaque cursor
updated.py   changes by an updated-since filter, between full passes
rebuild.py   typed columns anew from raw, without a request
account.py   a store is added or checked; its zone and access
"""
