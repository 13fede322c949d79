"""Following a feed: write entries, read the records they name again, move the checkpoint.

Each page is one transaction. Three cursors follow the same chain. The *head* follows it to its end
at every interval, and proves that the known entries are still there. The *tail* (tail.py) reads
entries again when they have been known for the lateness bound. A third reading (late.py) looks for
entries that came later still.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import sqlalchemy as sa

from sync.crawl import seconds_to_turn
from sync.crm import Priority
from sync.database.engine import attempts
from sync.declare import Resource
from sync.errors import TryLater
from sync.state import doubts, feeds, nudges
from sync.state.feeds import Feed
from sync.work.context import Context
from sync.work.feed.bookmark import begin_anew, set_bookmark
from sync.work.feed.due import drain
from sync.work.feed.history import (
    GAP_SECONDS,
    Entries,
    Entry,
    ask_chain,
    broken_link,
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


@dataclass(frozen=True, slots=True)
class Look:
    """The begin of a look at a feed: the feed, and the known entries that are to come again."""

    feed: Feed
    known: list[Entry]
    is_nudged: bool


def begin_look(ctx: Context) -> Look | None:
    """Read what is known of the feed of this lease; None before its bookmark is set."""
    history = ctx.resource
    with ctx.reading() as connection:
        feed = feeds.feed(connection, ctx.store.id, history.name)
        if feed is None:
            return None
        ctx.fit(history).read(connection)
        overlap = min(OVERLAP, surely_in_one_answer(ctx, history))
        known = known_before(ctx, connection, history, feed.head_id, at_most=overlap)
        is_nudged = nudges.has_named(connection, ctx.store.id, history.target)
    return Look(feed, known, is_nudged)


def follow(ctx: Context) -> float:
    """Do one turn of the feed lane: the head to its end, the tail as far as it may, due re-reads.

    Returns the seconds until the next turn; 0 when the slice was over before the head had reached
    the end.
    """
    began = ctx.monotonic()
    look = begin_look(ctx)
    if look is None:
        set_bookmark(ctx, ctx.resource)
        look = begin_look(ctx)
        assert look is not None, "a feed is followed from its bookmark"
    if look.is_nudged and take_nudged(ctx):
        drain(ctx)
    if not follow_head(ctx, look):
        return 0.0
    feed = follow_tail(ctx)
    drain(ctx)
    read_backward(ctx, feed)
    take_sample(ctx, feed)
    for attempt in ctx.attempts():
        with attempt as connection:
            feeds.set_clear(connection, ctx.store.id, ctx.resource.name, looked_at=look.feed.now)
    return until_next_look(ctx, look, looked_seconds=ctx.monotonic() - began)


def until_next_look(ctx: Context, look: Look, *, looked_seconds: float) -> float:
    """Return the seconds until the next look at the feed of this lease; 0 when it is late.

    This look began `looked_seconds` ago. One with news takes most of a second; without this
    correction it would miss the next turn at an interval of one second.
    """
    return seconds_to_turn(
        look.feed.now + dt.timedelta(seconds=looked_seconds),
        began_seconds_ago=looked_seconds,
        every_seconds=max(look.feed.every_seconds or 0.0, ctx.feed_seconds),
        offset=ctx.store.id,
    )


def follow_head(ctx: Context, look: Look) -> bool:
    """Prove the chain and follow it to its end; False when the slice is over before."""
    history, head_id = ctx.resource, look.feed.head_id
    answer = _first_answer(ctx, history, look.known, head_id=head_id)
    while answer is not None:
        require_progress(history, answer)
        _take_head(ctx, history, answer, look)
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


def _take_head(ctx: Context, history: Resource, answer: Entries, look: Look) -> None:
    """Read the records that new entries name, then write entries, records and checkpoint together.

    Unknown entries up to the head were published late.
    """
    known_ids = {entry.id for entry in look.known}
    fresh = [entry for entry in answer.entries if entry.id not in known_ids]
    late = [entry for entry in fresh if entry.id <= look.feed.head_id]
    read = read_again(ctx, ctx.target_of(history), told_of(fresh)) if fresh else Read()

    for attempt in ctx.attempts():
        with attempt as connection:
            loaded = write_told(ctx, connection, history, answer, fresh, read)
            if late:
                before = feeds.feed(connection, ctx.store.id, history.name)
                lacked_at = None if before is None else before.head_at
                take_late(ctx, connection, history, answer, late, lacked_at=lacked_at)
            feeds.advance_head(
                connection,
                ctx.store.id,
                history.name,
                head_id=answer.last_id if answer.entries else 0,
                entries=loaded.inserted,
                ended_at=answer.as_of if answer.is_end else None,
                crm_at=answer.crm_at,
            )
