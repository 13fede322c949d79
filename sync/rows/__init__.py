"""All that writes `crm`.

upsert.py          rows in: newer knowledge wins, unchanged rows cost nothing
tombstones.py      rows that are proven gone, marked deleted
sql.py             the SQL of both, one of each per resource
live_rows.py       which rows are live, for sweeps, parents and answers to compare with
rewrite.py         typed columns and children made anew from raw
store_options.py   what a store has switched on that a write must know of
versions.py        earlier contents of orders and customers
custom_fields.py   views of custom fields, one for each store and kind of record
custom_columns.py  a custom field as columns of such a view

erasing.py         a person taken out of what is stored
mask.py            what erasure leaves of a row
suppress.py        erased persons masked whenever they come again
"""
