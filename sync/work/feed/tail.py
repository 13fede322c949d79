"""The second cursor of a feed: it passes an entry once it has been known for the lateness bound.

By then lagging lists show the change, so the entry's record is read once more, and ids published
after larger ones appear in the chain. The tail does not wait for such late entries: their records
are read at once, and a last time by `sync.reread`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, takewhile

from sync.crm import Priority
from sync.declare import Resource
from sync.state import feeds
from sync.state.feeds import Feed
from sync.work.context import Context
from sync.work.feed.history import (
    GAP_SECONDS,
    LIMIT,
    Entries,
    Stored,
    ask_chain,
    feed_of,
    require_progress,
    stored_after,
    told_of,
)
from sync.work.feed.reread import Read, read_again
from sync.work.feed.write_told import take_late, write_told


def follow_tail(ctx: Context) -> Feed:
    """Read the chain a second time, up to the entries that have been known for long enough.

    At least one page is read, even if the head has used up the slice. Returns the feed as it was
    before the last page.
    """
    while True:
        feed = feed_of(ctx, ctx.resource)
        if not _pass_page(ctx, ctx.resource, feed) or ctx.is_over:
            return feed


def passable(stored: Sequence[Stored], *, bound: float) -> list[Stored]:
    """Return the first entries that may be passed.

    Nothing before them can still be published, and their records have been, or will be, read late
    enough. Ids ascend with time, so an entry is at least as old as the longest-known entry after
    it. So the tail does not wait for a late entry, and passes no id that may still come.
    """
    ages = list(accumulate((each.known_seconds for each in reversed(stored)), max))[::-1]
    ready = takewhile(
        lambda pair: pair[1] >= bound and (pair[0].known_seconds >= bound or pair[0].is_owed),
        zip(stored, ages, strict=True),
    )
    return [each for each, _ in ready]


def _pass_page(ctx: Context, history: Resource, feed: Feed) -> bool:
    """Pass some entries; False when none may be passed."""
    if feed.tail_id >= feed.head_id or ctx.stop.is_set():
        return False
    bound = feed.bound_seconds
    stored = stored_after(
        ctx, history, feed.tail_id, until_id=feed.head_id, bound=bound, at_most=LIMIT
    )
    ready = passable(stored, bound=bound)
    if not ready:
        return False
    answer = _ask(ctx, history, feed.tail_id, ready)
    if not answer.is_end:  # unknown ids may have filled the page
        ready = [each for each in ready if each.entry.id <= answer.last_id]
    came = set(answer.ids)
    if any(e.entry.id not in came and e.known_seconds < bound + GAP_SECONDS for e in ready):
        return False  # the answer is incomplete: the next look asks again
    passed = [each.entry for each in ready]
    known = {each.entry.id for each in stored}
    until = feed.head_id if len(stored) < LIMIT else max(known)
    late = [e for e in answer.entries if e.id not in known and e.id <= until]
    target = ctx.target_of(history)
    told = told_of([*passed, *late])
    read = read_again(ctx, target, told) if told else Read()

    for attempt in ctx.attempts():
        with attempt as connection:
            write_told(ctx, connection, history, answer, late, read)
            if late:
                take_late(ctx, connection, history, answer, late, lacked_at=None)
            if passed:
                feeds.advance_tail(connection, ctx.store.id, history.name, tail_id=passed[-1].id)
    return bool(passed) or bool(late)


def _ask(ctx: Context, history: Resource, after_id: int, ready: list[Stored]) -> Entries:
    """Request the chain after the tail; a second time where known entries are missing."""
    wanted = {each.entry.id for each in ready}
    answer = ask_chain(ctx, history, after_id=after_id, priority=Priority.FEED)
    if answer.is_end and not wanted <= set(answer.ids):
        answer = ask_chain(ctx, history, after_id=after_id, priority=Priority.FEED)
    require_progress(history, answer)
    return answer
