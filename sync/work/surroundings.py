"""Dangers around the service: the state of Redis, and clocks that differ.

Told by `status`, by the worker's log and by the metrics; for `doctor` too.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sync.broker import fitness
from sync.database.engine import reading
from sync.errors import TryLater
from sync.settings.redis_address import parse
from sync.state import clock, heartbeat
from sync.telemetry import log
from sync.work.services import Services

AGAIN_SECONDS = 3600.0


def tell(services: Services, *, monotonic: Callable[[], float] = time.monotonic) -> None:
    """Log each trouble when it is new to this process, and once an hour while it lasts."""
    now, before = monotonic(), services.told_troubles
    found = troubles(services)
    for text in found:
        if now - before.get(text, -AGAIN_SECONDS) >= AGAIN_SECONDS:
            log().warning("surroundings", reason=text)
            before[text] = now
    for text in before.keys() - found:
        del before[text]


def troubles(services: Services) -> list[str]:
    """Return sentences, each with what to do; [] when all is well. A lost server raises nothing."""
    found = fitness.look(services.redis)
    return [*([] if found.refusal is None else [found.refusal]), *dangers(services, found)]


def dangers(services: Services, found: fitness.Fitness) -> list[str]:
    """Return what should be changed around a service that works, given the finding about Redis."""
    return [*dangers_of_redis(services, found), *_clocks(services, found)]


def dangers_of_redis(services: Services, found: fitness.Fitness) -> list[str]:
    """Return what should be changed about a Redis that works."""
    said = []
    if not parse(services.urls.redis_url).is_verified:
        said.append(
            "Redis's certificate is not verified (SYNC_REDIS_URL says so): whoever is between can"
            " read the password and send tasks. Name the CA's file with ssl_ca_certs instead."
        )
    return [*said, *found.dangers]


def clocks(services: Services, found: fitness.Fitness | None = None) -> dict[str, float]:
    """Return how far each clock is ahead of Postgres's, in seconds, by what has it.

    `redis`, `here` (this process), and every living worker by host:pid. TryLater without Postgres.
    """
    found = found or fitness.look(services.redis)
    with reading(services.engine) as connection:
        here, within = clock.ahead(connection)
        told = {"here": here, **heartbeat.clocks(connection)}
    if found.ahead_seconds is not None:
        told["redis"] = here + found.ahead_seconds
    # What is not known exactly is shown as agreeing, so that a slow answer alarms nobody.
    return {
        name: seconds if clock.is_notable(seconds, within + found.within_seconds) else 0.0
        for name, seconds in told.items()
    }


def _clocks(services: Services, found: fitness.Fitness) -> list[str]:
    try:
        told = clocks(services, found)
    except TryLater:
        return []
    names = {"redis": "Redis", "here": "this host"}
    return [
        f"The clock of {names.get(name, name)} is {abs(seconds):.1f} s"
        f" {'ahead of' if seconds > 0 else 'behind'} Postgres's. Nothing relies on it, but logs and"
        " times shown do not fit together: let every host follow NTP."
        for name, seconds in told.items()
        if seconds
    ]
