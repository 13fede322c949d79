"""The tables of `sync`, and the modules that write them.

Functions take a connection and work in the transaction of their caller, so that rows and checkpoint
commit together.

stores.py       stores, their sealed keys, and the lanes that work on them
accounts.py     adding, changing, turning off and removing a store
clock.py        as_of: when a request was sent, strictly increasing per store
lease.py        the right to work on a lane for a while; claims on lanes that are due
heartbeat.py    the processes that live, and the last task each ended of each queue
crawls.py       the progress of each crawl
windows.py      the proof of each window: walked, compared, counted, sealed
feeds.py        the position of each feed: head, tail, bookmark, interval
rereads.py      records waiting to be read again by id
departures.py   rows that a history says are gone, which a count may have missed
doubts.py       doubts about resources: raised, lifted, accepted
coverage.py     what is proven of each resource, and the counts that prove it
approvals.py    passes over lists without a feed: their end, and approval of deletions
diagnostics.py  rejects, unknown fields, parked answers, drift, proofs
operations.py   requests of an operator: crawls, retry, approve, accept
status.py       the figures of `status`
"""
