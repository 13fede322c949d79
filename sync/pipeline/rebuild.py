"""Typed columns and children anew from `raw`, without a request: after a changed zone or
declaration. `as_of` stays: nothing newer is known of the record, it is only read differently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from sync.crm.decode import decode
from sync.declare import Resource
from sync.mirror import checkpoint
from sync.mirror.checkpoint import Crawl
from sync.mirror.load import Dated, rewrite, stored
from sync.mirror.stores import queue_crawl
from sync.normalise import Batch
from sync.pipeline.context import Context

BATCH = 1_000


def crawl_rebuild(ctx: Context, crawl: Crawl) -> bool:
    """Rebuild in key order, a batch a transaction; False when the slice ended before."""
    resource = ctx.resources[crawl.resource]
    while True:
        done = _batch(ctx, crawl, resource)
        if done:
            return True
        if ctx.is_over:
            return False


def _batch(ctx: Context, crawl: Crawl, resource: Resource) -> bool:
    after = ctx.read(lambda c: checkpoint.rebuilt_to(c, crawl))
    rows = ctx.read(lambda c: stored(c, resource, ctx.store.id, after=after, at_most=BATCH))
    batch = Batch()
    made: list[Dated] = []
    for key, raw, as_of, parent in rows:
        one = ctx.normalise(
            resource, [decode(raw.encode())], parent=parent, repeats=_repeats_before(resource, key)
        )
        made += [Dated(row, as_of) for row in one.rows if row.key == key]
        batch.rows += one.rows
        batch.rejects += one.rejects
        batch.unknown.update(one.unknown)
    last = rows[-1][0] if rows else None
    is_end = len(rows) < BATCH

    def write(connection: sa.Connection) -> None:
        changed = rewrite(connection, resource, ctx.store.id, made)
        ctx.keep_notes(connection, resource, batch)
        checkpoint.count_pages(connection, crawl, pages=1, seen=len(rows), changed=changed)
        if last is not None:
            checkpoint.set_rebuilt_to(connection, crawl, str(last))
        if is_end:
            connection.execute(
                sa.text(
                    "UPDATE sync.coverage SET zone = :zone, version = :version"
                    " WHERE store_id = :store AND resource = :resource"
                ),
                {
                    "zone": ctx.store.zone,
                    "version": resource.version,
                    "store": ctx.store.id,
                    "resource": resource.name,
                },
            )
            checkpoint.end_crawl(connection, crawl)

    ctx.write(write)
    return is_end


def _repeats_before(resource: Resource, key: Any) -> dict[str, int]:
    """A made key's own count, less one: so that making it again gives the same key."""
    if resource.made is None or not resource.made.repeats:
        return {}
    name, _, count = str(key).rpartition("/")
    return {name: int(count) - 1}


def queue_where_stale(connection: sa.Connection, resources: Mapping[str, Resource]) -> int:
    """Queue a rebuild wherever rows were made in another zone or by another declaration."""
    rows = connection.execute(
        sa.text(
            "SELECT c.store_id, c.resource, c.version, c.zone <> s.zone AS other_zone"
            " FROM sync.coverage AS c JOIN sync.store AS s ON s.id = c.store_id"
            " WHERE c.version IS NOT NULL AND NOT EXISTS (SELECT FROM sync.crawl AS w"
            " WHERE w.store_id = c.store_id AND w.resource = c.resource AND w.kind = 'rebuild'"
            " AND w.state IN ('pending', 'running'))"
        )
    ).all()
    queued = 0
    for row in rows:
        resource = resources.get(row.resource)
        if resource is not None and (row.other_zone or row.version != resource.version):
            queue_crawl(connection, row.store_id, row.resource, kind="rebuild")
            queued += 1
    return queued
