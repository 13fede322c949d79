"""The schema may change under a process that runs: an older dump comes back, a later release
migrates. Work waits for the one and goes on beside the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
from structlog.testing import capture_logs

from sync.database import migrate, revisions
from sync.database.engine import connect
from sync.database.standing import LOOK_SECONDS, TOLD_SECONDS, Look
from sync.embedded import Servers
from sync.errors import LeaseLost
from sync.state.heartbeat import Heart
from sync.work import dispatching
from sync.worker import celery, start, tasks

EARLIER, BEFORE, HEAD = revisions.known()[-3:]


@pytest.fixture(autouse=True)
def every_line_is_kept() -> Iterator[None]:
    """A command that ran here before may have left out those of the level info."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(0))
    yield
    structlog.configure(**before)


@pytest.fixture
def engine(database: str) -> Iterator[sa.Engine]:
    made = connect(database)
    yield made
    made.dispose()


def put(engine: sa.Engine, revision: str) -> None:
    """As if a dump at a revision had been restored."""
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE sync.alembic_version SET version_num = %s", (revision,))


def told(found: list[Any]) -> list[tuple[str, str]]:
    return [(line["event"], line.get("reason", "")) for line in found]


def test_work_waits_while_the_schema_is_older_and_goes_on_by_itself(engine: sa.Engine) -> None:
    """It is looked at now and then, and told once a minute."""
    now = [0.0]
    look = Look(lambda: engine, clock=lambda: now[0])
    with capture_logs() as found:
        assert look.serves()
        put(engine, BEFORE)
        assert look.serves(), "not looked at for every task"
        for _ in range(int(TOLD_SECONDS / LOOK_SECONDS) + 2):
            now[0] += LOOK_SECONDS
            assert not look.serves()
        put(engine, HEAD)
        now[0] += LOOK_SECONDS
        assert look.serves()
    waits = f"The database is at revision {BEFORE}, this release needs {HEAD}. Run: celery -A sync"
    assert [event for event, _ in told(found)] == [
        "work waits for the schema", "work waits for the schema",
        "the schema is this release's again",
    ]  # fmt: skip
    assert told(found)[0][1].startswith(waits)


def test_a_start_before_the_schema_is_told_once_a_minute(engine: sa.Engine, database: str) -> None:
    """`migrate` commits each revision for itself: one that is met on the way is no news."""
    now = [0.0]

    def pause(seconds: float) -> None:
        now[0] += seconds
        put(engine, BEFORE if now[0] < 1.5 * start.TOLD_SECONDS else HEAD)

    put(engine, EARLIER)
    with capture_logs() as found:
        start.wait_for_schema(database, who="the worker", pause=pause, clock=lambda: now[0])
    assert [(event, reason.split(",")[0].split()[-1]) for event, reason in told(found)] == [
        ("the worker waits", EARLIER), ("the worker waits", BEFORE),
    ]  # fmt: skip


def test_work_goes_on_beside_a_later_release_and_says_so_once(engine: sa.Engine) -> None:
    """A later release only adds, and its migration is no pause: old workers work until they are
    replaced."""
    now = [0.0]
    look = Look(lambda: engine, clock=lambda: now[0])
    put(engine, "9998")
    with capture_logs() as found:
        for _ in range(5):
            assert look.serves()
            now[0] += LOOK_SECONDS
    [(event, reason)] = told(found)
    assert event == "works beside a later release until it is replaced"
    assert reason.startswith("The database is at revision 9998, which a later release made")


def test_a_schema_that_is_gone_is_an_older_one(engine: sa.Engine) -> None:
    """The database was made anew and its dump is still being restored."""
    look = Look(lambda: engine)
    assert look.serves()
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA sync CASCADE")
    assert look.is_behind()
    assert not look.serves()


def test_an_outage_is_no_older_schema(own_servers: Servers) -> None:
    """While Postgres cannot be asked, what was seen last counts: the work itself tells of it."""
    engine = connect(own_servers.database_url, size=1, wait_seconds=1)
    migrate.upgrade(own_servers.database_url, revisions.known()[0])
    look = Look(lambda: engine)
    assert look.is_behind()
    own_servers.postgres.stop()
    assert look.is_behind()
    assert not look.serves()
    engine.dispose()


def test_a_lease_that_another_took_over_holds_up_nothing_that_is_owed_later(
    engine: sa.Engine,
) -> None:
    """What could not be given back while Postgres was away is given back with a later beat, or is
    another worker's by then."""
    heart, done = Heart(), []

    def lost(_: sa.Connection) -> None:
        raise LeaseLost("the lease of orders/walk was taken over")

    heart.owe(lost)
    heart.owe(lambda _: done.append("given back"))
    heart._pay(engine)
    heart._pay(engine)
    assert done == ["given back"]


def test_a_task_does_nothing_on_an_older_schema(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither one that begins then, nor one that finds a table missing: no traceback, no lane is
    parked, nothing is claimed."""
    calls: list[str] = []

    class Process:
        schema = Look(lambda: engine)

    monkeypatch.setattr("sync.work.services.services", Process)

    def missing(_: object) -> list[Any]:
        calls.append("claim")
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE sync.alembic_version")
        with engine.begin() as connection:
            connection.exec_driver_sql("SELECT FROM sync.a_table_of_this_release")
        return []

    monkeypatch.setattr(dispatching, "claim", missing)
    monkeypatch.setattr(tasks, "_dispatch", lambda: dispatching.claim(Process))  # type: ignore[arg-type]
    assert isinstance(tasks.dispatch, celery.PatientTask)
    tasks.dispatch()
    tasks.dispatch()
    assert calls == ["claim"]
