"""Where a feed begins, and whether it still stands in its history after a long pause."""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa

from sync import faults
from sync.crm import WorkClass
from sync.declare import Chain, Resource
from sync.declare.moments import local_text
from sync.mirror import doubts, feeds, notes, stores
from sync.mirror.feeds import Feed
from sync.pipeline.chain import Entries, ask_chain, entries_of, feed_of
from sync.pipeline.context import Context

GAP_CHECK_SECONDS = 3_600
RECENT_MINUTES = 15
TAIL_MARGIN = 100


def set_bookmark(ctx: Context, history: Resource) -> Feed:
    """Find the newest history id, before anything is walked, and start the feed there.

    startDate goes back by doubling until something is there, then the chain is followed to its
    end, or to the slice's: an older bookmark is as good, what comes after it is followed like all
    else. Where there is no history the bookmark is 0.
    """
    newest, recent = find_newest(ctx, history)
    ctx.write(lambda c: feeds.set_bookmark(c, ctx.store.id, history.name, newest, tail_id=recent))
    faults.point("bookmarked")
    return feed_of(ctx, history)


def find_newest(ctx: Context, history: Resource) -> tuple[int, int]:
    """The newest id of a history, and the id the tail begins at: minutes before it; 0 for none.

    The walk is about to read lists that may lag behind the history, so that even a change whose
    entry the bookmark leaves behind may not be in them yet; and an id below the bookmark may be
    published after it. Both are read by the tail. A hundred ids more, because the smallest id that
    shows need not be the smallest that was given out.
    """
    now = ctx.draw()
    minutes = RECENT_MINUTES
    while minutes < 60 * 24 * 366 * 30:
        since = local_text(now - dt.timedelta(minutes=minutes), ctx.zone)
        reply = ctx.api.first(
            history, {"filter": {"startDate": since}, "limit": 100}, work=WorkClass.FEED
        )
        entries = entries_of(ctx, history, reply, after_id=0)
        if entries.ids:
            return _end_of(ctx, history, entries, now=now)
        minutes *= 4
    # Nothing by date: a chain from the beginning is the last word.
    entries = ask_chain(ctx, history, after_id=0, work=WorkClass.FEED)
    return _end_of(ctx, history, entries, now=now)


def _end_of(
    ctx: Context, history: Resource, entries: Entries, *, now: dt.datetime
) -> tuple[int, int]:
    """Follow a chain to its end, or as far as the slice allows: the last id seen, and where the
    last minutes before `now` begin."""
    recent = now - dt.timedelta(minutes=RECENT_MINUTES)
    newest, begin = 0, 0
    while True:
        for row in entries.batch.rows:
            created = row.values.get("created_at")
            if not begin and created is not None and created >= recent:
                begin = int(row.key)
        newest = entries.last_id if entries.ids else newest
        if entries.is_end or ctx.is_over:
            return newest, max(0, (begin or newest + 1) - 1 - TAIL_MARGIN)
        entries = ask_chain(ctx, history, after_id=newest, work=WorkClass.FEED)


def check_gap(ctx: Context, history: Resource, feed: Feed) -> None:
    """After a long pause: is the last entry followed still in the history?

    When it is not, entries between may be gone as well, and only a reconcile can tell what they
    said. Coverage does not go past the doubt until it has.
    """
    assert isinstance(history.listing, Chain)
    assert feed.head_at is not None
    pause = (ctx.draw() - feed.head_at).total_seconds()
    if pause < GAP_CHECK_SECONDS or feed.head_id == 0:
        return
    entries = ask_chain(ctx, history, after_id=feed.head_id - 1, work=WorkClass.FEED, limit=20)
    if feed.head_id in entries.ids:
        return
    target = history.listing.target
    since = ctx.store.since if ctx.resources[target].created_field else None

    def write(connection: sa.Connection) -> None:
        doubts.raise_doubt(
            connection,
            ctx.store.id,
            target,
            kind="gap",
            detail=f"entry {feed.head_id} is no longer in {history.name}",
        )
        notes.note_drift(
            connection,
            ctx.store.id,
            history.name,
            kind="gap",
            detail=f"entry {feed.head_id} is no longer in the history after {pause:.0f} s",
        )
        stores.queue_crawl(
            connection, ctx.store.id, target, kind="reconcile", days=(since, None), deep=True
        )

    ctx.write(write)
