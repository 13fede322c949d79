"""The last answer of each store to `credentials`, of all workers; a row of `sync.access_look` each.

An account without some methods or scopes refuses request after request, and each refusal has to be
weighed against the key's access. One answer, sent after them, serves all that wait for one.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sync import failpoints

LEAST_SECONDS = failpoints.scaled(2)
"""The least time between two looks of one store."""


@dataclass(frozen=True, slots=True)
class Look:
    """An answer to `credentials`: what it told (or the refusal), and when it was asked for."""

    asked_at: dt.datetime
    answer: dict[str, Any]


def last(connection: sa.Connection, store_id: int) -> Look | None:
    """Return the last answer, None before the first."""
    row = connection.execute(
        sa.text(
            "SELECT asked_at, answer FROM sync.access_look"
            " WHERE store_id = :s AND asked_at IS NOT NULL"
        ),
        {"s": store_id},
    ).one_or_none()
    return None if row is None else Look(row.asked_at, row.answer)


def claim(connection: sa.Connection, store_id: int) -> bool:
    """Take the turn to ask; False when somebody had it a moment ago."""
    return bool(
        connection.execute(
            sa.text(
                "INSERT INTO sync.access_look AS l (store_id, next_at)"
                " VALUES (:s, clock_timestamp() + make_interval(secs => :least))"
                " ON CONFLICT (store_id) DO UPDATE SET next_at = excluded.next_at"
                " WHERE l.next_at <= clock_timestamp() RETURNING true"
            ),
            {"s": store_id, "least": LEAST_SECONDS},
        ).scalar()
    )


def keep(connection: sa.Connection, store_id: int, look: Look) -> None:
    """Store an answer, unless one that was asked for later is stored already."""
    connection.execute(
        sa.text(
            "UPDATE sync.access_look SET asked_at = :asked, answer = cast(:answer AS jsonb)"
            " WHERE store_id = :s AND coalesce(asked_at < :asked, true)"
        ),
        {"s": store_id, "asked": look.asked_at, "answer": json.dumps(look.answer)},
    )
