"""Positions in lists behind a cursor; one row of `sync.position` each."""

from __future__ import annotations

import json
from dataclasses import dataclass

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class Position:
    """A position in a list behind a cursor: the cursor, and `Batch.repeats` before its page."""

    cursor: str
    repeats: dict[str, int]


def position(connection: sa.Connection, store_id: int, resource: str) -> Position:
    """Return the position in a list; its beginning when none is stored."""
    row = connection.execute(
        sa.text("SELECT cursor, repeats FROM sync.position WHERE store_id = :s AND resource = :r"),
        {"s": store_id, "r": resource},
    ).one_or_none()
    return Position("", {}) if row is None else Position(row.cursor, row.repeats)


def set_position(connection: sa.Connection, store_id: int, resource: str, to: Position) -> None:
    """Store the position in a list."""
    connection.execute(
        sa.text(
            "INSERT INTO sync.position (store_id, resource, cursor, repeats)"
            " VALUES (:s, :r, :cursor, cast(:repeats AS jsonb))"
            " ON CONFLICT (store_id, resource) DO UPDATE"
            " SET cursor = excluded.cursor, repeats = excluded.repeats"
        ),
        {"s": store_id, "r": resource, "cursor": to.cursor, "repeats": json.dumps(to.repeats)},
    )
