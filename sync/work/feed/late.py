"""The third reading of a feed, and a sample of its records: news later than the lateness bound.

The last two hours are read again every hour, the last two days every day, a few pages a look; only
unknown ids matter. A sample of records that the tail has passed is read again as long as there are
any. Content that differs although no entry tells of it means that lists lag longer than the bound.
A lag L of all lists is found within 2 L and two bounds (0020).
"""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa

from sync.crawl import lists_lag
from sync.crm import Priority
from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.records.loaded import Loaded
from sync.rows.live_rows import live_among
from sync.rows.upsert import differing, name_before
from sync.state import feeds, rereads
from sync.state.feeds import Feed
from sync.work.context import Context
from sync.work.feed.history import (
    ask_chain,
    require_progress,
    stored_after,
    subject_column,
    surely_in_one_answer,
    told_of,
)
from sync.work.feed.reread import ChangeHint, Read, apply, read_again
from sync.work.feed.write_told import take_late, write_told

PAGES_PER_LOOK = 3
SMALL = 30
"""The most entries that every look at the head asks for again; so few need no third reading."""


def read_backward(ctx: Context, feed: Feed) -> None:
    """Begin a third reading when one is due, and carry it on for a few pages."""
    history, store_id = ctx.resource, ctx.store.id
    at_id, until_id = feed.backward_id, feed.backward_until_id or 0
    if at_id is None and (feed.is_hour_due or feed.is_day_due):
        until_id = feed.tail_id
        for attempt in ctx.attempts():
            with attempt as connection:
                at_id = feeds.begin_backward(
                    connection, store_id, history.name, days=feed.is_day_due, until_id=until_id
                )
    if at_id is None:
        return
    small = min(SMALL, surely_in_one_answer(ctx, history))
    for page in range(PAGES_PER_LOOK):
        if at_id is None or ctx.is_over:
            return
        stored = stored_after(ctx, history, at_id, until_id=until_id, bound=0, at_most=small + 1)
        if page == 0 and len(stored) <= small:
            for attempt in ctx.attempts():
                with attempt as connection:
                    feeds.advance_backward(connection, store_id, history.name, to_id=None)
            return
        at_id = _read_page(ctx, history, at_id, until_id)


def _read_page(ctx: Context, history: Resource, at_id: int, until_id: int) -> int | None:
    """Read a page; return the id to go on from, None at the end."""
    answer = ask_chain(ctx, history, after_id=at_id, priority=Priority.REFRESH)
    require_progress(history, answer)
    with ctx.reading() as connection:
        known = _known(connection, history, ctx.store.id, answer.ids)
    late = [e for e in answer.entries if e.id <= until_id and e.id not in known]
    is_end = answer.is_end or answer.last_id >= until_id
    target = ctx.target_of(history)
    read = read_again(ctx, target, told_of(late)) if late else Read()
    to_id = None if is_end else answer.last_id
    for attempt in ctx.attempts():
        with attempt as connection:
            if late:
                bound = feeds.lateness_seconds(connection, ctx.store.id)
                write_told(ctx, connection, history, answer, late, read)
                take_late(
                    ctx, connection, history, answer, late, lacked_at=None, lacked_seconds=bound
                )
            feeds.advance_backward(connection, ctx.store.id, history.name, to_id=to_id)
    return to_id


def _known(connection: sa.Connection, history: Resource, store_id: int, ids: list[int]) -> set[int]:
    rows = connection.exec_driver_sql(
        f"SELECT id FROM {crm_name(history.name)} WHERE store_id = %s AND id = ANY(%s)"
        " AND deleted_at IS NULL",
        (store_id, ids),
    )
    return set(rows.scalars())


def take_sample(ctx: Context, feed: Feed) -> None:
    """Read a sample of passed records again, once every lateness bound while there are any.

    Content that differs is written, and waits for an entry that tells of it (`judge_sample`).
    """
    history, store_id = ctx.resource, ctx.store.id
    target = ctx.target_of(history)
    if not feed.is_sample_due:
        return
    with ctx.reading() as connection:
        ids = feeds.to_sample(
            connection,
            store_id,
            history.name,
            target.name,
            followed=feed,
            subject=subject_column(history),
        )
    asked = {record: ChangeHint() for record in ids}
    read = read_again(ctx, target, asked, priority=Priority.REFRESH) if ids else Read()
    rows = [row for batch in read.batches for row in batch.rows]
    tombstones = [tombstone.key for tombstone in read.tombstones]
    for attempt in ctx.attempts():
        with attempt as connection:
            feeds.hold(connection, store_id, history.name, of=target.name)
            found = differing(connection, target, store_id, rows)
            found |= live_among(connection, target, store_id, tombstones)
            rereads.ask_again(
                connection,
                store_id,
                target.name,
                found,
                reason=rereads.SAMPLED,
                after_bound=True,
                since=rereads.HOLDS_NOTHING,
            )
            apply(ctx, connection, target, read)
            feeds.note_sample(connection, store_id, history.name, records=len(ids))


def judge_sample(
    ctx: Context, connection: sa.Connection, history: Resource, waited: dict[int, dt.datetime]
) -> None:
    """Judge sampled records that differed, once an entry had time to tell of the change.

    `waited` maps each id to the end of that time, a lateness bound. A few records change without an
    entry. If more do, lists lagged when the tail read them: the bound rises, and recent ones are
    read again.
    """
    store_id = ctx.store.id
    bound = feeds.lateness_seconds(connection, store_id)
    since = [until - dt.timedelta(seconds=2 * bound) for until in waited.values()]
    records = connection.execute(
        sa.text(
            "SELECT count(*) FROM unnest(cast(:ids AS bigint[]), cast(:moments AS timestamptz[]))"
            f" AS n(id, at) WHERE NOT EXISTS (SELECT FROM {crm_name(history.name)} AS h"
            f" WHERE h.store_id = :store AND h.{subject_column(history)} = n.id"
            " AND h.first_seen_at >= n.at)"
        ),
        {"store": store_id, "ids": list(waited), "moments": since},
    ).scalar_one()
    untold, sampled = feeds.note_untold(connection, store_id, history.name, records=records)
    if not lists_lag(untold=untold, sampled=sampled):
        return
    feeds.raise_lateness(connection, store_id, history.name)
    for each in ctx.resources.values():
        if each.is_history:
            _read_told(ctx, connection, each)


def _read_told(ctx: Context, connection: sa.Connection, history: Resource) -> None:
    """Queue the recently named records of a history, and those they name: now, and after the bound.

    Coverage stays before the first of them until all were read.
    """
    bound = feeds.lateness_seconds(connection, ctx.store.id)
    ids, first = feeds.told_since(
        connection,
        ctx.store.id,
        history.name,
        subject=subject_column(history),
        seconds=2 * max(feeds.HOUR_SECONDS, bound),
    )
    if first is None:
        return
    target = ctx.target_of(history)
    named = Loaded(named={target.name: set(ids)})
    name_before(connection, target, ctx.store.id, ids, named)
    for name, records in sorted(named.named.items()):
        if name in ctx.resources:
            rereads.ask_again(
                connection,
                ctx.store.id,
                name,
                records,
                reason="lists lag",
                after_bound=True,
                early_seconds=0,
                since=first - dt.timedelta(seconds=bound),
            )
