"""`as_of`: the moment a request was sent, by Postgres's clock, strictly increasing per store.

Also how far this process's clock is from Postgres's. Nothing is decided by the difference; people
are told of it, because logs of several hosts are then hard to read together.
"""

from __future__ import annotations

import datetime as dt
import time

import sqlalchemy as sa

from sync.database.engine import writing

NOTABLE_SECONDS = 1.0
"""A difference of two clocks that people are told of."""
_DRAW = sa.text(
    """
    INSERT INTO sync.store_clock AS c (store_id, as_of) VALUES (:store_id, clock_timestamp())
    ON CONFLICT (store_id) DO UPDATE
    SET as_of = greatest(clock_timestamp(), c.as_of + interval '1 microsecond')
    RETURNING as_of
    """
)


def draw(engine: sa.Engine, store_id: int) -> dt.datetime:
    """Draw the next moment of a store, in UTC; two draws are never equal nor out of order."""
    with writing(engine) as connection:
        moment: dt.datetime = connection.execute(_DRAW, {"store_id": store_id}).scalar_one()
    return moment


def now(connection: sa.Connection) -> dt.datetime:
    """Return Postgres's clock at this very moment, in UTC."""
    moment: dt.datetime = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    return moment


def ahead(connection: sa.Connection) -> tuple[float, float]:
    """Return how far this process's clock is ahead of Postgres's, and to how many seconds."""
    before = time.time()
    theirs = now(connection).timestamp()
    after = time.time()
    return (before + after) / 2 - theirs, abs(after - before) / 2


def is_notable(ahead_seconds: float, within_seconds: float = 0.0) -> bool:
    """Tell whether two clocks certainly differ by more than a second."""
    return abs(ahead_seconds) - within_seconds > NOTABLE_SECONDS
