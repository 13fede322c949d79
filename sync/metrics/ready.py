"""`/readyz`: the readiness check of this service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from sync.broker import fitness
from sync.database.engine import reading
from sync.database.revisions import WrongSchema, require_at_least_head
from sync.errors import NeedsOperator, SyncError, TryLater
from sync.metrics.rows import QUEUES
from sync.state.status import consumed_seconds_ago
from sync.work.services import Services, require_secret_key

CONSUMED_SECONDS = 60.0
LOOKS, LOOKS_SECONDS = 5, 5.0
"""Looks at the servers in a row, and in how many seconds as many more."""

Checks = dict[str, dict[str, Any]]


class Looks:
    """The readiness for anybody who asks, however often: a look costs the servers something.

    Who asks during a look waits for its end; beyond `LOOKS` in `LOOKS_SECONDS` the last is told.
    """

    def __init__(
        self, look: Callable[[], Checks], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._look, self._monotonic = look, monotonic
        self._left, self._since = float(LOOKS), monotonic()
        self._running: asyncio.Task[Checks] | None = None
        self._last: Checks | None = None

    async def latest(self) -> Checks:
        """Return the readiness, as fresh as may be."""
        if self._running is None:
            if self._last is not None and not self._may_look():
                return self._last
            self._running = asyncio.create_task(self._look_now())
        return await asyncio.shield(self._running)  # whoever gives up takes it from nobody

    async def _look_now(self) -> Checks:
        try:
            self._last = await asyncio.to_thread(self._look)
            return self._last
        finally:
            self._running = None

    def _may_look(self) -> bool:
        now = self._monotonic()
        grown = self._left + (now - self._since) * LOOKS / LOOKS_SECONDS
        self._left, self._since = min(grown, float(LOOKS)), now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def readiness(services: Services) -> Checks:
    """Check the database and its schema, Redis, and that both queues are consumed.

    Anybody may ask, so the texts of errors are left out: they name hosts, ports and users.
    """
    checks: Checks = {}
    try:
        with reading(services.engine) as connection:
            require_at_least_head(connection)
        checks["database"] = {"ok": True}
    except TryLater:
        checks["database"] = {"ok": False, "why": "Postgres cannot be reached"}
    except WrongSchema:
        why = "the schema is older than this release, whose workers wait for: mirror migrate"
        checks["database"] = {"ok": False, "why": why}
    except SyncError:
        checks["database"] = {"ok": False, "why": "this database cannot be used"}
    refusal = fitness.look(services.redis).refusal
    checks["redis"] = {"ok": True}
    if refusal is not None:
        # The part before the colon names no host.
        checks["redis"] = {"ok": False, "why": refusal.partition(":")[0]}
    checks["secret_key"] = _key(services)
    for queue in QUEUES:
        checks[queue] = _consumed(services, queue)
    return checks


def _key(services: Services) -> dict[str, Any]:
    try:
        require_secret_key(services)
    except (TryLater, SQLAlchemyError):
        return {"ok": False, "why": "it could not be compared"}
    except NeedsOperator:
        return {"ok": False, "why": "the API keys are encrypted with another one"}
    return {"ok": True}


def _consumed(services: Services, queue: str) -> dict[str, Any]:
    try:
        with reading(services.engine) as connection:
            age = consumed_seconds_ago(connection, queue=queue)
    except TryLater:
        return {"ok": False, "why": "Postgres cannot be reached"}
    if age is None or age > CONSUMED_SECONDS:
        since = "yet" if age is None else f"for {age:.0f} s"
        return {"ok": False, "why": f"no worker has taken work from it {since}"}
    return {"ok": True, "consumed_seconds_ago": round(age, 1)}
