"""Records read again by id: those in the list are live, missing ones are judged (missing.py).

The objects inside history entries are stubs and are never written; only the list's version of a
record counts. Reading happens before the transaction, `apply` inside it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from sync.crm import Priority
from sync.declare import Resource
from sync.records.loaded import Loaded, Unchanged
from sync.records.normalise import Batch
from sync.rows.live_rows import live_among
from sync.rows.tombstones import Tombstone
from sync.state import doubts, rereads
from sync.work.by_ids import ids_page
from sync.work.context import Context
from sync.work.feed.history import told_before, told_of
from sync.work.missing import ChangeHint, find_out
from sync.work.writing import doubt_named, queue_named, queue_parts, write_rows

_NEVER = dt.datetime.max.replace(tzinfo=dt.UTC)
__all__ = ["ChangeHint", "Read", "apply", "note_open", "read_again"]


@dataclass(slots=True)
class Read:
    """The result of re-reading, ready to be written. `as_of`: the send moment of the first request.

    `told` are the records that a history named now, `outside` those of sites that are not mirrored.
    """

    as_of: dt.datetime = _NEVER
    batches: list[Batch] = field(default_factory=list)
    tombstones: list[Tombstone] = field(default_factory=list)
    unlisted: list[int] = field(default_factory=list)
    listed: list[int] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)
    outside: list[Tombstone] = field(default_factory=list)
    told: list[int] = field(default_factory=list)
    absent: dict[int, dt.datetime] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """True when nothing was read again."""
        return self == Read()

    @property
    def open(self) -> set[int]:
        """The records that must be requested again."""
        return {*self.absent, *self.failed}


def read_again(
    ctx: Context,
    resource: Resource,
    told: Mapping[int, ChangeHint],
    *,
    priority: Priority = Priority.FEED,
) -> Read:
    """Read records by id, at most a hundred a request, and find out about missing ones."""
    read = Read(told=[record for record, about in told.items() if about.is_news])
    answered = ids_page(ctx, resource, told, priority=priority)
    came: set[int] = set()
    for reply in answered.replies:
        read.as_of = min(read.as_of, reply.as_of)
        batch = ctx.normalise(resource, reply.records(resource), as_of=reply.as_of)
        came |= {row.key for row in batch.rows if isinstance(row.key, int)} & told.keys()
        _take(ctx, batch, read)
    read.listed = sorted(came)
    read.moved = [record for record in read.listed if told[record].moved]
    missing = {each: at for each, at in answered.asked.items() if each not in came}
    known = _told_of_missing(ctx, resource, missing, told)
    found = find_out(ctx, resource, missing, known, shown=read.listed, priority=priority)
    read.tombstones += found.tombstones
    read.unlisted += found.unlisted
    read.absent = found.absent
    read.failed = {**answered.failed, **found.failed}
    for batch in found.batches:
        _take(ctx, batch, read)
    return read


def _told_of_missing(
    ctx: Context, resource: Resource, missing: Iterable[int], told: Mapping[int, ChangeHint]
) -> Mapping[int, ChangeHint]:
    """Return the hints of the history on missing records: those given, or of stored entries."""
    silent = [record for record in missing if not told[record].is_gone]
    if not silent or resource.history not in ctx.resources:
        return told
    before = told_of(told_before(ctx, ctx.history_of(resource), silent))
    return {**told, **{record: before[record] for record in silent if record in before}}


def _take(ctx: Context, batch: Batch, read: Read) -> None:
    """Keep the rows of mirrored sites; the rows of other sites go to `outside`."""
    read.outside += [
        Tombstone(row.key, row.as_of, "absent") for row in batch.rows if not ctx.is_wanted(row)
    ]
    batch.rows = [row for row in batch.rows if ctx.is_wanted(row)]
    read.batches.append(batch)


def apply(ctx: Context, connection: sa.Connection, resource: Resource, read: Read) -> Loaded:
    """Write the result of a re-read: rows, tombstones, and the further re-reads that follow."""
    store_id = ctx.store.id
    if read.is_empty:
        return Loaded()
    outside: list[Tombstone] = []
    if read.outside:
        known = live_among(
            connection, resource, store_id, [tombstone.key for tombstone in read.outside]
        )
        outside = [tombstone for tombstone in read.outside if tombstone.key in known]
    loaded = write_rows(
        ctx,
        connection,
        resource,
        read.batches,
        unchanged=Unchanged.MOVED,
        tombstones=[*read.tombstones, *outside],
        relisted=read.moved,
    )
    if read.listed:
        rereads.read_meanwhile(connection, store_id, resource.name, read.listed, read_at=read.as_of)
    rereads.mark_unlisted(connection, store_id, resource.name, read.unlisted)
    note_open(ctx, connection, resource, read)
    _ask_for_named(ctx, connection, resource, [each for each in read.told if each in read.failed])
    queue_parts(ctx, connection, resource, read.told)
    return loaded


def _ask_for_named(
    ctx: Context, connection: sa.Connection, resource: Resource, failed: Sequence[int]
) -> None:
    """Queue re-reads for records that a history named and that cannot be read.

    The records that a stored row names are read again. If there is no row, nobody knows what the
    record names, so every row of those resources is in doubt until compared.
    """
    known = queue_named(ctx, connection, resource, failed)
    lacking = [each for each in failed if each not in known]
    if lacking:
        detail = f"{resource.name} {lacking[0]} cannot be read, and may name any of them"
        doubt_named(ctx, connection, resource, detail)


def note_open(ctx: Context, connection: sa.Connection, resource: Resource, read: Read) -> None:
    """Queue the records to be requested again, and clear the notes on those that are settled."""
    store_id = ctx.store.id
    gone = [tombstone.key for tombstone in read.tombstones if isinstance(tombstone.key, int)]
    settled = [*read.listed, *read.unlisted, *gone]
    rereads.came(connection, store_id, resource.name, settled)
    doubts.forget_records(connection, store_id, resource.name, settled)
    rereads.found_absent(connection, store_id, resource.name, read.absent)
    rereads.failed(connection, store_id, resource.name, read.failed)
