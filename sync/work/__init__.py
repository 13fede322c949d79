"""The way of a page, from the request to the row. Start reading here.

Work comes in:

dispatching.py  claim the lanes that are due, enqueue a task for each claim; hourly housekeeping
slices.py       run a task: take the lease, do one slice of work, hand over
failures.py     the policy after each kind of error, as a table
services.py     Postgres, Redis, limiter and HTTP client, made once a process
context.py      the state of a slice: store, lease, transactions, deadline

Requests go out:

session.py      one request: its slot, its as_of, and the meaning of the answer
list_params.py  the parameters of a list page: creation days, sites, page size
prefetch.py     pages fetched ahead by a few threads, returned in the order of the requests
by_ids.py       records requested by id, in halves where a request for all of them fails
pages.py        a page that fails as a whole, requested in parts

Rows come in, whatever brought them:

missing.py      records that an answer lacks: the evidence that sync/deletion.py judges
writing.py      the one door to `crm`: writes rows, tombstones and all that follows from them

Ways to read a resource, a folder each; lower ones know nothing of those above:

windows/        lists with a history: walked by creation days, counted, proven (the walk lane)
feed/           histories: followed, read twice more, their records read again (the feed lane)
per_parent/     methods called once for every record of another resource
whole_list/     lists without a history: read whole, by cursor, or by an updated-since filter
rebuild.py      typed columns made again from raw, without a request
account.py      the zone, the currency and the access of a store, when it is added or checked
"""
