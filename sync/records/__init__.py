"""Records of the API as rows, without any I/O.

normalise.py  a record as typed columns, children, rejects and unknown fields
jsonb.py      JSON that Postgres can store
observed.py   the reason for reading records, and the counts of a load
"""
