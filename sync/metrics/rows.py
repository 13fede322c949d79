"""Metrics from Postgres. The labels store and resource are names, as in the glossary.

Thirty stores have sixteen hundred resources: a series for each is a megabyte a scrape. By default
lists with a history have series of their own, all other resources of a store are one, `others`, and
what is only counted is one for the store, `all`. With `/metrics?detail=resources` each has its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from sync.resources import RESOURCES
from sync.state.heartbeat import BEAT_SECONDS, FRESH_SECONDS
from sync.state.lanes import LIVES

QUEUES = ("feeds", "crawls")
_BOTH = ("store", "resource")
_KEPT = frozenset(each.name for each in RESOURCES.values() if each.is_followed)
OTHERS, ALL = "others", "all"
NOTABLE_REJECTS = 10
"""The rejects from which on a resource has a series of its own, so that an alert can name it."""
_SHOWN_STATES = frozenset({"attention", "loading"})
Name = Callable[[str], str]

_RESOURCES = sa.text(
    """
    SELECT v.store, v.resource, v.state, v.expected, v.mirrored, c.rejects, c.drifts,
        c.rows_written, c.refused_writes,
        extract(epoch FROM clock_timestamp() - v.complete_as_of) AS complete_age,
        extract(epoch FROM clock_timestamp() - f.head_at) AS lag,
        extract(epoch FROM clock_timestamp() - coalesce(l.worked_at, l.failing_since)) AS idle
    FROM crm.coverage AS v
    JOIN sync.coverage AS c ON c.store_id = v.store_id AND c.resource = v.resource
    JOIN sync.store AS s ON s.id = v.store_id AND s.sealed_under <> ''
    LEFT JOIN sync.feed AS f ON f.store_id = c.store_id AND f.resource = c.feed
    LEFT JOIN sync.lane AS l ON l.store_id = c.store_id AND l.resource = c.resource
        AND l.lane = 'walk'
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
    "nudges": (
        "SELECT s.name, n.came, n.acted FROM sync.nudge AS n JOIN sync.store AS s"
        " ON s.id = n.store_id"
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


class _Family:
    """A metric whose series are added up, or of which the largest counts, before they are told."""

    def __init__(self, metric: Any, fold: Callable[[float, float], float] | None = None) -> None:
        self._metric, self._fold = metric, fold or (lambda a, b: a + b)
        self._values: dict[tuple[str, ...], float] = {}

    def add(self, labels: tuple[str, ...], value: float) -> None:
        """Add a value to its series."""
        before = self._values.get(labels)
        self._values[labels] = value if before is None else self._fold(before, value)

    def metric(self) -> Metric:
        """Return the metric with its series."""
        for labels, value in self._values.items():
            self._metric.add_metric(labels, value)
        found: Metric = self._metric
        return found


def database_metrics(connection: sa.Connection, *, detailed: bool = True) -> Iterator[Metric]:
    """Yield all metrics that are read from Postgres; `detailed`: a series for each resource."""

    def kept(resource: str) -> str:
        return resource if detailed or resource in _KEPT else OTHERS

    def counted(resource: str) -> str:
        return resource if detailed else ALL

    yield from _of_stores(connection)
    yield from _of_resources(connection, kept, counted, detailed=detailed)
    yield from _of_lanes(connection, counted)
    yield from _of_work(connection, counted)


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
        sa.text("SELECT name, enabled, error FROM sync.store WHERE sealed_under <> ''")
    ):
        enabled.add_metric([row.name], row.enabled)
        stopped.add_metric([row.name], row.enabled and row.error is not None)
    yield from (enabled, stopped)


def _of_resources(
    connection: sa.Connection, kept: Name, counted: Name, *, detailed: bool
) -> Iterator[Metric]:
    state = _gauge(
        "resource_state",
        "1 for the state the resource is in; by default for attention and loading alone",
        (*_BOTH, "state"),
    )
    states = _Family(_gauge("resources", "Resources of the store by state", ("store", "state")))
    live = _Family(_gauge("live_rows", "Live rows of the resource in the mirror"))
    lag = _gauge("lag_seconds", "Now minus the send moment of the feed's last empty answer")
    complete = _Family(
        _gauge(
            "complete_age_seconds",
            "Age of the moment as of which the resource is proven complete; of others the oldest",
        ),
        max,
    )
    idle = _gauge("load_idle_seconds", "Since the first load of the resource last made progress")
    written = _Family(_counter("rows_written", "Rows inserted, changed, revived or tombstoned"))
    sums = {
        "expected": _Family(_gauge("expected_rows", "Records in the CRM as far as is known")),
        "rejects": _Family(_gauge("rejected_values", "Values that could not be normalised")),
        "refused_writes": _Family(
            _counter("writes_refused", "Contents that differed and lost to newer knowledge")
        ),
        "drifts": _Family(
            _counter("drifts", "Times records moved between pages as they were read")
        ),
    }
    for row in connection.execute(_RESOURCES):
        labels = (row.store, kept(row.resource))
        states.add((row.store, row.state), 1)
        if detailed or row.state in _SHOWN_STATES:
            state.add_metric([row.store, row.resource, row.state], 1)
        live.add(labels, row.mirrored)
        written.add(labels, row.rows_written)
        for name, family in sums.items():
            value = getattr(row, name)
            if value is not None:
                is_notable = name == "rejects" and value >= NOTABLE_REJECTS
                label = row.resource if is_notable else counted(row.resource)
                family.add((row.store, label), float(value))
        if row.state == "loading" and row.idle is not None:
            idle.add_metric([row.store, row.resource], max(float(row.idle), 0.0))
        if row.state == "disabled":
            continue  # what is turned off grows old as it should
        # One in attention is told of by its state, and would hide the others behind its age.
        is_own = labels[1] == row.resource
        if row.complete_age is not None and (is_own or row.state != "attention"):
            complete.add(labels, float(row.complete_age))
        if row.lag is not None and is_own:
            lag.add_metric(list(labels), float(row.lag))
    yield from (state, lag, idle)
    for each in (states, live, complete, written, *sums.values()):
        yield each.metric()


def _of_lanes(connection: sa.Connection, counted: Name) -> Iterator[Metric]:
    labels = (*_BOTH, "lane")
    parked = _Family(_gauge("lane_parked", "Lanes that wait for retry, else absent", labels))
    failing = _Family(
        _gauge("lane_failing_seconds", "How long the lane has failed in a row", labels), max
    )
    age = _Family(
        _gauge(
            "lease_age_seconds",
            f"Since the holder of the lane's lease last beat, every {BEAT_SECONDS:g} s while it"
            f" lives; at {FRESH_SECONDS:g} s its leases are over, their series end and another"
            " begins",
            labels,
        ),
        max,
    )
    failures = _Family(_counter("crawl_failures", "Slices of work that failed", labels))
    for row in connection.execute(_LANES):
        names = (row.store, counted(row.resource), row.lane)
        failures.add(names, row.failures)
        if row.failing is not None and names[1] != row.resource:
            # Beside the total, which is to grow and never to shrink, for as long as it matters.
            failures.add((row.store, row.resource, row.lane), row.failures)
        if row.parked:
            parked.add(names, 1)
        if row.failing is not None:
            failing.add(names, float(row.failing))
        if row.lease_age is not None:
            age.add(names, max(float(row.lease_age), 0.0))
    yield from (each.metric() for each in (parked, failing, age, failures))


def _of_work(connection: sa.Connection, counted: Name) -> Iterator[Metric]:
    def rows(name: str) -> Any:
        return connection.execute(sa.text(_OTHERS[name]))

    crawls = _gauge("open_crawls", "Crawls that wait or run", ("store", "kind", "state"))
    for store, kind, state, count in rows("open_crawls"):
        crawls.add_metric([store, kind, state], count)
    unknown = _Family(_gauge("unknown_fields", "Fields the API sends that have no column yet"))
    for store, resource, count in rows("unknown"):
        unknown.add((store, counted(resource)), count)
    rereads = _Family(_gauge("rereads", "Records that wait to be read again"))
    for store, resource, count in rows("rereads"):
        rereads.add((store, counted(resource)), count)
    came = _counter("nudges", "Nudges that came from the store's account", ("store",))
    acted = _counter("nudged_looks", "Looks made sooner because of nudges", ("store",))
    for store, count, looks in rows("nudges"):
        came.add_metric([store], count)
        acted.add_metric([store], looks)
    consumed = _gauge(
        "consumed_age_seconds", "Since a task of the queue last ended; +Inf for never", ("queue",)
    )
    ages = {queue: float(age) for queue, age in rows("consumed")}
    for queue in QUEUES:
        consumed.add_metric([queue], ages.get(queue, math.inf))
    yield from (came, acted, crawls, unknown.metric(), rereads.metric(), consumed)
    single = connection.execute(_SINGLE).one()
    for name, about, value in (
        ("work_overdue_seconds", "How long the work due longest has waited", single.overdue),
        ("notifications_undelivered", "Webhook messages whose delivery failed", single.undelivered),
        ("database_bytes", "Size of the database on disk", single.bytes),
    ):
        metric = _gauge(name, about, ())
        metric.add_metric([], float(value))
        yield metric
