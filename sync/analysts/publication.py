"""A publication of `crm` for logical replication: what another server or CDC reader follows.

All tables of crm are in it, with inserts, updates and deletes; rows are told apart by their primary
keys, so that no table needs another replica identity. Logical replication brings rows, not tables:
`tables` is the SQL that makes them, or adds what is missing, on the other side.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import sqlalchemy as sa

from sync.database.quoting import literal, quoted
from sync.errors import BadRequest, NeedsOperator

_TABLES = (
    "SELECT c.relname, c.oid, array_agg(a.attname::text ORDER BY k.n) AS key FROM pg_class AS c"
    " JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary"
    " CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (number, n)"
    " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.number"
    " WHERE c.relnamespace = 'crm'::regnamespace AND c.relkind = 'r'"
    " GROUP BY c.relname, c.oid ORDER BY c.relname"
)
_OURS = "a publication of the mirror"


def publish(
    connection: sa.Connection, name: str, *, store_ids: Sequence[int] | None = None
) -> list[str]:
    """Make a publication, or bring it up to date after an upgrade; return its tables.

    With stores, only their rows are in it; with none given it keeps the stores it has, and with an
    empty list it has all. That is a filter, not a right: who may replicate may
    read any publication of the database.
    """
    _check_server(connection)
    known = _comment(connection, name)
    if known not in (None, _OURS):
        raise BadRequest(f"There is a publication {name} that was not made here.")
    if store_ids is None:
        store_ids = stores_of(connection, name) or ()
    rows = f" WHERE (store_id IN ({', '.join(map(str, sorted(store_ids)))}))" if store_ids else ""
    tables = [row.relname for row in connection.exec_driver_sql(_TABLES)]
    told = ", ".join(f"crm.{quoted(table)}{rows}" for table in tables)
    if known is None:
        connection.exec_driver_sql(
            f"CREATE PUBLICATION {quoted(name)} FOR TABLE {told}"
            " WITH (publish = 'insert, update, delete')"
        )
        connection.exec_driver_sql(f"COMMENT ON PUBLICATION {quoted(name)} IS {literal(_OURS)}")
    else:
        connection.exec_driver_sql(f"ALTER PUBLICATION {quoted(name)} SET TABLE {told}")
    return tables


def stores_of(connection: sa.Connection, name: str) -> list[int] | None:
    """Return the ids of the stores of a publication, none for all; None when there is none."""
    if _comment(connection, name) is None:
        return None
    filters = connection.exec_driver_sql(
        "SELECT DISTINCT pg_get_expr(r.prqual, r.prrelid) FROM pg_publication_rel AS r"
        " JOIN pg_publication AS p ON p.oid = r.prpubid"
        " WHERE p.pubname = %s AND r.prqual IS NOT NULL",
        (name,),
    ).scalars()
    return sorted({int(number) for each in filters for number in re.findall(r"\d+", each)})


def withdraw(connection: sa.Connection, name: str) -> None:
    """Drop a publication that was made here; BadRequest when there is none."""
    if _comment(connection, name) != _OURS:
        raise BadRequest(f"There is no publication {name} of the mirror.")
    connection.exec_driver_sql(f"DROP PUBLICATION {quoted(name)}")


def tables(connection: sa.Connection) -> str:
    """Return SQL that makes the tables of crm on a subscriber, or adds columns that it lacks."""
    lines = ["CREATE SCHEMA IF NOT EXISTS crm;"]
    for table, oid, key in connection.exec_driver_sql(_TABLES):
        columns = connection.exec_driver_sql(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            (oid,),
        ).all()
        named = f"crm.{quoted(table)}"
        of_key = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns if name in key)
        lines.append(
            f"CREATE TABLE IF NOT EXISTS {named}"
            f" ({of_key}, PRIMARY KEY ({', '.join(map(quoted, key))}));"
        )
        lines += [
            f"ALTER TABLE {named} ADD COLUMN IF NOT EXISTS {quoted(name)} {kind};"
            for name, kind in columns
            if name not in key
        ]
    return "\n".join(lines) + "\n"


def _comment(connection: sa.Connection, name: str) -> str | None:
    """Return a publication's comment, "" where it has none; None when there is no publication."""
    comment: str | None = connection.exec_driver_sql(
        "SELECT coalesce(obj_description(oid, 'pg_publication'), '') FROM pg_publication"
        " WHERE pubname = %s",
        (name,),
    ).scalar_one_or_none()
    return comment


def _check_server(connection: sa.Connection) -> None:
    """Raise NeedsOperator, with the cure, when the server does not replicate logically."""
    told = {
        row.name: row.setting
        for row in connection.exec_driver_sql(
            "SELECT name, setting FROM pg_settings WHERE name IN"
            " ('wal_level', 'max_replication_slots', 'max_wal_senders')"
        )
    }
    if told["wal_level"] != "logical":
        raise NeedsOperator(
            f"wal_level is {told['wal_level']}, and logical replication needs more in the log:"
            " ALTER SYSTEM SET wal_level = 'logical', then restart Postgres. (Of a managed service"
            " it is a parameter, such as rds.logical_replication.)"
        )
    for name in ("max_replication_slots", "max_wal_senders"):
        if told[name] == "0":
            raise NeedsOperator(
                f"{name} is 0: each subscriber takes one. Postgres needs a restart."
            )
