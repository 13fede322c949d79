"""The one door to `crm`: rows and tombstones in, with all that follows from them.

Whatever brought a row (a page of a walk, a re-read, a sweep, a parent's list, a history), what
follows is decided here by comparing what is stored with what came: other records that change with
it are queued, what cannot be taken is noted, the counts go along. Nothing else writes what the API
said; a rebuild, a masking and an erasure change how it is kept, and bring no new evidence.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from sync.declare import Reread, Resource
from sync.records.normalise import Batch
from sync.records.observed import Loaded, ObservedRow, Origin
from sync.rows.live_rows import live_among, relist
from sync.rows.tombstones import Tombstone, mark_deleted
from sync.rows.upsert import load, name_before
from sync.state import coverage, crawls, feeds, rereads
from sync.state.crawls import Crawl
from sync.work.context import Context

Pages = Sequence[tuple[Batch, dt.datetime]]
"""Batches, each with the send moment of the request it came with."""


def write_rows(
    ctx: Context,
    connection: sa.Connection,
    resource: Resource,
    pages: Pages,
    *,
    origin: Origin,
    graves: Sequence[Tombstone] = (),
    relisted: Iterable[int] = (),
    crawl: Crawl | None = None,
) -> Loaded:
    """Write rows and tombstones of one resource, and what follows from them.

    `relisted` are records that came into the list, or back, at some moment before they were read;
    `crawl` is the one whose figures the pages add to.
    """
    store_id = ctx.store.id
    rows = [ObservedRow(row, as_of) for batch, as_of in pages for row in batch.rows]
    loaded = load(connection, resource, store_id, rows, origin=origin)
    seen = loaded.seen
    loaded.add(mark_deleted(connection, resource, store_id, graves))
    if resource.is_followed:
        keys = [dated.row.key for dated in rows] + [grave.key for grave in graves]
        ids = [key for key in keys if isinstance(key, int)]
        returned = rereads.mark_listed(connection, store_id, resource.name, ids)
        relist(connection, resource, store_id, [*relisted, *returned])
    for batch, _ in pages:
        ctx.keep_notes(connection, resource, batch)
    if origin is Origin.REREAD:
        # Later knowledge stood in the way of a feed's re-read: ask again, never skip.
        refused = [key for key in loaded.refused if isinstance(key, int)]
        rereads.ask_again(connection, store_id, resource.name, refused, reason="refused")
    _queue_named(ctx, connection, resource, loaded)
    _queue_moved(ctx, connection, resource, graves)
    if loaded.written or origin is Origin.REREAD:
        _queue_orphans(ctx, connection, resource, rows)
    coverage.add_loaded(connection, resource, store_id, loaded, origin=origin)
    if crawl is not None:
        crawls.count_pages(
            connection,
            crawl,
            pages=len(pages),
            seen=seen,
            changed=loaded.written,
            requests=max(1, len(pages)),
        )
    return loaded


def write_tombstones(
    ctx: Context, connection: sa.Connection, resource: Resource, graves: Sequence[Tombstone]
) -> Loaded:
    """Turn rows into tombstones; what they named, and what pointed at them, is queued."""
    return write_rows(ctx, connection, resource, (), origin=Origin.SHOWN, graves=graves)


def _queue_moved(
    ctx: Context, connection: sa.Connection, resource: Resource, graves: Sequence[Tombstone]
) -> None:
    """Read again what points at records that were combined into others."""
    merged = [g.key for g in graves if g.reason == "combined" and isinstance(g.key, int)]
    for name, column in resource.combined if merged else ():
        if name in ctx.resources:
            rereads.ask_for_moved(
                connection, ctx.store.id, name, column, merged=resource.name, among=merged
            )


def _queue_named(
    ctx: Context, connection: sa.Connection, resource: Resource, loaded: Loaded
) -> None:
    """Read again what the stored and the new version name: it changes without an entry."""
    by_name = {also.resource: also for also in resource.rereads}
    for name in sorted(loaded.named):
        _queue(ctx, connection, resource, by_name[name], loaded.named[name])


def queue_named(
    ctx: Context, connection: sa.Connection, resource: Resource, ids: Sequence[int]
) -> set[int]:
    """Read again what live rows name as they stand here; which of the rows there are."""
    named = Loaded()
    name_before(connection, resource, ctx.store.id, ids, named)
    _queue_named(ctx, connection, resource, named)
    return live_among(connection, resource, ctx.store.id, ids)


def queue_parts(
    ctx: Context, connection: sa.Connection, resource: Resource, ids: Iterable[int]
) -> None:
    """Read again what belongs to records a history named: an entry may be about that alone."""
    for also in resource.rereads:
        if also.path == resource.key:
            _queue(ctx, connection, resource, also, ids)


def _queue(
    ctx: Context, connection: sa.Connection, resource: Resource, also: Reread, ids: Iterable[int]
) -> None:
    """Have records read again soon, and once more when every list shows what changed them."""
    if also.resource not in ctx.resources:
        return
    bound = feeds.lateness_seconds(connection, ctx.store.id)
    rereads.ask_again(
        connection,
        ctx.store.id,
        also.resource,
        ids,
        reason=f"{resource.name} changed",
        after_seconds=max(bound, also.after_seconds),
        early_seconds=also.after_seconds,
    )


def _queue_orphans(
    ctx: Context, connection: sa.Connection, resource: Resource, rows: Sequence[ObservedRow]
) -> None:
    """Rows that name a record which was combined meanwhile are read again until none does."""
    keys = [dated.row.key for dated in rows if isinstance(dated.row.key, int)]
    for other in ctx.resources.values() if keys else ():
        for name, column in other.combined:
            if name == resource.name:
                rereads.ask_for_orphans(
                    connection, ctx.store.id, name, column, merged=other.name, keys=keys
                )
