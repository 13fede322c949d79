"""Claims of due lanes, intervals of feeds, and hourly housekeeping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import sqlalchemy as sa

from sync import failpoints
from sync.database.engine import attempts, reading, writing
from sync.errors import TryLater
from sync.poll_intervals import cadences, egress_addresses
from sync.resources import RESOURCES
from sync.rows import versions
from sync.state import (
    acts,
    crawls,
    departures,
    diagnostics,
    feeds,
    heartbeat,
    lanes,
    samples,
    stores,
    windows,
)
from sync.state.claims import claim_due
from sync.state.lanes import Claim
from sync.telemetry import log
from sync.work.rebuild import queue_where_stale, stale_stores
from sync.work.services import Services

KEEP_DAYS = 30
CADENCE_TOLERANCE = 0.1
STORES_AT_ONCE = 50
WAIT_MILLISECONDS = failpoints.scaled(800)
"""The lock timeout of housekeeping: a longer wait would block workers behind it."""


def claim(services: Services) -> list[Claim]:
    """Claim due lanes for the free places of the workers (sync/state/claims.py)."""
    try:
        with writing(services.engine) as connection:
            feeds = claim_due(
                connection, lane="feed", places=heartbeat.places(connection, queue="feeds")
            )
            return feeds + claim_due(
                connection, lane="walk", places=heartbeat.places(connection, queue="crawls")
            )
    except TryLater as error:
        log().warning("nothing dispatched", reason=str(error))
        return []


def set_cadence(services: Services) -> None:
    """Fit the feeds' intervals to the request budget, busy feeds before idle ones.

    The budget is that of all egress addresses with a worker on the feeds queue.
    """
    rate, ceiling = services.settings.rate_limit, services.settings.feed_max_seconds

    try:
        with writing(services.engine) as connection:
            rates = feeds.feed_rates(connection)
            addresses = working_addresses(connection, own=services.settings.egress)
            found = cadences(
                [changes for _, _, changes, _ in rates],
                requests_per_second=rate * addresses,
                floor_seconds=services.settings.feed_seconds,
                ceiling_seconds=ceiling,
            )
            intervals = zip(rates, found.intervals, strict=True)
            feeds.set_cadence(
                connection,
                [
                    (store, history, seconds)
                    for (store, history, _, now), seconds in intervals
                    if now is None or abs(seconds - now) > now * CADENCE_TOLERANCE
                ],
            )
    except TryLater as error:
        log().warning("cadence not set", reason=str(error))
        return
    if not found.fits:
        needed = egress_addresses(len(rates), lag_seconds=ceiling, requests_per_second=rate)
        log().warning(
            f"feeds do not fit the request budget: {len(rates):,} feeds every {ceiling:g} s need "
            f"{needed:,} egress addresses; at work: {addresses:,} (ops/docs/scaling.md)"
        )


def working_addresses(connection: sa.Connection, *, own: str) -> int:
    """Count the egress addresses that poll feeds: `own` and those of all live workers."""
    return len(heartbeat.working_egresses(connection, queue="feeds") | {own})


def housekeep(services: Services) -> list[str]:
    """Register a new release's resources for every store, queue rebuilds, delete old notes.

    Needed changes are searched first, without a lock. A store whose locks are held is left for the
    next hour. Returns the names of those stores.
    """
    left: list[str] = []
    try:
        with reading(services.engine) as connection:
            known = _names(connection)
        ids = list(known)
        for begin in range(0, len(ids), STORES_AT_ONCE):
            some = ids[begin : begin + STORES_AT_ONCE]
            with reading(services.engine) as connection:
                changed = _changed(connection, some)
            left += _set_right(services, {each: known[each] for each in sorted(changed)})
            with _tidying(services) as connection:
                diagnostics.forget_old(connection, some, days=KEEP_DAYS)
                ended = crawls.forget_old(connection, some, days=KEEP_DAYS)
                windows.remove_of(connection, ended)
    except TryLater as error:
        log().warning("no housekeeping", reason=str(error))
        return [*left, "others"]
    for forget in (
        versions.expire,
        windows.forget_met,
        departures.forget_old,
        heartbeat.forget_old,
        acts.forget_old,
        samples.forget_old,
    ):
        with _tidying(services) as connection:
            forget(connection)
    return left


def _set_right(services: Services, changed: Mapping[int, str]) -> list[str]:
    """Register resources and queue rebuilds for some stores; return the names of those that failed.

    Stores whose lanes are all free share one transaction. Each other store has its own, which waits
    for that store alone. The lock order is that of workers: lanes, then tables.
    """
    done: list[int] = []
    with suppress(TryLater):
        if changed:
            with writing(services.engine) as connection:
                free = lanes.hold_free(connection, list(changed))
                _keep(connection, free)
            done = free
    left = []
    for each in sorted(changed.keys() - done):
        try:
            for attempt in attempts(services.engine):
                with attempt as connection:
                    _keep(connection, [each])
        except TryLater as error:
            log(store=changed[each]).warning("no housekeeping", reason=str(error))
            left.append(changed[each])
    return left


def _names(connection: sa.Connection) -> dict[int, str]:
    found = connection.execute(sa.text("SELECT id, name FROM sync.store ORDER BY id"))
    return {row.id: row.name for row in found}


def _changed(connection: sa.Connection, some: list[int]) -> set[int]:
    return stores.unregistered(connection, RESOURCES.values(), among=some) | stale_stores(
        connection, RESOURCES, among=some
    )


def _keep(connection: sa.Connection, ids: Sequence[int]) -> None:
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{WAIT_MILLISECONDS:.0f}ms'")
    stores.register(connection, ids, RESOURCES.values())
    lanes.set_lanes(connection, *ids)
    queue_where_stale(connection, RESOURCES, among=ids)


@contextmanager
def _tidying(services: Services) -> Iterator[sa.Connection]:
    """Open a transaction; a failure is logged and left for the next hour."""
    try:
        with writing(services.engine) as connection:
            yield connection
    except TryLater as error:
        log().warning("no housekeeping", reason=str(error))
