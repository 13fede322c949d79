"""Two that both believe they hold a lease cannot both commit."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import sqlalchemy as sa

from sync.database import contract
from sync.database.engine import connect
from sync.embedded.process import wait_until
from sync.errors import LeaseLost
from sync.state import lanes
from sync.state.heartbeat import FRESH_SECONDS, Heart
from tests.integration.faults.conftest import Ends
from tests.integration.faults.rig import Rig

CLAIM = lanes.Claim(1, "orders", "walk")
ZONE = "Europe/Moscow"


@pytest.mark.parametrize(
    "point",
    ["before_commit", pytest.param("in_transaction", marks=pytest.mark.in_ci)],
)
def test_a_stopped_worker_commits_nothing_once_its_leases_are_taken_over(
    rig: Rig, ends_exact: Ends, point: str
) -> None:
    """SIGSTOP in a load; another worker takes over and the CRM changes meanwhile; then CONT."""
    rig.add_store()
    beat = rig.beat()
    stopped = rig.worker(f"{point}:25:stop")
    stopped.wait_stopped()
    held = rig.ask("SELECT resource, lane, token FROM sync.lane WHERE lease_until > now()")
    assert held
    rig.churn(10)
    other = rig.worker()
    rig.wait(lambda: _taken_over(rig, held), "every lease is taken over", seconds=60)
    rig.exact()
    assert other.terminate() == 0
    assert beat.terminate() == 0
    before = _content(rig)
    assert "lease lost" not in stopped.text()
    stopped.signal(signal.SIGCONT)
    rig.struck()
    rig.wait(lambda: stopped.text().count("lease lost") >= 1, "it finds its leases lost")
    assert stopped.terminate() == 0
    assert _content(rig) == before
    rig.beat()
    rig.worker()
    ends_exact(rig, f"SIGSTOP at {point}, lease taken over, CONT", 1)


def _taken_over(rig: Rig, held: list[tuple[object, ...]]) -> bool:
    now = {
        (row[0], row[1]): row[2] for row in rig.ask("SELECT resource, lane, token FROM sync.lane")
    }
    return bool(now) and all(now[row[0], row[1]] > row[2] for row in held)  # type: ignore[index,operator]


def _content(rig: Rig) -> list[tuple[object, ...]]:
    return [
        row
        for table in ("orders", "customers", "order_history", "customer_history", "statuses")
        for row in rig.ask(
            f"SELECT '{table}', count(*), md5(string_agg(t::text, ',' ORDER BY t::text))"
            f" FROM (SELECT content_hash, deleted_at, deleted_reason FROM crm.{table}) AS t"
        )
    ]


@pytest.fixture
def engine(database: str) -> sa.Engine:
    """A database with one lane, due now."""
    made = connect(database)
    with made.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO sync.store (name, url, account, api_key, key_fingerprint, zone)"
            " VALUES ('shop', 'u', 'a', '', '', 'Europe/Moscow')"
        )
        connection.exec_driver_sql(
            "INSERT INTO sync.lane (store_id, resource, lane) VALUES (1, 'orders', 'walk')"
        )
    yield made  # type: ignore[misc]
    made.dispose()


def _acquire(engine: sa.Engine, holder: str) -> lanes.Lease | None:
    with engine.begin() as connection:
        return lanes.acquire(connection, CLAIM, holder=holder)


def _beat(engine: sa.Engine, holder: str, *, seconds_ago: float = 0.0) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO sync.worker (id, host, pid, started_at, beat_at)"
            " VALUES (%s, 'test', 1, now(), clock_timestamp() - make_interval(secs => %s))"
            " ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at",
            (holder, seconds_ago),
        )


def _expire(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE sync.lane SET lease_until = now() - interval '1 s'")


@pytest.mark.in_every_run
def test_only_the_later_of_two_tokens_commits(engine: sa.Engine) -> None:
    first = _acquire(engine, "first")
    assert first is not None
    assert _acquire(engine, "second") is None
    _expire(engine)
    second = _acquire(engine, "second")
    assert second is not None
    assert second.token > first.token
    for held, commits in ((first, False), (second, True)):
        if commits:
            with engine.begin() as connection:
                lanes.hold(connection, held, zone=ZONE)
        else:
            with pytest.raises(LeaseLost), engine.begin() as connection:
                lanes.hold(connection, held, zone=ZONE)


@pytest.mark.in_every_run
def test_an_expired_lease_nobody_took_commits_nothing_either(engine: sa.Engine) -> None:
    held = _acquire(engine, "first")
    assert held is not None
    _expire(engine)
    with pytest.raises(LeaseLost), engine.begin() as connection:
        lanes.hold(connection, held, zone=ZONE)


@pytest.mark.in_every_run
def test_a_lease_lives_as_long_as_its_holders_heart_beats(engine: sa.Engine) -> None:
    """Nothing renews it; once the heart has stopped for a while another takes it over, and what
    beats again afterwards finds it lost."""
    _beat(engine, "first")
    held = _acquire(engine, "first")
    assert held is not None
    _beat(engine, "first", seconds_ago=FRESH_SECONDS - 5)
    with engine.begin() as connection:
        lanes.hold(connection, held, zone=ZONE)
    assert _acquire(engine, "second") is None
    _beat(engine, "first", seconds_ago=FRESH_SECONDS + 1)
    with pytest.raises(LeaseLost), engine.begin() as connection:
        lanes.hold(connection, held, zone=ZONE)
    _beat(engine, "first")
    with engine.begin() as connection:
        lanes.hold(connection, held, zone=ZONE)
    _beat(engine, "first", seconds_ago=FRESH_SECONDS + 1)
    assert _acquire(engine, "second") is not None
    _beat(engine, "first")
    with pytest.raises(LeaseLost), engine.begin() as connection:
        lanes.hold(connection, held, zone=ZONE)


@pytest.mark.in_every_run
def test_a_thread_that_hangs_loses_its_lease_though_its_process_lives(engine: sa.Engine) -> None:
    _beat(engine, "first")
    held = _acquire(engine, "first")
    assert held is not None
    with engine.begin() as connection:
        left = connection.exec_driver_sql(
            "SELECT extract(epoch FROM lease_until - clock_timestamp()) FROM sync.lane"
        ).scalar_one()
    assert lanes.LEASE_SECONDS - 5 < left <= lanes.LEASE_SECONDS
    _expire(engine)
    _beat(engine, "first")
    with pytest.raises(LeaseLost), engine.begin() as connection:
        lanes.hold(connection, held, zone=ZONE)
    assert _acquire(engine, "second") is not None


@pytest.mark.in_every_run
def test_writing_under_a_lease_writes_no_lane(engine: sa.Engine) -> None:
    """A thousand pages lock their lane's row and leave it as it is."""
    held = _acquire(engine, "first")
    assert held is not None
    updates = (
        "SELECT n_tup_upd FROM pg_stat_user_tables WHERE schemaname = 'sync' AND relname = 'lane'"
    )

    def counted() -> int:
        with engine.begin() as connection:
            connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
        with engine.begin() as connection:
            return int(connection.exec_driver_sql(updates).scalar_one())

    before = counted()
    for _ in range(1_000):
        with engine.begin() as connection:
            lanes.hold(connection, held, zone=ZONE)
            lanes.commit(connection, held)
    assert counted() - before == 0


@pytest.mark.in_every_run
def test_a_heart_beats_over_its_own_connection(database: str, engine: sa.Engine) -> None:
    """And beats again after Postgres has ended it: of the same process, since the same moment."""
    heart = Heart()
    assert heart.beating(database) == heart.id == heart.beating(database)
    ask = "SELECT beat_at, started_at FROM sync.worker"
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ '^heart:'"
    )
    with engine.connect() as connection:
        before = connection.exec_driver_sql(ask).one()
        connection.rollback()
        connection.exec_driver_sql(kill)
        wait_until(
            lambda: _fetched(connection, ask).beat_at > before.beat_at,
            seconds=60,
            what="the heart beats again",
        )
        assert _fetched(connection, ask).started_at == before.started_at
    heart.end()


def _fetched(connection: sa.Connection, sql: str) -> sa.Row[tuple[object, ...]]:
    connection.rollback()
    return connection.exec_driver_sql(sql).one()


@pytest.mark.in_every_run
def test_a_lease_cannot_be_taken_over_under_an_open_transaction(engine: sa.Engine) -> None:
    """The other waits for the commit, and then finds the token it saw, or the lease alive."""
    held = _acquire(engine, "first")
    assert held is not None
    got: list[lanes.Lease | None] = []
    with engine.begin() as connection:
        lanes.hold(connection, held, zone=ZONE)
        taker = threading.Thread(target=lambda: got.append(_acquire(engine, "second")))
        taker.start()
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        )
        with engine.connect() as other:
            while other.exec_driver_sql(waiting).scalar_one() == 0 and not got:
                other.rollback()
        connection.exec_driver_sql("UPDATE sync.store SET currency = 'EUR'")
    taker.join(10)
    assert got == [None]


@pytest.mark.in_every_run
def test_a_former_holder_gives_nothing_back(engine: sa.Engine) -> None:
    """Neither `release` nor `fail` of an old token touches the lane of the new holder."""
    first = _acquire(engine, "first")
    assert first is not None
    _expire(engine)
    second = _acquire(engine, "second")
    assert second is not None
    with engine.begin() as connection:
        lanes.release(connection, first, after_seconds=0)
        lanes.fail(connection, first, error="late", after_seconds=0, parked=True)
        row = connection.exec_driver_sql(
            "SELECT holder, token, error, parked_at FROM sync.lane"
        ).one()
    assert tuple(row) == ("second", second.token, None, None)


@pytest.mark.in_every_run
def test_rows_made_in_another_zone_are_not_written(engine: sa.Engine) -> None:
    held = _acquire(engine, "first")
    assert held is not None
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE sync.store SET zone = 'Europe/Madrid'")
    with pytest.raises(LeaseLost), engine.begin() as connection:
        lanes.hold(connection, held, zone=ZONE)


@pytest.mark.in_every_run
def test_without_any_time_limit_a_stopped_process_commits_nothing_late(
    engine: sa.Engine, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limits are lost; SIGSTOP comes in the open transaction, and CONT after the lease has
    expired: Postgres refuses the commit by its own clock, and the next holder writes."""
    monkeypatch.setattr(contract, "LIMITS", ())
    _beat(engine, "first")
    held = _acquire(engine, "first")
    assert held is not None
    child = os.fork()
    if child == 0:
        os._exit(_write_and_stop(database, held))
    os.waitpid(child, os.WUNTRACED)
    _beat(engine, "first", seconds_ago=FRESH_SECONDS + 1)
    os.kill(child, signal.SIGCONT)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == LOST
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT currency FROM sync.store").scalar() is None
    second = _acquire(engine, "second")
    assert second is not None
    with engine.begin() as connection:
        lanes.hold(connection, second, zone=ZONE)
        connection.exec_driver_sql("UPDATE sync.store SET currency = 'EUR'")
        lanes.commit(connection, second)


LOST = 42


def _write_and_stop(database: str, held: lanes.Lease) -> int:
    """Write under a lease in a process that stops itself before the commit; 42 when it is lost."""
    try:
        with connect(database).begin() as connection:
            lanes.hold(connection, held, zone=ZONE)
            connection.exec_driver_sql("UPDATE sync.store SET currency = 'USD'")
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "0"
            os.kill(os.getpid(), signal.SIGSTOP)
            lanes.commit(connection, held)
    except LeaseLost:
        return LOST
    except BaseException:
        return 1
    return 0
