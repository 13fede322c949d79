"""Behind pgbouncer everything is as without it, or one sentence says what to change."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa

from sync.database import contract
from sync.database.engine import connect, reading, writing
from sync.embedded import Servers
from sync.errors import NeedsOperator
from tests.pooler import PROGRAM, pooler, through

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")
TWO = 2


@pytest.fixture(params=["session", "transaction"])
def pooled(request: pytest.FixtureRequest, servers: Servers, database: str) -> Iterator[str]:
    """The URL of a database behind a pgbouncer with two connections to it."""
    with pooler(servers, mode=request.param, size=TWO) as port:
        yield through(database, port)


def test_the_contract_holds_behind_a_pooler(pooled: str) -> None:
    """As it comes, without a setting of the pooler: time limits too."""
    engine = connect(pooled, size=TWO)
    for _ in range(3):
        with writing(engine) as connection:
            assert [each for each in contract.checks(connection) if not each.holds] == []
    engine.dispose()


def test_statements_repeated_through_a_pooler_are_not_prepared(
    servers: Servers, database: str
) -> None:
    """More clients than connections to Postgres, the same statements again and again: none finds
    one that another has prepared, or misses its own."""
    failed: list[BaseException] = []
    with pooler(servers, mode="transaction", size=TWO) as port:
        engine = connect(through(database, port), size=6)

        def work() -> None:
            try:
                for number in range(30):
                    with writing(engine) as connection:
                        for _ in range(3):
                            found = connection.exec_driver_sql("SELECT %s::int", (number,))
                            assert found.scalar_one() == number
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        engine.dispose()
    assert failed == []


def test_other_clients_of_the_pooler_get_nothing_of_ours(servers: Servers, database: str) -> None:
    """Between our transactions the connection is theirs, with their settings."""
    with pooler(servers, mode="transaction", size=1) as port:
        url = through(database, port)
        plain = sa.make_url(url).set(drivername="postgresql").render_as_string(False)
        engine = connect(url, size=1)
        shown = "SELECT name, setting FROM pg_settings WHERE context = 'user' AND name <> %s"
        with psycopg.connect(plain, autocommit=True, prepare_threshold=None) as other:
            before = other.execute(shown, ["application_name"]).fetchall()
            with writing(engine) as connection:
                connection.exec_driver_sql("SELECT 1")
            assert other.execute(shown, ["application_name"]).fetchall() == before
        engine.dispose()


def test_a_pooler_in_statement_mode_is_refused_in_a_sentence(
    servers: Servers, database: str
) -> None:
    """Every statement would be a transaction of its own."""
    with pooler(servers, mode="statement") as port:
        engine = connect(through(database, port), size=1)
        told = "in statement mode. Let SYNC_DATABASE_URL"
        with pytest.raises(NeedsOperator, match=told), reading(engine):
            pass
        engine.dispose()
