"""Live rows of `crm`, with which a sweep, a parent or an answer is compared."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from sync.crawl import WHOLE, Days
from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.records.loaded import Key
from sync.rows.sql import key_name, key_type
from sync.state.stores import Store


def count_live(connection: sa.Connection, resource: Resource, store_id: int) -> int:
    """Count the live rows of a resource."""
    found: int = connection.exec_driver_sql(
        f"SELECT count(*) FROM {crm_name(resource.name)}"
        " WHERE store_id = %s AND deleted_at IS NULL",
        (store_id,),
    ).scalar_one()
    return found


def live_keys(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    *,
    known_before: dt.datetime,
    days: Days = WHOLE,
) -> set[Any]:
    """Return keys of live rows known before a moment, for a closed sweep of `days` to compare.

    A sweep of some days proves nothing of a row without a creation day.
    """
    where = ""
    binds: list[Any] = [store_id, known_before]
    if resource.created_field and days.first is not None:
        where += " AND created_on >= %s"
        binds.append(days.first)
    if resource.created_field and days.last is not None:
        where += " AND created_on <= %s"
        binds.append(days.last)
    rows = connection.exec_driver_sql(
        f"SELECT {key_name(resource)} FROM {crm_name(resource.name)}"
        f" WHERE store_id = %s AND deleted_at IS NULL AND as_of < %s{where}",
        tuple(binds),
    )
    return {key for (key,) in rows}


def relist(
    connection: sa.Connection, resource: Resource, store_id: int, keys: Sequence[Key]
) -> None:
    """Set `listed_at` of records that came into the list, or back, before their last read.

    Nobody knows whether they were in it when an earlier total was requested, so that count leaves
    them out (coverage.count_live).
    """
    if keys and resource.is_followed:
        connection.exec_driver_sql(
            f"UPDATE {crm_name(resource.name)} SET listed_at = as_of WHERE store_id = %s"
            f" AND {key_name(resource)} = ANY(%s::{key_type(resource)}[])"
            " AND deleted_at IS NULL AND listed_at < as_of",
            (store_id, sorted(keys)),
        )


def live_among(
    connection: sa.Connection, resource: Resource, store_id: int, keys: Sequence[Key]
) -> set[Any]:
    """Return those of the keys that are live rows."""
    rows = connection.exec_driver_sql(
        f"SELECT {key_name(resource)} FROM {crm_name(resource.name)} WHERE store_id = %s"
        f" AND deleted_at IS NULL AND {key_name(resource)} = ANY(%s::{key_type(resource)}[])",
        (store_id, list(keys)),
    )
    return {key for (key,) in rows}


def deleted_among(
    connection: sa.Connection, resource: Resource, store_id: int, keys: Sequence[Key]
) -> set[Any]:
    """Return those of the keys that are tombstones."""
    rows = connection.exec_driver_sql(
        f"SELECT {key_name(resource)} FROM {crm_name(resource.name)} WHERE store_id = %s"
        f" AND deleted_at IS NOT NULL AND {key_name(resource)} = ANY(%s::{key_type(resource)}[])",
        (store_id, list(keys)),
    )
    return {key for (key,) in rows}


def hidden_among(
    connection: sa.Connection, resource: Resource, store: Store, keys: Sequence[Key]
) -> set[Any]:
    """Return the keys of live rows that may be of sites the key was found to have lost.

    They were read before that was known, and are not of a site that the key still sees.
    """
    if store.hidden_from is None or not keys:
        return set()
    where = ""
    binds: list[object] = [store.id, list(keys), store.hidden_from]
    if resource.has_site:
        where = " AND (site = ANY(%s)) IS NOT TRUE"
        binds.append(list(store.access.sites or ()))
    rows = connection.exec_driver_sql(
        f"SELECT {key_name(resource)} FROM {crm_name(resource.name)} WHERE store_id = %s"
        f" AND {key_name(resource)} = ANY(%s::{key_type(resource)}[])"
        f" AND deleted_at IS NULL AND as_of <= %s{where}",
        tuple(binds),
    )
    return {key for (key,) in rows}


def keys_of_parent(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    parent: Any,
    *,
    known_before: dt.datetime,
) -> set[Any]:
    """Return the keys of one parent's live rows known before a moment."""
    assert resource.parent is not None
    rows = connection.exec_driver_sql(
        f"SELECT {key_name(resource)} FROM {crm_name(resource.name)} WHERE store_id = %s"
        f' AND "{resource.parent.column}" = %s AND deleted_at IS NULL AND as_of < %s',
        (store_id, parent, known_before),
    )
    return {key for (key,) in rows}


def orphans(
    connection: sa.Connection,
    resource: Resource,
    parents: Resource,
    store_id: int,
    *,
    among: Sequence[Any] | None = None,
) -> list[Any]:
    """Return the keys of live rows whose parent is not live; `among`: of these parents alone."""
    assert resource.parent is not None
    column, by = resource.parent.column, resource.parent.by
    binds: list[Any] = [store_id]
    of = ""
    if among is not None:
        kind = next(field.kind.sql for field in parents.fields if field.name == by)
        of = f' AND t."{column}" = ANY(%s::{kind}[])'
        binds.append(list(among))
    rows = connection.exec_driver_sql(
        f"SELECT t.{key_name(resource)} FROM {crm_name(resource.name)} AS t"
        f" WHERE t.store_id = %s AND t.deleted_at IS NULL{of} AND NOT EXISTS"
        f" (SELECT FROM {crm_name(parents.name)} AS p WHERE p.store_id = t.store_id"
        f' AND p."{by}" = t."{column}" AND p.deleted_at IS NULL)',
        tuple(binds),
    )
    return [key for (key,) in rows]
