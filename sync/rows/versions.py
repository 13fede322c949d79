"""Earlier contents of orders and customers, kept where a store has switched that on.

What a row holds is kept in the transaction that replaces it, before the write: no work for Postgres
while the option is off. A content is kept when the record as
sent differs; a row read differently (another zone, a new declaration) is not a change.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from psycopg.types.json import Jsonb

from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.records.loaded import Key
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


def keep(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    changes: Sequence[tuple[Key, dt.datetime, bytes | None]],
) -> None:
    """Keep what live rows hold that a write will replace: key, `as_of` and `raw` of each change.

    Without `raw` the row becomes a tombstone. The rows are held, so that the write finds them so.
    """
    keys, moments, raws = zip(*changes, strict=True)
    sent = [None if raw is None else Jsonb(raw, dumps=bytes) for raw in raws]
    connection.exec_driver_sql(_keep_sql(resource), (list(keys), list(moments), sent, store_id))


@cache
def _keep_sql(resource: Resource) -> str:
    columns = ["store_id", *(field.name for field in resource.fields), "raw"]
    names = ", ".join(f'"{name}"' for name in columns)
    held = ", ".join(f't."{name}"' for name in columns)
    key, table = resource.key_column, crm_name(VERSIONED[resource.name])
    # A later transaction may have an earlier clock, so a content begins no earlier than the end of
    # the one before.
    start = (
        f"greatest(t.changed_at, (SELECT max(v.valid_to) FROM {table} AS v"
        f' WHERE v.store_id = t.store_id AND v."{key}" = t."{key}"))'
    )
    return (
        f"INSERT INTO {table} ({names}, valid_from, valid_to)"
        f" SELECT {held}, f.start, greatest(now(), f.start + interval '1 microsecond')"
        f" FROM unnest(%s::{resource.key_sql}[], %s::timestamptz[], %b::jsonb[])"
        " AS n(key, as_of, raw)"
        f' JOIN {crm_name(resource.name)} AS t ON t.store_id = %s AND t."{key}" = n.key'
        f" CROSS JOIN LATERAL (SELECT {start} AS start) AS f"
        " WHERE t.deleted_at IS NULL AND t.as_of < n.as_of"
        " AND (n.raw IS NULL OR t.raw IS DISTINCT FROM n.raw)"
        # Equal when the row was written before in this transaction: nobody saw that content.
        " AND t.changed_at <> now()"
    )


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
