"""The third reading of a feed, and a sample of its records: what came later than the bound.

The last hours are read once more every hour, the last days every day, a few pages a look; only ids
that were never seen matter. A sample of records that the tail has passed is read again every hour:
a content that differs although no entry tells of it means that lists lag longer than the bound.
"""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa

from sync.crawl import Days
from sync.crm import WorkClass
from sync.declare import Chain, Resource
from sync.mirror import doubts, feeds, rereads, stores
from sync.mirror.load import differing
from sync.mirror.names import crm_name
from sync.pipeline.chain import (
    Entry,
    ask_chain,
    feed_of,
    require_progress,
    stored_after,
    told_of,
)
from sync.pipeline.context import Context
from sync.pipeline.halves import IDS_PER_REQUEST
from sync.pipeline.reread import Read, apply, read_again
from sync.pipeline.told import take_late, write_told

PAGES_PER_LOOK = 3
SMALL = 30
"""So many entries are proven by each look at the head, and are not read once more."""
LAGGING_SHARE = 0.03
"""Of a sample: a few records change unannounced; a list that lags shows in many of them."""


def read_backward(ctx: Context) -> None:
    """Begin a third reading where one is due, and carry on with it for a few pages."""
    history = ctx.resource
    store_id = ctx.store.id
    state = ctx.read(lambda c: feeds.backward(c, store_id, history.name))
    if state.at_id is None and (state.is_hour_due or state.is_day_due):
        tail_id = feed_of(ctx, history).tail_id
        ctx.write(
            lambda c: feeds.begin_backward(
                c, store_id, history.name, days=state.is_day_due, until_id=tail_id
            )
        )
        state = ctx.read(lambda c: feeds.backward(c, store_id, history.name))
    at_id, until_id = state.at_id, state.until_id or 0
    for page in range(PAGES_PER_LOOK):
        if at_id is None or ctx.is_over:
            return
        stored = stored_after(ctx, history, at_id, until_id=until_id, bound=0, at_most=SMALL + 1)
        if page == 0 and len(stored) <= SMALL:
            ctx.write(lambda c: feeds.advance_backward(c, store_id, history.name, to_id=None))
            return
        at_id = _read_page(ctx, history, at_id, until_id)


def _read_page(ctx: Context, history: Resource, at_id: int, until_id: int) -> int | None:
    """Read a page; where to go on, None at the end."""
    assert isinstance(history.listing, Chain)
    answer = ask_chain(ctx, history, after_id=at_id, work=WorkClass.REFRESH)
    require_progress(history, answer)
    known = ctx.read(lambda c: _known(c, history, ctx.store.id, answer.ids))
    late = [e for e in answer.entries if e.id <= until_id and e.id not in known]
    is_end = answer.is_end or answer.last_id >= until_id
    target = ctx.resources[history.listing.target]
    read = read_again(ctx, target, told_of(late)) if late else Read()

    def write(connection: sa.Connection) -> None:
        if late:
            bound = feeds.lateness_seconds(connection, ctx.store.id)
            _open_windows(ctx, connection, target, late)
            write_told(ctx, connection, history, answer, late, read)
            take_late(ctx, connection, history, answer, late, lacked_at=None, lacked_seconds=bound)
        feeds.advance_backward(
            connection, ctx.store.id, history.name, to_id=None if is_end else answer.last_id
        )

    ctx.write(write)
    return None if is_end else answer.last_id


def _known(connection: sa.Connection, history: Resource, store_id: int, ids: list[int]) -> set[int]:
    rows = connection.exec_driver_sql(
        f"SELECT id FROM {crm_name(history.name)} WHERE store_id = %s AND id = ANY(%s)"
        " AND deleted_at IS NULL",
        (store_id, ids),
    )
    return set(rows.scalars())


def _open_windows(
    ctx: Context, connection: sa.Connection, target: Resource, late: list[Entry]
) -> None:
    """Doubt the days that a record left before their last proof: its departure was not known then.

    The count may have agreed because of it, with another record lost.
    """
    if not target.created_field:
        return
    left = [e for e in late if e.is_departure and e.subject is not None]
    rows = connection.execute(
        sa.text(
            f"SELECT DISTINCT t.created_on FROM {crm_name(target.name)} AS t JOIN unnest("
            "cast(:ids AS bigint[]), cast(:moments AS timestamptz[])) AS n(id, at) ON n.id = t.id"
            " WHERE t.store_id = :store AND t.deleted_at IS NULL AND t.created_on IS NOT NULL"
            " AND EXISTS (SELECT FROM sync.window AS w WHERE w.store_id = :store"
            " AND w.resource = :resource AND w.state IN ('counted', 'proven')"
            " AND coalesce(w.first_day, '-infinity') <= t.created_on"
            " AND coalesce(w.last_day, 'infinity') >= t.created_on"
            " AND (n.at IS NULL OR coalesce(w.crm_at, w.asked_at) >= n.at))"
        ),
        {
            "store": ctx.store.id,
            "resource": target.name,
            "ids": [entry.subject for entry in left],
            "moments": [entry.at for entry in left],
        },
    ).scalars()
    for day in list(rows):
        doubts.raise_doubt(
            connection,
            ctx.store.id,
            target.name,
            kind="late",
            detail=f"a departure from {day} was told after its proof",
            days=Days(day, day),
        )
        stores.queue_deep(connection, ctx.store.id, target.name, days=(day, day))


def take_sample(ctx: Context) -> None:
    """Read a sample of passed records again, once an hour.

    What differs is written, and asked for once more when an entry that told of it would have come;
    if none has (`judge_sample`), lists lag longer than was thought.
    """
    history = ctx.resource
    assert isinstance(history.listing, Chain)
    target = ctx.resources[history.listing.target]
    if not ctx.read(lambda c: feeds.backward(c, ctx.store.id, history.name)).is_sample_due:
        return
    subject = next(f.name for f in history.fields if f.path == f"{history.listing.subject}.id")

    def choose(connection: sa.Connection) -> list[int]:
        rows = connection.execute(
            sa.text(
                f"SELECT id FROM (SELECT DISTINCT h.{subject} AS id FROM {crm_name(history.name)}"
                " AS h JOIN sync.feed AS f ON f.store_id = h.store_id AND f.resource = :history"
                " WHERE h.store_id = :store AND h.id <= f.tail_id AND h.deleted_at IS NULL"
                " AND h.first_seen_at > coalesce(f.sampled_at, '-infinity') - make_interval("
                f"secs => :bound) AND NOT EXISTS (SELECT FROM {crm_name(history.name)} AS n"
                f" WHERE n.store_id = h.store_id AND n.{subject} = h.{subject}"
                " AND n.id > f.tail_id)) AS t WHERE NOT EXISTS (SELECT FROM sync.reread AS r"
                " WHERE r.store_id = :store AND r.resource = :target AND r.id = t.id)"
                f" ORDER BY random() LIMIT {IDS_PER_REQUEST}"
            ),
            {
                "store": ctx.store.id,
                "history": history.name,
                "target": target.name,
                "bound": feeds.lateness_seconds(connection, ctx.store.id),
            },
        )
        return [row[0] for row in rows if row[0] is not None]

    ids = ctx.read(choose)
    read = read_again(ctx, target, told_of([_plain(i) for i in ids])) if ids else Read()

    def write(connection: sa.Connection) -> None:
        batches = [(batch, as_of) for batch, as_of in read.batches]
        stale = differing(connection, target, ctx.store.id, [b for b, _ in batches])
        if len(stale) > LAGGING_SHARE * len(ids):
            bound = feeds.lateness_seconds(connection, ctx.store.id)
            for record, known_as_of in stale.items():
                rereads.ask_again(
                    connection,
                    ctx.store.id,
                    target.name,
                    [record],
                    reason=rereads.SAMPLED,
                    after_seconds=bound,
                    since=known_as_of,
                )
        apply(ctx, connection, target, read)
        feeds.sampled(connection, ctx.store.id, history.name)

    ctx.write(write)


def _plain(record: int) -> Entry:
    return Entry(0, record, None, None, False, False, None)


def judge_sample(
    ctx: Context, connection: sa.Connection, history: Resource, records: dict[int, dt.datetime]
) -> None:
    """Judge records of a sample that differed, a lateness bound later: (id, what it was as of).

    Where an entry has told of the change since, all is well. Where none has, the list lagged when
    the tail read it: the bound rises, and what was told within the old one is read again.
    """
    assert isinstance(history.listing, Chain)
    subject = next(f.name for f in history.fields if f.path == f"{history.listing.subject}.id")
    untold = connection.execute(
        sa.text(
            "SELECT count(*) FROM unnest(cast(:ids AS bigint[]), cast(:moments AS timestamptz[]))"
            f" AS n(id, at) WHERE NOT EXISTS (SELECT FROM {crm_name(history.name)} AS h"
            f" WHERE h.store_id = :store AND h.{subject} = n.id AND h.first_seen_at >= n.at)"
        ),
        {"store": ctx.store.id, "ids": list(records), "moments": list(records.values())},
    ).scalar_one()
    if not untold:
        return
    bound = feeds.lateness_seconds(connection, ctx.store.id)
    feeds.learn_lateness(connection, ctx.store.id, history.name, seconds=bound, late=0)
    told_since = connection.execute(
        sa.text(
            f"SELECT DISTINCT {subject} FROM {crm_name(history.name)} WHERE store_id = :store"
            " AND first_seen_at > clock_timestamp() - make_interval(secs => :seconds)"
            f" AND {subject} IS NOT NULL"
        ),
        {"store": ctx.store.id, "seconds": 2 * feeds.HOUR_SECONDS},
    ).scalars()
    rereads.ask_again(
        connection,
        ctx.store.id,
        history.listing.target,
        list(told_since),
        reason="lists lag",
        after_seconds=2 * bound,
        early_seconds=0,
    )
