"""Transactions are `with` blocks: what is repeated, what is told, what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from sync.database.engine import Transaction, attempts, connect, reading, writing
from sync.errors import LeaseLost, TryLater
from sync.state import lanes, stores
from sync.work.context import Context
from sync.work.session import Session
from tests.integration.pipeline.harness import Mirror, take_over

ADD = "INSERT INTO public.noted (id) VALUES (%s)"
BLOCKED = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND wait_event_type = 'Lock'"
)
BROKEN = "DO $$ BEGIN RAISE EXCEPTION 'broken' USING ERRCODE = '{}'; END $$"
DEADLOCK, SERIALIZATION, DISK_FULL = "40P01", "40001", "53100"
Opened = Callable[[sa.Engine], Transaction]


@pytest.fixture
def engine(database: str) -> Iterator[sa.Engine]:
    """A database with a table of its own, two rows in it."""
    made = connect(database, size=5, wait_seconds=0.05, name="test")
    with made.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE public.noted (id bigint PRIMARY KEY, n bigint DEFAULT 0)"
        )
        connection.exec_driver_sql("INSERT INTO public.noted (id) VALUES (1), (2)")
    yield made
    made.dispose()


def run(
    transactions: Iterable[Transaction],
    sql: str,
    begun: list[int] | None = None,
    *,
    after: Callable[[], object] = int,
) -> None:
    """Run a statement in each, and note how many were begun."""
    for transaction in transactions:
        with transaction as connection:
            if begun is not None:
                begun.append(1)
            connection.exec_driver_sql(sql)
            after()


def noted(engine: sa.Engine) -> list[tuple[int, int]]:
    with reading(engine) as connection:
        return [
            (row.id, row.n)
            for row in connection.exec_driver_sql("SELECT id, n FROM public.noted ORDER BY id")
        ]


def raise_n(connection: sa.Connection, n: int) -> None:
    connection.exec_driver_sql("UPDATE public.noted SET n = n + 1 WHERE id = %s", (n,))


def test_a_deadlock_is_survived_by_a_second_attempt(engine: sa.Engine) -> None:
    """Two transactions lock two rows in opposite order; Postgres ends ours, and both commit."""
    ours, theirs = threading.Event(), threading.Event()

    def other() -> None:
        with writing(engine) as connection:
            # Who waits so long for a lock is never the one that is ended.
            connection.exec_driver_sql("SET LOCAL deadlock_timeout = '1h'")
            raise_n(connection, 1)
            theirs.set()
            ours.wait(10)
            raise_n(connection, 2)

    thread = threading.Thread(target=other)
    thread.start()
    assert theirs.wait(10)
    begun = 0
    for attempt in attempts(engine):
        with attempt as connection:
            begun += 1
            connection.exec_driver_sql("SET LOCAL deadlock_timeout = '10ms'")
            raise_n(connection, 2)
            ours.set()
            with engine.connect() as watching:
                while begun == 1 and watching.exec_driver_sql(BLOCKED).scalar_one() == 0:
                    watching.rollback()
            raise_n(connection, 1)
    thread.join(10)
    assert begun == 2
    assert noted(engine) == [(1, 2), (2, 2)]


@pytest.mark.parametrize("state", [DEADLOCK, SERIALIZATION])
def test_what_an_attempt_wrote_before_it_broke_is_not_there_twice(
    engine: sa.Engine, state: str
) -> None:
    """And a `return` of the body ends the loop, with the transaction committed."""
    begun: list[object] = []

    def write() -> int:
        for attempt in attempts(engine):
            with attempt as connection:
                begun.append(connection)
                raise_n(connection, 1)
                if len(begun) < 3:
                    connection.exec_driver_sql(BROKEN.format(state))
                return len(begun)
        raise AssertionError("the loop went on after a return")

    assert write() == 3
    assert noted(engine) == [(1, 1), (2, 0)]


def test_a_deadlock_that_stays_is_told_after_five_attempts(engine: sa.Engine) -> None:
    begun: list[int] = []
    with pytest.raises(TryLater, match="broken"):
        run(attempts(engine), BROKEN.format(DEADLOCK), begun)
    assert len(begun) == 5


def test_a_commit_that_fails_is_told_though_the_body_returned(engine: sa.Engine) -> None:
    """After a `return` nothing repeats the body: it must not look as if it had been written."""
    with writing(engine) as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION public.late() RETURNS trigger LANGUAGE plpgsql AS"
            f" $f$ BEGIN RAISE EXCEPTION 'late' USING ERRCODE = '{SERIALIZATION}'; END $f$"
        )
        connection.exec_driver_sql(
            "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON public.noted"
            " INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.late()"
        )

    def write() -> None:
        for attempt in attempts(engine):
            with attempt as connection:
                connection.exec_driver_sql(ADD, (3,))
                return

    with pytest.raises(TryLater, match="late"):
        write()
    assert noted(engine) == [(1, 0), (2, 0)]


@pytest.mark.parametrize("opened", [reading, writing])
def test_an_outage_is_try_later(database: str, opened: Opened) -> None:
    """Whatever was being done."""
    engine = connect(database, size=1, wait_seconds=0.05)
    with engine.connect(), pytest.raises(TryLater, match="every connection"):
        run([opened(engine)], "SELECT 1")
    with pytest.raises(TryLater, match="broken"):
        run([opened(engine)], BROKEN.format(DISK_FULL))
    run([opened(engine)], "SELECT 1")
    engine.dispose()


def test_an_outage_is_not_repeated_here(engine: sa.Engine) -> None:
    """It lasts longer than five attempts would: whoever called waits."""
    begun: list[int] = []
    with pytest.raises(TryLater, match="broken"):
        run(attempts(engine), BROKEN.format(DISK_FULL), begun)
    assert len(begun) == 1


def test_a_fault_of_ours_is_raised_as_it_is(engine: sa.Engine) -> None:
    """Neither repeated nor called an outage, and nothing is written."""
    begun: list[int] = []
    with pytest.raises(IntegrityError):
        run(attempts(engine), "INSERT INTO public.noted (id) VALUES (3), (2)", begun)
    with pytest.raises(ZeroDivisionError):
        run(attempts(engine), "UPDATE public.noted SET n = 9", begun, after=lambda: 1 // 0)
    assert len(begun) == 2
    assert noted(engine) == [(1, 0), (2, 0)]


def test_a_read_cannot_write_and_leaves_a_connection_that_can(database: str) -> None:
    """The same connection of the pool serves a read, then a write."""
    engine = connect(database, size=1, wait_seconds=0.05)
    with writing(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE public.noted (id bigint PRIMARY KEY, n bigint)")
    with pytest.raises(RuntimeError, match="read that writes"), reading(engine) as connection:
        connection.exec_driver_sql(ADD, (3,))
    with writing(engine) as connection:
        connection.exec_driver_sql(ADD, (4,))
    assert [key for key, _ in noted(engine)] == [4]
    engine.dispose()


def context_of(mirror: Mirror) -> Context:
    """A slice's context under a lease of its own; it asks the API nothing."""
    claim = lanes.Claim(mirror.store_id, "orders", "walk")
    with writing(mirror.engine) as connection:
        held = lanes.acquire(connection, claim, holder="test")
        store = stores.by_id(connection, mirror.store_id)
    assert held is not None
    assert store is not None
    return Context(mirror.engine, store, mirror.resources, api=cast("Session", None), lease=held)


CURRENCY = "UPDATE sync.store SET currency = 'EUR'"


def test_a_write_without_the_lease_is_refused_before_it_begins(mirror: Mirror) -> None:
    ctx = context_of(mirror)
    take_over(mirror, "orders", "walk")
    begun: list[int] = []
    with pytest.raises(LeaseLost):
        run(ctx.attempts(), CURRENCY, begun)
    assert not begun
    with ctx.reading() as connection:
        assert connection.exec_driver_sql("SELECT currency FROM sync.store").scalar() != "EUR"


def test_each_attempt_of_a_fenced_write_holds_the_lease_anew(mirror: Mirror) -> None:
    """It is lost between a deadlock and the second attempt: that one writes nothing."""
    ctx = context_of(mirror)
    begun: list[int] = []

    def losing() -> Iterator[Transaction]:
        for attempt in ctx.attempts():
            if begun:
                take_over(mirror, "orders", "walk")
            yield attempt

    with pytest.raises(LeaseLost):
        run(losing(), BROKEN.format(DEADLOCK), begun)
    assert len(begun) == 1


def test_a_fenced_write_that_commits_counts_as_progress(mirror: Mirror) -> None:
    """One that was broken does not; the second attempt is, and the lane's error is gone."""
    mirror.rows("UPDATE sync.lane SET attempts = 3, error = 'odd' WHERE store_id = :store")
    ctx = context_of(mirror)
    begun = 0
    for attempt in ctx.attempts():
        with attempt as connection:
            begun += 1
            connection.exec_driver_sql(CURRENCY)
            if begun == 1:
                connection.exec_driver_sql(BROKEN.format(DEADLOCK))
    lane = mirror.lane("orders")
    assert (begun, lane.attempts, lane.error) == (2, 1, None)
    with ctx.reading() as connection:
        assert connection.exec_driver_sql("SELECT currency FROM sync.store").scalar() == "EUR"
