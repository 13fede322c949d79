"""Sessions of the status page that were logged out before their end; the table `ended_session`.

A session is a signed cookie (sync/web/security.py), so nothing is stored of those that go on.
"""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa


def end(connection: sa.Connection, number: int, *, ends_at: dt.datetime) -> None:
    """Refuse a session from now on; forget those that would be over anyway."""
    connection.execute(sa.text("DELETE FROM sync.ended_session WHERE ends_at < now()"))
    connection.execute(
        sa.text(
            "INSERT INTO sync.ended_session (number, ends_at) VALUES (:number, :ends_at)"
            " ON CONFLICT DO NOTHING"
        ),
        {"number": number, "ends_at": ends_at},
    )


def has_ended(connection: sa.Connection, number: int) -> bool:
    """Tell whether this session was logged out."""
    found = connection.execute(
        sa.text("SELECT 1 FROM sync.ended_session WHERE number = :number"), {"number": number}
    ).first()
    return found is not None
