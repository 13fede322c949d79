"""The one door to `crm`: rows and tombstones in, with all that follows from them.

Whatever brought a row (a page of a walk, a re-read, a sweep, a parent's list, a history), what
follows is decided here by comparing what is stored with what came: other records that change with
it are queued, what cannot be taken is noted, the counts go along.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from sync.declare import Resource
from sync.mirror import coverage, feeds, rereads
from sync.mirror.graves import Grave, bury
from sync.mirror.live import live_among, relist
from sync.mirror.load import Dated, Loaded, Origin, load, name_before
from sync.normalise import Batch
from sync.pipeline.context import Context


def write_rows(
    ctx: Context,
    connection: sa.Connection,
    resource: Resource,
    rows: Sequence[Dated],
    *,
    origin: Origin,
    batches: Iterable[Batch] = (),
    graves: Sequence[Grave] = (),
    relisted: Iterable[int] = (),
) -> Loaded:
    """Write rows and tombstones of one resource, and what follows from them.

    `batches` bring what could not be taken; `relisted` are records that came into the list, or
    back, at some moment before they were read.
    """
    loaded = load(connection, resource, ctx.store.id, rows, origin=origin)
    refused = [key for key in loaded.refused if isinstance(key, int)]
    if graves:
        loaded.add(write_tombstones(ctx, connection, resource, graves))
    if resource.is_followed:
        keys = [d.row.key for d in rows] + [grave.key for grave in graves]
        ids = [key for key in keys if isinstance(key, int)]
        returned = rereads.mark_listed(connection, ctx.store.id, resource.name, ids)
        relist(connection, resource, ctx.store.id, [*relisted, *returned])
    for batch in batches:
        ctx.keep_notes(connection, resource, batch)
    if refused and origin is Origin.REREAD:
        # Later knowledge stood in the way of a feed's re-read: ask again, never skip.
        rereads.ask_again(connection, ctx.store.id, resource.name, refused, reason="refused")
    _queue_named(ctx, connection, resource, loaded)
    if loaded.written or origin is Origin.REREAD:
        _queue_orphans(ctx, connection, resource, rows)
    coverage.add_loaded(connection, resource, ctx.store.id, loaded, origin=origin)
    return loaded


def write_tombstones(
    ctx: Context, connection: sa.Connection, resource: Resource, graves: Sequence[Grave]
) -> Loaded:
    """Turn rows into tombstones; what they named, and what pointed at them, is queued."""
    named = Loaded()
    keys = [grave.key for grave in graves]
    name_before(connection, resource, ctx.store.id, keys, named)
    gone = bury(connection, resource, ctx.store.id, graves)
    gone.named = named.named
    merged = [g.key for g in graves if g.reason == "combined" and isinstance(g.key, int)]
    for name, column in resource.combined if merged else ():
        if name in ctx.resources:
            rereads.ask_for_moved(
                connection, ctx.store.id, name, column, merged=resource.name, among=merged
            )
    return gone


def _queue_named(
    ctx: Context, connection: sa.Connection, resource: Resource, loaded: Loaded
) -> None:
    """Read again what the stored and the new version name: it changes without an entry.

    Soon, and once more when every list shows it.
    """
    if not loaded.named:
        return
    bound = feeds.lateness_seconds(connection, ctx.store.id)
    after = {also.resource: also.after_seconds for also in resource.rereads}
    for name in sorted(loaded.named):
        if name in ctx.resources:
            rereads.ask_again(
                connection,
                ctx.store.id,
                name,
                loaded.named[name],
                reason=f"{resource.name} changed",
                after_seconds=max(bound, after[name]),
                early_seconds=after[name],
            )


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
    bound = feeds.lateness_seconds(connection, ctx.store.id)
    for also in resource.rereads:
        if also.path == resource.key and also.resource in ctx.resources:
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
    ctx: Context, connection: sa.Connection, resource: Resource, rows: Sequence[Dated]
) -> None:
    """Rows that name a record which was combined meanwhile are read again until none does."""
    keys = [dated.row.key for dated in rows if isinstance(dated.row.key, int)]
    for other in ctx.resources.values() if keys else ():
        for name, column in other.combined:
            if name == resource.name:
                rereads.ask_for_orphans(
                    connection, ctx.store.id, name, column, merged=other.name, keys=keys
                )
