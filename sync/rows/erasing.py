"""Removal of a person from what is stored: rows, tombstones, children, raw, histories, versions.

The declarations' links say which records are a person's: a customer's orders, their history, notes,
tasks and their comments, files, loyalty accounts. Amounts, dates, codes and ids stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.declare.personal import Link, child_links, links
from sync.records.normalise import digest_of, salt_of
from sync.resources import RESOURCES
from sync.rows import mask, versions
from sync.state import diagnostics

Found = dict[str, list[Any]]


@cache
def followers(name: str) -> tuple[Resource, ...]:
    """Return the resources whose records link to records of this one."""
    return tuple(
        resource
        for resource in RESOURCES.values()
        if any(
            link.to == name
            for each in (links(resource), *child_links(resource).values())
            for link in each
        )
    )


def combined_into(connection: sa.Connection, store_id: int, customers: Sequence[int]) -> list[int]:
    """Return the customers, and all that were combined into one of them, however often."""
    return list(
        connection.exec_driver_sql(
            "WITH RECURSIVE all_of AS (SELECT unnest(%s::bigint[]) AS id UNION"
            " SELECT c.id FROM crm.customers AS c JOIN all_of AS a ON c.combined_to = a.id"
            " WHERE c.store_id = %s) SELECT id FROM all_of ORDER BY id",
            (list(customers), store_id),
        ).scalars()
    )


def affected(connection: sa.Connection, store_id: int, name: str, keys: Sequence[Any]) -> Found:
    """Return the keys of every record that links to these, by resource, these included."""
    found: Found = {name: sorted(keys)}
    waiting = [(name, list(keys))]
    while waiting:
        to, fresh = waiting.pop()
        for resource in followers(to):
            theirs = set(_hanging(connection, store_id, resource, to, fresh))
            new = sorted(theirs - set(found.get(resource.name, ())))
            if new:
                found.setdefault(resource.name, []).extend(new)
                waiting.append((resource.name, new))
    return found


def _hanging(
    connection: sa.Connection, store_id: int, resource: Resource, to: str, keys: Sequence[Any]
) -> Iterator[Any]:
    key = resource.key_column
    for link in links(resource):
        if link.to == to:
            yield from connection.exec_driver_sql(
                f'SELECT "{key}" FROM {crm_name(resource.name)} AS t WHERE store_id = %s'
                f' AND "{link.column}" = ANY(%s){_unless(link)}',
                (store_id, list(keys)),
            ).scalars()
    for table, theirs in child_links(resource).items():
        for link in theirs:
            if link.to == to:
                yield from connection.exec_driver_sql(
                    f'SELECT DISTINCT "{resource.parent_column}" FROM {crm_name(table)} AS t'
                    f' WHERE store_id = %s AND "{link.column}" = ANY(%s){_unless(link)}',
                    (store_id, list(keys)),
                ).scalars()


def _unless(link: Link) -> str:
    if not link.type_column:
        return ""
    return f" AND t.\"{link.type_column}\" IS DISTINCT FROM '{link.unless}'"


def erase_stored(
    connection: sa.Connection, store_id: int, name: str, keys: Sequence[Any], *, zone: str
) -> Found:
    """Mask every stored record that links to these, these included; return the masked keys.

    `as_of` stays: nothing newer is known of them. `changed_at` moves, so that exports carry them.
    """
    found = affected(connection, store_id, name, keys)
    for table in sorted(found):
        resource = RESOURCES[table]
        _mask_rows(connection, store_id, resource, sorted(found[table]), zone=zone)
        diagnostics.mask(connection, store_id, table, [str(key) for key in found[table]])
    return found


def _mask_rows(
    connection: sa.Connection, store_id: int, resource: Resource, keys: list[Any], *, zone: str
) -> None:
    key, table, kind = resource.key_column, crm_name(resource.name), resource.key_sql
    parent = f'"{resource.parent.column}"' if resource.parent else "NULL"
    rows = connection.exec_driver_sql(
        f'SELECT "{key}", raw::text, {parent} FROM {table} WHERE store_id = %s'
        f' AND "{key}" = ANY(%s::{kind}[]) ORDER BY 1 FOR UPDATE',
        (store_id, keys),
    ).all()
    # Two kinds of rows: a history entry keeps its values if the changed field is an open one.
    open_changes = [row for row in rows if _is_open(resource, row[1])]
    others = [row for row in rows if not _is_open(resource, row[1])]
    for some, keeps_change in ((others, False), (open_changes, True)):
        if some:
            _update(connection, store_id, resource, some, zone=zone, keeps_change=keeps_change)
    for child in resource.children:
        where = f'WHERE store_id = %s AND "{resource.parent_column}" = ANY(%s::{kind}[])'
        dropped = mask.dropped_columns(child.name, child.fields)
        if mask.is_dropped(child):
            connection.exec_driver_sql(
                f"DELETE FROM {crm_name(child.name)} {where}", (store_id, keys)
            )
        elif dropped:
            connection.exec_driver_sql(
                f"UPDATE {crm_name(child.name)} SET {_nulls(dropped)} {where}", (store_id, keys)
            )
    versions.erase(connection, store_id, resource, keys)


def _is_open(resource: Resource, raw: str | None) -> bool:
    return resource.is_history and raw is not None and mask.is_open_change(raw.encode())


def _nulls(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}" = NULL' for name in columns)


def _update(
    connection: sa.Connection,
    store_id: int,
    resource: Resource,
    rows: Sequence[Any],
    *,
    zone: str,
    keeps_change: bool,
) -> None:
    key, kind = resource.key_column, resource.key_sql
    raws = [
        mask.masked_raw(raw.encode(), resource, keeps_change=keeps_change)
        if raw is not None
        else None
        for _, raw, _ in rows
    ]
    salt = salt_of(resource, zone)
    hashes = [
        digest_of(raw, salt, row[2]) if raw is not None else None
        for raw, row in zip(raws, rows, strict=True)
    ]
    dropped = mask.dropped_columns(resource.name, resource.fields, keeps_change=keeps_change)
    nulls = f"{_nulls(dropped)}, " if dropped else ""
    connection.exec_driver_sql(
        f"UPDATE {crm_name(resource.name)} AS t SET {nulls}raw = n.raw::jsonb,"
        " content_hash = n.hash,"
        " changed_at = CASE WHEN t.content_hash IS DISTINCT FROM n.hash"
        " OR t.raw IS DISTINCT FROM n.raw::jsonb THEN now() ELSE t.changed_at END,"
        " deleted_reason = CASE WHEN t.deleted_reason IN ('history', 'not_found', 'absent')"
        " THEN 'erased' ELSE t.deleted_reason END"
        f" FROM unnest(%s::{kind}[], %s::text[], %s::bytea[]) AS n(key, raw, hash)"
        f' WHERE t.store_id = %s AND t."{key}" = n.key',
        (
            [row[0] for row in rows],
            [raw.decode() if raw is not None else None for raw in raws],
            hashes,
            store_id,
        ),
    )
