"""The way of a page, from the request to the row. Start reading here.

Work comes in:

dispatching.py  which lanes are due: claimed, each claim sent as a task; the hourly housekeeping
work.py         a task arrives: take the lease, do a slice, hand over
failures.py     what follows each kind of error: one policy, as a table
services.py     what a process needs to work, made once: Postgres, Redis, limiter, HTTP client
context.py      what a slice has at hand: the store, the lease, and until when

Requests go out:

asking.py       one request: slot, as_of, and what the answer means
ahead.py        pages fetched ahead by a few threads, handed over in the order asked for
pages.py        a page that cannot be had, in parts
halves.py       records asked for by id, in halves where they cannot be had together

The feed lane, one look at a history:

follow.py       the head to its end, the chain proven on the way; then all of the below
bookmark.py     where a feed begins, and where it begins anew when its chain is broken
chain.py        a history's entries by id, and what they tell of the records they name
told.py         what it told, written: entries, records, and what comes late
tail.py         the second reading: entries passed once known for the lateness bound
waiting.py      records that wait in `sync.reread`, read when their time has come
backward.py     the third reading, and a sample: what came later than the bound

Rows, whatever brought them:

reread.py       records read again by id
absence.py      records that did not come: what is asked before it is judged (sync/absence.py)
writing.py      the one door to `crm`: rows and tombstones in, with all that follows from them

The walk lane:

listed.py       a list with a feed: load, backfill, reconcile
windows.py      the days a list is walked in: how many windows, and what is asked for one
walk.py         the windows' pages, fetched ahead, committed in order
prove.py        windows counted, cut or compared where they differ, sealed; doubt where that is vain
bracket.py      one count: totals, the feed followed past them, rows
again.py        what a compared window did not meet: asked for, then buried
rolling.py      which days are compared: those in doubt, and a part of the months each night
older.py        history older than the bookmark
sweep.py        small lists read whole
parents.py      methods asked once for every record of another resource: a pass over them all
parent.py       one of those parents, its list read whole
cursor.py       lists behind an opaque cursor
updated.py      changes by an updated-since filter, between full passes
rebuild.py      typed columns anew from raw, without a request
account.py      a store is added or checked; its zone and access
"""
