"""The start of a feed, and its new start when the chain is broken."""

from __future__ import annotations

import datetime as dt
import math

import sqlalchemy as sa

from sync import failpoints
from sync.crm import Priority
from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.declare.moments import local_text
from sync.errors import TryLater
from sync.rows.tombstones import Tombstone
from sync.state import diagnostics, doubts, feeds
from sync.state.feeds import Feed
from sync.work.context import Context
from sync.work.feed.history import (
    Entries,
    ask_chain,
    ask_entries,
    feed_of,
    find_feed,
    require_progress,
    write_entries,
)
from sync.work.feed.lease import AtRest, with_feed
from sync.work.writing import doubt_all, write_tombstones

RECENT_MINUTES = 15
FURTHER = 16
"""The factor by which each request looks further back than the one before."""
HALVINGS, FEW_PAGES = 8, 3
"""The most times that the way is halved, and the pages that are read on rather than that."""
MOST_MINUTES = 60 * 24 * 366 * 30
WAIT_SECONDS = 60.0
"""The longest wait for another lane that is looking for the same bookmark."""


def set_bookmark(ctx: Context, history: Resource) -> Feed:
    """Find the start of a feed, before any walk, and store it; return the feed that has one.

    The start is the newest entry older than some minutes. Later entries are followed: they include
    changes that lists do not show yet, and ids published after larger ones.

    Three lanes begin with it: that of the feed, that of older history, that of the list. Whoever
    holds the feed's lease looks for it, and the others wait.
    """
    if ctx.lease.resource == history.name and ctx.lease.lane == "feed":
        return find_feed(ctx, history) or _set(ctx, history)

    def begin(theirs: Context) -> float:
        set_bookmark(theirs, history)
        return 0.0

    until = ctx.monotonic() + WAIT_SECONDS
    while (feed := find_feed(ctx, history)) is None:
        try:
            if with_feed(ctx, history, begin, again_seconds=1.0):
                continue
        except AtRest:
            return _set(ctx, history)
        if ctx.monotonic() > until or ctx.stop.wait(0.2):
            raise TryLater(f"the bookmark of {history.name} is still being looked for")
    return feed


def _set(ctx: Context, history: Resource) -> Feed:
    bookmark, answer = find_bookmark(ctx, history)

    for attempt in ctx.attempts():
        with attempt as connection:
            feeds.set_bookmark(connection, ctx.store.id, history.name, bookmark)
            _store(ctx, connection, history, bookmark, answer)
    failpoints.point("bookmarked")
    return feed_of(ctx, history)


def find_bookmark(ctx: Context, history: Resource) -> tuple[int, Entries]:
    """Return the id of the newest entry older than some minutes (0 for none), and its answer.

    The minutes are fifteen, or the lateness bound where that is longer: what lists may not show yet
    has to be told once more. The age is by the CRM's own clock where it gives one, because clocks
    differ. Each look goes further back, until it shows something; where it shows more than a page,
    the next ones go half of the way forth again. After a burst (an import, say) no look may show
    the newest of them; then further ones are read while the slice lasts.
    """
    now = ctx.draw()
    with ctx.reading() as connection:
        bound = feeds.lateness_seconds(connection, ctx.store.id)
    recent_minutes = max(RECENT_MINUTES, math.ceil(bound / 60))

    def look(minutes: int) -> tuple[list[int], Entries]:
        since = local_text(now - dt.timedelta(minutes=minutes), ctx.zone)
        found = ask_entries(ctx, history, {"startDate": since}, priority=Priority.FEED)
        recent = (found.crm_at or now) - dt.timedelta(minutes=recent_minutes)
        return _older(found, recent), found

    nearer, minutes = recent_minutes, recent_minutes + 1
    older, answer = look(minutes)
    while not older and minutes <= MOST_MINUTES:
        nearer, minutes = minutes, minutes * FURTHER
        older, answer = look(minutes)
    for _ in range(HALVINGS):
        few = answer.total <= FEW_PAGES * 100
        if few or not _goes_on(older, answer) or minutes - nearer <= 1 or ctx.is_over:
            break
        middle = (nearer + minutes) // 2
        found, found_answer = look(middle)
        if not found:
            nearer = middle
            continue
        minutes, older, answer = middle, found, found_answer
    while _goes_on(older, answer) and not ctx.is_over:
        further = ask_chain(ctx, history, after_id=answer.last_id, priority=Priority.FEED)
        require_progress(history, further)
        recent = (answer.crm_at or now) - dt.timedelta(minutes=recent_minutes)
        if not (newer := _older(further, recent)):
            break
        older, answer = newer, further
    return max(older, default=0), answer


def _goes_on(older: list[int], answer: Entries) -> bool:
    """Tell whether an answer of older entries alone is followed by others, maybe older ones too."""
    return bool(older) and len(older) == len(answer.entries) and not answer.is_end


def _older(answer: Entries, recent: dt.datetime) -> list[int]:
    return [entry.id for entry in answer.entries if entry.at is not None and entry.at < recent]


def _store(
    ctx: Context, connection: sa.Connection, history: Resource, bookmark: int, answer: Entries
) -> None:
    """Store the entries up to the bookmark: each look at the chain asks for them again."""
    rows = [row for row in answer.batch.rows if isinstance(row.key, int) and row.key <= bookmark]
    write_entries(ctx, connection, history, answer, rows)


def begin_anew(ctx: Context, history: Resource, problem: str) -> Feed:
    """Follow a broken chain from a new bookmark, and raise a doubt on all it may have reported.

    Doubt and bookmark are one transaction. Stored entries after the bookmark become tombstones: a
    restored account has lost them. Those that still exist come again.
    """
    before = feed_of(ctx, history)
    bookmark, answer = find_bookmark(ctx, history)
    kind: doubts.Kind = "restart" if bookmark < before.head_id else "gap"

    for attempt in ctx.attempts():
        with attempt as connection:
            feeds.restart(connection, ctx.store.id, history.name, bookmark=bookmark)
            beyond = connection.exec_driver_sql(
                f"SELECT id FROM {crm_name(history.name)} WHERE store_id = %s AND id > %s"
                " AND deleted_at IS NULL",
                (ctx.store.id, bookmark),
            ).scalars()
            tombstones = [Tombstone(entry, answer.as_of, "absent") for entry in beyond]
            write_tombstones(ctx, connection, history, tombstones)
            _store(ctx, connection, history, bookmark, answer)
            diagnostics.note_drift(
                connection, ctx.store.id, history.name, kind="gap", detail=problem
            )
            _doubt(ctx, connection, history, kind, problem, since=before.clear_at)
    return feed_of(ctx, history)


def _doubt(
    ctx: Context,
    connection: sa.Connection,
    history: Resource,
    kind: doubts.Kind,
    problem: str,
    *,
    since: dt.datetime | None,
) -> None:
    """Raise a doubt on the history and on all resources it tells of, and queue their comparison."""
    told = ctx.target_of(history)
    names = {told.name, *(also.resource for also in told.rereads), *(n for n, _ in told.combined)}
    followed = [
        ctx.resources[name]
        for name in sorted(names)
        if name in ctx.resources and ctx.resources[name].is_followed
    ]
    for resource in (history, *followed):
        detail = f"{history.name}: {problem}"
        doubt_all(ctx, connection, resource, kind=kind, detail=detail, since=since)
