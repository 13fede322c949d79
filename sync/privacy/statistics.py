"""The planner's knowledge of tables, which is values too: the commonest, and a sample of the rest.

ANALYZE replaces it, but for a table without rows: of such a one it leaves what was known before.
"""

from __future__ import annotations

import sqlalchemy as sa

from sync.database.engine import writing
from sync.database.identifiers import crm_name
from sync.database.quoting import quoted
from sync.privacy import places

_ANALYSED = "SELECT DISTINCT schemaname || '.' || tablename FROM pg_stats"
_NEEDED = (
    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
    " WHERE attrelid = %s::regclass AND attnum > 0 AND attnotnull AND NOT atthasdef"
    " AND attidentity = '' AND NOT attisdropped"
)
_ANY = {"bigint": "0", "boolean": "false", "timestamp with time zone": "now()", "bytea": "''"}


def forget(engine: sa.Engine) -> None:
    """Renew the statistics of all tables that may have held a person.

    Nothing is known of a table that was never analysed.
    """
    named = [crm_name(table) for table in places.in_crm()]
    named += sorted({f"sync.{place.split('.')[0]}" for place in places.IN_SYNC})
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        known = set(connection.exec_driver_sql(_ANALYSED).scalars())
        for table in named:
            if table.replace('"', "") in known:
                connection.exec_driver_sql(f"ANALYZE {table}")
    for table in named:
        if table.replace('"', "") in known:
            with writing(engine) as connection:
                _forget_empty(connection, table)


def _forget_empty(connection: sa.Connection, table: str) -> None:
    """Have the statistics of a table without rows made of a row that nobody sees."""
    if connection.exec_driver_sql(f"SELECT EXISTS (SELECT FROM {table})").scalar():
        return
    needed = connection.exec_driver_sql(_NEEDED, (table,)).all()
    names = ", ".join(quoted(name) for name, _ in needed)
    values = ", ".join(_ANY.get(kind, "''") for _, kind in needed)
    place = connection.exec_driver_sql(
        f"INSERT INTO {table} ({names}) VALUES ({values}) RETURNING ctid::text"
    ).scalar_one()
    connection.exec_driver_sql(f"ANALYZE {table}")
    connection.exec_driver_sql(f"DELETE FROM {table} WHERE ctid = %s::tid", (place,))
