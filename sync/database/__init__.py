"""Postgres itself: connections, transactions, migrations, names.

contract.py     what the server has to be, and what holds in each transaction
engine.py       the connection pool of a process, and its transactions
revisions.py    this release's revisions, and where a database stands among them
migrate.py      upgrades of a database to this release's schema
standing.py     what a running process knows of the schema, which may change under it
patience.py     short tries at locks that people hold, naming who holds them
logins.py       rights of logins that serve and do not own the schema
identifiers.py  quoted names of the tables of `crm`
quoting.py      identifiers and constants, for the statements that take no binds
"""
