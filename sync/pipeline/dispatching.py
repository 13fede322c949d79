"""Claiming what is due, and the hourly housekeeping."""

from __future__ import annotations

import sqlalchemy as sa

from sync.cadence import cadences, egress_addresses
from sync.errors import TryLater
from sync.mirror import departures, feeds, heartbeat, lease, proofs, stores, versions
from sync.mirror.engine import in_transaction
from sync.mirror.lease import Claim
from sync.pipeline.rebuild import queue_where_stale
from sync.pipeline.services import Services
from sync.resources import RESOURCES
from sync.telemetry import log

FEEDS_AT_ONCE = 200
WAITING_CRAWLS = 16
"""Crawls kept waiting in their queue: enough for every place of a worker, no more, so that what
becomes due later but matters more does not stand behind hundreds of others."""
KEEP_DAYS = 30
CADENCE_TOLERANCE = 0.1


def claim(services: Services) -> list[Claim]:
    """Claim due lanes; crawls only as far as their queue has room."""
    try:
        feeds = in_transaction(
            services.engine,
            lambda c: lease.claim_due(c, lane="feed", at_most=FEEDS_AT_ONCE),
        )
        room = WAITING_CRAWLS - services.waiting("crawls")
        walks = (
            in_transaction(services.engine, lambda c: lease.claim_due(c, lane="walk", at_most=room))
            if room > 0
            else []
        )
    except TryLater as error:
        log().warning("nothing dispatched", reason=str(error))
        return []
    return feeds + walks


def set_cadence(services: Services) -> None:
    """Fit the feeds' intervals to the request budget, busy feeds before idle ones.

    The budget is that of all addresses whose workers take feeds: this one, and those of others.
    """
    rate, ceiling = services.settings.rate_limit, services.settings.feed_max_seconds

    def write(connection: sa.Connection) -> str | None:
        rates = feeds.feed_rates(connection)
        addresses = working_addresses(connection, own=services.settings.egress)
        found = cadences(
            [changes for _, _, changes, _ in rates],
            requests_per_second=rate * addresses,
            floor_seconds=services.settings.feed_seconds,
            ceiling_seconds=ceiling,
        )
        feeds.set_cadence(
            connection,
            [
                (store, history, seconds)
                for (store, history, _, now), seconds in zip(rates, found.intervals, strict=True)
                if now is None or abs(seconds - now) > now * CADENCE_TOLERANCE
            ],
        )
        if found.fits:
            return None
        needed = egress_addresses(len(rates), lag_seconds=ceiling, requests_per_second=rate)
        return (
            f"feeds do not fit the request budget: {len(rates):,} feeds every {ceiling:g} s need "
            f"{needed:,} egress addresses; at work: {addresses:,} (ops/scaling.md)"
        )

    try:
        if (problem := in_transaction(services.engine, write)) is not None:
            log().warning(problem)
    except TryLater as error:
        log().warning("cadence not set", reason=str(error))


def working_addresses(connection: sa.Connection, *, own: str) -> int:
    """How many egress addresses look at feeds: those of the workers that live, and `own`."""
    return len(heartbeat.working_egresses(connection, queue="feeds") | {own})


def housekeep(services: Services) -> None:
    """Register a new release's resources for every store, queue rebuilds, drop old notes."""

    def write(connection: sa.Connection) -> None:
        for store in stores.every(connection):
            stores.register(connection, store.id, RESOURCES.values())
            stores.set_lanes(connection, store.id)
        queue_where_stale(connection, RESOURCES)
        versions.expire(connection)
        proofs.forget_met(connection)
        departures.forget_old(connection)
        for table, column in (
            ("proof", "made_at"),
            ("drift", "seen_at"),
            ("parked_page", "seen_at"),
        ):
            connection.exec_driver_sql(
                f"DELETE FROM sync.{table} WHERE {column} < now() - interval '{KEEP_DAYS} days'"
            )
        connection.exec_driver_sql(
            "DELETE FROM sync.heartbeat WHERE consumed_at < now() - interval '1 day'"
        )
        connection.exec_driver_sql(
            "WITH old AS (DELETE FROM sync.crawl WHERE state IN ('done', 'dropped')"
            f" AND finished_at < now() - interval '{KEEP_DAYS} days'"
            " AND kind <> 'load' RETURNING id)"
            " DELETE FROM sync.window WHERE crawl_id IN (SELECT id FROM old)"
        )

    try:
        in_transaction(services.engine, write)
    except TryLater as error:
        log().warning("no housekeeping", reason=str(error))
