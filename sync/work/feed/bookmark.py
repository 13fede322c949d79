"""Where a feed begins, and where it begins anew when its chain is broken."""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa

from sync import failpoints
from sync.crm import Priority
from sync.database.identifiers import crm_name
from sync.declare import Resource, SinceId
from sync.declare.moments import local_text
from sync.rows.tombstones import Tombstone
from sync.state import diagnostics, doubts, feeds, stores
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
"""By how much further back each request looks than the one before it."""
MOST_MINUTES = 60 * 24 * 366 * 30


def set_bookmark(ctx: Context, history: Resource) -> Feed:
    """Find where the feed begins, before anything is walked, and start it there.

    That is the newest entry older than some minutes: what comes after it is followed like all else.
    So what the lists do not show yet, and ids that are published after larger ones, are read too.
    """
    bookmark, answer = find_bookmark(ctx, history)

    for attempt in ctx.attempts():
        with attempt as connection:
            feeds.set_bookmark(connection, ctx.store.id, history.name, bookmark)
            _store(ctx, connection, history, bookmark, answer)
    failpoints.point("bookmarked")
    return feed_of(ctx, history)


def find_bookmark(ctx: Context, history: Resource) -> tuple[int, Entries]:
    """The id of the newest entry older than some minutes, 0 for none, and the answer it is in.

    By the CRM's own clock where it tells one: clocks differ. A burst, an import say, fills more
    than the first answer with older ones: it is read to its end, or as far as the slice goes.
    """
    now = ctx.draw()
    minutes = RECENT_MINUTES + 1
    while True:
        since = local_text(now - dt.timedelta(minutes=minutes), ctx.zone)
        params = {"filter": {"startDate": since}, "limit": 100}
        reply = ctx.api.first(history, params, priority=Priority.FEED)
        answer = entries_of(ctx, history, reply, after_id=0)
        recent = (answer.crm_at or now) - dt.timedelta(minutes=RECENT_MINUTES)
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
    """Keep the entries up to the bookmark: those that each look at the chain asks for again."""
    rows = [row for row in answer.batch.rows if isinstance(row.key, int) and row.key <= bookmark]
    write_entries(ctx, connection, history, answer, rows)


def begin_anew(ctx: Context, history: Resource, problem: str) -> Feed:
    """Follow a broken chain from a new bookmark; what it may have told is in doubt until compared.

    Doubt and bookmark are one transaction. Entries beyond the bookmark, which were of a past that
    is no more when an account was restored, become tombstones; what is real comes again.
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
            graves = [Tombstone(entry, answer.as_of, "absent") for entry in beyond]
            write_tombstones(ctx, connection, history, graves)
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
    """Doubt all that a history tells of, itself too, and queue what compares it."""
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
        stores.queue_deep(connection, ctx.store.id, resource.name, days=days)
