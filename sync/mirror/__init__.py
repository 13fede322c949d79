"""The edge to Postgres: rows, checkpoints, leases, stores.

Begin with engine.py, lease.py, load.py, checkpoint.py. Functions take a connection and work in the
transaction of their caller, so that rows and checkpoint commit together.

engine.py          the pool of a process, and transactions that survive deadlocks
migrate.py         a database brought to this release's schema
clock.py           as_of: when a request was sent, strictly increasing per store

lease.py           the right to work on a lane for a while; what is due, claimed
checkpoint.py      how far each crawl and window has come
feeds.py           how far each feed has been followed: head, tail, bookmark, cadence
rereads.py         records waiting to be read again by id
passes.py          what passes over lists without a feed have to know
coverage.py        what is proven of each resource, and the counting that proves it
proofs.py          how far each window is proven: compared, counted, sealed
departures.py      rows a history told to be gone, which a count may have missed
doubts.py          what may be wrong, since when and why; lifted, or accepted
notes.py           rejects, unknown fields, parked answers, drift, proofs
heartbeat.py       which processes live, which last ended a task of a queue, and from where

load.py            rows into crm: newer knowledge wins, unchanged rows cost nothing
graves.py          records that are proven gone, made tombstones
statements.py      the SQL of both, one of each per resource
live.py            which rows are live, for sweeps, parents and answers to compare with
rewrite.py         typed columns and children anew from raw
switches.py        what a store has switched on that a write must know of
versions.py        earlier contents of orders and customers
custom_fields.py   views of custom fields, one for each store and kind of record
custom_columns.py  a custom field as columns of such a view
names.py           quoted names of tables

erasing.py         a person taken out of what is stored
masking.py         what erasure leaves of a row
suppress.py        erased persons masked whenever they come again

stores.py          stores, their sealed keys, and the lanes that work on them
accounts.py        a store added, changed, turned off, removed
asked.py           what an operator asks for: crawls, retry, approve, accept
status.py          what status tells
"""
