"""Acts of people: who, when, what, from where. Rows of `sync.act`, kept for a year."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from sync.telemetry import plain

KEEP_DAYS = 365


def note(
    connection: sa.Connection,
    what: str,
    *,
    store: str = "",
    detail: str = "",
    who: str = "",
    address: str | None = None,
) -> None:
    """Note an act in the transaction that does it; without `who` it is a command of this login."""
    connection.execute(
        sa.text(
            "INSERT INTO sync.act (who, source, address, store, what, detail)"
            " VALUES (:who, :source, :address, :store, :what, :detail)"
        ),
        {
            "who": who or _login(),
            "source": "page" if who else "command",
            "address": address,
            "store": store,
            "what": what,
            "detail": plain(detail, most=1_000),
        },
    )


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid without a name
        return "unknown"


def latest(
    connection: sa.Connection, *, store: str | None = None, at_most: int = 100
) -> Sequence[sa.Row[Any]]:
    """Return the last acts, the newest first."""
    return connection.execute(
        sa.text(
            "SELECT at, who, source, address, store, what, detail FROM sync.act"
            " WHERE cast(:store AS text) IS NULL OR store = :store"
            " ORDER BY at DESC, id DESC LIMIT :most"
        ),
        {"store": store, "most": at_most},
    ).all()


def forget_old(connection: sa.Connection) -> None:
    """Delete acts that are older than a year."""
    connection.execute(
        sa.text("DELETE FROM sync.act WHERE at < now() - make_interval(days => :days)"),
        {"days": KEEP_DAYS},
    )
