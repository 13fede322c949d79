"""The tables: `crm` is derived from RESOURCES, `sync` holds the service's own state.

Keys and indexes begin with `store_id`, so that tables can be partitioned or distributed by store
later. A worker imports only the tables of `sync`, because importing `crm` costs time and memory.

columns.py     the metadata, and the columns that tables share
crm.py         the tables for analysts
kept.py        the tables for analysts that are worked out from others
service.py     stores, lanes, rejects, readers, notices
crawls.py      crawls, feeds, proofs, coverage
everything.py  all tables, for Alembic
"""
