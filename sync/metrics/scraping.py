"""`/metrics`: the current state in Prometheus's text format."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from sync.database.engine import reading
from sync.errors import TryLater
from sync.metrics.budget import budget_metrics
from sync.metrics.rows import database_metrics, names_of_stores
from sync.work.services import Services


class _Now(Collector):
    """A collector that reads the current state at each scrape."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily(
            "mirror_server_up", "Whether a server could be asked: 1 or 0", labels=["server"]
        )
        names: dict[int, str] = {}
        try:
            with reading(self._services.engine) as connection:
                names = names_of_stores(connection)
                found = list(database_metrics(connection))
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
    """Return the metrics as Prometheus's text, and its content type."""
    registry = CollectorRegistry()
    registry.register(_Now(services))
    return generate_latest(registry), CONTENT_TYPE_LATEST
