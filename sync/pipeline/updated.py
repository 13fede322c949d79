"""Lists with an updated-since filter: what changed is read between the full passes.

Only the full pass tells of deletions and moves coverage; a poll makes the rows younger. It goes
back a little over the last one, since the filter leaves its own bound out and clocks differ.
"""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa

from sync.crawl import WHOLE, pages_bound
from sync.crm import WorkClass
from sync.declare import Resource, Updated
from sync.declare.moments import local_text
from sync.errors import Refused
from sync.mirror import coverage
from sync.mirror.load import Dated, Origin, load
from sync.pipeline.context import Context
from sync.pipeline.walk import list_params


def poll(ctx: Context, resource: Resource) -> None:
    """Read what changed since the last poll, or since the last full pass."""
    changes = resource.changes
    assert isinstance(changes, Updated)
    since = ctx.read(lambda c: coverage.polled_as_of(c, ctx.store.id, resource.name))
    if since is None:
        return  # the first full pass is still to come
    bound = local_text(since - dt.timedelta(seconds=changes.overlap_seconds), ctx.zone)
    first: dt.datetime | None = None
    page, last = 1, 1
    while page <= last:
        params = list_params(ctx, resource, WHOLE, page=page)
        chosen = params.get("filter")
        params["filter"] = {**(chosen if isinstance(chosen, dict) else {}), changes.since: bound}
        try:
            reply = ctx.api.first(resource, params, work=WorkClass.REFRESH)
        except Refused:
            if page == 1:
                raise
            break
        first = first or reply.as_of
        batch = ctx.normalise(resource, reply.records(resource))
        rows = [Dated(row, reply.as_of) for row in batch.rows]

        def write(connection: sa.Connection, rows: list[Dated] = rows) -> None:
            loaded = load(connection, resource, ctx.store.id, rows, origin=Origin.WALK)
            coverage.add_loaded(connection, resource, ctx.store.id, loaded, origin=Origin.REREAD)

        ctx.write(write)
        pages = reply.pagination.pages
        last = min(pages, pages_bound(pages) if page == 1 else last)
        page += 1
        if ctx.is_over:
            return  # the next poll begins where this one did
    moment = first
    if moment is not None:
        ctx.write(lambda c: coverage.set_polled_as_of(c, ctx.store.id, resource.name, as_of=moment))
