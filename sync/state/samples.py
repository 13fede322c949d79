"""A week of figures by store, a row each quarter of an hour: what the charts over time show."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import sqlalchemy as sa

EVERY_MINUTES = 15
KEEP_DAYS = 7
SERVICE = 0
"""Stands for the store in rows about the service itself."""

_TAKE = sa.text(
    f"""
    INSERT INTO sync.sample (store_id, at, lag_seconds, rows_written, granted, waited_ms, refused)
    SELECT s.id, date_bin('{EVERY_MINUTES} minutes', now(), '2020-01-01'),
        (SELECT max(extract(epoch FROM clock_timestamp() - f.head_at)) FROM sync.feed AS f
            JOIN sync.lane AS l ON l.store_id = f.store_id AND l.resource = f.resource
                AND l.lane = 'feed' AND l.enabled WHERE f.store_id = s.id),
        coalesce((SELECT sum(c.rows_written) FROM sync.coverage AS c WHERE c.store_id = s.id), 0),
        coalesce(b.granted, 0), coalesce(b.waited_ms, 0), coalesce(b.refused, 0)
    FROM sync.store AS s
    LEFT JOIN LATERAL (
        SELECT sum(granted) AS granted, sum(waited_ms) AS waited_ms, sum(refused) AS refused
        FROM (SELECT DISTINCT ON (egress, bucket) granted, waited_ms, refused
            FROM sync.budget_use AS u WHERE u.store_id = s.id ORDER BY egress, bucket, at DESC) AS u
    ) AS b ON true
    WHERE s.enabled
    ON CONFLICT DO NOTHING
    """
)


def take(connection: sa.Connection, *, memory_bytes: int | None) -> None:
    """Take the samples of this quarter of an hour, unless somebody has."""
    is_taken = connection.execute(
        sa.text(
            "SELECT EXISTS (SELECT FROM sync.sample WHERE store_id = :service"
            f" AND at = date_bin('{EVERY_MINUTES} minutes', now(), '2020-01-01'))"
        ),
        {"service": SERVICE},
    ).scalar_one()
    if is_taken:
        return
    connection.execute(_TAKE)
    connection.execute(
        sa.text(
            "INSERT INTO sync.sample (store_id, at, memory_bytes) VALUES (:service,"
            f" date_bin('{EVERY_MINUTES} minutes', now(), '2020-01-01'), :memory)"
            " ON CONFLICT DO NOTHING"
        ),
        {"service": SERVICE, "memory": memory_bytes},
    )


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures of a quarter of an hour: of a store, or of all together.

    Rows and requests are those of the quarter; `lag_seconds` is the longest.
    """

    at: dt.datetime
    lag_seconds: float | None
    rows: int
    requests: int
    waited_seconds: float
    refused: int


def since(
    connection: sa.Connection, *, store_id: int | None, days: int = KEEP_DAYS
) -> list[Sample]:
    """Return the samples of some days, oldest first; None: of all stores together."""
    rows = connection.execute(
        sa.text(
            """
            WITH grown AS (
                SELECT at, lag_seconds,
                    rows_written - lag(rows_written) OVER one AS rows,
                    -- A Redis that was emptied begins at nothing again.
                    CASE WHEN granted >= lag(granted) OVER one
                        THEN granted - lag(granted) OVER one ELSE granted END AS requests,
                    CASE WHEN granted >= lag(granted) OVER one
                        THEN waited_ms - lag(waited_ms) OVER one ELSE waited_ms END AS waited_ms,
                    CASE WHEN granted >= lag(granted) OVER one
                        THEN refused - lag(refused) OVER one ELSE refused END AS refused
                FROM sync.sample WHERE at > now() - make_interval(days => :days)
                    AND store_id <> :service
                    AND (cast(:store AS bigint) IS NULL OR store_id = :store)
                WINDOW one AS (PARTITION BY store_id ORDER BY at)
            )
            SELECT at, max(lag_seconds) AS lag, sum(greatest(rows, 0)) AS rows,
                sum(requests) AS requests, sum(waited_ms) AS waited, sum(refused) AS refused
            FROM grown WHERE rows IS NOT NULL GROUP BY at ORDER BY at
            """
        ),
        {"days": days, "service": SERVICE, "store": store_id},
    )
    return [
        Sample(
            row.at,
            row.lag,
            int(row.rows or 0),
            int(row.requests or 0),
            float(row.waited or 0) / 1000,
            int(row.refused or 0),
        )
        for row in rows
    ]


def memory(connection: sa.Connection, *, days: int = KEEP_DAYS) -> list[tuple[dt.datetime, int]]:
    """Return the memory of the worker that sampled, oldest first, in bytes."""
    rows = connection.execute(
        sa.text(
            "SELECT at, memory_bytes FROM sync.sample WHERE store_id = :service"
            " AND memory_bytes IS NOT NULL AND at > now() - make_interval(days => :days)"
            " ORDER BY at"
        ),
        {"service": SERVICE, "days": days},
    )
    return [(row.at, row.memory_bytes) for row in rows]


def forget_old(connection: sa.Connection) -> None:
    """Delete samples older than a week."""
    connection.execute(
        sa.text("DELETE FROM sync.sample WHERE at < now() - make_interval(days => :days)"),
        {"days": KEEP_DAYS},
    )
