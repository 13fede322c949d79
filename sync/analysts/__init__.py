"""Exports for analysts, and their data dictionary.

export.py      crm as files, whole once and then what changed
parquet.py     one part of an export: rows as Postgres has them, as Parquet
manifest.py    manifest.json: the files there are, and how far each resource has come
dictionary.py  the pages of ops/docs/dictionary, from the database's own comments
"""
