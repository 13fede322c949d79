"""Lists with an updated-since filter: what changed is read between the full passes.

Only the full pass tells of deletions and moves coverage; a poll makes the rows younger. It goes
back a little over the last one, since the filter leaves its own bound out and clocks differ.
"""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa

from sync.crawl import WHOLE, PassCheck, pages_bound
from sync.crm import WorkClass
from sync.declare import Resource, Updated
from sync.declare.moments import Zone, local_text
from sync.errors import Refused
from sync.mirror import coverage
from sync.mirror.load import Dated, Origin, load
from sync.normalise import Batch
from sync.pipeline.context import Context
from sync.pipeline.pages import read_page
from sync.pipeline.sweep import PASSES, unusable
from sync.pipeline.windows import list_params


def poll(ctx: Context, resource: Resource) -> None:
    """Read what changed since the last poll, or since the last full pass.

    The filter looks at what changes all the time, so pages shift under it; the next poll begins
    where this one did unless it held still.
    """
    changes = resource.changes
    assert isinstance(changes, Updated)
    since = ctx.read(lambda c: coverage.polled_as_of(c, ctx.store.id, resource.name))
    if since is None:
        return  # the first full pass is still to come
    bound = bound_of(since, ctx.draw(), changes.overlap_seconds, ctx.zone)
    for _ in range(PASSES):
        first = _read(ctx, resource, {changes.since: bound})
        if first is not None:
            ctx.write(
                lambda c, first=first: coverage.set_polled_as_of(  # type: ignore[misc]
                    c, ctx.store.id, resource.name, as_of=first
                )
            )
            return
        if ctx.is_over:
            return


def bound_of(since: dt.datetime, now: dt.datetime, overlap_seconds: int, zone: Zone) -> str:
    """The bound as local text. Where clocks went back meanwhile the same local times came twice,
    so it goes back by as much: what was changed in the second hour may look older than `since`."""
    start = since - dt.timedelta(seconds=overlap_seconds)
    before, after = start.astimezone(zone).utcoffset(), now.astimezone(zone).utcoffset()
    assert before is not None
    assert after is not None
    return local_text(start - max(before - after, dt.timedelta(0)), zone)


def _read(ctx: Context, resource: Resource, chosen: dict[str, str]) -> dt.datetime | None:
    """Read what the filter gives; the first send moment, None when it did not hold still."""
    first: dt.datetime | None = None
    check = PassCheck()
    page, last, bound = 1, 1, 1
    while page <= last:
        params = list_params(ctx, resource, WHOLE, page=page)
        also = params.get("filter")
        params["filter"] = {**(also if isinstance(also, dict) else {}), **chosen}
        try:
            read = read_page(ctx, resource, params, page=page, work=WorkClass.REFRESH)
        except Refused:
            return None  # beyond the end: it shrank
        reply = read.reply
        first = first or reply.as_of
        batch = ctx.normalise(resource, reply.records(resource))
        _commit(ctx, resource, batch, reply.as_of)
        pagination = reply.pagination
        check.add([row.key for row in batch.rows], pagination.total)
        check.ids.update(unusable(batch))
        check.ids.update(read.failed)  # the full pass holds coverage for them
        if page == 1:
            bound = pages_bound(pagination.pages)
        last = min(pagination.pages, bound) if batch.rows else page
        page += 1
        if ctx.is_over:
            return None
    return first if check.pages <= 1 or len(check.ids) >= max(check.totals) else None


def _commit(ctx: Context, resource: Resource, batch: Batch, as_of: dt.datetime) -> None:
    def write(connection: sa.Connection) -> None:
        rows = [Dated(row, as_of) for row in batch.rows]
        loaded = load(connection, resource, ctx.store.id, rows, origin=Origin.WALK)
        ctx.keep_notes(connection, resource, batch)
        coverage.add_loaded(connection, resource, ctx.store.id, loaded, origin=Origin.REREAD)

    ctx.write(write)
