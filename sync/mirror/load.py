"""Rows into `crm`: newer knowledge wins, unchanged rows cost nothing.

One page or several become one batch per table: a JSON document taken apart by
`json_populate_recordset` and upserted in key order (unsorted batches deadlock). What is known
already is read first, so that an unchanged re-walk writes nothing at all. A row gives way only to
a later `as_of`; that is decided inside the upsert, so a concurrent writer cannot slip between.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa
from psycopg.types.json import Json

from sync.declare import Child, Resource
from sync.mirror import suppress, versions
from sync.mirror.names import crm_name
from sync.mirror.switches import Switches, switches
from sync.normalise import JsonRow, Row

_encode = msgspec.json.Encoder(decimal_format="number").encode
_EMPTY_KEY = "''"
_BOOKKEEPING = ("first_seen_at", "changed_at")
Key = int | str


class Origin(Enum):
    """Why a record was read, which decides what an unchanged one costs."""

    WALK = "walk"  # an unchanged row is dropped without a write
    REREAD = "reread"  # a feed asked for it: as_of moves even when the content is equal
    DEEP = "deep"  # compared column by column: somebody may have changed the row here


@dataclass(frozen=True, slots=True)
class Dated:
    """A row and the send moment of the request it came with."""

    row: Row
    as_of: dt.datetime


@dataclass(frozen=True, slots=True)
class Grave:
    """A record that is proven gone.

    `as_of` is the send moment of the request that proved it, `deleted_at` the CRM's own time
    where history tells it.
    """

    key: Key
    as_of: dt.datetime
    reason: str
    deleted_at: dt.datetime | None = None
    combined_to: int | None = None


@dataclass(slots=True)
class Loaded:
    """What a batch did. `refused` are keys whose content differed and lost to newer knowledge."""

    seen: int = 0
    inserted: int = 0
    changed: int = 0
    unchanged: int = 0
    revived: int = 0
    buried: int = 0
    refused: list[Key] = field(default_factory=list)

    @property
    def written(self) -> int:
        """Rows that were inserted, changed or revived."""
        return self.inserted + self.changed + self.revived

    @property
    def live_delta(self) -> int:
        """By how many the live rows of the resource grew."""
        return self.inserted + self.revived - self.buried

    def add(self, other: Loaded) -> None:
        """Add another batch's counts to these."""
        for name in ("seen", "inserted", "changed", "unchanged", "revived", "buried"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.refused += other.refused


def load(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    records: Iterable[Dated],
    *,
    origin: Origin,
) -> Loaded:
    """Write records of one resource and their children; see the module's rule."""
    newest = _newest(records)
    result = Loaded(seen=len(newest))
    if not newest:
        return result
    on = switches(connection, resource, store_id)
    if on.salt is not None:
        rows = [dated.row for dated in newest.values()]
        suppress.mask_suppressed(connection, resource, store_id, rows, salt=on.salt)
    known = _known(connection, resource, store_id, list(newest))
    wanted, touched = _wanted(newest, known, result, origin=origin)
    if origin is Origin.DEEP and touched:
        wanted += _altered(connection, resource, store_id, touched, result)
        touched = []
    if touched:
        _move_as_of(connection, resource, store_id, touched)
    if wanted:
        _write(connection, resource, store_id, wanted, result, on=on)
    return result


def _newest(records: Iterable[Dated]) -> dict[Key, Dated]:
    """One record per key: within a batch the later `as_of` wins."""
    newest: dict[Key, Dated] = {}
    for dated in records:
        before = newest.get(dated.row.key)
        if before is None or dated.as_of >= before.as_of:
            newest[dated.row.key] = dated
    return newest


@dataclass(frozen=True, slots=True)
class _Known:
    content_hash: bytes | None
    as_of: dt.datetime
    live: bool


def _known(
    connection: sa.Connection, resource: Resource, store_id: int, keys: list[Key]
) -> dict[Key, _Known]:
    # Not locked: locking unchanged rows would write every one of them. The upsert decides again.
    rows = connection.exec_driver_sql(_known_sql(resource), (store_id, keys))
    return {
        key: _Known(bytes(digest) if digest is not None else None, as_of, deleted_at is None)
        for key, digest, as_of, deleted_at in rows
    }


def _wanted(
    newest: dict[Key, Dated], known: dict[Key, _Known], result: Loaded, *, origin: Origin
) -> tuple[list[Dated], list[Dated]]:
    """Sort records into those to write and those whose `as_of` alone moves."""
    wanted: list[Dated] = []
    touched: list[Dated] = []
    for key, dated in newest.items():
        before = known.get(key)
        same = before is not None and before.live and before.content_hash == dated.row.content_hash
        if before is None:
            wanted.append(dated)
        elif before.as_of >= dated.as_of:
            if not same:
                result.refused.append(key)
            else:
                result.unchanged += 1
        elif not same:
            wanted.append(dated)
        else:
            result.unchanged += 1
            if origin is not Origin.WALK:
                touched.append(dated)
    return wanted, touched


def _altered(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    same: Sequence[Dated],
    result: Loaded,
) -> list[Dated]:
    """Rows whose hash is right and whose columns or children are not: altered by hand."""
    keys = {key for (key,) in connection.exec_driver_sql(
        _altered_sql(resource), (_document(resource, store_id, same),)
    )}  # fmt: skip
    for index, child in enumerate(resource.children):
        rows = connection.exec_driver_sql(
            _child_counts_sql(resource, child), (store_id, [dated.row.key for dated in same])
        )
        counts: dict[Key, int] = {row[0]: row[1] for row in rows}
        keys |= {
            dated.row.key
            for dated in same
            if counts.get(dated.row.key, 0) != len(dated.row.children[index])
        }
    altered = [dated for dated in same if dated.row.key in keys]
    result.unchanged -= len(altered)
    return altered


def _move_as_of(
    connection: sa.Connection, resource: Resource, store_id: int, touched: Sequence[Dated]
) -> None:
    ordered = sorted(touched, key=lambda dated: dated.row.key)
    connection.exec_driver_sql(
        _move_sql(resource),
        ([dated.row.key for dated in ordered], [dated.as_of for dated in ordered], store_id),
    )


def _write(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    wanted: Sequence[Dated],
    result: Loaded,
    *,
    on: Switches,
) -> None:
    sql = _upsert_sql(resource)
    written = connection.exec_driver_sql(
        versions.keeping(resource, sql) if on.versions else sql,
        (_document(resource, store_id, wanted),),
    ).all()
    accepted: set[Key] = set()
    for key, was_there, was_live in written:
        accepted.add(key)
        if not was_there:
            result.inserted += 1
        elif was_live:
            result.changed += 1
        else:
            result.revived += 1
    # Somebody wrote later knowledge between our look and our write.
    result.refused += [dated.row.key for dated in wanted if dated.row.key not in accepted]
    taken = [dated for dated in wanted if dated.row.key in accepted]
    if taken:
        _write_children(connection, resource, store_id, taken)


def _write_children(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    taken: Sequence[Dated],
) -> None:
    """Replace the children of the parents that were written, and of no others.

    The parents' rows are locked by their upsert, so writers of one parent take turns here. Also
    new parents' children are deleted first: somebody may have removed a row by hand and left them.
    """
    parents = sorted(dated.row.key for dated in taken)
    for index, child in enumerate(resource.children):
        connection.exec_driver_sql(
            delete_children_sql(resource, child),
            (store_id, parents) if resource.key else (store_id,),
        )
        rows = [
            {"store_id": store_id, **parent_of(resource, dated.row.key), **member}
            for dated in taken
            for member in dated.row.children[index]
        ]
        if rows:
            connection.exec_driver_sql(children_sql(resource, child), (json_of(rows),))


def parent_of(resource: Resource, key: Key) -> JsonRow:
    """How a child's row names its parent."""
    return {resource.parent_column: key} if resource.parent_column else {}


def _as_it_is(encoded: bytes) -> bytes:
    return encoded


def json_of(rows: list[JsonRow]) -> Json:
    """Rows as a JSON parameter: bytes from the encoder to the socket, never a str between."""
    return Json(_encode(rows), dumps=_as_it_is)


def _document(resource: Resource, store_id: int, wanted: Sequence[Dated]) -> Json:
    """The rows as one JSON document; `raw` goes in as it stands, without being encoded again."""
    rows = []
    for dated in wanted:
        row = dated.row
        values = row.values | {
            "store_id": store_id,
            "raw": msgspec.Raw(row.raw),
            "content_hash": "\\x" + row.content_hash.hex(),
            "as_of": dated.as_of,
        }
        if resource.created_field:
            values["created_on"] = row.created_on
        if resource.is_followed:
            values["listed_at"] = dated.as_of
        rows.append(values)
    return json_of(rows)


def bury(
    connection: sa.Connection, resource: Resource, store_id: int, graves: Iterable[Grave]
) -> Loaded:
    """Turn rows into tombstones, also rows the mirror never had; children go, `raw` stays.

    A row known from later than the grave's `as_of` stays as it is: it was seen alive after.
    """
    newest: dict[Key, Grave] = {}
    for grave in graves:
        if grave.key not in newest or grave.as_of >= newest[grave.key].as_of:
            newest[grave.key] = grave
    result = Loaded(seen=len(newest))
    if not newest:
        return result
    ordered = [newest[key] for key in sorted(newest)]
    on = switches(connection, resource, store_id)
    sql = _bury_sql(resource)
    buried = connection.exec_driver_sql(
        versions.keeping(resource, sql) if on.versions else sql,
        (
            store_id,
            [grave.key for grave in ordered],
            [grave.as_of for grave in ordered],
            [grave.deleted_at for grave in ordered],
            [grave.reason for grave in ordered],
            [grave.combined_to for grave in ordered],
        ),
    ).all()
    if on.salt is not None:
        merges = {grave.key: grave.combined_to for grave in ordered if grave.combined_to}
        suppress.follow_merges(connection, resource, store_id, merges, salt=on.salt)
    result.buried = sum(1 for _, was_live in buried if was_live)
    keys = sorted(key for key, was_live in buried if was_live)
    if keys:
        for child in resource.children:
            connection.exec_driver_sql(
                delete_children_sql(resource, child),
                (store_id, keys) if resource.key else (store_id,),
            )
    return result


# The statements, one of each per resource. Names come from declarations, values are bound.


def key_name(resource: Resource) -> str:
    """The key column in SQL; the empty text for single objects."""
    return resource.key_column or _EMPTY_KEY


def key_type(resource: Resource) -> str:
    """The SQL type of the key."""
    return resource.key_sql or "text"


def _match(resource: Resource, alias: str) -> str:
    """How a statement finds one row: by key, or by store alone for single objects."""
    return f"{alias}.{resource.key_column}" if resource.key_column else _EMPTY_KEY


@cache
def _known_sql(resource: Resource) -> str:
    return (
        f"SELECT {key_name(resource)}, content_hash, as_of, deleted_at"
        f" FROM {crm_name(resource.name)} WHERE store_id = %s"
        f" AND {key_name(resource)} = ANY(%s::{key_type(resource)}[])"
    )


@cache
def _move_sql(resource: Resource) -> str:
    return (
        f"UPDATE {crm_name(resource.name)} AS t SET as_of = n.as_of"
        f" FROM unnest(%s::{key_type(resource)}[], %s::timestamptz[]) AS n(key, as_of)"
        f" WHERE t.store_id = %s AND {_match(resource, 't')} = n.key AND t.as_of < n.as_of"
    )


@cache
def _upsert_sql(resource: Resource) -> str:
    table = crm_name(resource.name)
    keys = ["store_id", *([resource.key_column] if resource.key_column else [])]
    columns = [*keys, *(f.name for f in resource.fields if f.name not in keys)]
    extra = ["raw", "content_hash", "as_of"]
    if resource.created_field:
        extra.append("created_on")
    if resource.is_followed:
        extra.append("listed_at")
    columns += extra
    names = ", ".join(f'"{name}"' for name in columns)
    sets = [
        f'"{name}" = excluded."{name}"'
        for name in columns
        if name not in keys and name != "listed_at"
    ]
    if resource.is_followed:
        moved = (
            " OR t.created_on IS DISTINCT FROM excluded.created_on"
            if resource.created_field
            else ""
        )
        sets.append(
            f"listed_at = CASE WHEN t.deleted_at IS NOT NULL{moved}"
            " THEN excluded.listed_at ELSE t.listed_at END"
        )
    sets += [
        "changed_at = CASE WHEN t.deleted_at IS NOT NULL"
        " OR t.content_hash IS DISTINCT FROM excluded.content_hash"
        " THEN excluded.changed_at ELSE t.changed_at END",
        "deleted_at = NULL",
        "deleted_reason = NULL",
    ]
    if resource.is_followed:
        sets.append("combined_to = NULL")
    bookkeeping = ", ".join(_BOOKKEEPING)
    key = key_name(resource) if not resource.key_column else f"new.{resource.key_column}"
    return (
        f"INSERT INTO {table} AS t ({names}, {bookkeeping})"
        f" SELECT {names}, now(), now() FROM json_populate_recordset(NULL::{table}, %s::json)"
        f" ORDER BY {', '.join(keys)}"
        f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {', '.join(sets)}"
        f" WHERE t.as_of < excluded.as_of"
        f" RETURNING {key}, old.store_id IS NOT NULL, old.deleted_at IS NULL"
    )


@cache
def _altered_sql(resource: Resource) -> str:
    table = crm_name(resource.name)
    columns = [f.name for f in resource.fields] + ["raw"]
    if resource.created_field:
        columns.append("created_on")
    ours = ", ".join(f't."{name}"' for name in columns)
    sent = ", ".join(f'n."{name}"' for name in columns)
    key = resource.key_column
    join = f"t.store_id = n.store_id{f' AND t.{key} = n.{key}' if key else ''}"
    return (
        f"SELECT {f't.{key}' if key else _EMPTY_KEY}"
        f" FROM json_populate_recordset(NULL::{table}, %s::json) AS n"
        f" JOIN {table} AS t ON {join} WHERE ({ours}) IS DISTINCT FROM ({sent})"
    )


@cache
def _child_counts_sql(resource: Resource, child: Child) -> str:
    parent = resource.parent_column or _EMPTY_KEY
    return (
        f"SELECT {parent}, count(*) FROM {crm_name(child.name)} WHERE store_id = %s"
        f" AND {parent} = ANY(%s::{key_type(resource)}[]) GROUP BY 1"
    )


@cache
def delete_children_sql(resource: Resource, child: Child) -> str:
    """Delete the children of parents."""
    sql = f"DELETE FROM {crm_name(child.name)} WHERE store_id = %s"
    if resource.parent_column:
        sql += f" AND {resource.parent_column} = ANY(%s::{key_type(resource)}[])"
    return sql


@cache
def children_sql(resource: Resource, child: Child) -> str:
    """Insert children from a JSON document."""
    table = crm_name(child.name)
    keys = ["store_id", *([resource.parent_column] if resource.parent_column else [])]
    keys.append(child.key or "ordinal")
    columns = [*keys, *(f.name for f in child.fields if f.name not in keys)]
    names = ", ".join(f'"{name}"' for name in columns)
    return (
        f"INSERT INTO {table} ({names})"
        f" SELECT {names} FROM json_populate_recordset(NULL::{table}, %s::json)"
        f" ORDER BY {', '.join(keys)}"
    )


@cache
def _bury_sql(resource: Resource) -> str:
    """A tombstone keeps its first time and reason, unless history now tells them better."""
    table, kind = crm_name(resource.name), key_type(resource)
    key = resource.key_column
    keys = f"store_id, {key}" if key else "store_id"
    combined = resource.is_followed
    better = (
        "t.deleted_at IS NULL OR (excluded.deleted_reason IN ('history', 'combined')"
        " AND t.deleted_reason NOT IN ('history', 'combined'))"
    )
    sets = [
        "as_of = excluded.as_of",
        f"deleted_at = CASE WHEN {better} THEN excluded.deleted_at ELSE t.deleted_at END",
        f"deleted_reason = CASE WHEN {better}"
        " THEN excluded.deleted_reason ELSE t.deleted_reason END",
        "changed_at = CASE WHEN t.deleted_at IS NULL THEN now() ELSE t.changed_at END",
    ]
    if combined:
        sets.append("combined_to = coalesce(excluded.combined_to, t.combined_to)")
    columns = f"{keys}, as_of, first_seen_at, changed_at, deleted_at, deleted_reason"
    values = f"%s{', n.key' if key else ''}, n.as_of, now(), now()"
    values += ", coalesce(n.deleted_at, now()), n.reason"
    if combined:
        columns += ", combined_to"
        values += ", n.combined_to"
    returned = f"new.{key}" if key else "''"
    return (
        f"INSERT INTO {table} AS t ({columns}) SELECT {values}"
        f" FROM unnest(%s::{kind}[], %s::timestamptz[], %s::timestamptz[], %s::text[],"
        " %s::bigint[]) AS n(key, as_of, deleted_at, reason, combined_to)"
        " ORDER BY n.key"
        f" ON CONFLICT ({keys}) DO UPDATE SET {', '.join(sets)} WHERE t.as_of < excluded.as_of"
        f" RETURNING {returned}, old.store_id IS NOT NULL AND old.deleted_at IS NULL"
    )


def live_keys(
    connection: sa.Connection, resource: Resource, store_id: int, *, known_before: dt.datetime
) -> set[Any]:
    """Keys of live rows known from before a moment: what a closed sweep can find absent."""
    rows = connection.exec_driver_sql(
        f"SELECT {key_name(resource)} FROM {crm_name(resource.name)}"
        " WHERE store_id = %s AND deleted_at IS NULL AND as_of < %s",
        (store_id, known_before),
    )
    return {key for (key,) in rows}


def relist(
    connection: sa.Connection, resource: Resource, store_id: int, keys: Sequence[Key]
) -> None:
    """Records that came into the list, or back, at some moment before their last read.

    Whether they were in it when a total was asked for earlier nobody knows, so that count leaves
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
    """Which of the keys are live rows."""
    rows = connection.exec_driver_sql(
        f"SELECT {key_name(resource)} FROM {crm_name(resource.name)} WHERE store_id = %s"
        f" AND deleted_at IS NULL AND {key_name(resource)} = ANY(%s::{key_type(resource)}[])",
        (store_id, list(keys)),
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
    """Keys of one parent's live rows known from before a moment."""
    assert resource.parent is not None
    rows = connection.exec_driver_sql(
        f"SELECT {key_name(resource)} FROM {crm_name(resource.name)} WHERE store_id = %s"
        f' AND "{resource.parent.column}" = %s AND deleted_at IS NULL AND as_of < %s',
        (store_id, parent, known_before),
    )
    return {key for (key,) in rows}


def orphans(
    connection: sa.Connection, resource: Resource, parents: Resource, store_id: int
) -> list[Any]:
    """Keys of live rows whose parent is not live."""
    assert resource.parent is not None
    rows = connection.exec_driver_sql(
        f"SELECT t.{key_name(resource)} FROM {crm_name(resource.name)} AS t"
        " WHERE t.store_id = %s AND t.deleted_at IS NULL AND NOT EXISTS"
        f" (SELECT FROM {crm_name(parents.name)} AS p WHERE p.store_id = t.store_id"
        f' AND p."{resource.parent.by}" = t."{resource.parent.column}" AND p.deleted_at IS NULL)',
        (store_id,),
    )
    return [key for (key,) in rows]
