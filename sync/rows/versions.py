"""Earlier contents of orders and customers, kept where a store has switched that on.

The statement that writes a row also keeps what the row held before, from its RETURNING: one
transaction, and no work for Postgres while the option is off. A content is kept when the record as
sent differs; a row read differently (another zone, a new declaration) is not a change.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.rows import mask
from sync.schema.columns import VERSIONED


def switch(connection: sa.Connection, store_id: int, *, on: bool, keep_days: int | None) -> None:
    """Keep earlier contents from now on, or no longer; those already kept stay for their days."""
    connection.execute(
        sa.text(
            "INSERT INTO sync.versioned AS v (store_id, is_on, keep_days) VALUES (:s, :on, :days)"
            " ON CONFLICT (store_id) DO UPDATE SET is_on = excluded.is_on,"
            " keep_days = coalesce(excluded.keep_days, v.keep_days)"
        ),
        {"s": store_id, "on": on, "days": keep_days},
    )


def expire(connection: sa.Connection) -> int:
    """Delete contents that ended longer ago than their store keeps them; return how many."""
    return sum(
        connection.exec_driver_sql(
            f"DELETE FROM {crm_name(table)} AS t USING sync.versioned AS v"
            " WHERE v.store_id = t.store_id AND v.keep_days IS NOT NULL"
            " AND t.valid_to < now() - make_interval(days => v.keep_days::int)"
        ).rowcount
        for table in VERSIONED.values()
    )


@cache
def keeping(resource: Resource, statement: str) -> str:
    """Return a statement that does the same, and also keeps what live rows held before the change.

    `statement` inserts into the resource's table as `t`. It returns the key first, whether the row
    was there second to last, and whether it was live last.
    """
    insert, _, returned = statement.rpartition(" RETURNING ")
    columns = _columns(resource)
    names = ", ".join(f'"{name}"' for name in columns)
    held = ", ".join(f'old."{name}" AS "{name}"' for name in columns)
    key, table = resource.key_column, crm_name(VERSIONED[resource.name])
    # A later transaction may have an earlier clock, so a content begins no earlier than the end of
    # the one before.
    start = (
        f"greatest(w.from_, (SELECT max(v.valid_to) FROM {table} AS v"
        f' WHERE v.store_id = w.store_id AND v."{key}" = w."{key}"))'
    )
    return (
        f"WITH w AS ({insert} RETURNING {held},"
        " old.store_id IS NOT NULL AND old.deleted_at IS NULL AND (new.deleted_at IS NOT NULL"
        " OR old.raw IS DISTINCT FROM new.raw) AS differed,"
        f" old.changed_at AS from_, now() AS to_, {_numbered(returned)}),"
        f" kept AS (INSERT INTO {table} ({names}, valid_from, valid_to)"
        f" SELECT {names}, f.start, greatest(w.to_, f.start + interval '1 microsecond')"
        f" FROM w CROSS JOIN LATERAL (SELECT {start} AS start) AS f"
        # Equal when the row was written twice in one transaction: nobody saw that content.
        " WHERE w.differed AND w.from_ <> w.to_)"
        f" SELECT {', '.join(f'w.r{n}' for n in range(len(_parts(returned))))} FROM w"
    )


def _parts(returned: str) -> list[str]:
    return returned.split(", ")


def _numbered(returned: str) -> str:
    return ", ".join(f"{part} AS r{n}" for n, part in enumerate(_parts(returned)))


def _columns(resource: Resource) -> list[str]:
    return ["store_id", *(field.name for field in resource.fields), "raw"]


def erase(
    connection: sa.Connection, store_id: int, resource: Resource, keys: Sequence[Any]
) -> None:
    """Remove the person from earlier contents as well."""
    table = VERSIONED.get(resource.name)
    if table is None:
        return
    key = resource.key_column
    rows = connection.exec_driver_sql(
        f'SELECT "{key}", valid_from, raw::text FROM {crm_name(table)}'
        f' WHERE store_id = %s AND "{key}" = ANY(%s) AND raw IS NOT NULL',
        (store_id, list(keys)),
    ).all()
    dropped = mask.dropped_columns(resource.name, resource.fields)
    nulls = ", ".join(f'"{name}" = NULL' for name in dropped)
    connection.exec_driver_sql(
        f"UPDATE {crm_name(table)} AS t SET {nulls}, raw = n.raw::jsonb"
        " FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[]) AS n(key, at, raw)"
        f' WHERE t.store_id = %s AND t."{key}" = n.key AND t.valid_from = n.at',
        (
            [row[0] for row in rows],
            [row[1] for row in rows],
            [mask.masked_raw(row[2].encode(), resource, keeps_change=False).decode()
             for row in rows],
            store_id,
        ),
    )  # fmt: skip
