"""The tables of `sync`: one module owns each, and is alone in writing it.

Functions take a connection and work in the transaction of their caller, so that rows and
checkpoint commit together.

stores.py       stores, their sealed keys, and the lanes that work on them
accounts.py     a store added, changed, turned off, removed
clock.py        as_of: when a request was sent, strictly increasing per store
lease.py        the right to work on a lane for a while; what is due, claimed
heartbeat.py    which processes live, which last ended a task of a queue, and from where
crawls.py       how far each crawl has come
windows.py      how far each window is proven: walked, compared, counted, sealed
feeds.py        how far each feed has been followed: head, tail, bookmark, interval
rereads.py      records waiting to be read again by id
departures.py   rows a history told to be gone, which a count may have missed
doubts.py       what may be wrong, since when and why; lifted, or accepted
coverage.py     what is proven of each resource, and the counting that proves it
approvals.py    what passes over lists without a feed have to know, and confirm
diagnostics.py  rejects, unknown fields, parked answers, drift, proofs
operations.py   what an operator asks for: crawls, retry, approve, accept
status.py       what `status` tells
"""
