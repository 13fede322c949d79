"""Crawls of a list that has a feed: first load, backfill, reconcile.

wait   a first load begins when those lists were read whose records name its records
plan   choose windows of days: those to walk, and those only to count
walk   read their pages; in compared windows, request the rows that no page showed
prove  count the windows, cut those that differ, or walk them again
seal   wait until the feed is clear past the counts
"""

from __future__ import annotations

import sqlalchemy as sa

from sync import failpoints
from sync.crawl import Days, partition
from sync.declare import DateWindows
from sync.state import coverage, crawls, doubts, windows
from sync.state.crawls import Crawl
from sync.work.context import Context
from sync.work.feed.bookmark import set_bookmark
from sync.work.windows.audit import days_to_compare, note_turn
from sync.work.windows.plan import is_cuttable, is_filter_ignored
from sync.work.windows.prove import prove_windows
from sync.work.windows.rewalk import ask_for_missing
from sync.work.windows.walk import walk
from sync.work.writing import doubt_named

WAIT_SECONDS = failpoints.scaled(5)
FAILING_SECONDS = failpoints.scaled(60)
"""The time a list may fail before a first load no longer waits for it."""
ALL = ("planned", "open", "walked", "counted", "proven")


def crawl_list(ctx: Context, crawl: Crawl) -> bool:
    """Carry a crawl on from its phase; False when it waits, or the slice ended before its end."""
    if crawl.phase == "plan" and crawl.kind == "load" and _waits(ctx, crawl):
        return False
    if crawl.phase == "plan":
        _plan(ctx, crawl)
    while _walk(ctx, crawl):
        if prove_windows(ctx, crawl):
            return True
        with ctx.reading() as connection:
            left = windows.of_crawl(connection, crawl.id, states=("planned",))
        if ctx.is_over or not left:
            return False
    return False


def _waits(ctx: Context, crawl: Crawl) -> bool:
    """Postpone a first load until the lists are read whose records its own change with.

    An order that is deleted before the orders are read is never known, so nothing says whose sums
    have changed: customers that are read later show it. A list that keeps failing does not hold
    the others back.
    """
    naming = [
        each.name
        for each in ctx.resources.values()
        if each.is_followed and any(also.resource == crawl.resource for also in each.rereads)
    ]
    if not naming:
        return False
    for attempt in ctx.attempts():
        with attempt as connection:
            left = crawls.loads_to_read(
                connection, ctx.store.id, naming, failing_seconds=FAILING_SECONDS
            )
            if left:
                crawls.wait(connection, crawl, seconds=WAIT_SECONDS)
    return bool(left)


def _plan(ctx: Context, crawl: Crawl) -> None:
    """Set the bookmark, then plan the windows.

    The bookmark comes first: later changes are in the feed, earlier ones in the walk. A list to be
    read is one window at first, apart from days in doubt; its first page tells how long it is, and
    cuts it where it is too long (walk.py). A reconcile starts with windows marked as walked, and
    counts them.
    """
    resource = ctx.resources[crawl.resource]
    set_bookmark(ctx, ctx.history_of(resource))
    cuttable = is_cuttable(ctx, resource)
    if isinstance(resource.listing, DateWindows) and not cuttable:
        cuttable = not is_filter_ignored(
            ctx, resource, priority=crawl.priority
        )  # it may work by now
    is_counted = crawl.kind == "reconcile" and not crawl.deep
    deep, turn = days_to_compare(ctx, crawl, cuttable=cuttable)
    runs = partition(crawl.days, deep)
    if not is_counted:
        newest_first = runs[::-1]
        runs = [(days, crawl.deep or is_deep) for days, is_deep in newest_first]

    for attempt in ctx.attempts():
        with attempt as connection:
            for window in windows.of_crawl(connection, crawl.id, states=ALL):
                windows.remove_window(connection, window.id)
            for days, is_deep in runs:
                state = "walked" if is_counted and not is_deep else "planned"
                windows.add_windows(
                    connection,
                    crawl,
                    [days],
                    state=state,
                    deep=is_deep,
                    page_size=resource.page_size,
                )
            doubts.divide(connection, ctx.store.id, resource.name, [days for days, _ in runs])
            note_turn(connection, crawl, turn)
            if crawl.kind == "load":
                coverage.expect_unknown(connection, ctx.store.id, resource.name)
            crawls.set_phase(connection, crawl, "walk")
    failpoints.point("planned")


def _walk(ctx: Context, crawl: Crawl) -> bool:
    """Read the remaining pages of the windows; compared windows are read one at a time."""
    while True:
        with ctx.reading() as connection:
            left = windows.of_crawl(connection, crawl.id, states=("planned", "open"))
        if not left:
            if crawl.phase == "walk":
                for attempt in ctx.attempts():
                    with attempt as connection:
                        if crawl.kind == "load":
                            _doubt_named(ctx, connection, crawl)
                        crawls.set_phase(connection, crawl, "prove")
            return True
        window = left[0]
        turn = [each for each in left if not each.deep] or [window]
        if turn == [window] and window.is_read:
            if not ask_for_missing(ctx, crawl, window):
                return False
        else:
            done = walk(ctx, crawl, turn)
            if done.filter_ignored:
                _take_whole(ctx, crawl)
            elif not done.is_complete:
                return False
        if ctx.is_over:
            return False


def _doubt_named(ctx: Context, connection: sa.Connection, crawl: Crawl) -> None:
    """Raise a doubt on the records that those of a first load name, where they were read before.

    That happens when this list failed for long, or came to be mirrored later. A list that was
    loaded once has been followed since, and its history has named them.
    """
    resource = ctx.resources[crawl.resource]
    if crawls.was_loaded(connection, ctx.store.id, resource.name):
        return
    names = [also.resource for also in resource.rereads]
    begun = crawls.are_begun(connection, ctx.store.id, names)
    detail = f"they were read before {resource.name}"
    doubt_named(ctx, connection, resource, detail, among=begun)


def _take_whole(ctx: Context, crawl: Crawl) -> None:
    """Replace all windows by one of the whole list: the API ignores the creation day filter."""
    for attempt in ctx.attempts():
        with attempt as connection:
            known = windows.of_crawl(connection, crawl.id, states=ALL)
            for window in known:
                windows.remove_window(connection, window.id)
            is_deep = any(window.deep for window in known)
            size = ctx.resources[crawl.resource].page_size
            windows.add_windows(connection, crawl, [Days()], deep=is_deep, page_size=size)
