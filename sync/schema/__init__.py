"""The tables: those of `crm` are derived from RESOURCES, those of `sync` are ours.

Keys and indexes lead with `store_id`, so that tables can be partitioned or distributed by store
later. A worker needs only ours, as names for its statements: `crm` costs it time and memory.

words.py       the metadata, and the columns tables share
crm.py         what analysts read
service.py     stores, lanes, rejects, readers, notices
crawls.py      crawls, feeds, proofs, coverage
everything.py  all of it, for Alembic
"""
