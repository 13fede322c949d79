"""`/metrics`: the current state in Prometheus's text format."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from sync.broker import fitness
from sync.database.engine import reading
from sync.errors import TryLater
from sync.metrics.budget import budget_metrics
from sync.metrics.rows import database_metrics, names_of_stores
from sync.metrics.surroundings import surroundings_metrics
from sync.work.services import Services


class _Now(Collector):
    """A collector that reads the current state at each scrape."""

    def __init__(self, services: Services, *, detailed: bool) -> None:
        self._services, self._detailed = services, detailed

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily(
            "mirror_server_up", "Whether a server could be asked: 1 or 0", labels=["server"]
        )
        names: dict[int, str] = {}
        try:
            with reading(self._services.engine) as connection:
                names = names_of_stores(connection)
                found = list(database_metrics(connection, detailed=self._detailed))
            up.add_metric(["postgres"], 1)
        except TryLater:
            found = []
            up.add_metric(["postgres"], 0)
        yield from found
        redis = fitness.look(self._services.redis)
        up.add_metric(["redis"], redis.refusal is None)
        with suppress(TryLater):
            yield from list(budget_metrics(self._services, names))
        with suppress(TryLater):
            yield from surroundings_metrics(self._services, redis)
        yield up


def scrape(services: Services, *, detailed: bool = True) -> tuple[bytes, str]:
    """Return the metrics as Prometheus's text, and its content type.

    `detailed`: a series for each resource, a megabyte for thirty stores.
    """
    registry = CollectorRegistry()
    registry.register(_Now(services, detailed=detailed))
    return generate_latest(registry), CONTENT_TYPE_LATEST
