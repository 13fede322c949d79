"""Exports for analysts, publications, and the data dictionary.

export.py      crm as files, whole once and then what changed
parquet.py     one part of an export: rows as Postgres has them, as Parquet
places.py      where the files are: a folder, or an address of an object store
manifest.py    manifest.json: the files there are, and how far each resource has come
current.py     current.sql: views in DuckDB that merge the runs
publication.py  crm for logical replication
dictionary.py  the pages of ops/docs/dictionary, from the database's own comments
"""
