"""Metrics from Redis: the request budget by egress, bucket, store and class; messages waiting.

Redis keeps counts since its start. `sample` copies them to Postgres now and then, so that the
status page can show the last hour by store.

All addresses that share this Redis are reported, whichever one this process sends from. Limits are
not in Redis: pace and use of the others are computed from this process's SYNC_RATE_LIMIT.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sqlalchemy as sa
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from sync.crm import Limiter
from sync.database.engine import writing
from sync.metrics.rows import QUEUES
from sync.work.services import Services

KEPT = "2 hours"
_BUDGET = ("egress", "bucket")

_SAMPLE = sa.text(
    """
    INSERT INTO sync.budget_use AS u (egress, bucket, store_id, at, granted, waited_ms, refused)
    SELECT :egress, :bucket, n.store_id, now(), n.granted, n.waited_ms, n.refused
    FROM unnest(cast(:stores AS bigint[]), cast(:granted AS bigint[]),
        cast(:waited AS bigint[]), cast(:refused AS bigint[])) AS n(store_id, granted, waited_ms,
        refused)
    LEFT JOIN LATERAL (
        SELECT granted, refused FROM sync.budget_use AS b WHERE b.egress = :egress
            AND b.bucket = :bucket AND b.store_id = n.store_id ORDER BY at DESC LIMIT 1
    ) AS last ON true
    WHERE (last.granted, last.refused) IS DISTINCT FROM (n.granted, n.refused)
    ON CONFLICT DO NOTHING
    """
)
# The newest sample of each store stays: the next one is counted from it.
_FORGET = sa.text(
    f"""
    DELETE FROM sync.budget_use AS u WHERE u.at < now() - interval '{KEPT}' AND EXISTS (
        SELECT FROM sync.budget_use AS n WHERE n.egress = u.egress AND n.bucket = u.bucket
            AND n.store_id = u.store_id AND n.at > u.at)
    """
)


def sample(engine: sa.Engine, limiter: Limiter) -> None:
    """Copy changed counts of this egress to Postgres; TryLater without Redis."""
    reports = limiter.report()
    with writing(engine) as connection:
        for report in reports:
            totals: dict[int, list[int]] = {}
            for (store, _), usage in report.usage.items():
                total = totals.setdefault(store, [0, 0, 0])
                for place, value in enumerate((usage.granted, usage.waited_ms, usage.refused)):
                    total[place] += value
            if not totals:
                continue
            connection.execute(
                _SAMPLE,
                {
                    "egress": report.egress,
                    "bucket": report.bucket.value,
                    "stores": list(totals),
                    "granted": [total[0] for total in totals.values()],
                    "waited": [total[1] for total in totals.values()],
                    "refused": [total[2] for total in totals.values()],
                },
            )
        connection.execute(_FORGET)


def budget_metrics(services: Services, names: Mapping[int, str]) -> Iterator[Metric]:
    """Yield the metrics of all addresses' limiters; TryLater without Redis."""
    reports = services.limiter.reports()
    labels = (*_BUDGET, "store", "class")
    granted = CounterMetricFamily(
        "mirror_requests_granted", "Requests that were given a slot", labels=labels
    )
    refused = CounterMetricFamily(
        "mirror_requests_refused", "Requests the API answered with 503 or 429", labels=labels
    )
    waited = CounterMetricFamily(
        "mirror_requests_waited_seconds", "Time requests waited for their slots", labels=labels
    )
    lost = CounterMetricFamily(
        "mirror_slots_lost", "Slots given up because their thread woke too late", labels=_BUDGET
    )
    gauges = {
        "limit": ("requests_limit", "The API's limit in requests a second"),
        "pace": ("requests_pace", "Requests a second the budget allows at this moment"),
        "used": ("requests_used_ratio", "Share of the limit granted in the last whole minute"),
        "frozen": ("requests_frozen_seconds", "For how long nobody may send, after refusals"),
        "working": ("stores_with_work", "Stores that ask for slots at this moment"),
    }
    made = {
        key: GaugeMetricFamily(f"mirror_{name}", about, labels=_BUDGET)
        for key, (name, about) in gauges.items()
    }
    paused = GaugeMetricFamily(
        "mirror_store_paused_seconds",
        "For how long a store is paused after refusals",
        labels=(*_BUDGET, "store"),
    )
    for report in reports:
        where = [report.egress, report.bucket.value]
        for (store, work), usage in report.usage.items():
            about = [*where, names.get(store, f"#{store}"), work.name.lower()]
            granted.add_metric(about, usage.granted)
            refused.add_metric(about, usage.refused)
            waited.add_metric(about, usage.waited_ms / 1000)
        lost.add_metric(where, report.lost)
        for key, value in {
            "limit": report.limit,
            "pace": report.pace,
            "used": report.used_last_minute,
            "frozen": report.frozen_seconds,
            "working": report.stores_with_work,
        }.items():
            made[key].add_metric(where, value)
        for store, seconds in report.paused_seconds.items():
            paused.add_metric([*where, names.get(store, f"#{store}")], seconds)
    queues = GaugeMetricFamily(
        "mirror_queue_messages", "Messages that wait in a queue", labels=["queue"]
    )
    for queue in QUEUES:
        queues.add_metric([queue], services.waiting(queue))
    yield from (granted, refused, waited, lost, *made.values(), paused, queues)
