"""Metrics from Postgres. The labels store and resource are names, as in the glossary."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from sync.state.heartbeat import BEAT_SECONDS, FRESH_SECONDS
from sync.state.lanes import LIVES

QUEUES = ("feeds", "crawls")
_BOTH = ("store", "resource")

_RESOURCES = sa.text(
    """
    SELECT v.store, v.resource, v.state, v.expected, v.mirrored, c.rejects, c.drifts,
        c.rows_written, c.refused_writes,
        extract(epoch FROM clock_timestamp() - v.complete_as_of) AS complete_age,
        extract(epoch FROM clock_timestamp() - f.head_at) AS lag
    FROM crm.coverage AS v
    JOIN sync.coverage AS c ON c.store_id = v.store_id AND c.resource = v.resource
    JOIN sync.store AS s ON s.id = v.store_id AND s.api_key <> ''
    LEFT JOIN sync.feed AS f ON f.store_id = c.store_id AND f.resource = c.feed
    WHERE c.selected
    """
)
_LANES = sa.text(
    f"""
    SELECT s.name AS store, l.resource, l.lane, l.failures, l.parked_at IS NOT NULL AS parked,
        extract(epoch FROM clock_timestamp() - l.failing_since) AS failing,
        CASE WHEN {LIVES} THEN extract(epoch FROM clock_timestamp() - h.beat_at) END AS lease_age
    FROM sync.lane AS l JOIN sync.store AS s ON s.id = l.store_id
    LEFT JOIN sync.worker AS h ON h.id = l.holder
    WHERE l.enabled
    """
)
_OTHERS = {
    "open_crawls": (
        "SELECT s.name, w.kind, w.state, count(*) FROM sync.crawl AS w"
        " JOIN sync.store AS s ON s.id = w.store_id"
        " WHERE w.state IN ('pending', 'running') GROUP BY 1, 2, 3"
    ),
    "unknown": (
        "SELECT s.name, u.resource, count(*) FROM sync.unknown_field AS u"
        " JOIN sync.store AS s ON s.id = u.store_id GROUP BY 1, 2"
    ),
    "rereads": (
        "SELECT s.name, r.resource, count(*) FROM sync.reread AS r"
        " JOIN sync.store AS s ON s.id = r.store_id GROUP BY 1, 2"
    ),
    "consumed": (
        "SELECT queue, extract(epoch FROM clock_timestamp() - max(consumed_at))"
        " FROM sync.heartbeat GROUP BY 1"
    ),
}
_SINGLE = sa.text(
    f"""
    SELECT
        coalesce((SELECT extract(epoch FROM clock_timestamp() - min(due_at)) FROM sync.lane AS l
            WHERE enabled AND parked_at IS NULL AND due_at <= clock_timestamp()
            AND {LIVES} IS NOT TRUE), 0) AS overdue,
        (SELECT count(*) FROM sync.notification WHERE telling IS NOT NULL AND attempts > 0)
            AS undelivered,
        pg_database_size(current_database()) AS bytes
    """
)


def names_of_stores(connection: sa.Connection) -> dict[int, str]:
    """Return the names of stores by id."""
    rows = connection.execute(sa.text("SELECT id, name FROM sync.store"))
    return {row.id: row.name for row in rows}


def database_metrics(connection: sa.Connection) -> Iterator[Metric]:
    """Yield all metrics that are read from Postgres."""
    yield from _of_stores(connection)
    yield from _of_resources(connection)
    yield from _of_lanes(connection)
    yield from _of_work(connection)


def _gauge(name: str, about: str, labels: tuple[str, ...] = _BOTH) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"mirror_{name}", about, labels=labels)


def _counter(name: str, about: str, labels: tuple[str, ...] = _BOTH) -> CounterMetricFamily:
    return CounterMetricFamily(f"mirror_{name}", about, labels=labels)


def _of_stores(connection: sa.Connection) -> Iterator[Metric]:
    enabled = _gauge("store_enabled", "Whether the store is crawled: 1 or 0", ("store",))
    stopped = _gauge(
        "store_stopped", "Whether the whole store waits for an operator: 1 or 0", ("store",)
    )
    for row in connection.execute(
        sa.text("SELECT name, enabled, error FROM sync.store WHERE api_key <> ''")
    ):
        enabled.add_metric([row.name], row.enabled)
        stopped.add_metric([row.name], row.enabled and row.error is not None)
    yield from (enabled, stopped)


def _of_resources(connection: sa.Connection) -> Iterator[Metric]:
    state = _gauge("resource_state", "1 for the state the resource is in", (*_BOTH, "state"))
    live = _gauge("live_rows", "Live rows of the resource in the mirror")
    expected = _gauge("expected_rows", "Records in the CRM as far as is known")
    lag = _gauge("lag_seconds", "Now minus the send moment of the feed's last empty answer")
    complete = _gauge(
        "complete_age_seconds", "Age of the moment as of which the resource is proven complete"
    )
    rejects = _gauge("rejected_values", "Values that could not be normalised")
    written = _counter("rows_written", "Rows inserted, changed, revived or tombstoned")
    refused = _counter("writes_refused", "Contents that differed and lost to newer knowledge")
    drifts = _counter("drifts", "Times a list changed under the walk")
    for row in connection.execute(_RESOURCES):
        labels = [row.store, row.resource]
        state.add_metric([*labels, row.state], 1)
        live.add_metric(labels, row.mirrored)
        rejects.add_metric(labels, row.rejects)
        written.add_metric(labels, row.rows_written)
        refused.add_metric(labels, row.refused_writes)
        drifts.add_metric(labels, row.drifts)
        for metric, value in ((expected, row.expected), (complete, row.complete_age)):
            if value is not None:
                metric.add_metric(labels, float(value))
        if row.lag is not None and row.state != "disabled":
            lag.add_metric(labels, float(row.lag))
    yield from (state, live, expected, lag, complete, rejects, written, refused, drifts)


def _of_lanes(connection: sa.Connection) -> Iterator[Metric]:
    labels = (*_BOTH, "lane")
    parked = _gauge("lane_parked", "Whether the lane waits for retry: 1, else absent", labels)
    failing = _gauge("lane_failing_seconds", "How long the lane has failed in a row", labels)
    age = _gauge(
        "lease_age_seconds",
        f"Since the holder of the lane's lease last beat, every {BEAT_SECONDS:g} s while it"
        f" lives; at {FRESH_SECONDS:g} s its leases are over, their series end and another begins",
        labels,
    )
    failures = _counter("crawl_failures", "Slices of work that failed", labels)
    for row in connection.execute(_LANES):
        names = [row.store, row.resource, row.lane]
        failures.add_metric(names, row.failures)
        if row.parked:
            parked.add_metric(names, 1)
        if row.failing is not None:
            failing.add_metric(names, float(row.failing))
        if row.lease_age is not None:
            age.add_metric(names, max(float(row.lease_age), 0.0))
    yield from (parked, failing, age, failures)


def _of_work(connection: sa.Connection) -> Iterator[Metric]:
    def rows(name: str) -> Any:
        return connection.execute(sa.text(_OTHERS[name]))

    crawls = _gauge("open_crawls", "Crawls that wait or run", ("store", "kind", "state"))
    for store, kind, state, count in rows("open_crawls"):
        crawls.add_metric([store, kind, state], count)
    unknown = _gauge("unknown_fields", "Paths the API sends that no declaration names")
    for store, resource, count in rows("unknown"):
        unknown.add_metric([store, resource], count)
    rereads = _gauge("rereads", "Records that wait to be read again")
    for store, resource, count in rows("rereads"):
        rereads.add_metric([store, resource], count)
    consumed = _gauge(
        "consumed_age_seconds", "Since a task of the queue last ended; +Inf for never", ("queue",)
    )
    ages = {queue: float(age) for queue, age in rows("consumed")}
    for queue in QUEUES:
        consumed.add_metric([queue], ages.get(queue, math.inf))
    yield from (crawls, unknown, rereads, consumed)
    single = connection.execute(_SINGLE).one()
    for name, about, value in (
        ("work_overdue_seconds", "How long the work due longest has waited", single.overdue),
        ("notifications_undelivered", "Webhook messages whose delivery failed", single.undelivered),
        ("database_bytes", "Size of the database on disk", single.bytes),
    ):
        metric = _gauge(name, about, ())
        metric.add_metric([], float(value))
        yield metric
