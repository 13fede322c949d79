"""Records of the API as rows, without any I/O.

normalise.py  a record as typed columns, children, rejects and unknown fields
jsonb.py      JSON that Postgres can store
observed.py   a row with the moment it was read, and the counts of a load
"""
