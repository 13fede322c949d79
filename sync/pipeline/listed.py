"""Crawls of a list that has a feed: first load, backfill, reconcile."""

from __future__ import annotations

import sqlalchemy as sa

from sync import faults
from sync.crm import WorkClass
from sync.mirror import checkpoint, coverage, feeds
from sync.mirror.checkpoint import Crawl
from sync.mirror.load import Origin
from sync.pipeline.again import take_whole, walk_again
from sync.pipeline.bookmark import set_bookmark
from sync.pipeline.bracket import history_of
from sync.pipeline.context import Context
from sync.pipeline.prove import finish, prove_whole, settle
from sync.pipeline.rolling import compare_ids
from sync.pipeline.walk import walk
from sync.pipeline.windows import plan_windows


def crawl_list(ctx: Context, crawl: Crawl) -> bool:
    """Carry a crawl on from its phase; False when the slice ended before it was done."""
    work = WorkClass.RECONCILE if crawl.kind == "reconcile" else WorkClass.WALK
    if crawl.phase == "plan":
        _plan(ctx, crawl, work=work)
    if crawl.phase == "walk" and not _walk(ctx, crawl, work=work):
        return False
    if crawl.phase == "prove" and not _prove(ctx, crawl, work=work):
        return False
    if crawl.phase == "ids":
        if not compare_ids(ctx, crawl, work=work):
            return False
        ctx.write(lambda c: checkpoint.set_phase(c, crawl, "finish"))
    if crawl.phase == "finish":
        finish(ctx, crawl, work=work)
    return crawl.phase == "done"


def _plan(ctx: Context, crawl: Crawl, *, work: WorkClass) -> None:
    """The bookmark comes first: what changes after it is in the feed, what was before in the walk.

    A reconcile begins with one window as if it had been walked, and counts it.
    """
    resource = ctx.resources[crawl.resource]
    history = history_of(ctx, resource)
    feed = ctx.read(lambda c: feeds.feed(c, ctx.store.id, history.name))
    if feed is None:
        set_bookmark(ctx, history)
    counted_only = crawl.kind == "reconcile" and not crawl.deep
    total, runs = 0, [crawl.days]
    if not counted_only:
        total, runs = plan_windows(ctx, resource, crawl.days, work=work)

    def write(connection: sa.Connection) -> None:
        for window in checkpoint.windows(connection, crawl.id, states=("planned", "walked")):
            checkpoint.remove_window(connection, window.id)
        made = checkpoint.add_windows(connection, crawl, runs)
        if counted_only:
            connection.execute(
                sa.text("UPDATE sync.window SET state = 'walked' WHERE id = :id"),
                {"id": made[0].id},
            )
        else:
            pages = -(-total // resource.page_size)
            checkpoint.count_pages(
                connection, crawl, planned=pages, requests=1 if len(runs) == 1 else 2
            )
        if crawl.kind == "load":
            coverage.expect(connection, ctx.store.id, resource.name, total=total)
        checkpoint.set_phase(connection, crawl, "prove" if counted_only else "walk")

    ctx.write(write)
    faults.point("planned")


def _walk(ctx: Context, crawl: Crawl, *, work: WorkClass) -> bool:
    if crawl.deep:
        return _walk_deep(ctx, crawl, work=work)
    windows = ctx.read(lambda c: checkpoint.windows(c, crawl.id, states=("planned", "open")))
    origin = Origin.LOAD if crawl.kind == "load" else Origin.WALK
    done = walk(ctx, crawl, windows, work=work, origin=origin)
    if done.filter_ignored:
        take_whole(ctx, crawl)
        return False
    if done.is_complete:
        ctx.write(lambda c: checkpoint.set_phase(c, crawl, "prove"))
    return done.is_complete


def _walk_deep(ctx: Context, crawl: Crawl, *, work: WorkClass) -> bool:
    """Every window whole, its ids and contents compared; ids of one window at a time."""
    while True:
        windows = ctx.read(lambda c: checkpoint.windows(c, crawl.id, states=("planned", "open")))
        if not windows:
            ctx.write(lambda c: checkpoint.set_phase(c, crawl, "prove"))
            return True
        walk_again(ctx, crawl, windows[0], work=work, origin=Origin.DEEP)
        if ctx.is_over:
            return False


def _prove(ctx: Context, crawl: Crawl, *, work: WorkClass) -> bool:
    if prove_whole(ctx, crawl, work=work) or settle(ctx, crawl, work=work):
        nightly = crawl.kind == "reconcile" and crawl.asked_by == "schedule" and not crawl.deep
        following = "ids" if nightly else "finish"
        ctx.write(lambda c: checkpoint.set_phase(c, crawl, following))
        return True
    return False
