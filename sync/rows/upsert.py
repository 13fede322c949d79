"""Upserts of rows into `crm`: newer knowledge wins, unchanged rows cost nothing.

One page or several become one batch per table: a JSON document taken apart by
`json_populate_recordset`, with `raw` beside it, and upserted in key order (unsorted batches
deadlock). The known rows are read first, so that an unchanged re-walk writes nothing at all. A row
gives way only to a later `as_of`. The upsert itself decides that, so that a concurrent writer
cannot slip between.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from psycopg.types.json import Json, Jsonb

from sync.database.identifiers import crm_name
from sync.declare import ID, Reread, Resource
from sync.errors import Overtaken
from sync.records.loaded import Key, Loaded, Source, Unchanged
from sync.records.normalise import Row
from sync.rows import children, letters, suppress, versions
from sync.rows.sql import (
    altered_sql,
    as_it_is,
    hold_sql,
    json_of,
    known_sql,
    move_sql,
    upsert_sql,
)
from sync.rows.store_options import StoreOptions, store_options


def load(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    records: Iterable[Row],
    *,
    source: Source = Source.NEWS,
    unchanged: Unchanged = Unchanged.DROPPED,
) -> Loaded:
    """Write records of one resource and their children by the rule of the module.

    Only sync/work/writing.py calls this function, because it also does what follows from the write.
    """
    newest = _newest(records)
    result = Loaded(seen=len(newest))
    if not newest:
        return result
    on = _masked(connection, resource, store_id, list(newest.values()))
    known = _known(connection, resource, store_id, list(newest))
    wanted, same = _wanted(newest, known, result)
    if same and unchanged is Unchanged.COMPARED:
        wanted += _altered(connection, resource, store_id, same)
    if same and unchanged is Unchanged.MOVED:
        _move_as_of(connection, resource, store_id, same, result)
    if wanted:
        before = [row for row in wanted if row.key in known]
        keys = [row.key for row in before]
        held = hold(connection, resource, store_id, keys)
        name_before(connection, resource, store_id, keys, result)
        named = before if source is Source.LOAD else wanted
        add_named(resource, (row.values for row in named), result)
        if on.versions:
            versions.keep(
                connection, resource, store_id, [(row.key, row.as_of, row.raw) for row in wanted]
            )
        _write(connection, resource, store_id, wanted, result, held=held)
        if source is Source.LOAD:
            letters.require_as_sent(connection, resource, store_id, wanted)
    return result


@dataclass(frozen=True, slots=True)
class Held:
    """A row as it was when it was locked; `day` is the one it was created on, if it has one."""

    is_live: bool
    day: dt.date | None


def hold(
    connection: sa.Connection, resource: Resource, store_id: int, keys: Sequence[Key]
) -> dict[Key, Held]:
    """Lock rows for this transaction; return those that are there.

    `written` compares it with what a write found there.
    """
    if not keys:
        return {}
    rows = connection.exec_driver_sql(hold_sql(resource), (store_id, list(keys)))
    return {row[0]: Held(row[1], row[2]) for row in rows}


def written(
    rows: Iterable[Sequence[Any]], held: Mapping[Key, Held]
) -> Iterator[tuple[Key, bool | None]]:
    """Yield the keys that were written, and whether the row was live; None for a new one.

    Raises Overtaken for a row that another worker inserted after those that are there were held:
    nobody knows what it was before our write.
    """
    for key, was_there in rows:
        if was_there and key not in held:
            raise Overtaken("a row came in between the read and the write of its record")
        yield key, held[key].is_live if was_there else None


def naming(resource: Resource) -> list[tuple[Reread, str, str | None]]:
    """Return the links from rows to records that change with them: link, column, condition's
    column.

    A link whose path is the record's own id is left out: it does not depend on the content.
    """
    columns = {field.path: field.name for field in resource.fields}
    return [
        (also, columns[also.path], columns[also.when[0]] if also.when is not None else None)
        for also in resource.rereads
        if also.path in columns and columns[also.path] != resource.key
    ]


def add_named(
    resource: Resource,
    rows: Iterable[Mapping[str, Any]],
    result: Loaded,
    *,
    is_whole: bool = True,
) -> None:
    """Add to `result.named` the records that rows name by the values of their columns.

    Of rows that are not whole, a condition without a value is unknown, and counts as met.
    """
    found = naming(resource)
    for values in rows if found else ():
        for also, column, condition in found:
            named = values.get(column)
            if named is None:
                continue
            value = values.get(condition or "")
            is_unknown = value is None and not is_whole
            if also.when is None or is_unknown or value in also.when[1]:
                result.named.setdefault(also.resource, set()).add(named)


def name_before(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    keys: Sequence[Key],
    result: Loaded,
) -> None:
    """Add to `result.named` the records that live rows name as stored, before they are changed."""
    found = naming(resource)
    if not found or not keys:
        return
    columns = sorted({column for _, *both in found for column in both if column is not None})
    rows = connection.exec_driver_sql(
        f"SELECT {', '.join(columns)} FROM {crm_name(resource.name)} WHERE store_id = %s"
        f" AND {resource.key_column} = ANY(%s) AND deleted_at IS NULL",
        (store_id, list(keys)),
    )
    add_named(resource, (dict(zip(columns, row, strict=True)) for row in rows), result)


def differing(
    connection: sa.Connection, resource: Resource, store_id: int, rows: Sequence[Row]
) -> set[int]:
    """Return the ids of live rows whose content is not that of the records sent.

    Parts that name another record by its id are left out: copies of it change without an entry.
    """
    _masked(connection, resource, store_id, rows)
    copies = {path for path, _ in resource.raw_only}
    copies |= {field.path for field in resource.fields if field.kind is ID}
    left_out = sorted({path.split(".")[0] for path in copies} - {resource.key})
    found = connection.exec_driver_sql(
        f"SELECT t.id FROM unnest(%s::bigint[], %b::jsonb[]) AS n(id, raw)"
        f" JOIN {crm_name(resource.name)} AS t ON t.store_id = %s AND t.id = n.id"
        " WHERE t.deleted_at IS NULL AND t.raw - %s::text[] IS DISTINCT FROM n.raw - %s::text[]",
        (
            [row.key for row in rows],
            [Jsonb(row.raw, dumps=as_it_is) for row in rows],
            store_id,
            left_out,
            left_out,
        ),
    )
    return set(found.scalars())


def _masked(
    connection: sa.Connection, resource: Resource, store_id: int, rows: Sequence[Row]
) -> StoreOptions:
    """Mask rows of people who were erased; return the store's options for the resource."""
    on = store_options(connection, resource, store_id)
    if on.salt is not None:
        suppress.mask_suppressed(connection, resource, store_id, list(rows), salt=on.salt)
    return on


def _newest(records: Iterable[Row]) -> dict[Key, Row]:
    """Keep one record per key: within a batch the later `as_of` wins."""
    newest: dict[Key, Row] = {}
    for row in records:
        before = newest.get(row.key)
        if before is None or row.as_of >= before.as_of:
            newest[row.key] = row
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
    rows = connection.exec_driver_sql(known_sql(resource), (keys, store_id))
    return {
        key: _Known(bytes(digest) if digest is not None else None, as_of, deleted_at is None)
        for key, digest, as_of, deleted_at in rows
    }


def _wanted(
    newest: dict[Key, Row], known: dict[Key, _Known], result: Loaded
) -> tuple[list[Row], list[Row]]:
    """Return the records to write, and those whose content alone is known already."""
    wanted: list[Row] = []
    unchanged: list[Row] = []
    for key, row in newest.items():
        before = known.get(key)
        same = before is not None and before.live and before.content_hash == row.content_hash
        is_later = before is None or before.as_of < row.as_of
        if not same and is_later:
            wanted.append(row)
        elif not same:
            result.refused.append(key)
        elif is_later:
            unchanged.append(row)
    return wanted, unchanged


def _altered(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    same: Sequence[Row],
) -> list[Row]:
    """Return records with an equal hash but other stored columns or children: altered by hand."""
    keys = {key for (key,) in connection.exec_driver_sql(
        altered_sql(resource), sent_rows(resource, store_id, same)
    )}  # fmt: skip
    sent = [row.key for row in same]
    for index, child in enumerate(resource.children):
        there = children.counts(connection, resource, child, store_id, sent)
        keys |= {row.key for row in same if there.get(row.key, 0) != len(row.children[index])}
    return [row for row in same if row.key in keys]


def _move_as_of(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    same: Sequence[Row],
    result: Loaded,
) -> None:
    """Move the `as_of` of rows that did not change; refuse those that were changed meanwhile."""
    ordered = sorted(same, key=lambda row: row.key)
    found = connection.exec_driver_sql(
        move_sql(resource),
        (
            [row.key for row in ordered],
            [row.as_of for row in ordered],
            [row.content_hash for row in ordered],
            store_id,
        ),
    )
    moved = set(found.scalars())
    others = [row for row in ordered if row.key not in moved]
    if not others:
        return
    now = _known(connection, resource, store_id, [row.key for row in others])
    for row in others:
        known = now.get(row.key)
        if known is None or not known.live or known.content_hash != row.content_hash:
            result.refused.append(row.key)


def _write(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    wanted: Sequence[Row],
    result: Loaded,
    *,
    held: Mapping[Key, Held],
) -> None:
    rows = connection.exec_driver_sql(
        upsert_sql(resource), sent_rows(resource, store_id, wanted)
    ).all()
    accepted: set[Key] = set()
    days = {row.key: row.created_on for row in wanted}
    for key, was_live in written(rows, held):
        accepted.add(key)
        if was_live is None:
            result.inserted += 1
        elif was_live:
            result.changed += 1
            if held[key].day != days[key]:
                result.left[key] = held[key].day
        else:
            result.revived += 1
    result.keys |= accepted
    # Another worker wrote later knowledge between our read and our write.
    result.refused += [row.key for row in wanted if row.key not in accepted]
    taken = [row for row in wanted if row.key in accepted]
    if taken:
        children.replace(connection, resource, store_id, taken)


def sent_rows(resource: Resource, store_id: int, rows: Sequence[Row]) -> tuple[list[Jsonb], Json]:
    """Return the statements' parameters: every `raw` as it stands, and all else as JSON."""
    return [Jsonb(row.raw, dumps=as_it_is) for row in rows], document(resource, store_id, rows)


def document(resource: Resource, store_id: int, rows: Iterable[Row]) -> Json:
    """Return rows as JSON, without their `raw`."""
    made = []
    for row in rows:
        values = row.values | {
            "store_id": store_id,
            "content_hash": "\\x" + row.content_hash.hex(),
            "as_of": row.as_of,
        }
        if resource.created_field:
            values["created_on"] = row.created_on
        if resource.is_followed:
            values["listed_at"] = row.as_of
        made.append(values)
    return json_of(made)
