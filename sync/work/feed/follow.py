"""Following a feed: write entries, read the records they name again, move the checkpoint.

Each page is one transaction. Three cursors follow the same chain. The *head* follows it to its end
at every interval, and proves that the known entries are still there. The *tail* (tail.py) reads
entries again when they have been known for the lateness bound. A third reading (late.py) looks for
entries that came later still.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import sqlalchemy as sa

from sync.crawl import seconds_to_turn
from sync.crm import Priority
from sync.database.engine import attempts
from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.errors import TryLater
from sync.state import doubts, feeds
from sync.work.context import Context
from sync.work.feed.bookmark import begin_anew, set_bookmark
from sync.work.feed.due import drain
from sync.work.feed.history import (
    GAP_SECONDS,
    Entries,
    Entry,
    ask_chain,
    broken_link,
    feed_of,
    find_feed,
    known_before,
    require_progress,
    surely_in_one_answer,
    told_of,
)
from sync.work.feed.late import read_backward, take_sample
from sync.work.feed.nudged import take_nudged
from sync.work.feed.reread import Read, read_again
from sync.work.feed.tail import follow_tail
from sync.work.feed.write_told import take_late, write_told
from sync.work.missing import require_access

OVERLAP = 30
"""The most known entries that each look requests again, to prove the chain. All of them are to come
in the first answer, in which they are compared."""
LOOKS = 3
"""The requests of a look before missing known entries are believed: replicas differ."""


def follow(ctx: Context) -> bool:
    """Do one turn of the feed lane: the head to its end, the tail as far as it may, due re-reads.

    Returns False when the slice was over before the head had reached the end.
    """
    set_bookmark(ctx, ctx.resource)
    if take_nudged(ctx):
        drain(ctx)
    looked_at = ctx.now()
    if not follow_head(ctx):
        return False
    follow_tail(ctx)
    drain(ctx)
    read_backward(ctx)
    take_sample(ctx)
    set_clear(ctx, looked_at=looked_at)
    return True


def until_next_look(ctx: Context, *, looked_seconds: float = 0.0) -> float:
    """Return the seconds until the next look at the feed of this lease; 0 when it is late.

    The look began `looked_seconds` ago. One with news takes most of a second; without this
    correction it would miss the next turn at an interval of one second.
    """
    feed = find_feed(ctx, ctx.resource)
    stretched = feed.every_seconds if feed is not None else None
    return seconds_to_turn(
        ctx.now(),
        began_seconds_ago=looked_seconds,
        every_seconds=max(stretched or 0.0, ctx.feed_seconds),
        offset=ctx.store.id,
    )


def follow_head(ctx: Context) -> bool:
    """Prove the chain and follow it to its end; False when the slice is over before."""
    history = ctx.resource
    head_id = feed_of(ctx, history).head_id
    overlap = min(OVERLAP, surely_in_one_answer(ctx, history))
    known = known_before(ctx, history, head_id, at_most=overlap)
    answer = _first_answer(ctx, history, known, head_id=head_id)
    while answer is not None:
        require_progress(history, answer)
        _take_head(ctx, history, answer, known, head_id=head_id)
        if answer.is_end:
            return True
        if ctx.is_over:
            return False
        answer = ask_chain(ctx, history, after_id=answer.last_id, priority=Priority.FEED)
    return False  # the next look starts from the new bookmark


def _first_answer(
    ctx: Context, history: Resource, known: list[Entry], *, head_id: int
) -> Entries | None:
    """Return the first answer of a look, in which the known entries are unchanged.

    Raises TryLater while they are not: a replica may lag. After some minutes of that, the history
    begins anew, and None is returned.
    """
    after = known[0].id - 1 if known else head_id
    problem: str | None = None
    for _ in range(LOOKS):
        answer = ask_chain(ctx, history, after_id=after, priority=Priority.FEED)
        problem = broken_link(known, answer, head_id=head_id, zone=ctx.zone)
        if problem is None:
            return answer
    assert problem is not None
    require_access(ctx, priority=Priority.FEED)
    for attempt in attempts(ctx.engine):  # no progress: the lane counts as failing
        with attempt as connection:
            seconds = feeds.break_chain(connection, ctx.store.id, history.name)
    if seconds < GAP_SECONDS or _is_begun_anew(ctx, history):
        raise TryLater(f"{history.name}: {problem}")
    begin_anew(ctx, history, problem)
    return None


def _is_begun_anew(ctx: Context, history: Resource) -> bool:
    """Tell whether the history was begun anew since known entries last came."""
    with ctx.reading() as connection:
        raised = [d.raised_at for d in doubts.open_doubts(connection, ctx.store.id, history.name)]
        since: dt.datetime | None = connection.execute(
            sa.text("SELECT broken_since FROM sync.feed WHERE store_id = :s AND resource = :h"),
            {"s": ctx.store.id, "h": history.name},
        ).scalar()
        return since is not None and any(at > since for at in raised)


def _take_head(
    ctx: Context, history: Resource, answer: Entries, known: Iterable[Entry], *, head_id: int
) -> None:
    """Read the records that new entries name, then write entries, records and checkpoint together.

    Unknown entries up to the head were published late.
    """
    known_ids = {entry.id for entry in known}
    fresh = [entry for entry in answer.entries if entry.id not in known_ids]
    late = [entry for entry in fresh if entry.id <= head_id]
    target = ctx.target_of(history)
    read = read_again(ctx, target, told_of(fresh)) if fresh else Read()

    for attempt in ctx.attempts():
        with attempt as connection:
            before = feeds.feed(connection, ctx.store.id, history.name)
            loaded = write_told(ctx, connection, history, answer, fresh, read)
            if late and before is not None:
                take_late(ctx, connection, history, answer, late, lacked_at=before.head_at)
            feeds.advance_head(
                connection,
                ctx.store.id,
                history.name,
                head_id=answer.last_id if answer.entries else 0,
                entries=loaded.inserted,
                ended_at=answer.as_of if answer.is_end else None,
                crm_at=answer.crm_at,
            )


def set_clear(ctx: Context, *, looked_at: dt.datetime) -> None:
    """Store the moment up to which the history is clear.

    `looked_at` is the moment before the look, by the clock itself: send moments (`as_of`) never go
    back, so after a clock was set back they lie ahead of it for a while.
    """
    history = ctx.resource
    feed = feed_of(ctx, history)
    if feed.head_at is None:
        return

    for attempt in ctx.attempts():
        with attempt as connection:
            unpassed: dt.datetime | None = None
            if feed.tail_id < feed.head_id:
                unpassed = connection.exec_driver_sql(
                    f"SELECT min(least(as_of, first_seen_at)) FROM {crm_name(history.name)}"
                    " WHERE store_id = %s AND id > %s AND id <= %s AND deleted_at IS NULL",
                    (ctx.store.id, feed.tail_id, feed.head_id),
                ).scalar()
            feeds.set_clear(
                connection, ctx.store.id, history.name, unpassed=unpassed, looked_at=looked_at
            )
