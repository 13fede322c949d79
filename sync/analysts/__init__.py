"""What analysts stand on: who reads what, masked views, erasure, export, the dictionary.

readers.py     roles: all of crm, some stores, or masked
policies.py    row-level security, only as long as some reader is limited to stores
masked.py      the views of crm_masked, from the declarations
erasure.py     a person is taken out, and kept out
export.py      crm as files, whole once and then what changed
parts.py       one part of an export: rows as Postgres has them, as Parquet
dictionary.py  the pages of ops/dictionary, from the database's own comments
"""
