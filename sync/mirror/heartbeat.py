"""Proof that queues are consumed: when which process last ended a task."""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa


def consumed(connection: sa.Connection, *, process: str, queue: str) -> None:
    """Note that a process ended a task of a queue; at most one write a second."""
    connection.execute(
        sa.text(
            "INSERT INTO sync.heartbeat AS h (process, queue, consumed_at)"
            " VALUES (:process, :queue, clock_timestamp())"
            " ON CONFLICT (process, queue) DO UPDATE SET consumed_at = excluded.consumed_at"
            " WHERE h.consumed_at < excluded.consumed_at - interval '1 second'"
        ),
        {"process": process, "queue": queue},
    )


def last_consumed(connection: sa.Connection, *, queue: str) -> dt.datetime | None:
    """When any process last ended a task of a queue; None when none ever did."""
    found: dt.datetime | None = connection.execute(
        sa.text("SELECT max(consumed_at) FROM sync.heartbeat WHERE queue = :queue"),
        {"queue": queue},
    ).scalar()
    return found
