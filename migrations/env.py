"""Alembic's entry: one transaction per migration, under a lock, never waiting long for tables.

A migration that cannot get its locks within 5 s fails and is run again, instead of queueing in
front of every reader. An advisory lock keeps two migrators apart; whoever comes second waits for as
long as the first one works.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context

from sync.schema.everything import METADATA

_LOCK = 0x5D0C_4B1D  # any number, ours alone


def include_name(name: str | None, kind: str, parents: object) -> bool:
    """Compare our two schemas, and no others that may live in the same database."""
    if kind == "schema":
        return name in {"crm", "sync"}
    return not (kind == "table" and name == "alembic_version")


def run(connection: sa.Connection) -> None:
    """Run what was asked for on this connection."""
    # The limits are for tables, so they are set behind the turn; a role may have some of its own.
    connection.exec_driver_sql("SET lock_timeout = 0")
    connection.exec_driver_sql("SET statement_timeout = 0")
    connection.exec_driver_sql("SELECT pg_advisory_lock(%s)", (_LOCK,))
    wait_seconds = context.config.attributes.get("lock_seconds", 5)
    connection.exec_driver_sql(f"SET lock_timeout = '{wait_seconds}s'")
    connection.exec_driver_sql("SET statement_timeout = '15min'")
    connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS sync")
    connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS crm")
    connection.commit()
    try:
        context.configure(
            connection=connection,
            target_metadata=METADATA,
            include_schemas=True,
            include_name=include_name,
            version_table_schema="sync",
            transaction_per_migration=True,
            compare_server_default=False,
        )
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.rollback()
        connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (_LOCK,))
        connection.commit()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    from sync.database.migrate import url_of_settings

    engine = sa.create_engine(url_of_settings(), poolclass=sa.NullPool)
    with engine.connect() as own:
        run(own)
