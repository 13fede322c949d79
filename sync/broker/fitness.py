"""The fitness of a Redis for this service: what keeps it from serving us, what endangers it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    RedisError,
    ResponseError,
)

from sync.broker.connections import CLUSTER, Refusing, reason
from sync.settings import KEY_PREFIX

OLDEST = (6, 2)
FULL = 0.9
"""The share of maxmemory from which on a person should know."""
_PROBE = f"{KEY_PREFIX}probe"
_PROBE_MILLISECONDS = 10_000


@dataclass(frozen=True, slots=True)
class Fitness:
    """A finding. `refusal` is why nothing can be done with this Redis now, None if it serves.

    `dangers` are sentences about what should be changed. `ahead_seconds` is how far its clock is
    ahead of this process's, known to `within_seconds`; None when it could not be asked.
    """

    refusal: str | None
    dangers: tuple[str, ...] = ()
    ahead_seconds: float | None = None
    within_seconds: float = 0.0


def look(server: redis.Redis) -> Fitness:
    """Ask Redis about itself and write a key that expires; never raises an error of Redis."""
    try:
        told = _information(server)
        if (refusal := _unfit(told)) is None:
            server.set(_PROBE, 1, px=_PROBE_MILLISECONDS)
        ahead, within = clock(server)
    except RedisError as error:
        return Fitness(refusal=in_words(error))
    return Fitness(refusal, _dangers(told), ahead, within)


def require(server: redis.Redis) -> None:
    """Raise redis.ConnectionError with the reason, unless Redis serves us now."""
    try:
        if (refusal := _unfit(_information(server))) is not None:
            raise redis.ConnectionError(refusal)
        server.set(_PROBE, 1, px=_PROBE_MILLISECONDS)
    except ResponseError as error:
        raise redis.ConnectionError(in_words(error)) from error


def clock(server: redis.Redis) -> tuple[float, float]:
    """Return how far Redis's clock is ahead of this process's, and to how many seconds exactly."""
    before = time.time()
    seconds, micros = server.time()  # type: ignore[misc]
    after = time.time()
    return seconds + micros / 1e6 - (before + after) / 2, abs(after - before) / 2


def in_words(error: RedisError) -> str:
    """Say why Redis does not serve us, and what to do where that is known."""
    if isinstance(error, Refusing | ResponseError | AuthenticationError | BusyLoadingError):
        return f"Redis does not serve us: {reason(error)}"
    return f"Redis cannot be reached: {error}"


def _information(server: redis.Redis) -> dict[str, Any]:
    try:
        told: dict[str, Any] = server.info()  # type: ignore[assignment]
    except NoPermissionError:
        return {}  # the user may not ask; the probe decides alone
    return told


def _unfit(told: dict[str, Any]) -> str | None:
    if told.get("cluster_enabled"):
        return CLUSTER
    version = str(told.get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if len(numbers) == len(OLDEST) and numbers < OLDEST:
        return f"Redis {version} is too old: 6.2 or newer, or valkey, is needed."
    return None


def _dangers(told: dict[str, Any]) -> tuple[str, ...]:
    found = []
    policy = told.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        found.append(
            f"Redis's maxmemory-policy is {policy}: it may drop parts of the request budget and of"
            " the queues. Set it to noeviction."
        )
    most, used = told.get("maxmemory", 0), told.get("used_memory", 0)
    if most and used > FULL * most:
        found.append(
            f"Redis has used {used / most:.0%} of its maxmemory; it refuses writes at 100 %."
        )
    if told.get("rdb_last_bgsave_status", "ok") != "ok":
        found.append("Redis could not save its data the last time it tried; look at its log.")
    if told.get("aof_last_write_status", "ok") != "ok":
        found.append("Redis could not write its append-only file; look at its disk and its log.")
    return tuple(found)
