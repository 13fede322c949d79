"""Tombstones: rows of `crm` marked as deleted, because their records are proven gone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from sync.declare import Resource
from sync.records.observed import Key, Loaded
from sync.rows import suppress, versions
from sync.rows.sql import delete_children_sql, mark_deleted_sql
from sync.rows.store_options import store_options
from sync.rows.upsert import name_before


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A record that is proven gone.

    `as_of` is the send moment of the request that proved it, `deleted_at` the CRM's own time
    where history tells it.
    """

    key: Key
    as_of: dt.datetime
    reason: str
    deleted_at: dt.datetime | None = None
    combined_to: int | None = None


def mark_deleted(
    connection: sa.Connection, resource: Resource, store_id: int, tombstones: Iterable[Tombstone]
) -> Loaded:
    """Turn rows into tombstones, also rows the mirror never had; children are deleted, `raw` stays.

    A row with a later `as_of` than its tombstone's stays: it was seen alive after. Only
    sync/work/writing.py calls this function, because it also does what follows from the deletion.
    """
    newest: dict[Key, Tombstone] = {}
    for tombstone in tombstones:
        if tombstone.key not in newest or tombstone.as_of >= newest[tombstone.key].as_of:
            newest[tombstone.key] = tombstone
    result = Loaded(seen=len(newest))
    if not newest:
        return result
    name_before(connection, resource, store_id, list(newest), result)
    ordered = [newest[key] for key in sorted(newest)]
    on = store_options(connection, resource, store_id)
    sql = mark_deleted_sql(resource)
    deleted = connection.exec_driver_sql(
        versions.keeping(resource, sql) if on.versions else sql,
        (
            store_id,
            [tombstone.key for tombstone in ordered],
            [tombstone.as_of for tombstone in ordered],
            [tombstone.deleted_at for tombstone in ordered],
            [tombstone.reason for tombstone in ordered],
            [tombstone.combined_to for tombstone in ordered],
        ),
    ).all()
    if on.salt is not None:
        merges = {
            tombstone.key: tombstone.combined_to for tombstone in ordered if tombstone.combined_to
        }
        suppress.follow_merges(connection, resource, store_id, merges, salt=on.salt)
    keys = sorted(key for key, was_live in deleted if was_live)
    result.deleted = len(keys)
    result.concluded = sum(newest[key].reason in ("not_found", "absent") for key in keys)
    if keys:
        for child in resource.children:
            connection.exec_driver_sql(
                delete_children_sql(resource, child),
                (store_id, keys) if resource.key else (store_id,),
            )
    return result
