"""Postgres itself: connections, transactions, migrations, names.

engine.py       the connection pool of a process, and its transactions
migrate.py      upgrades of a database to this release's schema
identifiers.py  quoted names of the tables of `crm`
quoting.py      identifiers and constants, for the statements that take no binds
"""
