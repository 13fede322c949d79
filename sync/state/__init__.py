"""The tables of `sync`: one module owns each, and no other one writes it.

Functions take a connection and work in the transaction of their caller, so that rows and checkpoint
commit together.

stores.py       stores: address, sealed key, zone, what the key sees
zones.py        the name of a store's zone that this Postgres takes
accounts.py     adding, turning off, forgetting and removing a store, in all tables
declared.py     the declarations as a relation, to compare stored rows with
clock.py        as_of: when a request was sent, strictly increasing per store
lanes.py        lanes: due, claimed, leased to one worker for a while, parked
claims.py       which of the due lanes are claimed: each store has its part of the places
heartbeat.py    the processes that live, and the last task each ended of each queue
crawls.py       the progress of each crawl
paces.py        pages a second that crawls read of late
windows.py      the windows of a crawl: walked page by page, compared, counted, sealed
positions.py    positions in lists behind a cursor
page_sizes.py   the size in which a list's pages come, where the usual one fails
access_looks.py the last answer to credentials, which serves all that wait for one
feeds.py        the position of each feed: head, tail, bookmark, interval
rereads.py      records waiting to be read again by id
departures.py   rows that a history says are gone, which a count may have missed
doubts.py       doubts about resources: raised, lifted, accepted
coverage.py     what is proven of each resource, and the counts that prove it
approvals.py    passes over lists without a feed: their end, and approval of deletions
diagnostics.py  rejects, unknown fields, parked answers, drift, proofs
ended_sessions.py  sessions of the status page that were logged out
one_record.py   all that is kept about one record, for `why`
samples.py      a week of figures by store, for charts over time
acts.py         what people did, by command or on the status page
nudges.py       stores that are nudged when something changed, and what nudges named
operations.py   requests of an operator: crawls, retry, approve, accept
status.py       the figures of `status`
"""
