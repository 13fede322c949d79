"""Thirty stores in one database, as a company has them: read, and two of them in trouble."""

from __future__ import annotations

import sqlalchemy as sa

from sync.resources import RESOURCES
from sync.state import heartbeat, stores

REFUSED = "the account refuses the API key: make a new one, and give it to the store"


def add_stores(engine: sa.Engine, count: int = 30) -> list[str]:
    """Add stores whose every list is complete; return their names."""
    names = [f"shop-{number:02}" for number in range(count)]
    with engine.begin() as connection:
        ids = [
            connection.execute(
                sa.text(
                    "INSERT INTO sync.store (name, url, account, api_key, key_fingerprint, zone)"
                    " VALUES (:name, 'https://' || :name || '.retailcrm.ru', :name, 'xxxxx', 'x',"
                    " 'Europe/Moscow') RETURNING id"
                ),
                {"name": name},
            ).scalar_one()
            for name in names
        ]
        stores.register(connection, ids, RESOURCES.values(), load=False)
        connection.execute(
            sa.text(
                "INSERT INTO sync.feed (store_id, resource, bookmark, head_id, tail_id, head_at,"
                " clear_at) SELECT DISTINCT store_id, feed, 0, 9, 9, now(), now()"
                " FROM sync.coverage WHERE feed IS NOT NULL"
            )
        )
        connection.execute(
            sa.text(
                "UPDATE sync.coverage SET proven_as_of = now(), complete_as_of = now(),"
                " expected = 1000, mirrored = 1000, rejects = 3, rows_written = 1200"
            )
        )
    return names


def disable_long_ago(engine: sa.Engine) -> str:
    """Disable all stores, as if nothing had been read since a minute; return it for people."""
    moment = "'2026-01-02 03:04:05+00'"
    with engine.begin() as connection:
        for statement in (
            f"UPDATE sync.coverage SET proven_as_of = {moment}, complete_as_of = {moment}",
            f"UPDATE sync.feed SET head_at = {moment}, clear_at = {moment}",
            "UPDATE sync.store SET enabled = false",
        ):
            connection.exec_driver_sql(statement)
    return "2026-01-02 03:04 UTC"


def bring_trouble(engine: sa.Engine, *, refused: str, parked: str) -> None:
    """Have a store's key refused, and three lists of another parked for one reason."""
    with engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE sync.store SET error = :error WHERE name = :name"),
            {"error": REFUSED, "name": refused},
        )
        connection.execute(
            sa.text(
                "UPDATE sync.lane SET parked_at = now(), failing_since = now(), error = 'no list'"
                " FROM sync.store AS s WHERE s.id = store_id AND s.name = :name AND lane = 'walk'"
                " AND resource IN ('statuses', 'costs', 'users')"
            ),
            {"name": parked},
        )


def at_work(engine: sa.Engine) -> None:
    """A worker that consumes both queues, and a beat that sends."""
    with engine.begin() as connection:
        for queue in ("feeds", "crawls"):
            heartbeat.consumed(connection, process="host:1", queue=queue)
            heartbeat.heard_beat(connection, process="host:1", queue=queue)


def silent(engine: sa.Engine, *, queues: str, seconds: int) -> None:
    """Let some time pass since queues were consumed; `beat` stands for what beat sends."""
    with engine.begin() as connection:
        for what, column, where in (
            ("feeds", "consumed_at", "queue = 'feeds'"),
            ("crawls", "consumed_at", "queue = 'crawls'"),
            ("beat", "beat_at", "true"),
        ):
            if what in queues:
                connection.execute(
                    sa.text(
                        f"UPDATE sync.heartbeat SET {column} = clock_timestamp()"
                        f" - make_interval(secs => :seconds) WHERE {where}"
                    ),
                    {"seconds": seconds},
                )
