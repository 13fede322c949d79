"""The modules that write `crm`.

upsert.py          rows upserted: newer knowledge wins, unchanged rows cost nothing
tombstones.py      rows marked as deleted, once their records are proven gone
letters.py         a row of a first load read back: its letters are those that were sent
children.py        lists inside a record, each row written only when its own content changed
doubled_hour.py    times of history entries that an hour which comes twice leaves open
sql.py             the statements that write rows, one of each kind per resource
kept.py            tables worked out from rows, kept up in the transaction that writes them
first_statistics.py tables analysed with their first rows
live_rows.py       live rows, with which sweeps, parents and answers are compared
rewrite.py         typed columns and children rebuilt from raw
store_options.py   options of a store that affect a write
versions.py        earlier contents of orders and customers
custom_fields.py   views of custom fields, one for each store and kind of record
custom_columns.py  a custom field as columns of such a view

erasing.py         removal of a person from what is stored
mask.py            what erasure leaves of a row
suppress.py        erased persons masked whenever their records come again
"""
