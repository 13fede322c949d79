"""`/readyz`: the readiness check of this service."""

from __future__ import annotations

from typing import Any

from sync.database.engine import reading
from sync.database.migrate import require_head
from sync.errors import SyncError, TryLater
from sync.metrics.rows import QUEUES
from sync.state.status import consumed_seconds_ago
from sync.work.services import Services

CONSUMED_SECONDS = 60.0


def readiness(services: Services) -> dict[str, dict[str, Any]]:
    """Check the database and its schema, Redis, and that both queues are consumed.

    Anybody may ask, so the texts of errors are left out: they name hosts, ports and users.
    """
    checks: dict[str, dict[str, Any]] = {}
    try:
        with reading(services.engine) as connection:
            require_head(connection)
        checks["database"] = {"ok": True}
    except TryLater:
        checks["database"] = {"ok": False, "why": "Postgres cannot be reached"}
    except SyncError:
        checks["database"] = {"ok": False, "why": "the schema is not this release's"}
    try:
        services.limiter.report()
        checks["redis"] = {"ok": True}
    except TryLater:
        checks["redis"] = {"ok": False, "why": "Redis cannot be reached"}
    for queue in QUEUES:
        checks[queue] = _consumed(services, queue)
    return checks


def _consumed(services: Services, queue: str) -> dict[str, Any]:
    try:
        with reading(services.engine) as connection:
            age = consumed_seconds_ago(connection, queue=queue)
    except TryLater:
        return {"ok": False, "why": "Postgres cannot be reached"}
    if age is None or age > CONSUMED_SECONDS:
        told = "never" if age is None else f"{age:.0f} seconds ago"
        return {"ok": False, "why": f"last consumed: {told}"}
    return {"ok": True, "consumed_seconds_ago": round(age, 1)}
