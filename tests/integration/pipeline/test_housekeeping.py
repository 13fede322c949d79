"""Housekeeping: a transaction a store, which locks and writes only what is to be changed."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Iterator
from threading import Event

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from sync import vault
from sync.database.engine import connect
from sync.resources import RESOURCES
from sync.settings import Settings
from sync.state import lanes
from sync.work import dispatching
from sync.work.dispatching import housekeep
from sync.work.services import Services

STORES = 30
ZONE = "Europe/Moscow"
WRITTEN = (
    "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables"
    " WHERE schemaname = 'sync'"
)


@pytest.fixture
def services(database: str) -> Iterator[Services]:
    """A database with stores that are registered, as `store add` leaves them."""
    cfg = Settings(database_url=SecretStr(database), secret_key=vault.Key.generate().text())
    made = Services(cfg, Event())
    engine = made.__dict__["engine"] = connect(database, size=8, name="test")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO sync.store (name, url, account, api_key, key_fingerprint, zone)"
            " SELECT 'shop-' || n, 'u', 'a', '', '', %s FROM generate_series(1, %s) AS n",
            (ZONE, STORES),
        )
    yield made
    engine.dispose()


def written(services: Services) -> int:
    """Rows of `sync` that were inserted, changed or deleted, ever."""
    with services.engine.begin() as connection:
        connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
    with services.engine.begin() as connection:
        return int(connection.exec_driver_sql(WRITTEN).scalar_one())


def ask(services: Services, sql: str) -> list[sa.Row[tuple[object, ...]]]:
    with services.engine.begin() as connection:
        return list(connection.exec_driver_sql(sql).all())


def test_every_store_is_registered_and_a_second_time_nothing_is_written(
    services: Services,
) -> None:
    assert housekeep(services) == []
    lanes = sum(2 if each.is_history else 1 for each in RESOURCES.values())
    [counts] = ask(
        services,
        "SELECT (SELECT count(*) FROM sync.coverage), (SELECT count(*) FROM sync.lane),"
        " (SELECT count(*) FROM sync.crawl WHERE kind = 'load')",
    )
    wanted = sum(not each.optional for each in RESOURCES.values())
    assert tuple(counts) == (STORES * len(RESOURCES), STORES * lanes, STORES * wanted)
    services.engine.dispose()  # what its connections have written is counted when they end
    before = written(services)
    assert housekeep(services) == []
    services.engine.dispose()
    assert written(services) - before == 0


def test_what_a_release_declares_otherwise_is_set_right_and_nothing_else(
    services: Services,
) -> None:
    housekeep(services)
    with services.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE sync.coverage SET every_seconds = 1 WHERE store_id = 2 AND resource = 'users'"
        )
        connection.exec_driver_sql(
            "DELETE FROM sync.lane WHERE store_id = 3 AND resource = 'users'"
        )
        connection.exec_driver_sql("UPDATE sync.store SET enabled = false WHERE id = 4")
        connection.exec_driver_sql(
            "UPDATE sync.coverage SET version = 'older' WHERE store_id = 5 AND resource = 'users'"
        )
    assert housekeep(services) == []
    [row] = ask(
        services,
        "SELECT (SELECT count(DISTINCT every_seconds) FROM sync.coverage WHERE resource = 'users'),"
        " (SELECT count(*) FROM sync.lane WHERE resource = 'users'),"
        " (SELECT bool_or(enabled) FROM sync.lane WHERE store_id = 4),"
        " (SELECT count(*) FROM sync.crawl WHERE kind = 'rebuild')",
    )
    assert tuple(row) == (1, STORES, False, 1)


def test_it_waits_for_no_worker_whose_store_is_as_declared(services: Services) -> None:
    """Workers that hold lanes and coverage of every store in open transactions are not noticed."""
    housekeep(services)
    with services.engine.begin() as connection:
        connection.exec_driver_sql("SELECT FROM sync.lane FOR UPDATE")
        connection.exec_driver_sql("UPDATE sync.coverage SET mirrored = mirrored + 1")
        assert housekeep(services) == []


def test_one_store_whose_lanes_are_held_stops_no_other(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "WAIT_MILLISECONDS", 50.0)
    housekeep(services)
    changed = "UPDATE sync.coverage SET every_seconds = 1 WHERE resource = 'users'"
    with services.engine.begin() as connection:
        connection.exec_driver_sql(changed)
    with services.engine.begin() as connection:
        connection.exec_driver_sql("SELECT FROM sync.lane WHERE store_id = 7 FOR UPDATE")
        assert housekeep(services) == ["shop-7"]
    wrong = "SELECT store_id FROM sync.coverage WHERE resource = 'users' AND every_seconds = 1"
    assert [tuple(row) for row in ask(services, wrong)] == [(7,)]
    assert housekeep(services) == []
    assert ask(services, wrong) == []


def test_beside_workers_that_write_it_deadlocks_with_none_of_them(services: Services) -> None:
    """Workers hold a lane, then write coverage of several resources, in any order."""
    housekeep(services)
    ended = Event()
    trouble: list[str] = []
    names = sorted(RESOURCES)

    def work(number: int) -> None:
        claim = lanes.Claim(1, names[number], "walk")
        with services.engine.begin() as connection:
            held = lanes.acquire(connection, claim, holder="w")
        assert held is not None
        order = names[number:] + names[:number]

        def page(connection: sa.Connection) -> None:
            lanes.hold(connection, held, zone=ZONE)
            for name in order[:2] if number % 2 else order[1::-1]:
                connection.exec_driver_sql(
                    "UPDATE sync.coverage SET mirrored = mirrored + 1"
                    " WHERE store_id = 1 AND resource = %s",
                    (name,),
                )

        while not ended.is_set():
            try:
                with services.engine.begin() as connection:
                    page(connection)
            except sa.exc.OperationalError as error:
                trouble.append(str(error))

    # Two apart, so that they never wait for each other.
    workers = [threading.Thread(target=work, args=(number,)) for number in (0, 4, 9)]
    for worker in workers:
        worker.start()
    try:
        for turn in range(20):
            with services.engine.begin() as connection:
                connection.exec_driver_sql(
                    "UPDATE sync.coverage SET every_seconds = -1"
                    " WHERE store_id = 1 AND resource = ANY(%s)",
                    ([names[(turn * 3 + 20) % len(names)]],),
                )
            assert housekeep(services) == []
    finally:
        ended.set()
        for worker in workers:
            worker.join(30)
    assert trouble == []
    assert ask(services, "SELECT 1 FROM sync.coverage WHERE every_seconds = -1") == []


def test_old_notes_go_and_younger_ones_stay(services: Services) -> None:
    housekeep(services)
    with services.engine.begin() as connection:
        for days in (1, 40):
            at = dt.datetime.now(dt.UTC) - dt.timedelta(days=days)
            connection.exec_driver_sql(
                "INSERT INTO sync.drift (store_id, resource, kind, detail, seen_at)"
                " VALUES (1, 'users', 'grew', 'x', %s)",
                (at,),
            )
            connection.exec_driver_sql(
                "WITH made AS (INSERT INTO sync.crawl (store_id, resource, kind, state,"
                " finished_at) VALUES (1, 'users', 'refresh', 'done', %s) RETURNING id)"
                " INSERT INTO sync.window (crawl_id, store_id, resource)"
                " SELECT id, 1, 'users' FROM made",
                (at,),
            )
            connection.exec_driver_sql(
                "INSERT INTO sync.worker (id, host, pid, started_at, beat_at)"
                " VALUES (%s, 'h', 1, %s, %s)",
                (str(days), at, at + dt.timedelta(hours=12)),
            )
    assert housekeep(services) == []
    [row] = ask(
        services,
        "SELECT (SELECT count(*) FROM sync.drift), (SELECT count(*) FROM sync.window),"
        " (SELECT count(*) FROM sync.crawl WHERE kind = 'refresh'),"
        " (SELECT string_agg(id, ',') FROM sync.worker)",
    )
    assert tuple(row) == (1, 1, 1, "1")


def test_a_store_takes_milliseconds(services: Services) -> None:
    """Two thousand are to take less than 15 s, so one that is as declared less than 7 ms."""
    housekeep(services)
    began = time.monotonic()
    housekeep(services)
    assert (time.monotonic() - began) / STORES < 0.05


def test_without_postgres_it_says_that_nothing_was_done(services: Services) -> None:
    services.__dict__["engine"] = connect("postgresql+psycopg://nobody@127.0.0.1:1/none")
    assert housekeep(services) == ["others"]
