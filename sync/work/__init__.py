"""The way of a page, from the request to the row. Start reading here.

Work comes in:

dispatching.py  claim the lanes that are due, enqueue a task for each claim; hourly housekeeping
slices.py       run a task: take the lease, do one slice of work, hand over
scheduled.py    the crawls that the schedule makes due
failures.py     the policy after each kind of error, as a table
services.py     Postgres, Redis, limiter and HTTP client, made once a process
surroundings.py  dangers around the service: the state of Redis, clocks that differ
context.py      the state of a slice: store, lease, transactions, deadline

Requests go out:

session.py      one request: its slot, its as_of, and the meaning of the answer
list_params.py  the parameters of a list page: creation days, sites, page size
prefetch.py     pages fetched ahead by a few threads, returned in the order of the requests
access.py       the key's access: one answer of the account serves all that wait for one
by_ids.py       records requested by id, in halves where a request for all of them fails
spans.py        the places of a list, and the requests of any size that cover them
fit.py          the size in which a list's pages are asked for
pages.py        a page, in smaller parts where it does not come whole

Rows come in, whatever brought them:

missing.py      records that an answer lacks: the evidence that sync/deletion.py judges
writing.py      the one door to `crm`: writes rows, tombstones and all that follows from them

Ways to read a resource, a folder each; lower ones know nothing of those above:

windows/        lists with a history: walked by creation days, counted, proven (the walk lane)
feed/           histories: followed, read twice more, their records read again (the feed lane)
per_parent/     methods called once for every record of another resource
whole_list/     lists without a history: read whole, by cursor, or by an updated-since filter
rebuild.py      typed columns made again from raw, without a request
estimates.py    the cost of reading lists, from the totals that the API tells
compare_now.py  one record as the CRM has it now, beside its row
preconditions.py  everything that has to be so before the mirror can work, with its cure
probing.py      questions to a live account about what papers say of the API
outlook.py      all that is known of the service, and the verdict on it
account.py      the zone, the currency and the access of a store, when it is added or checked
"""
