"""The rows that a compared window did not show: requested by id before they become tombstones."""

from __future__ import annotations

from sync import failpoints
from sync.state import crawls, windows
from sync.state.crawls import Crawl
from sync.state.windows import Window
from sync.work.by_ids import IDS_PER_REQUEST
from sync.work.context import Context
from sync.work.feed.reread import ChangeHint, apply, read_again

SUSPECTS_AT_ONCE = 50 * IDS_PER_REQUEST


def ask_for_missing(ctx: Context, crawl: Crawl, window: Window) -> bool:
    """Request every live row that no page of a window showed; False when the slice ended before.

    Each request is one transaction; the next slice goes on after the last one.
    """
    resource = ctx.resources[crawl.resource]
    while True:
        with ctx.reading() as connection:
            suspects = windows.not_met(
                connection,
                resource,
                ctx.store.id,
                window,
                sites=ctx.store.sites,
                at_most=SUSPECTS_AT_ONCE,
            )
        if not suspects:
            for attempt in ctx.attempts():
                with attempt as connection:
                    windows.end_comparison(connection, window)
            return True
        for start in range(0, len(suspects), IDS_PER_REQUEST):
            _ask(ctx, crawl, window, suspects[start : start + IDS_PER_REQUEST])
            if ctx.is_over:
                return False


def _ask(ctx: Context, crawl: Crawl, window: Window, suspects: list[int]) -> None:
    resource = ctx.resources[crawl.resource]
    read = read_again(
        ctx, resource, {record: ChangeHint() for record in suspects}, priority=crawl.priority
    )
    for attempt in ctx.attempts():
        with attempt as connection:
            loaded = apply(ctx, connection, resource, read)
            windows.asked_for(connection, window, last_id=suspects[-1])
            crawls.count_pages(connection, crawl, requests=1)
            crawls.add_report(connection, crawl, {"ghosts": loaded.deleted})
    window.last_id = suspects[-1]
    failpoints.point("reconcile_repaired")
