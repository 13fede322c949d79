"""What Prometheus is told, and whether the service is ready: read when asked, from one place.

Counts live in Postgres and Redis, where every worker adds to them, so one process can tell them
all and none is lost with a worker.

rows.py    from Postgres: lag, coverage, rows, failures, leases, queues of work
budget.py  from Redis: the request budget, and messages waiting; samples of it for the page
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from sync.errors import SyncError, TryLater
from sync.metrics.budget import budget_metrics, sample
from sync.metrics.rows import QUEUES, database_metrics, names_of_stores
from sync.mirror.engine import in_transaction
from sync.mirror.migrate import insist_on_head
from sync.mirror.status import consumed_seconds_ago
from sync.pipeline.services import Services

__all__ = ["readiness", "sample", "scrape"]

CONSUMED_SECONDS = 60.0


class _Now(Collector):
    """Everything there is to tell at this moment."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily(
            "mirror_server_up", "Whether a server could be asked: 1 or 0", labels=["server"]
        )
        names: dict[int, str] = {}
        try:
            names = in_transaction(self._services.engine, names_of_stores)
            found = in_transaction(self._services.engine, lambda c: list(database_metrics(c)))
            up.add_metric(["postgres"], 1)
        except TryLater:
            found = []
            up.add_metric(["postgres"], 0)
        yield from found
        try:
            yield from list(budget_metrics(self._services, names))
            up.add_metric(["redis"], 1)
        except TryLater:
            up.add_metric(["redis"], 0)
        yield up


def scrape(services: Services) -> tuple[bytes, str]:
    """The metrics as Prometheus's text, and its content type."""
    registry = CollectorRegistry()
    registry.register(_Now(services))
    return generate_latest(registry), CONTENT_TYPE_LATEST


def readiness(services: Services) -> dict[str, dict[str, Any]]:
    """What has to be so: database at this release's schema, Redis there, both queues consumed.

    Anybody may ask, so no error's own words are told: they name hosts, ports and users.
    """
    checks: dict[str, dict[str, Any]] = {}
    try:
        in_transaction(services.engine, insist_on_head)
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
        age = in_transaction(services.engine, lambda c: consumed_seconds_ago(c, queue=queue))
    except TryLater:
        return {"ok": False, "why": "Postgres cannot be reached"}
    if age is None or age > CONSUMED_SECONDS:
        told = "never" if age is None else f"{age:.0f} seconds ago"
        return {"ok": False, "why": f"last consumed: {told}"}
    return {"ok": True, "consumed_seconds_ago": round(age, 1)}
