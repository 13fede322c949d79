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


def _keys(
    connection: sa.Connection, resource: Resource, store_id: int, which: str, *binds: object
) -> set[Any]:
    """Return the keys of rows; `which` is SQL about alias `t`, with its binds."""
    rows = connection.exec_driver_sql(
        f"SELECT {key_name(resource)} FROM {crm_name(resource.name)} AS t"
        f" WHERE t.store_id = %s AND {which}",
        (store_id, *binds),
    )
    return set(rows.scalars())


def _among(resource: Resource) -> str:
    return f"{key_name(resource)} = ANY(%s::{key_type(resource)}[])"


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
    which = "deleted_at IS NULL AND as_of < %s"
    binds: list[object] = [known_before]
    for limit, day in ((">=", days.first), ("<=", days.last)):
        if resource.created_field and day is not None:
            which += f" AND created_on {limit} %s"
            binds.append(day)
    return _keys(connection, resource, store_id, which, *binds)


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
    which = f"deleted_at IS NULL AND {_among(resource)}"
    return _keys(connection, resource, store_id, which, list(keys))


def deleted_among(
    connection: sa.Connection, resource: Resource, store_id: int, keys: Sequence[Key]
) -> set[Any]:
    """Return those of the keys that are tombstones."""
    which = f"deleted_at IS NOT NULL AND {_among(resource)}"
    return _keys(connection, resource, store_id, which, list(keys))


def hidden_among(
    connection: sa.Connection, resource: Resource, store: Store, keys: Sequence[Key]
) -> set[Any]:
    """Return the keys of live rows that may be of sites the key was found to have lost.

    They were read before that was known, and are not of a site that the key still sees.
    """
    if store.hidden_from is None or not keys:
        return set()
    which = f"deleted_at IS NULL AND as_of <= %s AND {_among(resource)}"
    binds: list[object] = [store.hidden_from, list(keys)]
    if resource.has_site:
        which += " AND (site = ANY(%s)) IS NOT TRUE"
        binds.append(list(store.access.sites or ()))
    return _keys(connection, resource, store.id, which, *binds)


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
    which = f'"{resource.parent.column}" = %s AND deleted_at IS NULL AND as_of < %s'
    return _keys(connection, resource, store_id, which, parent, known_before)


def orphans(
    connection: sa.Connection,
    resource: Resource,
    parents: Resource,
    store_id: int,
    *,
    among: Sequence[Any] | None = None,
) -> set[Any]:
    """Return the keys of live rows whose parent is not live; `among`: of these parents alone."""
    assert resource.parent is not None
    column, by = resource.parent.column, resource.parent.by
    which = (
        "t.deleted_at IS NULL AND NOT EXISTS"
        f" (SELECT FROM {crm_name(parents.name)} AS p WHERE p.store_id = t.store_id"
        f' AND p."{by}" = t."{column}" AND p.deleted_at IS NULL)'
    )
    if among is None:
        return _keys(connection, resource, store_id, which)
    kind = next(field.kind.sql for field in parents.fields if field.name == by)
    which += f' AND t."{column}" = ANY(%s::{kind}[])'
    return _keys(connection, resource, store_id, which, list(among))
