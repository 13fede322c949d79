"""Postgres queries of the status page beyond those of `status`: crawls, failures, rejects."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sync.state import one_record
from sync.state.status import Progress, pages_there_are

AT_ONCE = 100
"""Most lines of one list on a page."""

_CRAWLS = """
    SELECT w.id, s.name AS store, w.resource, w.kind, w.asked_by, w.since, w.until, w.deep, w.phase,
        w.state, w.pages_planned, w.pages_expected, w.pages_done, c.expected,
        p.per_second, w.rows_seen, w.rows_changed, w.requests, w.drifts,
        w.asked_at, w.started_at, w.finished_at, coalesce(w.error, l.error) AS error,
        l.parked_at IS NOT NULL AS parked, l.enabled, coalesce(c.unavailable, s.error) AS stopped,
        extract(epoch FROM clock_timestamp() - l.failing_since) AS failing_seconds,
        extract(epoch FROM coalesce(w.finished_at, clock_timestamp()) - w.started_at) AS seconds
    FROM sync.crawl AS w
    JOIN sync.store AS s ON s.id = w.store_id
    JOIN sync.lane AS l ON l.store_id = w.store_id AND l.resource = w.resource AND l.lane = 'walk'
    JOIN sync.coverage AS c ON c.store_id = w.store_id AND c.resource = w.resource
    LEFT JOIN sync.pace AS p ON p.store_id = w.store_id AND p.resource = w.resource
        AND w.state = 'running' AND p.at > clock_timestamp() - interval '10 minutes'
"""


@dataclass(frozen=True, slots=True)
class CrawlLine:
    """The current state of a crawl."""

    row: sa.Row[Any]

    @property
    def progress(self) -> Progress:
        """Pages done and planned, and the time the rest takes."""
        row = self.row
        seconds = None if row.seconds is None else float(row.seconds)
        total = pages_there_are(row.resource, row, expected={row.resource: row.expected})
        return Progress(
            row.kind,
            row.phase,
            row.pages_planned,
            row.pages_done,
            row.rows_seen,
            seconds,
            total,
            row.per_second,
        )

    @property
    def is_over(self) -> bool:
        """True when the crawl has ended."""
        return self.row.state in {"done", "dropped"}

    @property
    def trouble(self) -> str | None:
        """The obstacle and its cure, in words; None when nothing holds the crawl up."""
        row = self.row
        if self.is_over:
            return None
        if row.parked or row.state == "parked":
            return f"{row.error or 'parked'}; then press Retry"
        if row.stopped:
            return str(row.stopped)
        if not row.enabled:
            return "its store or resource is turned off"
        if row.failing_seconds is not None:
            return f"{row.error}; it is tried again by itself"
        return None


def open_crawls(connection: sa.Connection, *, store: str | None) -> list[CrawlLine]:
    """Return crawls that are worked on or wait, those a person asked for first."""
    return _crawls(
        connection,
        "w.state IN ('pending', 'running', 'parked') AND l.enabled ORDER BY w.state <> 'running',"
        " w.asked_by <> 'operator', w.id",
        store=store,
    )


def ended_crawls(connection: sa.Connection, *, store: str | None) -> list[CrawlLine]:
    """Return crawls that ended lately; scheduled refreshes only where they changed something."""
    return _crawls(
        connection,
        "w.state IN ('done', 'dropped') AND (w.kind <> 'refresh' OR w.asked_by = 'operator'"
        " OR w.rows_changed > 0) ORDER BY w.finished_at DESC NULLS LAST",
        store=store,
    )


def crawl(connection: sa.Connection, crawl_id: int) -> CrawlLine | None:
    """Return one crawl, or None when there is no crawl of this id."""
    row = connection.execute(sa.text(f"{_CRAWLS} WHERE w.id = :id"), {"id": crawl_id}).one_or_none()
    return None if row is None else CrawlLine(row)


def _crawls(connection: sa.Connection, rest: str, *, store: str | None) -> list[CrawlLine]:
    rows = connection.execute(
        sa.text(
            f"{_CRAWLS} WHERE (cast(:store AS text) IS NULL OR s.name = :store) AND {rest} LIMIT 60"
        ),
        {"store": store},
    )
    return [CrawlLine(row) for row in rows]


def windows(connection: sa.Connection, crawl_id: int) -> list[sa.Row[Any]]:
    """Return the windows of a crawl, oldest days first."""
    return list(
        connection.execute(
            sa.text(
                "SELECT first_day, last_day, after_id, until_id, state, total, page_count,"
                " last_page, walks, verified_at FROM sync.window WHERE crawl_id = :id"
                f" ORDER BY first_day NULLS FIRST, id LIMIT {AT_ONCE}"
            ),
            {"id": crawl_id},
        )
    )


def failing(connection: sa.Connection, *, store: str | None) -> list[sa.Row[Any]]:
    """Return lanes that fail or are parked, those that have failed longest first."""
    return list(
        connection.execute(
            sa.text(
                "SELECT s.name AS store, l.resource, l.lane, l.error, l.attempts, l.failing_since,"
                " s.error AS stopped, l.parked_at IS NOT NULL AS parked FROM sync.lane AS l"
                " JOIN sync.store AS s ON s.id = l.store_id"
                " WHERE l.enabled AND (l.parked_at IS NOT NULL OR l.failing_since IS NOT NULL)"
                " AND (cast(:store AS text) IS NULL OR s.name = :store)"
                f" ORDER BY l.parked_at IS NULL, l.failing_since LIMIT {AT_ONCE}"
            ),
            {"store": store},
        )
    )


@dataclass(frozen=True, slots=True)
class Use:
    """Requests of a store in one minute."""

    store: str
    minute: int  # minutes ago, 0 for the current one
    granted: int
    waited_seconds: float
    refused: int


_USE = sa.text(
    """
    WITH sample AS (
        SELECT *, lag(granted) OVER one AS granted_before, lag(waited_ms) OVER one AS waited_before,
            lag(refused) OVER one AS refused_before
        FROM sync.budget_use WINDOW one AS (PARTITION BY egress, bucket, store_id ORDER BY at)
    ), grown AS (
        SELECT coalesce(s.name, 'store ' || p.store_id) AS store,
            floor(extract(epoch FROM now() - at) / 60)::int AS minute,
            -- A Redis that was emptied begins at nothing again, as does a store that is new.
            CASE WHEN granted >= granted_before THEN granted - granted_before ELSE granted END AS g,
            CASE WHEN granted >= granted_before THEN waited_ms - waited_before ELSE waited_ms END
                AS w,
            CASE WHEN refused >= refused_before THEN refused - refused_before ELSE refused END AS r
        FROM sample AS p LEFT JOIN sync.store AS s ON s.id = p.store_id
        WHERE at > now() - interval '1 hour'
            AND (granted_before IS NOT NULL OR at < s.created_at + interval '2 minutes')
    )
    SELECT store, minute, sum(g) AS granted, sum(w) AS waited_ms, sum(r) AS refused
    FROM grown WHERE minute BETWEEN 0 AND 59 GROUP BY 1, 2
    """
)


def budget_use(connection: sa.Connection) -> list[Use]:
    """Return the requests of the last hour, by minute and store."""
    return [
        Use(r.store, r.minute, int(r.granted), float(r.waited_ms) / 1000, int(r.refused))
        for r in connection.execute(_USE)
    ]


def rejects(
    connection: sa.Connection, *, store: str | None, resource: str | None, page: int
) -> list[sa.Row[Any]]:
    """Return the values that could not be normalised, the latest first.

    People know an order by its number, which is told where this login may read orders.
    """
    number, orders = "NULL AS number", ""
    if one_record.may_read(connection, "orders"):
        number = "o.number"
        orders = (
            " LEFT JOIN crm.orders AS o ON r.resource = 'orders' AND o.store_id = r.store_id"
            " AND o.id::text = r.record"
        )
    return list(
        connection.execute(
            sa.text(
                "SELECT s.name AS store, r.resource, r.record, r.field, r.value, r.reason,"
                f" r.first_seen_at, r.last_seen_at, {number} FROM sync.reject AS r"
                f" JOIN sync.store AS s ON s.id = r.store_id{orders}"
                " WHERE (cast(:store AS text) IS NULL OR s.name = :store)"
                " AND (cast(:resource AS text) IS NULL OR r.resource = :resource)"
                " ORDER BY r.last_seen_at DESC, r.store_id, r.resource, r.record, r.field"
                " LIMIT :most OFFSET :skip"
            ),
            {
                "store": store,
                "resource": resource,
                "most": AT_ONCE + 1,
                "skip": page * AT_ONCE,
            },
        )
    )


def unknown_fields(connection: sa.Connection, *, store: str | None) -> list[sa.Row[Any]]:
    """Return fields that have no column yet, each once for all stores that send it."""
    return list(
        connection.execute(
            sa.text(
                "SELECT u.resource, u.path, min(u.example) AS example,"
                " min(u.first_seen_at) AS first_seen_at, string_agg(s.name, ', ' ORDER BY s.name)"
                " AS stores FROM sync.unknown_field AS u JOIN sync.store AS s ON s.id = u.store_id"
                " WHERE (cast(:store AS text) IS NULL OR s.name = :store)"
                " GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 500"
            ),
            {"store": store},
        )
    )


def parked_answers(connection: sa.Connection, *, store: str | None) -> list[sa.Row[Any]]:
    """Return parked answers: those that did not have the declared shape."""
    return list(
        connection.execute(
            sa.text(
                "SELECT s.name AS store, p.resource, p.request, p.reason, p.seen_at,"
                " left(encode(substr(p.body, 1, 600), 'escape'), 600) AS beginning,"
                " length(p.body) AS bytes FROM sync.parked_page AS p"
                " JOIN sync.store AS s ON s.id = p.store_id"
                " WHERE (cast(:store AS text) IS NULL OR s.name = :store)"
                f" ORDER BY p.id DESC LIMIT {AT_ONCE}"
            ),
            {"store": store},
        )
    )


def now(connection: sa.Connection) -> dt.datetime:
    """Return Postgres's time, the clock of all dates on the page."""
    found: dt.datetime = connection.execute(sa.text("SELECT now()")).scalar_one()
    return found
