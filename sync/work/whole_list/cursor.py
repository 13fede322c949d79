"""A list ordered by time behind an opaque cursor: each crawl reads on where the last one ended.

It is unknown whether the last answer names a next cursor. If it does, the next crawl starts there;
if not, it reads the last page again. A page is passed for good once its newest record is some
minutes old; until then it is read again, because late records appear among older ones. Records have
no id: equal ones are counted (`Made.repeats`). Equal records have the same moment, so only the
counts of the last moment matter for the next page.
"""

from __future__ import annotations

import datetime as dt
from reprlib import repr as shortened
from typing import Any

from sync.crm import Priority
from sync.declare import Resource
from sync.errors import UnexpectedData
from sync.records.normalise import Batch
from sync.state import approvals, crawls, positions
from sync.state.crawls import Crawl
from sync.state.positions import Position
from sync.work.context import Context
from sync.work.pages import ask_sized
from sync.work.session import Reply
from sync.work.writing import write_rows

SETTLED_SECONDS = 300
CURSOR_CHARACTERS = 2_000
"""The longest cursor accepted: real ones have a hundred characters. It is sent in a URL."""


def crawl_cursor(ctx: Context, crawl: Crawl) -> bool:
    """Read on to the end of the list; False when the slice ended before.

    A load reads the list from its beginning again.
    """
    resource = ctx.resources[crawl.resource]
    if crawl.phase == "plan":
        _begin(ctx, crawl, resource)
    with ctx.reading() as connection:
        position = positions.position(connection, ctx.store.id, resource.name)
    is_settled, first_as_of = True, None
    while True:
        reply = _ask(ctx, resource, position.cursor)
        # A record may have been published late on a page that was read before the last one.
        first_as_of = first_as_of or reply.as_of
        records = reply.records(resource)
        batch = ctx.normalise(resource, records, as_of=reply.as_of, repeats=position.repeats)
        following = _next(reply)
        is_end = not records or not following or following == position.cursor
        passed: Position | None = None
        if following and records:
            moments = _moments(resource, batch)
            position = Position(following, _counts_to_keep(moments, batch))
            settled = reply.as_of - dt.timedelta(seconds=SETTLED_SECONDS)
            is_settled &= all(moment < settled for moment in moments.values())
            passed = position if is_settled else None
        for attempt in ctx.attempts():
            with attempt as connection:
                write_rows(ctx, connection, resource, [batch], crawl=crawl)
                if passed is not None:
                    positions.set_position(connection, ctx.store.id, resource.name, passed)
                if is_end:
                    approvals.end(
                        connection, ctx.store, resource, crawl, complete_as_of=first_as_of
                    )
        if is_end:
            return True
        if ctx.is_over:
            return False


def _ask(ctx: Context, resource: Resource, cursor: str) -> Reply:
    """Request the page behind a cursor, or a smaller one, which names the next cursor too."""
    params: dict[str, Any] = {**dict(resource.params), **({"cursor": cursor} if cursor else {})}
    return ask_sized(
        ctx,
        resource,
        lambda size: ctx.api.first(resource, params | {"limit": size}, priority=Priority.REFRESH),
        priority=Priority.REFRESH,
    )


def _begin(ctx: Context, crawl: Crawl, resource: Resource) -> None:
    for attempt in ctx.attempts():
        with attempt as connection:
            if crawl.kind in {"load", "backfill"}:
                beginning = Position("", {})
                positions.set_position(connection, ctx.store.id, resource.name, beginning)
            crawls.set_phase(connection, crawl, "walk")


def _next(reply: Reply) -> str:
    block = reply.data.get("pagination")
    if block is None or block == []:
        return ""
    if not isinstance(block, dict):
        raise UnexpectedData(f"pagination is {shortened(block)}", body=reply.body)
    cursor = block.get("nextCursor") or ""
    if isinstance(cursor, int):
        cursor = str(cursor)
    is_cursor = isinstance(cursor, str) and cursor.isprintable()
    if not is_cursor or len(cursor) > CURSOR_CHARACTERS:
        raise UnexpectedData(f"nextCursor is {shortened(cursor)}", body=reply.body)
    return str(cursor)


def _moments(resource: Resource, batch: Batch) -> dict[str, dt.datetime]:
    """Return the creation moment of each record of a page, by its key."""
    made = resource.made.columns if resource.made else ()
    column = next(f.name for f in resource.fields if f.kind.sql == "timestamptz" and f.name in made)
    return {
        str(row.key): row.values[column] for row in batch.rows if row.values.get(column) is not None
    }


def _counts_to_keep(moments: dict[str, dt.datetime], batch: Batch) -> dict[str, int]:
    """Return the counts of the keys that may come again: those of the page's last moment.

    A page of one moment may continue a moment that began on an earlier page: then all counts are
    kept.
    """
    if len(set(moments.values())) <= 1:
        return dict(batch.repeats)
    last = max(moments.values(), default=None)
    names = {key.rpartition("/")[0] for key, moment in moments.items() if moment == last}
    return {name: count for name, count in batch.repeats.items() if name in names}
