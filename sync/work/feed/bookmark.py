"""The start of a feed, and its new start when the chain is broken."""

from __future__ import annotations

import datetime as dt
import math

import sqlalchemy as sa

from sync import failpoints
from sync.crm import Priority
from sync.database.identifiers import crm_name
from sync.declare import Resource, SinceId
from sync.declare.moments import local_text
from sync.rows.tombstones import Tombstone
from sync.state import crawls, diagnostics, doubts, feeds
from sync.state.feeds import Feed
from sync.work.context import Context
from sync.work.feed.history import (
    Entries,
    ask_chain,
    entries_of,
    feed_of,
    require_progress,
    write_entries,
)
from sync.work.writing import write_tombstones

RECENT_MINUTES = 15
FURTHER = 4
"""The factor by which each request looks further back than the one before."""
MOST_MINUTES = 60 * 24 * 366 * 30


def set_bookmark(ctx: Context, history: Resource) -> Feed:
    """Find the start of a feed, before any walk, and store it.

    The start is the newest entry older than some minutes. Later entries are followed: they include
    changes that lists do not show yet, and ids published after larger ones.
    """
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
    differ. After a burst (an
    import, say) the first answer may hold older entries only; then further ones are read while the
    slice lasts.
    """
    now = ctx.draw()
    with ctx.reading() as connection:
        bound = feeds.lateness_seconds(connection, ctx.store.id)
    recent_minutes = max(RECENT_MINUTES, math.ceil(bound / 60))
    minutes = recent_minutes + 1
    while True:
        since = local_text(now - dt.timedelta(minutes=minutes), ctx.zone)
        params = {"filter": {"startDate": since}, "limit": 100}
        reply = ctx.api.first(history, params, priority=Priority.FEED)
        answer = entries_of(ctx, history, reply, after_id=0)
        recent = (answer.crm_at or now) - dt.timedelta(minutes=recent_minutes)
        older = _older(answer, recent)
        if older or minutes > MOST_MINUTES:
            break
        minutes *= FURTHER
    while older and len(older) == len(answer.entries) and not (answer.is_end or ctx.is_over):
        further = ask_chain(ctx, history, after_id=answer.last_id, priority=Priority.FEED)
        require_progress(history, further)
        if not (found := _older(further, recent)):
            break
        older, answer = found, further
    return max(older, default=0), answer


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
    assert isinstance(history.listing, SinceId)
    told = ctx.resources[history.listing.target]
    names = {told.name, *(also.resource for also in told.rereads), *(n for n, _ in told.combined)}
    followed = [
        ctx.resources[name]
        for name in sorted(names)
        if name in ctx.resources and ctx.resources[name].is_followed
    ]
    for resource in (history, *followed):
        doubts.raise_doubt(
            connection,
            ctx.store.id,
            resource.name,
            kind=kind,
            detail=f"{history.name}: {problem}",
            since=since,
        )
        days = (ctx.store.since if resource.created_field else None, None)
        crawls.queue_deep(connection, ctx.store.id, resource.name, days=days)
