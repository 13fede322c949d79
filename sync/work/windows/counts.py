"""A count in a bracket of the feed: request totals, follow the feed past them, count the rows here.

Only then do an equal total and an equal count mean equal sets, as far as departures are known.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sync import failpoints
from sync.crawl import Count, Days
from sync.declare import Resource
from sync.rows.live_rows import deleted_among, live_among
from sync.state import coverage, crawls, departures, diagnostics, doubts, feeds, rereads
from sync.state.crawls import Crawl
from sync.work.context import Context
from sync.work.feed.follow import begin_look, follow_head, until_next_look
from sync.work.feed.history import arrived_after, find_feed
from sync.work.feed.lease import with_feed
from sync.work.list_params import SMALL_PAGE, list_params
from sync.work.prefetch import Prefetcher
from sync.work.session import Reply

FOLLOW_SECONDS = 30.0


def follow_past(ctx: Context, history: Resource, moment: dt.datetime) -> int | None:
    """Follow the feed to its end by a request sent after `moment`; return the head's id then.

    This process follows the feed when nobody holds its lease, and otherwise waits for the holder.
    Returns None when that takes too long; raises AtRest when the feed is parked or off.
    The end of the slice does not interrupt this: without a judgement of the totals, a store with
    slow requests would never prove anything.
    """
    until = ctx.monotonic() + FOLLOW_SECONDS
    while True:
        feed = find_feed(ctx, history)
        if feed is not None and feed.head_at is not None and feed.head_at > moment:
            return feed.head_id
        if ctx.monotonic() > until or ctx.stop.is_set():
            return None
        if not with_feed(ctx, history, _look, again_seconds=ctx.feed_seconds):
            ctx.stop.wait(0.1)


def _look(theirs: Context) -> float:
    """Follow the feed of a lease to its end; return the seconds until the next look."""
    began = theirs.monotonic()
    look = begin_look(theirs)
    if look is None:
        return 0.0
    follow_head(theirs, look)
    return until_next_look(theirs, look, looked_seconds=theirs.monotonic() - began)


@dataclass(frozen=True, slots=True)
class CountBracket:
    """The moment when rows were counted, and the CRM's own clock shortly before it.

    `crm_at` is not earlier than the totals; None where the CRM gives no time.
    """

    counted_at: dt.datetime
    crm_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class _Total:
    """The API's answer for some days at a moment: the total, and the ids of the first records.

    A record shown in an answer is also in its total, whichever replica answered.
    """

    days: Days
    total: int
    asked: dt.datetime
    shown: set[int]


def _shown(ctx: Context, resource: Resource, days: Days, reply: Reply) -> set[int]:
    """Return the records of an answer that are of its days and of a mirrored site.

    An answer that ignores its filters shows others, which are neither mirrored nor of this count.
    """
    rows = ctx.normalise(resource, reply.records(resource), as_of=reply.as_of).rows
    return {
        row.key
        for row in rows
        if isinstance(row.key, int)
        and ctx.is_wanted(row)
        and (not resource.created_field or days.has(row.created_on))
    }


@dataclass(frozen=True, slots=True)
class Asked:
    """Totals of the API, and the feed's head after it was followed past them."""

    totals: list[_Total]
    head_id: int


def ask_totals(ctx: Context, crawl: Crawl, ranges: Sequence[Days]) -> Asked | None:
    """Request the totals and follow the feed past the answers; None when interrupted."""
    resource = ctx.resources[crawl.resource]
    history = ctx.history_of(resource)
    totals: list[_Total] = []

    def ask(days: Days) -> _Total:
        params = list_params(ctx, resource, days, page=1, limit=SMALL_PAGE)
        reply = ctx.api.first(resource, params, priority=crawl.priority)
        shown = _shown(ctx, resource, days, reply)
        return _Total(days, reply.pagination.total, reply.as_of, shown)

    with Prefetcher(ask) as ahead:
        for days in ranges:
            ahead.push(days)
        for _, result, _ in ahead.results():
            if isinstance(result, Exception):
                raise result
            totals.append(result)
    after = ctx.draw()
    failpoints.point("reconcile_counted")
    head_id = follow_past(ctx, history, after)
    return None if head_id is None else Asked(totals, head_id)


def count_rows(
    ctx: Context, connection: sa.Connection, crawl: Crawl, asked: Asked
) -> tuple[list[Count], CountBracket]:
    """Count the rows of the ranges with a total, and keep each count in `sync.proof`.

    The feed is held until the transaction ends, so that no departure is learnt meanwhile.
    """
    resource = ctx.resources[crawl.resource]
    history = ctx.history_of(resource)
    feed = feeds.hold(connection, ctx.store.id, history.name, of=resource.name)
    assert feed is not None, "a feed is followed from its bookmark"
    arrived = _arrived(ctx, connection, history, asked.totals, feed)
    counts = []
    for total in asked.totals:
        count = _count(
            ctx,
            connection,
            resource,
            total,
            arrived,
            bound=feed.bound_seconds,
            passed_id=feed.tail_id,
        )
        diagnostics.keep_proof(
            connection,
            ctx.store.id,
            resource.name,
            count,
            method="count",
            head_id=asked.head_id,
            proven=count.proven,
            detail=f"{count.contested} contested" if count.contested else "",
        )
        counts.append(count)
    crawls.count_pages(connection, crawl, requests=len(asked.totals))
    return counts, CountBracket(feed.now, feed.crm_at)


def _arrived(
    ctx: Context,
    connection: sa.Connection,
    history: Resource,
    totals: Sequence[_Total],
    feed: feeds.Feed,
) -> dict[int, int]:
    """Return the entry of each record that came within the lateness bound before the totals.

    Entries that the tail has passed are older. Where the CRM gives no time, all others count.
    """
    if not totals:
        return {}
    asked = min(total.asked for total in totals)
    since = feed.crm_at and feed.crm_at - (feed.now - asked) - dt.timedelta(
        seconds=feed.bound_seconds
    )
    return arrived_after(connection, history, ctx.store.id, feed.tail_id, since=since)


def _count(
    ctx: Context,
    connection: sa.Connection,
    resource: Resource,
    told: _Total,
    arrived: Mapping[int, int],
    *,
    bound: float,
    passed_id: int,
) -> Count:
    store_id, days = ctx.store.id, told.days
    mirrored, entered = coverage.count_live(
        connection,
        resource,
        store_id,
        days,
        found_before=told.asked,
        shown=told.shown,
        sites=ctx.store.sites,
    )
    contested = departures.contested(
        connection,
        resource,
        store_id,
        days,
        arrived=_not_shown(arrived, told.shown),
        found_before=told.asked,
        lateness_seconds=bound,
        passed_id=passed_id,
    )
    contested += _unknown(ctx, connection, resource, told.shown, bound=bound, passed_id=passed_id)
    accepted = doubts.accepted_difference(connection, store_id, resource.name, days)
    return Count(
        days, told.total, mirrored, entered, told.asked, contested=contested, accepted=accepted
    )


def _unknown(
    ctx: Context,
    connection: sa.Connection,
    resource: Resource,
    shown: Collection[int],
    *,
    bound: float,
    passed_id: int,
) -> int:
    """Count the shown records that have no live row and may soon have one, or be shown no more.

    Those that are told late, or whose row is lost, are queued to be read now. What was read in
    vain, or cannot be read, is no reason to wait; nor is what was deleted longer ago than lists may
    lag.
    """
    store_id, name = ctx.store.id, resource.name
    missing = set(shown) - live_among(connection, resource, store_id, sorted(shown))
    if not missing:
        return 0
    deleted = deleted_among(connection, resource, store_id, sorted(missing))
    waiting = rereads.are_unread(connection, store_id, name, missing - deleted)
    unasked = missing - deleted - waiting.keys()
    rereads.ask_again(connection, store_id, name, unasked, reason="counted")
    left = departures.recent(
        connection, store_id, name, deleted, lateness_seconds=bound, passed_id=passed_id
    )
    return len(unasked) + sum(waiting.values()) + len(left)


def _not_shown(arrived: Mapping[int, int], shown: set[int]) -> set[int]:
    """Return the arrived records that an answer may not have counted.

    A list that shows the newest arrival has counted the ones before it.
    """
    newest = max((entry for record, entry in arrived.items() if record in shown), default=0)
    return {record for record, entry in arrived.items() if entry > newest and record not in shown}
