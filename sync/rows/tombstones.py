"""Tombstones: rows of `crm` marked as deleted, because their records are proven gone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from sync.declare import Resource
from sync.records.loaded import Key, Loaded
from sync.rows import children, suppress, versions
from sync.rows.sql import mark_deleted_sql
from sync.rows.store_options import store_options
from sync.rows.upsert import hold, name_before, written


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
    held = hold(connection, resource, store_id, list(newest))
    name_before(connection, resource, store_id, list(newest), result)
    ordered = [newest[key] for key in sorted(newest)]
    on = store_options(connection, resource, store_id)
    if on.versions:
        versions.keep(connection, resource, store_id, [(t.key, t.as_of, None) for t in ordered])
    rows = connection.exec_driver_sql(
        mark_deleted_sql(resource),
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
        suppress.mask_nameless(connection, resource, store_id)
    found = dict(written(rows, held))
    result.keys |= found.keys()
    keys = sorted(key for key, was_live in found.items() if was_live)
    result.deleted = len(keys)
    result.left = {key: held[key].day for key in keys}
    result.concluded = sum(newest[key].reason in ("not_found", "absent") for key in keys)
    if keys:
        for child in resource.children:
            children.remove(connection, resource, child, store_id, keys)
    return result
