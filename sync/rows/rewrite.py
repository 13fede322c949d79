"""Typed columns and children rebuilt from `raw`: what a rebuild reads, and how it writes.

Nothing newer is known of these records, so a row is written only while its `as_of` is the one it
was read with. A worker that changed the row meanwhile has read it the new way already, and wins.
`raw` is not written, which spares most of the work; neither are children that did not change.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from sync.database.identifiers import crm_name
from sync.declare import Child, Resource
from sync.records.loaded import Key
from sync.records.normalise import Row
from sync.rows import children, suppress
from sync.rows.sql import CHANGE_NO, content_columns, key_name, key_type
from sync.rows.store_options import store_options
from sync.rows.upsert import document


@dataclass(frozen=True, slots=True)
class Stored:
    """A row as it is stored; tombstones too, because people read their columns as well."""

    key: Any
    raw: str
    as_of: dt.datetime
    parent: Any
    is_live: bool


def stored(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    *,
    after: str | None,
    at_most: int,
) -> list[Stored]:
    """Return rows in key order, after a key given as text."""
    key, kind = key_name(resource), key_type(resource)
    parent = f'"{resource.parent.column}"' if resource.parent else "NULL"
    binds: tuple[Any, ...] = (store_id,) if after is None else (store_id, after)
    beyond = "" if after is None else f" AND {key} > %s::{kind}"
    # Only the rows that are wanted become text, not all that may be sorted to find them.
    rows = connection.exec_driver_sql(
        "SELECT key, raw::text, as_of, parent, live FROM ("
        f"SELECT {key} AS key, raw, as_of, {parent} AS parent, deleted_at IS NULL AS live"
        f" FROM {crm_name(resource.name)}"
        f" WHERE store_id = %s{beyond} AND raw IS NOT NULL ORDER BY 1 LIMIT {at_most:d}"
        ") AS wanted ORDER BY key",
        binds,
    )
    return [Stored(*row) for row in rows]


def rewrite(
    connection: sa.Connection, resource: Resource, store_id: int, rows: Sequence[Row]
) -> set[Key]:
    """Write rows rebuilt from their own `raw`; return the keys of those not changed meanwhile."""
    if not rows:
        return set()
    on = store_options(connection, resource, store_id)
    if on.salt is not None:  # rows may be read before an erasure and written after it
        suppress.mask_suppressed(connection, resource, store_id, rows, salt=on.salt)
    found = connection.exec_driver_sql(
        _rewrite_sql(resource), (document(resource, store_id, rows),)
    )
    written: dict[Key, bool] = {row[0]: row[1] for row in found}
    alive = [row for row in rows if written.get(row.key)]
    for index, child in enumerate(resource.children):
        _rewrite_children(connection, resource, child, index, store_id, alive)
    return set(written)


def _rewrite_children(
    connection: sa.Connection,
    resource: Resource,
    child: Child,
    index: int,
    store_id: int,
    alive: Sequence[Row],
) -> None:
    """Replace the children of those parents whose rebuilt children differ from the stored ones."""
    if not alive:
        return
    of = {row.key: row for row in alive}
    ordered = [of[key] for key in sorted(of)]
    found = connection.exec_driver_sql(
        _differing_sql(resource, child),
        (*children.sent(resource, ordered, index), *children.whose(resource, store_id, ordered)),
    )
    changed = [of[key] for key in sorted({key for (key,) in found})]
    if changed:
        children.replace_of(connection, resource, store_id, changed, index)


@cache
def _rewrite_sql(resource: Resource) -> str:
    table, key = crm_name(resource.name), resource.key_column
    columns = [f.name for f in resource.fields if f.name != key]
    columns += ["created_on"] if resource.created_field else []
    sets = [f'"{name}" = n."{name}"' for name in columns]
    sets.append("content_hash = n.content_hash")
    *shown, _ = content_columns(resource)
    held, made = (", ".join(f"{side}.{name}" for name in shown) for side in "tn")
    sets += [
        f"{name} = CASE WHEN t.content_hash IS DISTINCT FROM n.content_hash"
        f" OR ({held}) IS DISTINCT FROM ({made}) THEN {value} ELSE t.{name} END"
        for name, value in (("changed_at", "now()"), ("change_no", CHANGE_NO))
    ]
    join = "t.store_id = n.store_id" + (f" AND t.{key} = n.{key}" if key else "")
    return (
        f"UPDATE {table} AS t SET {', '.join(sets)}"
        f" FROM json_populate_recordset(NULL::{table}, %s::json) AS n"
        f" WHERE {join} AND t.as_of = n.as_of"
        f" RETURNING {f't.{key}' if key else key_name(resource)}, t.deleted_at IS NULL"
    )


@cache
def _differing_sql(resource: Resource, child: Child) -> str:
    """Return SQL for the parents whose stored children differ from those of the document."""
    table, parent = crm_name(child.name), resource.parent_column
    columns = children.columns_of(resource, child)
    keys = [*([parent] if parent else []), columns[0]]
    own = ", ".join(f'"{name}"' for name in columns)
    names = f'"{parent}", {own}' if parent else own
    sent = f"sent_parent, {own}" if parent else own
    which = f" AND {parent} = ANY(%s::{key_type(resource)}[])" if parent else ""
    which += " AND removed_at IS NULL" if child.keeps_removed else ""
    join = " AND ".join(f'have."{key}" = want."{key}"' for key in keys)
    last = keys[-1]
    whose = f"coalesce(have.{parent}, want.{parent})" if parent else key_name(resource)
    return (
        f"WITH want ({names}) AS MATERIALIZED"
        f" (SELECT {sent} FROM {children.sent_sql(resource, child)}),"
        f" have AS MATERIALIZED (SELECT {names} FROM {table} WHERE store_id = %s{which})"
        f" SELECT DISTINCT {whose} FROM have FULL JOIN want ON {join}"
        f' WHERE have."{last}" IS NULL OR want."{last}" IS NULL OR have IS DISTINCT FROM want'
    )
