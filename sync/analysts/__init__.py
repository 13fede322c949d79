"""What analysts stand on: who reads what, masked views, erasure, export, the dictionary.

readers.py     roles: all of crm, some stores, or masked
policies.py    row-level security, only as long as some reader is limited to stores
masked.py      the views of crm_masked, from the declarations
names.py       quoted identifiers, for the statements that take no binds
erasure.py     a person is taken out, and kept out
export.py      crm as files, whole once and then what changed
parts.py       one part of an export: rows as Postgres has them, as Parquet
manifest.py    manifest.json: which files there are, and how far each resource has come
dictionary.py  the pages of ops/dictionary, from the database's own comments
"""
