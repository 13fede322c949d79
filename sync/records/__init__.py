"""Records of the API as rows, without any I/O.

normalise.py  a record as typed columns, children, rejects and unknown fields
jsonb.py      JSON that Postgres can store
loaded.py     the source of records that are loaded, and the counts of a load
"""
