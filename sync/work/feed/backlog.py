"""History older than the bookmark: walked in slices of entry ids, side by side.

The first page of the chain tells how many entries there are. To plan a slice, the first entry from
a date on is requested. The slice is then a plain sinceId chain from that entry to the next slice's
first entry, so the API need not combine startDate with sinceId. These entries cause no re-reads:
the rows contain their changes already.
"""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import replace

import sqlalchemy as sa

from sync import failpoints
from sync.crawl import WHOLE
from sync.crm import Priority
from sync.declare import Resource
from sync.declare.moments import local_text
from sync.errors import TryLater
from sync.state import coverage, crawls, doubts, feeds, windows
from sync.state.crawls import Crawl
from sync.state.windows import Window
from sync.work.context import Context
from sync.work.feed.bookmark import set_bookmark
from sync.work.feed.history import LIMIT, Entries, ask_chain, entries_of
from sync.work.prefetch import IN_FLIGHT, Prefetcher
from sync.work.spans import pages_in
from sync.work.writing import write_rows

PRIORITY = Priority.RECONCILE
"""Behind the lists: people wait for their newest records; old entries change nothing."""
ENTRIES_PER_SLICE = 5_000
LEAST_ENTRIES = 1_000
MOST_SLICES = 2 * IN_FLIGHT
"""Twice the slices that are walked side by side, since some have more entries than others."""


def crawl_older(ctx: Context, crawl: Crawl) -> bool:
    """Walk the history up to the bookmark; False when the slice ended before."""
    history = ctx.resources[crawl.resource]
    if crawl.kind == "reconcile" and not crawl.deep and _has_met(ctx, history):
        # Entries never change and the chain has no gap: there is nothing to count.
        for attempt in ctx.attempts():
            with attempt as connection:
                crawls.end_crawl(connection, crawl)
        return True
    if crawl.phase == "plan":
        _plan(ctx, crawl, history)
    if crawl.phase == "walk" and not _walk(ctx, crawl, history):
        return False
    if crawl.phase == "prove":
        _meet(ctx, crawl, history)
    return crawl.phase == "done"


def _has_met(ctx: Context, history: Resource) -> bool:
    with ctx.reading() as connection:
        known = coverage.standing(connection, ctx.store.id, history.name)
    return known.proven_as_of is not None


def _plan(ctx: Context, crawl: Crawl, history: Resource) -> None:
    feed = set_bookmark(ctx, history)
    # When a followed chain is read again, the walk includes all that was followed.
    bookmark = max(feed.bookmark, feed.head_id)
    first = ask_chain(ctx, history, after_id=0, priority=PRIORITY) if bookmark else None
    read_to = min(first.last_id, bookmark) if first is not None and first.entries else 0
    starts = _slice_starts(ctx, history, first) if first is not None else []
    edges = sorted({each - 1 for each in starts if read_to < each - 1 < bookmark})
    edges = [read_to, *edges, bookmark] if read_to < bookmark else []
    for attempt in ctx.attempts():
        with attempt as connection:
            if first is not None:
                _write(ctx, connection, crawl, history, first, until=bookmark)
            windows.add_id_windows(connection, crawl, list(itertools.pairwise(edges)))
            # Each slice but the last ends in a page that is not full.
            total = first.total if first is not None else 0
            pages = pages_in(total, LIMIT) + max(0, len(edges) - 2)
            crawls.count_pages(connection, crawl, planned=pages)
            crawls.set_phase(connection, crawl, "walk")
    failpoints.point("planned")


def slices_of(total: int) -> int:
    """Return the number of slices for a history of `total` entries.

    Chains side by side use up the budget; a single one is as slow as its round trips. Each costs a
    request to find its start, and the rest of its last page.
    """
    side_by_side = min(IN_FLIGHT, total // LEAST_ENTRIES)
    return max(1, min(MOST_SLICES, max(side_by_side, total // ENTRIES_PER_SLICE)))


def _slice_starts(ctx: Context, history: Resource, first: Entries) -> list[int]:
    """Return the first entry ids of the slices after the first entries, in any order.

    A start that cannot be had is left out: its slice is a part of the one before.
    """
    begin = _created_at(first)
    parts = slices_of(first.total)
    if begin is None or parts <= 1:
        return []
    step = (ctx.draw() - begin) / parts

    def ask(moment: dt.datetime) -> Entries:
        params = {"filter": {"startDate": local_text(moment, ctx.zone)}, "limit": 20}
        return entries_of(
            ctx, history, ctx.api.first(history, params, priority=PRIORITY), after_id=0
        )

    starts: list[int] = []
    with Prefetcher(ask) as ahead:
        for part in range(1, parts):
            ahead.push(begin + step * part)
        for _, result, _ in ahead.results():
            if isinstance(result, TryLater):
                continue
            if isinstance(result, Exception):
                raise result
            starts += result.ids[:1]
    return starts


def _created_at(entries: Entries) -> dt.datetime | None:
    for row in entries.batch.rows:
        created: dt.datetime | None = row.values.get("created_at")
        if created is not None:
            return created
    return None


def _walk(ctx: Context, crawl: Crawl, history: Resource) -> bool:
    """Walk the slices side by side; each is a chain with one request at a time."""
    with ctx.reading() as connection:
        opened = windows.of_crawl(connection, crawl.id, states=("open",))
    ended: set[int] = set()
    """Slices whose last answer said that nothing follows, although entries should."""

    def ask(window: Window) -> Entries:
        after = window.last_id if window.last_id is not None else window.after_id or 0
        return ask_chain(ctx, history, after_id=after, priority=PRIORITY)

    with Prefetcher(ask) as ahead:
        for window in opened:
            ahead.push(window)
        for window, result, _ in ahead.results():
            if isinstance(result, Exception):
                raise result
            _commit(ctx, crawl, history, window, result, is_sure=window.id in ended)
            ended.discard(window.id)
            if result.is_end:
                ended.add(window.id)
            if window.state == "open":
                ahead.push_first(window)
            if ctx.is_over:
                return False
    for attempt in ctx.attempts():
        with attempt as connection:
            crawls.set_phase(connection, crawl, "prove")
    return True


def _commit(
    ctx: Context,
    crawl: Crawl,
    history: Resource,
    window: Window,
    entries: Entries,
    *,
    is_sure: bool,
) -> None:
    """Commit the entries of a slice, and the slice's state.

    Planning has shown that the chain reaches the slice's last entry. So an earlier end is believed
    only when the previous answer said the same (`is_sure`): a single empty answer may be wrong.
    """
    until = window.until_id or 0
    mine = [entry for entry in entries.ids if entry <= until]
    met = len(mine) < len(entries.ids) or (bool(mine) and mine[-1] == until)
    is_done = met or (entries.is_end and is_sure)
    window.state = "proven" if is_done else "open"
    if is_done or mine:
        window.last_id = until if is_done else mine[-1]

    for attempt in ctx.attempts():
        with attempt as connection:
            _write(ctx, connection, crawl, history, entries, until=until)
            windows.advance_ids(
                connection, window.id, last_id=window.last_id or 0, state=window.state
            )


def _write(
    ctx: Context,
    connection: sa.Connection,
    crawl: Crawl,
    history: Resource,
    entries: Entries,
    *,
    until: int,
) -> None:
    """Write the entries up to an id."""
    rows = [row for row in entries.batch.rows if isinstance(row.key, int) and row.key <= until]
    page = replace(entries.batch, rows=rows)
    write_rows(ctx, connection, history, [page], crawl=crawl)


def _meet(ctx: Context, crawl: Crawl, history: Resource) -> None:
    """Mark the history as proven: the walk has reached the bookmark, so the chain is whole."""
    as_of, began = ctx.draw(), crawl.started_at
    assert began is not None
    for attempt in ctx.attempts():
        with attempt as connection:
            coverage.mark_proven(connection, history, ctx.store.id, as_of=as_of)
            doubts.lift(
                connection,
                ctx.store.id,
                history.name,
                WHOLE,
                compared_from=began,
                lateness_seconds=feeds.lateness_seconds(connection, ctx.store.id),
            )
            crawls.queue_left(connection, crawl)
            crawls.end_crawl(connection, crawl)
