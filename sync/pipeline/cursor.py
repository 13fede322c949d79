"""A list in the order of time behind an opaque cursor: read on from where it ended last.

Whether the last answer names a next cursor is not established: when it does, the list resumes
there, when it does not, its last page is read again. Records have no id; equal ones are counted
(`Made.repeats`), and since equal records stand side by side, only the last page's counts matter.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from sync.crm import WorkClass
from sync.declare import Resource
from sync.errors import UnexpectedData
from sync.mirror import checkpoint, coverage
from sync.mirror.checkpoint import Crawl, Position
from sync.mirror.load import Dated, Loaded, Origin, load
from sync.normalise import Batch
from sync.pipeline.asking import Reply
from sync.pipeline.context import Context


def crawl_cursor(ctx: Context, crawl: Crawl) -> bool:
    """Read on to the end of the list; False when the slice ended before."""
    resource = ctx.resources[crawl.resource]
    position = ctx.read(lambda c: checkpoint.position(c, ctx.store.id, resource.name))
    while True:
        params: dict[str, Any] = {**dict(resource.params), "limit": resource.page_size}
        if position.cursor:
            params["cursor"] = position.cursor
        reply = ctx.api.first(resource, params, work=WorkClass.REFRESH)
        batch = ctx.normalise(resource, reply.records(resource), repeats=position.repeats)
        following = _next(reply)
        is_end = not batch.rows or not following or following == position.cursor
        if following and batch.rows:
            position = Position(following, _counts_of_page(batch))
        _commit(ctx, crawl, resource, batch, reply, position, is_end=is_end)
        if is_end:
            return True
        if ctx.is_over:
            return False


def _next(reply: Reply) -> str:
    block = reply.data.get("pagination")
    if block is None:
        return ""
    if not isinstance(block, dict):
        raise UnexpectedData(f"pagination is {block!r}", body=reply.body)
    return str(block.get("nextCursor") or "")


def _counts_of_page(batch: Batch) -> dict[str, int]:
    made = {str(row.key).rpartition("/")[0] for row in batch.rows}
    return {name: count for name, count in batch.repeats.items() if name in made}


def _commit(
    ctx: Context,
    crawl: Crawl,
    resource: Resource,
    batch: Batch,
    reply: Reply,
    position: Position,
    *,
    is_end: bool,
) -> None:
    def write(connection: sa.Connection) -> Loaded:
        rows = [Dated(row, reply.as_of) for row in batch.rows]
        loaded = load(connection, resource, ctx.store.id, rows, origin=Origin.WALK)
        ctx.keep_notes(connection, resource, batch)
        coverage.add_loaded(connection, resource, ctx.store.id, loaded, origin=Origin.REREAD)
        checkpoint.set_position(connection, ctx.store.id, resource.name, position)
        checkpoint.count_pages(
            connection, crawl, pages=1, seen=loaded.seen, changed=loaded.written, requests=1
        )
        if is_end:
            coverage.close(
                connection,
                resource,
                ctx.store.id,
                complete_as_of=reply.as_of,
                zone=ctx.store.zone,
            )
            checkpoint.end_crawl(connection, crawl)
        return loaded

    ctx.write(write)
