"""History older than the bookmark: walked in slices of entry ids, side by side.

To plan a slice, the first entry from a date on is requested. The slice is then a plain sinceId
chain from that entry to the next slice's first entry, so the API need not combine startDate with
sinceId. These entries cause no re-reads: the rows contain their changes already.
"""

from __future__ import annotations

import datetime as dt
import itertools

from sync import failpoints
from sync.crawl import WHOLE
from sync.crm import Priority
from sync.declare import Resource
from sync.declare.moments import local_text
from sync.records.observed import Origin
from sync.state import coverage, crawls, doubts, feeds, windows
from sync.state.crawls import Crawl
from sync.state.windows import Window
from sync.work.context import Context
from sync.work.feed.bookmark import set_bookmark
from sync.work.feed.history import Entries, ask_chain, entries_of
from sync.work.prefetch import IN_FLIGHT, Prefetcher
from sync.work.writing import write_rows

ENTRIES_PER_SLICE = 5_000
MOST_SLICES = 60


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
        return coverage.proven_as_of(connection, ctx.store.id, history.name) is not None


def _plan(ctx: Context, crawl: Crawl, history: Resource) -> None:
    with ctx.reading() as connection:
        feed = feeds.feed(connection, ctx.store.id, history.name)
    if feed is None:
        feed = set_bookmark(ctx, history)
    # When a followed chain is read again, the walk includes all that was followed.
    bookmark = max(feed.bookmark, feed.head_id)
    starts = _slice_starts(ctx, history, bookmark)
    edges = sorted({start - 1 for start in starts if start - 1 < bookmark} | {bookmark})
    for attempt in ctx.attempts():
        with attempt as connection:
            windows.add_id_windows(connection, crawl, list(itertools.pairwise(edges)))
            crawls.set_phase(connection, crawl, "walk")
    failpoints.point("planned")


def _slice_starts(ctx: Context, history: Resource, bookmark: int) -> list[int]:
    """Return the first entry ids of the slices, ascending; [] when none is before the bookmark."""
    if bookmark == 0:
        return []
    reply = ctx.api.first(history, {"limit": 20}, priority=Priority.WALK)
    first = entries_of(ctx, history, reply, after_id=0)
    if not first.ids:
        return []
    total = reply.pagination.total
    starts = [first.ids[0]]
    begin = _created_at(ctx, first)
    # Chains side by side use up the budget; a single one is as slow as its round trips.
    parts = min(MOST_SLICES, max(total // ENTRIES_PER_SLICE, min(IN_FLIGHT, total // 500), 1))
    if begin is None or parts == 1:
        return starts
    step = (ctx.draw() - begin) / parts

    def ask(moment: dt.datetime) -> Entries:
        params = {"filter": {"startDate": local_text(moment, ctx.zone)}, "limit": 20}
        return entries_of(
            ctx, history, ctx.api.first(history, params, priority=Priority.WALK), after_id=0
        )

    with Prefetcher(ask) as ahead:
        for part in range(1, parts):
            ahead.push(begin + step * part)
        for _, result, _ in ahead.results():
            if isinstance(result, Exception):
                raise result
            starts += result.ids[:1]
    return sorted(set(starts))


def _created_at(ctx: Context, entries: Entries) -> dt.datetime | None:
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
        return ask_chain(ctx, history, after_id=after, priority=Priority.WALK)

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
    entries.batch.rows = [
        row for row in entries.batch.rows if isinstance(row.key, int) and row.key <= until
    ]
    mine = [entry for entry in entries.ids if entry <= until]
    met = len(mine) < len(entries.ids) or (bool(mine) and mine[-1] == until)
    is_done = met or (entries.is_end and is_sure)
    window.state = "proven" if is_done else "open"
    if is_done or mine:
        window.last_id = until if is_done else mine[-1]

    for attempt in ctx.attempts():
        with attempt as connection:
            page = (entries.batch, entries.as_of)
            write_rows(ctx, connection, history, [page], origin=Origin.SHOWN, crawl=crawl)
            windows.advance_ids(
                connection, window.id, last_id=window.last_id or 0, state=window.state
            )


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
