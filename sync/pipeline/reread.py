"""Records read again by id: what came back is live, what did not is asked for singly.

The objects inside history entries are stubs and are never written; only what the list says of a
record counts. Reading happens before the transaction, `apply` inside it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from sync.crm import WorkClass
from sync.declare import Resource
from sync.mirror import coverage, feeds, rereads
from sync.mirror.graves import Grave, bury
from sync.mirror.live import live_among, relist
from sync.mirror.load import Dated, Loaded, Origin, load
from sync.normalise import Batch
from sync.pipeline.absence import Told, find_out
from sync.pipeline.context import Context
from sync.pipeline.halves import ids_page

__all__ = ["Read", "Told", "apply", "read_again"]


@dataclass(slots=True)
class Read:
    """What re-reading found, ready to be written."""

    batches: list[tuple[Batch, dt.datetime]] = field(default_factory=list)
    graves: list[Grave] = field(default_factory=list)
    unlisted: list[int] = field(default_factory=list)
    listed: list[int] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)
    outside: list[Grave] = field(default_factory=list)
    absent: dict[int, dt.datetime] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)

    @property
    def open(self) -> set[int]:
        """Records that are to be asked for again: their wish is not fulfilled."""
        return {*self.absent, *self.failed}


def read_again(
    ctx: Context,
    resource: Resource,
    told: Mapping[int, Told],
    *,
    work: WorkClass = WorkClass.FEED,
) -> Read:
    """Read records by id, at most a hundred a request, and find out about those missing."""
    read = Read()
    answered = ids_page(ctx, resource, told, work=work)
    came: set[int] = set()
    for reply in answered.replies:
        batch = ctx.normalise(resource, reply.records(resource))
        came |= {row.key for row in batch.rows if isinstance(row.key, int)} & told.keys()
        _take(ctx, batch, reply.as_of, read)
    read.listed = sorted(came)
    read.moved = [record for record in read.listed if told[record].moved]
    missing = {each: at for each, at in answered.asked.items() if each not in came}
    found = find_out(ctx, resource, missing, told, shown=read.listed, work=work)
    read.graves += found.graves
    read.unlisted += found.unlisted
    read.absent = found.absent
    read.failed = {**answered.failed, **found.failed}
    for batch, as_of in found.batches:
        _take(ctx, batch, as_of, read)
    return read


def _take(ctx: Context, batch: Batch, as_of: dt.datetime, read: Read) -> None:
    """Keep the rows of the sites that are mirrored; what moved to another site is left behind."""
    read.outside += [
        Grave(row.key, as_of, "absent") for row in batch.rows if not ctx.is_wanted(row)
    ]
    batch.rows = [row for row in batch.rows if ctx.is_wanted(row)]
    read.batches.append((batch, as_of))


def apply(
    ctx: Context,
    connection: sa.Connection,
    resource: Resource,
    read: Read,
    *,
    origin: Origin = Origin.REREAD,
) -> Loaded:
    """Write what was read: rows, tombstones, and the further re-reads that follow from them."""
    store_id = ctx.store.id
    dated = [Dated(row, as_of) for batch, as_of in read.batches for row in batch.rows]
    total = load(connection, resource, store_id, dated, origin=origin)
    refused = list(total.refused)
    total.add(bury(connection, resource, store_id, read.graves))
    if read.outside:
        known = live_among(connection, resource, store_id, [grave.key for grave in read.outside])
        outside = [grave for grave in read.outside if grave.key in known]
        total.add(bury(connection, resource, store_id, outside))
    gone = [grave.key for grave in read.graves if isinstance(grave.key, int)]
    returned = rereads.mark_listed(connection, store_id, resource.name, [*read.listed, *gone])
    relist(connection, resource, store_id, [*read.moved, *returned])
    rereads.mark_unlisted(connection, store_id, resource.name, read.unlisted)
    for batch, _ in read.batches:
        ctx.keep_notes(connection, resource, batch)
    # Later knowledge stood in the way of a feed's re-read: ask again, never skip.
    rereads.ask_again(
        connection,
        store_id,
        resource.name,
        [key for key in refused if isinstance(key, int)],
        reason="refused",
        told_by=ctx.lease.resource,
    )
    note_open(ctx, connection, resource, read)
    _queue_further(ctx, connection, resource, read)
    coverage.add_loaded(connection, resource, store_id, total, origin=Origin.REREAD)
    return total


def note_open(ctx: Context, connection: sa.Connection, resource: Resource, read: Read) -> None:
    """Keep what is to be asked for again, and forget what was against those that are settled."""
    store_id = ctx.store.id
    gone = [grave.key for grave in read.graves if isinstance(grave.key, int)]
    rereads.came(connection, store_id, resource.name, [*read.listed, *read.unlisted, *gone])
    rereads.found_absent(
        connection,
        store_id,
        resource.name,
        read.absent,
        feeds.lateness_seconds(connection, store_id),
    )
    rereads.failed(connection, store_id, resource.name, read.failed)


def _queue_further(ctx: Context, connection: sa.Connection, resource: Resource, read: Read) -> None:
    for also in resource.rereads:
        if also.resource not in ctx.resources:
            continue
        column = next((f.name for f in resource.fields if f.path == also.path), None)
        named: set[int] = set()
        for batch, _ in read.batches:
            named |= {
                row.values[column]
                for row in batch.rows
                if column is not None and column in row.values and ctx.leads_to(also, resource, row)
            }
        rereads.ask_again(
            connection,
            ctx.store.id,
            also.resource,
            named,
            reason=f"{resource.name} changed",
            told_by=ctx.lease.resource,
            after_seconds=also.after_seconds,
        )
    _queue_of_buried(ctx, connection, resource, read)


def _queue_of_buried(
    ctx: Context, connection: sa.Connection, resource: Resource, read: Read
) -> None:
    """What pointed at a record that is gone now, and what a record that is gone pointed at."""
    gone = [grave.key for grave in read.graves]
    if not gone:
        return
    for also in resource.rereads:
        column = next((f.name for f in resource.fields if f.path == also.path), None)
        if column is None or also.resource not in ctx.resources:
            continue
        where = f'store_id = %s AND id = ANY(%s) AND "{column}" IS NOT NULL'
        binds: list[object] = [ctx.store.id, gone]
        if also.when is not None:
            path, values = also.when
            kind = next(f.name for f in resource.fields if f.path == path)
            or_none = f' OR "{kind}" IS NULL' if None in values else ""
            where += f' AND ("{kind}" = ANY(%s){or_none})'
            binds.append([value for value in values if value is not None])
        rows = connection.exec_driver_sql(
            f'SELECT DISTINCT "{column}" FROM crm."{resource.name}" WHERE {where}', tuple(binds)
        )
        named: list[Any] = [row[0] for row in rows]
        rereads.ask_again(
            connection,
            ctx.store.id,
            also.resource,
            named,
            reason=f"{resource.name} deleted",
            told_by=ctx.lease.resource,
            after_seconds=also.after_seconds,
        )
    merged = [
        grave.key
        for grave in read.graves
        if grave.reason == "combined" and isinstance(grave.key, int)
    ]
    for name, column in resource.combined if merged else ():
        if name not in ctx.resources:
            continue
        rereads.ask_again(
            connection,
            ctx.store.id,
            name,
            rereads.orphans_of_merges(
                connection, ctx.store.id, name, column, merged=resource.name, among=merged
            ),
            reason="combined",
            told_by=ctx.lease.resource,
        )
