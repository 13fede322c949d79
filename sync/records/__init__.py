"""Records of the API as rows, without any I/O.

normalise.py  a record as typed columns, children, rejects and unknown fields
jsonb.py      JSON that Postgres can store
loaded.py     what is known of records when they are loaded, and the counts of a load
"""
