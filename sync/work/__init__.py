"""The way of a page, from the request to the row. Start reading here.

Work comes in:

dispatching.py  claims the lanes that are due, sends a task for each claim; hourly housekeeping
slices.py       a task arrives: take the lease, do a slice of work, hand over
failures.py     what follows each kind of error: one policy, as a table
services.py     what a process needs to work, made once: Postgres, Redis, limiter, HTTP client
context.py      what a slice has at hand: the store, the lease, transactions, and until when

Requests go out:

session.py      one request: its slot, its as_of, and what the answer means
list_params.py  the parameters of a page of a list: creation days, sites, page size
prefetch.py     pages fetched ahead by a few threads, handed over in the order asked for
by_ids.py       records asked for by id, in halves where they cannot be had together
pages.py        a page that cannot be had, asked for in parts

Rows come in, whatever brought them:

missing.py      records that did not come: the evidence that sync/deletion.py judges
writing.py      the one door to `crm`: rows and tombstones in, with all that follows from them

Ways to read a resource, a folder each; lower ones know nothing of those above:

windows/        lists with a history: walked by creation days, counted, proven (the walk lane)
feed/           histories: followed, read twice more, and what they tell read again (the feed lane)
per_parent/     methods asked once for every record of another resource
whole_list/     lists without a history: read whole, by cursor, or by an updated-since filter
rebuild.py      typed columns made anew from raw, without a request
account.py      a store is added or checked: its zone, its currency, what its key may see
"""
