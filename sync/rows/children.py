"""Children: the rows of lists inside a record, each written only when its own content changed.

So a child's `changed_at` and `change_no` tell of itself, whatever else changed in its record. A
child that is removed leaves a trace in `crm.removed_rows`: its key, when, and the number of the
change. Whoever writes children holds the rows of their parents, so writers of one parent take
turns here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from sync.database.identifiers import crm_name
from sync.declare import Child, Resource
from sync.records.loaded import Key
from sync.records.normalise import JsonRow, Row
from sync.rows.sql import CHANGE_NO, json_of, key_name, key_type

REMOVED = "removed_rows"
_BOOKKEEPING = ("changed_at", "change_no")


def replace(
    connection: sa.Connection, resource: Resource, store_id: int, rows: Sequence[Row]
) -> None:
    """Make the children of these parents what was sent, and touch those of no others.

    Children of new parents are looked for too: somebody may have deleted a row by hand and left its
    children.
    """
    for index in range(len(resource.children)):
        replace_of(connection, resource, store_id, rows, index)


def replace_of(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    rows: Sequence[Row],
    index: int,
) -> None:
    """Make one list of these parents what was sent; `index` is its place among the resource's."""
    child = resource.children[index]
    stores = (store_id,) if child.keeps_removed else (store_id, store_id)
    connection.exec_driver_sql(
        _replace_sql(resource, child),
        (*sent(resource, rows, index), *whose(resource, store_id, rows), *stores),
    )


def remove(
    connection: sa.Connection,
    resource: Resource,
    child: Child,
    store_id: int,
    parents: Sequence[Key],
) -> None:
    """Remove all children of these parents."""
    removed = _removed_sql(resource, child)
    connection.exec_driver_sql(
        removed if child.keeps_removed else f"WITH gone AS ({removed}) {_trace_sql(child)}",
        (store_id, sorted(parents)) if resource.key else (store_id,),
    )


def counts(
    connection: sa.Connection,
    resource: Resource,
    child: Child,
    store_id: int,
    parents: Sequence[Key],
) -> dict[Key, int]:
    """Return the number of children that each parent has; those without any are missing."""
    parent = resource.parent_column or key_name(resource)
    used = " AND removed_at IS NULL" if child.keeps_removed else ""
    rows = connection.exec_driver_sql(
        f"SELECT {parent}, count(*) FROM {crm_name(child.name)} WHERE store_id = %s"
        f" AND {parent} = ANY(%s::{key_type(resource)}[]){used} GROUP BY 1",
        (store_id, list(parents)),
    )
    return {row[0]: row[1] for row in rows}


def columns_of(resource: Resource, child: Child) -> list[str]:
    """Return the columns of a child's table after the store and the parent, its own key first."""
    key = child.key or "ordinal"
    left_out = {"store_id", resource.parent_column, key}
    return [key, *(field.name for field in child.fields if field.name not in left_out)]


def sent_sql(resource: Resource, child: Child) -> str:
    """Return a row source of two parameters: each child's parent, and a JSON document of the rest.

    The parents stand beside the document, so that the rows need no copy with one more member. A
    single object, which has no key, is no parameter.
    """
    document = f"json_populate_recordset(NULL::{crm_name(child.name)}, %s::json)"
    if not resource.parent_column:
        return f"{document} AS n"
    return f"ROWS FROM (unnest(%s::{key_type(resource)}[]), {document}) AS n(sent_parent)"


def sent(resource: Resource, rows: Iterable[Row], index: int) -> tuple[Any, ...]:
    """Return the parameters of `sent_sql`: the parents, if they have keys, and the children."""
    parents: list[Key] = []
    members: list[JsonRow] = []
    for row in rows:
        mine = row.children[index]
        members += mine
        parents += [row.key] * len(mine)
    return (parents, json_of(members)) if resource.parent_column else (json_of(members),)


def whose(resource: Resource, store_id: int, rows: Iterable[Row]) -> tuple[Any, ...]:
    """Return the parameters that choose the stored children of these parents."""
    return (store_id, sorted(row.key for row in rows)) if resource.key else (store_id,)


@cache
def _replace_sql(resource: Resource, child: Child) -> str:
    """Return SQL that binds `sent`, then `whose`, then the store, twice where traces are kept.

    The keys that are deleted are not those that are inserted, so all parts may be one statement.
    What is there has no trace: the transaction that removed it may have a higher number than this.
    """
    table, parent = crm_name(child.name), resource.parent_column
    own = columns_of(resource, child)
    names = ", ".join(f'"{name}"' for name in own)
    keys = [*([f'"{parent}"'] if parent else []), f'"{own[0]}"']
    both = ", ".join([*keys[:-1], names])
    same = " AND ".join(f"w.{key} = t.{key}" for key in keys)
    absent = f"NOT EXISTS (SELECT FROM want AS w WHERE {same})"
    sent_parent = "sent_parent, " if parent else ""
    parts = [
        f"want ({both}) AS MATERIALIZED (SELECT {sent_parent}{names}"
        f" FROM {sent_sql(resource, child)})",
        f"gone AS ({_removed_sql(resource, child, but=absent)})",
    ]
    if not child.keeps_removed:
        parts.append(f"traced AS ({_trace_sql(child)})")
        parts.append(f"back AS ({_untrace_sql(child, own[0], parent)})")
    return (
        f"WITH {', '.join(parts)}"
        f" INSERT INTO {table} AS t (store_id, {both}, {', '.join(_BOOKKEEPING)})"
        f" SELECT %s::bigint, {both}, now(), {CHANGE_NO} FROM want ORDER BY {', '.join(keys)}"
        f" ON CONFLICT ({', '.join(['store_id', *keys])}) DO {_update(child, own[1:])}"
    )


def _update(child: Child, columns: Sequence[str]) -> str:
    held = ", ".join(f't."{name}"' for name in columns)
    new = ", ".join(f'excluded."{name}"' for name in columns)
    sets = [f'"{name}" = excluded."{name}"' for name in (*columns, *_BOOKKEEPING)]
    differs = f"({held}) IS DISTINCT FROM ({new})" if columns else "false"
    if child.keeps_removed:
        sets.append("removed_at = NULL")
        differs += " OR t.removed_at IS NOT NULL"
    return f"UPDATE SET {', '.join(sets)} WHERE {differs}"


def _removed_sql(resource: Resource, child: Child, *, but: str = "") -> str:
    """Return SQL that removes the children of `whose` and returns their keys."""
    table = crm_name(child.name)
    which = "t.store_id = %s"
    if resource.parent_column:
        which += f" AND t.{resource.parent_column} = ANY(%s::{key_type(resource)}[])"
    which += f" AND {but}" if but else ""
    if child.keeps_removed:
        return (
            f"UPDATE {table} AS t SET removed_at = now(), changed_at = now(),"
            f" change_no = {CHANGE_NO} WHERE {which} AND t.removed_at IS NULL"
        )
    parent = f"t.{resource.parent_column}::text" if resource.parent_column else "''"
    return (
        f"DELETE FROM {table} AS t WHERE {which} RETURNING t.store_id, {parent} AS parent_key,"
        f' t."{child.key or "ordinal"}"::text AS key'
    )


def _untrace_sql(child: Child, key: str, parent: str | None) -> str:
    of = f"w.{parent}::text" if parent else "''"
    return (
        f"DELETE FROM {crm_name(REMOVED)} AS r USING want AS w WHERE r.store_id = %s"
        f" AND r.table_name = '{child.name}' AND r.parent_key = {of}"
        f' AND r.key = w."{key}"::text'
    )


def _trace_sql(child: Child) -> str:
    return (
        f"INSERT INTO {crm_name(REMOVED)} (store_id, table_name, parent_key, key, change_no)"
        f" SELECT store_id, '{child.name}', parent_key, key, {CHANGE_NO} FROM gone"
        " ORDER BY parent_key, key"
        " ON CONFLICT (store_id, table_name, parent_key, key) DO UPDATE"
        " SET removed_at = excluded.removed_at, change_no = excluded.change_no"
    )
