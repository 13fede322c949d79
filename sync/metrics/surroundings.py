"""Metrics of what is around the service: the clocks, what endangers Redis, messages set aside."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from sync.broker.fitness import Fitness
from sync.work.services import Services
from sync.work.surroundings import clocks


def surroundings_metrics(services: Services, redis: Fitness) -> Iterator[Metric]:
    """Yield the metrics; TryLater without Postgres, whose clock the others are compared with."""
    dangers = GaugeMetricFamily(
        "mirror_redis_dangers", "What should be changed about Redis; `status` says it in words"
    )
    dangers.add_metric([], len(redis.dangers))
    yield dangers
    refused = CounterMetricFamily(
        "mirror_nudges_refused", "Nudges to this process whose secret is none"
    )
    refused.add_metric([], services.nudges_refused)
    yield refused
    rejected = services.rejected()
    if rejected is not None:
        count = CounterMetricFamily(
            "mirror_messages_rejected", "Messages in Redis that were none of ours, set aside"
        )
        count.add_metric([], rejected)
        yield count
    ahead = GaugeMetricFamily(
        "mirror_clock_ahead_seconds",
        "A clock minus Postgres's, 0 up to a second: redis, here (the status page), host:pid",
        labels=["clock"],
    )
    for name, seconds in clocks(services, redis).items():
        ahead.add_metric([name], seconds)
    yield ahead
