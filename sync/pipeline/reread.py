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
from sync.errors import AccessChanged, Forbidden, NotFound, TryLater
from sync.mirror import coverage, rereads, stores
from sync.mirror.graves import Grave, bury
from sync.mirror.live import live_among, relist
from sync.mirror.load import Dated, Loaded, Origin, load
from sync.normalise import Batch
from sync.pipeline.context import Context

IDS_PER_REQUEST = 100
ACCESS_SECONDS = 5.0


@dataclass(slots=True)
class Told:
    """What the history says of a record: gone since when, and into whom it was combined.

    `moved`: it came, went, or changed its creation day or site, so that it may not have been where
    it is now a moment ago. `departed`: the entries that say it left the list, its day or its site,
    and when.
    """

    gone_at: dt.datetime | None = None
    combined_to: int | None = None
    moved: bool = False
    departed: dict[int, dt.datetime | None] = field(default_factory=dict)


@dataclass(slots=True)
class Read:
    """What re-reading found, ready to be written."""

    batches: list[tuple[Batch, dt.datetime]] = field(default_factory=list)
    graves: list[Grave] = field(default_factory=list)
    unlisted: list[int] = field(default_factory=list)
    listed: list[int] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)
    outside: list[Grave] = field(default_factory=list)


def read_again(
    ctx: Context,
    resource: Resource,
    told: Mapping[int, Told],
    *,
    work: WorkClass = WorkClass.FEED,
) -> Read:
    """Read records by id, at most a hundred a request, and find out about those missing."""
    read = Read()
    ids = sorted(told)
    for start in range(0, len(ids), IDS_PER_REQUEST):
        wanted = ids[start : start + IDS_PER_REQUEST]
        # limit=100, else the tail of the ids lands on page 2.
        reply = ctx.api.first(
            resource,
            {"filter": {"ids": wanted}, "limit": IDS_PER_REQUEST, **dict(resource.params)},
            work=work,
        )
        batch = ctx.normalise(resource, reply.records(resource))
        asked = set(wanted)
        came = {row.key for row in batch.rows} & asked
        _take(ctx, batch, reply.as_of, read)
        read.listed += [record for record in wanted if record in came]
        read.moved += [record for record in wanted if record in came and told[record].moved]
        missing = [record for record in wanted if record not in came]
        _find_out(ctx, resource, missing, told, read, as_of=reply.as_of, work=work)
    return read


def _take(ctx: Context, batch: Batch, as_of: dt.datetime, read: Read) -> None:
    """Keep the rows of the sites that are mirrored; what moved to another site is left behind."""
    read.outside += [
        Grave(row.key, as_of, "absent") for row in batch.rows if not ctx.is_wanted(row)
    ]
    batch.rows = [row for row in batch.rows if ctx.is_wanted(row)]
    read.batches.append((batch, as_of))


def _find_out(
    ctx: Context,
    resource: Resource,
    missing: list[int],
    told: Mapping[int, Told],
    read: Read,
    *,
    as_of: dt.datetime,
    work: WorkClass,
) -> None:
    unsaid = []
    for record in missing:
        about = told[record]
        if about.combined_to is not None:
            read.graves.append(Grave(record, as_of, "combined", about.gone_at, about.combined_to))
        elif about.gone_at is not None:
            read.graves.append(Grave(record, as_of, "history", about.gone_at))
        else:
            unsaid.append(record)
    verify_missing(ctx, resource, unsaid, read, work=work)


def verify_missing(
    ctx: Context, resource: Resource, ids: list[int], read: Read, *, work: WorkClass
) -> None:
    """Ask for each record singly; a 404 is believed only while the key sees what it saw."""
    if not ids or not resource.single:
        return
    graves: list[Grave] = []
    for record in ids:
        path = resource.single.replace("{id}", str(record))
        as_of = ctx.draw()
        try:
            reply = ctx.api.ask(path, {"by": "id"}, work=work)
        except NotFound as absence:
            reason = "not_found" if absence.combined_to is None else "combined"
            graves.append(Grave(record, as_of, reason, None, absence.combined_to))
        except Forbidden:
            continue  # not ours to see is not gone
        else:
            found = reply.data.get(resource.single_key)
            if isinstance(found, dict):
                batch = ctx.normalise(resource, [found])
                read.unlisted += [record for row in batch.rows if row.key == record]
                _take(ctx, batch, reply.as_of, read)
    if graves:
        insist_on_access(ctx, work=work)
        hidden = ctx.read(lambda c: _may_be_hidden(ctx, c, resource, graves))
        read.graves += [grave for grave in graves if grave.key not in hidden]


def _may_be_hidden(
    ctx: Context, connection: sa.Connection, resource: Resource, graves: list[Grave]
) -> set[Any]:
    """Rows read before the key was known to have lost sites, and not of a site it sees still."""
    if not ctx.store.hidden_sites:
        return set()
    where = ""
    binds: list[object] = [
        ctx.store.id,
        [grave.key for grave in graves],
        ctx.store.hidden_from,
    ]
    if any(f.name == "site" for f in resource.fields):
        where = " AND (site = ANY(%s)) IS NOT TRUE"
        binds.append(list(ctx.store.access.sites or ()))
    rows = connection.exec_driver_sql(
        f'SELECT id FROM crm."{resource.name}" WHERE store_id = %s AND id = ANY(%s)'
        f" AND deleted_at IS NULL AND as_of <= %s{where}",
        tuple(binds),
    )
    return {row[0] for row in rows}


def insist_on_access(ctx: Context, *, work: WorkClass) -> None:
    """TryLater or AccessChanged unless the key sees what it saw: absence proves nothing otherwise.

    A key that sees more is noted by `credentials`, asked at once; so is one a person has accepted
    while this slice went by what was before.
    """
    access = ctx.api.credentials(work=work)
    if access == ctx.store.access:
        return
    known = ctx.read(lambda c: stores.by_id(c, ctx.store.id))
    if known is None or access.sees_all_of(known.access):
        if known is not None and access != known.access and "credentials" in ctx.resources:
            ctx.read(lambda c: stores.queue_once(c, ctx.store.id, "credentials", kind="refresh"))
        raise TryLater(
            f"the key of {ctx.store.name} sees other things than when this began; what it does not"
            " find is asked for again",
            after=ACCESS_SECONDS,
        )
    raise AccessChanged(
        f"the key of {ctx.store.name} sees other things than before (was "
        f"{ctx.store.access}, is {access}); restore its access, or accept it with: "
        f"celery -A sync mirror store check {ctx.store.name}"
    )


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
    _queue_further(ctx, connection, resource, read)
    coverage.add_loaded(connection, resource, store_id, total, origin=Origin.REREAD)
    return total


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
