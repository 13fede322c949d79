"""`as_of`: the moment a request was sent, by Postgres's clock, strictly increasing per store."""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa

from sync.database.engine import outages

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
    with outages(), engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        moment: dt.datetime = connection.execute(_DRAW, {"store_id": store_id}).scalar_one()
    return moment


def now(connection: sa.Connection) -> dt.datetime:
    """Return Postgres's clock at this very moment, in UTC."""
    moment: dt.datetime = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    return moment
