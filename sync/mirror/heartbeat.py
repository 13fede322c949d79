"""Proof that queues are consumed: which process last ended a task when, and where it sends from."""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa

WORKING_SECONDS = 120.0
"""A busy worker ends a task of each queue much more often; a restart takes less."""


def consumed(
    connection: sa.Connection, *, process: str, queue: str, egress: str | None = None
) -> None:
    """Note that a process, which sends from `egress`, ended a task; at most one write a second."""
    connection.execute(
        sa.text(
            "INSERT INTO sync.heartbeat AS h (process, queue, consumed_at, egress)"
            " VALUES (:process, :queue, clock_timestamp(), :egress)"
            " ON CONFLICT (process, queue) DO UPDATE"
            " SET consumed_at = excluded.consumed_at, egress = excluded.egress"
            " WHERE h.consumed_at < excluded.consumed_at - interval '1 second'"
        ),
        {"process": process, "queue": queue, "egress": egress},
    )


def working_egresses(connection: sa.Connection, *, queue: str) -> set[str]:
    """The egress addresses of the processes that consume a queue, idle or not."""
    found = connection.execute(
        sa.text(
            "SELECT DISTINCT egress FROM sync.heartbeat WHERE queue = :queue AND egress IS NOT NULL"
            " AND consumed_at > clock_timestamp() - make_interval(secs => :seconds)"
        ),
        {"queue": queue, "seconds": WORKING_SECONDS},
    )
    return set(found.scalars())


def last_consumed(connection: sa.Connection, *, queue: str) -> dt.datetime | None:
    """When any process last ended a task of a queue; None when none ever did."""
    found: dt.datetime | None = connection.execute(
        sa.text("SELECT max(consumed_at) FROM sync.heartbeat WHERE queue = :queue"),
        {"queue": queue},
    ).scalar()
    return found
