"""Readers' limits: what is set, told, kept and lifted; and a reader who does its worst."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from threading import Event, Thread
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from sync.database import migrate
from sync.database.engine import connect
from sync.database.patience import Patience
from sync.errors import BadRequest
from sync.privacy import limits, readers
from sync.privacy.limits import Limits
from sync.work import dispatching
from tests.integration.analysts.conftest import MakeRole, Role, add_store
from tests.integration.analysts.test_readers import by_hand
from tests.integration.pipeline.harness import Mirror

SHOWN = "SELECT current_setting('statement_timeout'), current_setting('temp_file_limit')"
CONNECTIONS = "SELECT rolconnlimit FROM pg_roles WHERE rolname = %s"


def connections_of(engine: sa.Engine, role: Role) -> int:
    with engine.connect() as connection:
        return int(connection.exec_driver_sql(CONNECTIONS, (role.name,)).scalar_one())


def test_a_role_without_limits_gets_the_default_ones(
    engine: sa.Engine, make_role: MakeRole
) -> None:
    """They hold from its next log-in on, and what is told is what Postgres has."""
    role = make_role()
    told = limits.settle(engine, role.name, Limits())
    assert told[0] == (
        f"Limits of {role.name}: 10 connections, a statement 10min, an idle transaction 5min,"
        " temporary files of a session 5GB."
    )
    assert "can lift its own limits of time" in told[-1]
    assert role.rows(SHOWN) == [("10min", "5GB")]
    with ExitStack() as held:
        for _ in range(10):
            held.enter_context(role.connect())
        with pytest.raises(psycopg.OperationalError, match="too many connections"):
            role.connect()


def test_limits_that_a_role_has_are_kept_unless_an_option_says_otherwise(
    engine: sa.Engine, make_role: MakeRole
) -> None:
    """Also those of somebody else, in all databases or in this one; --no-limits lifts them, a
    revoke those of this database."""
    role = make_role("CONNECTION LIMIT 3")
    by_hand(engine, f"ALTER ROLE {role.name} SET statement_timeout = '7s'")
    limits.settle(engine, role.name, Limits())
    assert connections_of(engine, role) == 3
    assert role.rows(SHOWN) == [("7s", "5GB")]
    limits.settle(engine, role.name, Limits(connections=4, statement="8s"))
    limits.settle(engine, role.name, Limits())
    assert connections_of(engine, role) == 4
    assert role.rows(SHOWN) == [("8s", "5GB")]
    told = limits.forget(engine, role.name)
    assert told == [f"Limits of {role.name}: 4 connections, a statement 7s."]
    assert role.rows(SHOWN) == [("7s", "-1")]
    by_hand(engine, f"ALTER ROLE {role.name} RESET statement_timeout")
    assert limits.lift(engine, role.name) == [f"Limits of {role.name}: none."]
    assert connections_of(engine, role) == -1


@pytest.fixture
def ordinary(engine: sa.Engine, make_role: MakeRole) -> Iterator[sa.Engine]:
    """An engine of a role that is no superuser and may alter no other role, but has `sync`."""
    role = make_role().name
    by_hand(engine, f"GRANT USAGE ON SCHEMA sync TO {role}")
    by_hand(engine, f"GRANT SELECT, UPDATE ON sync.reader TO {role}")
    url = engine.url.set(username=role, password="secret")
    made = connect(url.render_as_string(hide_password=False), size=2, name="ordinary")
    yield made
    made.dispose()


def test_what_our_role_may_not_set_is_told_with_the_statement_that_sets_it(
    engine: sa.Engine, ordinary: sa.Engine, make_role: MakeRole
) -> None:
    """A role of somebody else, or one that a superuser made: nothing is claimed that is not so."""
    role = make_role()
    told = limits.settle(ordinary, role.name, Limits(connections=2, temp="1GB"))
    assert told[0] == f"Limits of {role.name}: none."
    assert "Not set: 2 connections" in told[1]
    assert "permission denied" in told[1]
    for statement in told[1].partition("superuser run: ")[2].rstrip(";").split("; "):
        by_hand(engine, statement)
    assert connections_of(engine, role) == 2
    assert role.rows(SHOWN) == [("10min", "1GB")]
    assert limits.settle(ordinary, role.name, Limits())[0].endswith("session 1GB.")


def test_a_limit_that_postgres_has_no_number_for_is_wrong_input(
    engine: sa.Engine, make_role: MakeRole
) -> None:
    """One line that quotes it, and not a bug to report."""
    with pytest.raises(BadRequest, match=r"no such limit: .*999999999TB"):
        limits.settle(engine, make_role().name, Limits(temp="999999999TB"))


def test_a_group_and_a_superuser_are_told_apart(engine: sa.Engine, make_role: MakeRole) -> None:
    """Limits are of the role that logs in; a superuser is held by none."""
    group = make_role()
    by_hand(engine, f"ALTER ROLE {group.name} NOLOGIN")
    assert any(
        "do not reach its members" in line for line in limits.settle(engine, group.name, Limits())
    )
    [told] = limits.settle(engine, make_role("SUPERUSER").name, Limits())
    assert told.startswith("No limits")


def test_a_revoke_tells_what_a_role_may_read_all_the_same(
    engine: sa.Engine, make_role: MakeRole
) -> None:
    """By a grant of somebody else, as a member of a team, as everybody."""
    role, team, other = make_role(), make_role(), make_role()
    add_store(engine, "one")
    readers.grant(engine, role.name, store_ids=None, is_masked=False)
    assert readers.unread(engine, role.name) == ""
    readers.revoke(engine, role.name)
    assert readers.remaining(engine, role.name) == []
    by_hand(engine, f"GRANT USAGE ON SCHEMA crm TO {other.name}")
    by_hand(engine, f"GRANT SELECT ON crm.orders TO {other.name} WITH GRANT OPTION")
    by_hand(engine, f"GRANT USAGE ON SCHEMA crm TO {team.name}")
    by_hand(engine, f"GRANT SELECT ON crm.customers TO {team.name}")
    other.connect().execute(f"GRANT SELECT ON crm.orders TO {role.name}").connection.close()
    by_hand(engine, f"GRANT {team.name} TO {role.name}")
    readers.grant(engine, role.name, store_ids=None, is_masked=False)
    readers.revoke(engine, role.name)
    told = "\n".join(readers.remaining(engine, role.name))
    assert f"{role.name} still reads tables of crm, which {other.name} granted it" in told
    assert f"{role.name} still reads tables of crm as {team.name}, it is a member" in told
    assert role.rows("SELECT count(*) FROM crm.orders") == [(0,)]
    other.connect().execute(f"REVOKE SELECT ON crm.orders FROM {role.name}").connection.close()


def test_a_grant_that_gave_nothing_is_not_told_as_one(
    engine: sa.Engine, make_role: MakeRole
) -> None:
    """Postgres only warns where a role that does not own the tables grants."""
    role = make_role()
    readers.grant(engine, role.name, store_ids=None, is_masked=False)
    by_hand(engine, f"REVOKE SELECT ON crm.orders FROM {role.name}")
    said = readers.unread(engine, role.name)
    assert "cannot read 1 of the tables and views of crm, such as orders" in said
    assert f"they belong to {engine.url.username}" in said


def test_a_session_that_lifted_its_limits_is_ended_when_it_is_over_them(
    engine: sa.Engine, make_role: MakeRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only those of readers, and only over the limits that they were granted, whatever they altered
    for themselves since."""
    name = engine.url.database
    monkeypatch.setattr(limits, "GRACE_SECONDS", 0.0)
    lifted, within, foreign = make_role(), make_role(), make_role()
    for role, idle in ((lifted, "1ms"), (within, "5min")):
        readers.grant(engine, role.name, store_ids=None, is_masked=False)
        limits.settle(engine, role.name, Limits(idle=idle))
    limits.settle(engine, foreign.name, Limits(idle="1ms"))
    with ExitStack() as held:
        sessions = [held.enter_context(role.connect()) for role in (lifted, within, foreign)]
        for session in sessions:
            session.execute("SET idle_in_transaction_session_timeout = 0")
            session.execute("ALTER ROLE CURRENT_USER RESET ALL")
            session.execute(f"ALTER ROLE CURRENT_USER IN DATABASE {name} RESET ALL")
            session.execute("BEGIN; SELECT 1")
        [told] = limits.end_overdue(engine)
        assert f"Ended pid {sessions[0].info.backend_pid} of the reader {lifted.name}" in told
        with pytest.raises(psycopg.OperationalError):
            sessions[0].execute("SELECT 1")
        for session in sessions[1:]:
            session.execute("SELECT 1")


def noted(engine: sa.Engine, role: Role) -> tuple[int | None, ...]:
    with engine.connect() as connection:
        sql = "SELECT statement_ms, idle_ms FROM sync.reader WHERE role = %s"
        return tuple(connection.exec_driver_sql(sql, (role.name,)).one())


def test_a_second_grant_goes_by_what_was_granted_and_not_by_what_the_reader_made_of_it(
    engine: sa.Engine, make_role: MakeRole
) -> None:
    """A limit that the reader lifted stays noted, and `migrate` goes on to end its sessions; one
    that it took from itself is set again. What an option says counts, and --no-limits."""
    role, store = make_role(), add_store(engine, "one")

    def grant(**asked: Any) -> None:
        readers.grant(engine, role.name, store_ids=[store], is_masked=False)
        limits.settle(engine, role.name, Limits(**asked))

    by_hand(engine, f"ALTER ROLE {role.name} SET statement_timeout = 7000")
    grant(idle="2min")
    assert noted(engine, role) == (7_000, 120_000)
    name = engine.url.database
    with role.connect() as session:
        session.execute(f"ALTER ROLE CURRENT_USER IN DATABASE {name} SET statement_timeout = 0")
        session.execute(f"ALTER ROLE CURRENT_USER IN DATABASE {name} RESET"
                        " idle_in_transaction_session_timeout")  # fmt: skip
    grant()
    assert noted(engine, role) == (7_000, 120_000)
    assert role.rows("SELECT current_setting('idle_in_transaction_session_timeout')") == [("2min",)]
    grant(statement="3s", idle="0s")
    assert noted(engine, role) == (3_000, None)
    limits.lift(engine, role.name)
    assert noted(engine, role) == (None, None)


class Worst:
    """A reader who does all that a reader can do to the others, again and again, until stopped."""

    def __init__(self, role: Role) -> None:
        self._role = role
        self._stop = Event()
        self.refused: set[str] = set()
        self.accepted = 0
        self.ended = 0
        acts = (self._leave_open, self._lock, self._multiply, self._ask_for_connections)
        self._threads = [Thread(target=self._again, args=(act,), daemon=True) for act in acts]

    def __enter__(self) -> Worst:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _again(self, act: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                act()
            except psycopg.errors.InsufficientPrivilege as error:
                self.refused.add(str(error).splitlines()[0])
            except (psycopg.OperationalError, psycopg.DatabaseError):
                self.ended += 1
            self._stop.wait(0.02)

    def _leave_open(self) -> None:
        with self._role.connect() as connection:
            connection.execute("BEGIN; SELECT count(*) FROM crm.orders")
            self._stop.wait(1)
            connection.execute("SELECT 1")

    def _lock(self) -> None:
        with self._role.connect() as connection:
            for statement in (
                "SELECT pg_advisory_lock(n) FROM generate_series(1, 1000000) AS n",
                "LOCK TABLE crm.orders IN ACCESS EXCLUSIVE MODE",
                "SELECT 1 FROM crm.orders FOR UPDATE",
                "LOCK TABLE sync.alembic_version IN ACCESS SHARE MODE",
            ):
                with suppress(psycopg.errors.ActiveSqlTransaction):
                    try:
                        connection.execute(f"BEGIN; {statement}")  # type: ignore[arg-type]
                    except psycopg.errors.InsufficientPrivilege as error:
                        self.refused.add(str(error).splitlines()[0])
                    else:
                        raise AssertionError(statement)
                    finally:
                        connection.execute("ROLLBACK")

    def _multiply(self) -> None:
        with self._role.connect() as connection:
            many = ", ".join(f"crm.order_history AS h{n}" for n in range(6))
            connection.execute(f"SELECT count(*) FROM {many}")  # type: ignore[arg-type]

    def _ask_for_connections(self) -> None:
        with ExitStack() as held:
            accepted = 0
            for _ in range(200):
                with suppress(psycopg.OperationalError):
                    held.enter_context(self._role.connect())
                    accepted += 1
            self.accepted = max(self.accepted, accepted)
            self._stop.wait(0.2)


@pytest.mark.parametrize(
    "seconds",
    [0, pytest.param(300, marks=(pytest.mark.faults, pytest.mark.timeout(600)))],
    ids=["once", "five minutes"],
)
def test_a_reader_who_does_its_worst_stops_nobody(
    mirror: Mirror, database: str, make_role: MakeRole, seconds: float, record_property: Any
) -> None:
    """Dispatch, a feed, a load, a change of the schema and `migrate` go on, whatever it leaves
    open, locks, asks for or multiplies."""
    role = make_role()
    readers.grant(mirror.engine, role.name, store_ids=None, is_masked=False)
    limits.settle(mirror.engine, role.name, Limits(connections=8, idle="200ms", statement="500ms"))
    began, turns, longest = time.monotonic(), 0, 0.0
    with Worst(role) as worst:
        while (
            turns == 0
            or time.monotonic() - began < seconds
            or not (worst.refused and worst.accepted)
        ):
            turn = time.monotonic()
            dispatching.claim(mirror.services)
            order = min(mirror.live("orders"))
            mirror.account.update_order(order, managerComment=f"turn {turns}")
            mirror.come_to_rest()
            assert mirror.value(
                "SELECT manager_comment FROM crm.orders WHERE id = :id", id=order
            ) == (f"turn {turns}")
            mirror.queue("orders", "backfill")
            mirror.settle()
            Patience(mirror.engine, say=lambda _: None).run(
                lambda c, n=turns: c.exec_driver_sql(f"ALTER TABLE crm.orders ADD later_{n} text"),
                what="a revision",
            )
            migrate.upgrade(database)
            turns += 1
            longest = max(longest, time.monotonic() - turn)
    record_property("turns", turns)
    record_property("longest turn, seconds", round(longest, 1))
    print(f"\n{turns} turns, the longest {longest:.1f} s, {worst.ended} sessions ended, at most"
          f" {worst.accepted} connections at once")  # fmt: skip
    assert any("permission denied for table orders" in text for text in worst.refused)
    assert 0 < worst.accepted <= 8
    mirror.assert_equal_to_oracle()
