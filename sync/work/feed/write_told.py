"""The write of history entries: the entries, the records they name, and the consequences."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import sqlalchemy as sa

from sync.declare import Resource
from sync.records.loaded import Loaded
from sync.state import coverage, crawls, departures, feeds, rereads, windows
from sync.state.feeds import Feed
from sync.work.context import Context
from sync.work.feed.history import Entries, Entry, parts_told, write_entries
from sync.work.feed.reread import Read, apply
from sync.work.writing import queue_told


def write_told(
    ctx: Context,
    connection: sa.Connection,
    history: Resource,
    answer: Entries,
    fresh: Sequence[Entry],
    read: Read,
) -> Loaded:
    """Write new entries and the records they name; departures are stored before they are applied.

    The feed is held from the first statement on, so that a count comes wholly before or after this
    page. An answer without news is not written.
    """
    if not fresh and read.is_empty and not any(each.is_whole for each in answer.batch.rejects):
        return Loaded()
    target = ctx.target_of(history)
    feed = feeds.hold(connection, ctx.store.id, history.name, of=target.name)
    assert feed is not None, "a feed is followed from its bookmark"
    left = [each for each in fresh if each.is_departure and each.subject is not None]
    departures.note(
        connection,
        target,
        ctx.store.id,
        [(each.id, each.subject, each.at) for each in left if each.subject is not None],
    )
    if left:
        _open_windows(ctx, connection, target, answer, left, feed)
    wanted = {entry.id for entry in fresh}
    rows = [row for row in answer.batch.rows if row.key in wanted]
    loaded = write_entries(ctx, connection, history, answer, rows)
    apply(ctx, connection, target, read)
    if fresh:
        subjects = {entry.subject for entry in fresh if entry.subject is not None}
        queue_told(ctx, connection, target, sorted(subjects), parts_told(ctx, history, rows))
    gone = {e.subject for e in fresh if e.subject is not None and (e.is_deleted or e.combined_to)}
    _ask_contested(ctx, connection, target, gone & set(read.listed))
    return loaded


def _open_windows(
    ctx: Context,
    connection: sa.Connection,
    target: Resource,
    answer: Entries,
    left: Sequence[Entry],
    feed: Feed,
) -> None:
    """Withdraw a proof that did not know of a departure before it, and queue another one.

    A proof is sealed when the feed is clear past it, so such an entry is older than the lateness
    bound: half of it is sure to find it. Where the CRM tells no time, the order of the ids is.
    """
    bound = dt.timedelta(seconds=feed.bound_seconds)
    before = None if answer.crm_at is None else answer.crm_at - bound / 2
    late = [
        (entry.subject, entry.at)
        for entry in left
        if entry.subject is not None
        and (
            entry.id <= feed.head_id
            or entry.at is None
            or (before is not None and entry.at < before)
        )
    ]
    if late and windows.open_contradicted(connection, ctx.store.id, target.name, late):
        coverage.withdraw(connection, ctx.store.id, target.name)
        days = ctx.store.days_of(target)
        crawls.queue_proof(connection, ctx.store.id, target.name, days=days)


def _ask_contested(
    ctx: Context, connection: sa.Connection, target: Resource, listed: set[int]
) -> None:
    """Queue deleted records that a lagging list still shows, until the list no longer does."""
    rereads.ask_again(
        connection,
        ctx.store.id,
        target.name,
        listed,
        reason=rereads.CONTESTED,
        after_bound=True,
        early_seconds=rereads.CONTESTED_SECONDS,
    )


def take_late(
    ctx: Context,
    connection: sa.Connection,
    history: Resource,
    answer: Entries,
    late: Sequence[Entry],
    *,
    lacked_at: dt.datetime | None,
    lacked_seconds: float = 0.0,
) -> None:
    """Raise the lateness bound after late entries, and have their records read again.

    A late entry was published after larger ids. Its lateness is measured from the last reading that
    lacked it: at `lacked_at`, or `lacked_seconds` after its successor was first seen.
    """
    seen = feeds.next_seen(connection, history.name, ctx.store.id, [entry.id for entry in late])
    seconds = [
        max(lacked_seconds, (lacked_at - at).total_seconds() if lacked_at is not None else 0.0)
        for at in seen.values()
    ]
    feeds.learn_lateness(
        connection, ctx.store.id, history.name, seconds=max(seconds, default=0.0), late=len(late)
    )
    bound = feeds.lateness_seconds(connection, ctx.store.id)
    subjects = {entry.subject for entry in late} | {entry.combined_to for entry in late}
    rereads.ask_again(
        connection,
        ctx.store.id,
        history.target,
        [subject for subject in subjects if subject is not None],
        reason="told late",
        after_bound=True,
        since=answer.as_of - dt.timedelta(seconds=bound),
    )
