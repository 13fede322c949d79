"""The one door to `crm`: writes rows and tombstones, and all that follows from them.

Rows come from a page of a walk, a re-read, a sweep, a parent's list or a history. Whatever the
source, this module compares the new rows with the stored ones: it queues other records that change
with them, keeps rejects and unknown fields, and updates the counts. Nothing else writes content of
the API. A rebuild, a masking and an erasure only change how content is kept; they bring no new
evidence.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Sequence

import sqlalchemy as sa

from sync.declare import Reread, Resource
from sync.records.loaded import Loaded, Source, Unchanged
from sync.records.normalise import Batch, JsonRow, Row
from sync.rows import doubled_hour, first_statistics, kept
from sync.rows.live_rows import live_among, relist
from sync.rows.tombstones import Tombstone, mark_deleted
from sync.rows.upsert import add_named, load, name_before
from sync.state import coverage, crawls, departures, doubts, feeds, rereads
from sync.state.crawls import Crawl
from sync.work.context import Context


def write_rows(
    ctx: Context,
    connection: sa.Connection,
    resource: Resource,
    pages: Sequence[Batch],
    *,
    source: Source = Source.NEWS,
    unchanged: Unchanged = Unchanged.DROPPED,
    tombstones: Sequence[Tombstone] = (),
    relisted: Iterable[int] = (),
    crawl: Crawl | None = None,
) -> Loaded:
    """Write rows and tombstones of one resource, and all that follows from them.

    `relisted` are records that entered the list, or returned to it, some time before this
    request. The pages are added to the figures of `crawl`.
    """
    store_id = ctx.store.id
    rows = [row for page in pages for row in page.rows]
    keys = [row.key for row in rows] + [tombstone.key for tombstone in tombstones]
    if resource.is_followed:
        # First of all, as whoever applies its feed locks it: feed and rows come in any order then.
        coverage.lock(connection, store_id, resource.name)
    with kept.following(connection, resource, store_id, keys) as written:
        loaded = load(connection, resource, store_id, rows, source=source, unchanged=unchanged)
        moved = doubled_hour.settle(connection, resource, store_id, rows, ctx.zone)
        seen = loaded.seen
        loaded.add(mark_deleted(connection, resource, store_id, tombstones))
        written.update(loaded.keys, moved)
    if loaded.inserted >= first_statistics.ENOUGH_ROWS and resource not in ctx.analysed:
        first_statistics.make(connection, [*resource.tables, *kept.tables_of(resource)])
        ctx.analysed.add(resource)
    if resource.is_followed:
        if loaded.left:
            feeds.hold(connection, store_id, resource.history, of=resource.name)
            departures.note_read(connection, resource, store_id, loaded.left)
        ids = [key for key in keys if isinstance(key, int)]
        returned = rereads.mark_listed(connection, store_id, resource.name, ids)
        relist(connection, resource, store_id, [*relisted, *returned])
    for page in pages:
        ctx.keep_notes(connection, resource, page)
    if unchanged is Unchanged.MOVED:
        # A newer row refused a feed's re-read: read the record again, never skip it.
        refused = [key for key in loaded.refused if isinstance(key, int)]
        rereads.ask_again(connection, store_id, resource.name, refused, reason="refused")
    _queue_named(ctx, connection, resource, loaded)
    _queue_moved(ctx, connection, resource, tombstones)
    if loaded.written or unchanged is Unchanged.MOVED:
        _queue_orphans(ctx, connection, resource, rows)
    coverage.add_loaded(connection, resource, store_id, loaded, source=source)
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
    ctx: Context, connection: sa.Connection, resource: Resource, tombstones: Sequence[Tombstone]
) -> Loaded:
    """Mark rows as deleted, and queue the records that they named or that point at them."""
    return write_rows(ctx, connection, resource, (), tombstones=tombstones)


def _queue_moved(
    ctx: Context, connection: sa.Connection, resource: Resource, tombstones: Sequence[Tombstone]
) -> None:
    """Queue a re-read of the records that point at records combined into others."""
    merged = [g.key for g in tombstones if g.reason == "combined" and isinstance(g.key, int)]
    for name, column in resource.combined if merged else ():
        if name in ctx.resources:
            rereads.ask_for_orphans(
                connection, ctx.store.id, name, column, merged=resource.name, into_others=merged
            )


def _queue_named(
    ctx: Context, connection: sa.Connection, resource: Resource, loaded: Loaded
) -> None:
    """Queue a re-read of what the old or new row names: such records change without an entry."""
    by_name = {also.resource: also for also in resource.rereads}
    for name in sorted(loaded.named):
        _queue(ctx, connection, resource, by_name[name], loaded.named[name])


def queue_named(
    ctx: Context, connection: sa.Connection, resource: Resource, ids: Sequence[int]
) -> set[int]:
    """Queue a re-read of the records that stored rows name; return the ids that have a live row."""
    named = Loaded()
    name_before(connection, resource, ctx.store.id, ids, named)
    _queue_named(ctx, connection, resource, named)
    return live_among(connection, resource, ctx.store.id, ids)


def queue_told(
    ctx: Context,
    connection: sa.Connection,
    resource: Resource,
    ids: Sequence[int],
    parts: Sequence[JsonRow],
) -> None:
    """Queue a re-read of the records that rows name of which a history told for the first time.

    The stored rows may have been read before, by a walk that names nothing. The entries (`parts`,
    rows with what they say of the record) name those of a moment that no answer showed.
    """
    declared, possible, named = Loaded(), Loaded(), Loaded()
    name_before(connection, resource, ctx.store.id, ids, named)
    add_named(resource, parts, declared)
    add_named(resource, parts, possible, is_whole=False)
    live: dict[str, set[int]] = {
        name: live_among(connection, ctx.resources[name], ctx.store.id, sorted(each))
        for name, each in possible.named.items()
        if name in ctx.resources
    }
    known: set[int] = set().union(*live.values())
    for name, each in live.items():  # an id without a type is one of the resource that has it
        here = each | (declared.named.get(name, set()) - known)
        named.named.setdefault(name, set()).update(here)
    _queue_named(ctx, connection, resource, named)


def doubt_all(
    ctx: Context,
    connection: sa.Connection,
    resource: Resource,
    *,
    kind: doubts.Kind,
    detail: str,
    since: dt.datetime | None = None,
) -> None:
    """Raise a doubt on all rows of a resource, and queue their comparison."""
    store_id, name = ctx.store.id, resource.name
    doubts.raise_doubt(connection, store_id, name, kind=kind, detail=detail, since=since)
    crawls.queue_deep(connection, store_id, name, days=ctx.store.days_of(resource))


def doubt_named(
    ctx: Context,
    connection: sa.Connection,
    resource: Resource,
    detail: str,
    *,
    among: Collection[str] | None = None,
) -> None:
    """Raise a doubt on every record that records of a resource may name, and queue a comparison.

    `among` limits it to some resources.
    """
    for also in sorted({each.resource for each in resource.rereads}):
        named = ctx.resources.get(also)
        if named is None or not named.is_followed or (among is not None and also not in among):
            continue
        doubt_all(ctx, connection, named, kind="unread", detail=detail)


def queue_parts(
    ctx: Context, connection: sa.Connection, resource: Resource, ids: Iterable[int]
) -> None:
    """Queue a re-read of the parts of records named by a history: an entry may be about a part."""
    for also in resource.rereads:
        if also.path == resource.key:
            _queue(ctx, connection, resource, also, ids)


def _queue(
    ctx: Context, connection: sa.Connection, resource: Resource, also: Reread, ids: Iterable[int]
) -> None:
    """Queue a re-read soon, and one after the lateness bound, when every list shows the change."""
    if also.resource not in ctx.resources:
        return
    rereads.ask_again(
        connection,
        ctx.store.id,
        also.resource,
        ids,
        reason=f"{resource.name} changed",
        after_bound=True,
        after_seconds=also.after_seconds,
        early_seconds=also.after_seconds,
    )


def _queue_orphans(
    ctx: Context, connection: sa.Connection, resource: Resource, rows: Sequence[Row]
) -> None:
    """Queue a re-read of rows that name a combined record."""
    keys = [row.key for row in rows if isinstance(row.key, int)]
    for other in ctx.resources.values() if keys else ():
        for name, column in other.combined:
            if name == resource.name:
                rereads.ask_for_orphans(
                    connection, ctx.store.id, name, column, merged=other.name, keys=keys
                )
