"""The contract with the server holds whatever a role, a database or the environment says."""

from __future__ import annotations

import dataclasses
import datetime as dt
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql
from structlog.testing import capture_logs

from sync.database import contract, migrate
from sync.database.engine import attempts, connect, reading, writing
from sync.declare import Resource
from sync.embedded import Servers
from sync.embedded.postgres import DATABASE, USER
from sync.embedded.process import free_port
from sync.errors import NeedsOperator, TryLater
from sync.records.loaded import Loaded, Source
from sync.records.normalise import Normaliser, Row
from sync.resources import RESOURCES
from sync.rows import upsert
from sync.rows.upsert import load
from sync.settings import Settings
from sync.state import clock
from tests.conftest import url_of

STATUSES = RESOURCES["statuses"]
SENT = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
FOREIGN = {
    "client_encoding": "WIN1251",
    "DateStyle": "German, DMY",
    "IntervalStyle": "iso_8601",
    "TimeZone": "Asia/Tokyo",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "search_path": "elsewhere",
    "row_security": "on",
    "lock_timeout": "1h",
    "statement_timeout": "1h",
    "idle_in_transaction_session_timeout": "1h",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
}
"""What a database administrator may have set for everybody."""
_KEY = "A" * 43 + "="
Alter = Callable[..., None]


@pytest.fixture
def alter(servers: Servers, database: str) -> Iterator[Alter]:
    """Gives the test's database a setting for all who connect to it, or the role there."""
    name, role = sa.make_url(database).database or "", sa.make_url(database).username or ""

    def give(setting: str, value: str, *, by_role: bool = False) -> None:
        whose = sql.SQL("ROLE {} IN DATABASE {}" if by_role else "DATABASE {1}")
        with servers.postgres.connect("postgres") as connection:
            connection.execute(
                sql.SQL("ALTER {} SET {} = {}").format(
                    whose.format(sql.Identifier(role), sql.Identifier(name)),
                    sql.Identifier(setting),
                    sql.SQL(value) if setting == "search_path" else sql.Literal(value),
                )
            )

    return give


def store(connection: sa.Connection) -> int:
    return int(
        connection.exec_driver_sql(
            "INSERT INTO sync.store (name, url, account, api_key, key_fingerprint, zone)"
            " VALUES ('shop', 'u', 'a', '', '', 'Europe/Moscow') RETURNING id"
        ).scalar_one()
    )


def rows_of(resource: Resource, *names: str) -> list[Row]:
    records = [
        {"code": f"code-{number}", "name": name, "active": True, "ordering": number}
        for number, name in enumerate(names)
    ]
    batch = Normaliser(resource, dt.UTC, "UTC").batch(records, as_of=SENT)  # type: ignore[arg-type]
    return batch.rows


@pytest.mark.parametrize("whose", ["environment", "database", "role"])
def test_letters_are_stored_as_sent_whatever_encoding_the_session_was_given(
    database: str, alter: Alter, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    """An analyst who reads in UTF-8 finds the name that the API sent, and `raw` holds it too."""
    name = "Согласование №1 – ñ"
    if whose == "environment":
        monkeypatch.setenv("PGCLIENTENCODING", "WIN1251")
    else:
        alter("client_encoding", "WIN1251", by_role=whose == "role")
    engine = connect(database)
    with writing(engine) as connection:
        load(connection, STATUSES, store(connection), rows_of(STATUSES, name), source=Source.LOAD)
    engine.dispose()
    plain = sa.make_url(database).set(drivername="postgresql").render_as_string(False)
    with psycopg.connect(plain, client_encoding="utf8") as analyst:
        found = analyst.execute("SELECT name, raw->>'name' FROM crm.statuses").fetchall()
    assert found == [(name, name)]


def test_a_load_whose_letters_are_stored_otherwise_is_refused_whole(database: str) -> None:
    """Whatever it was that converted them: one row is read back, as bytes."""
    engine = connect(database)
    with writing(engine) as connection:
        store_id = store(connection)
        connection.exec_driver_sql(
            "CREATE FUNCTION crm.mangle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " NEW.raw := convert_from(convert_to(NEW.raw::text, 'UTF8'), 'WIN1251')::jsonb;"
            " RETURN NEW; END $$; CREATE TRIGGER mangle BEFORE INSERT ON crm.statuses"
            " FOR EACH ROW EXECUTE FUNCTION crm.mangle()"
        )
    rows = rows_of(STATUSES, "New", "Согласование")
    with pytest.raises(NeedsOperator, match="other letters"), writing(engine) as connection:
        load(connection, STATUSES, store_id, rows, source=Source.LOAD)
    with writing(engine) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM crm.statuses").scalar() == 0
        connection.exec_driver_sql("DROP TRIGGER mangle ON crm.statuses")
        load(connection, STATUSES, store_id, rows, source=Source.LOAD)
    engine.dispose()


def test_a_row_that_comes_in_between_repeats_the_transaction(database: str) -> None:
    """Another worker inserts the record after its absence was read: the second attempt counts it
    as a change, so that the number of live rows stays right."""
    engine = connect(database)
    with writing(engine) as connection:
        store_id = store(connection)
    theirs = rows_of(STATUSES, "theirs")
    later = dataclasses.replace(rows_of(STATUSES, "ours")[0], as_of=SENT + dt.timedelta(seconds=1))
    found: list[Loaded] = []
    real = upsert.hold

    def hold(*arguments: Any) -> dict[Any, bool]:
        if not found:
            found.append(Loaded())
            with writing(engine) as other:
                load(other, STATUSES, store_id, theirs)
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upsert, "hold", hold)
        for attempt in attempts(engine):
            with attempt as connection:
                found.append(load(connection, STATUSES, store_id, [later]))
    assert [(each.inserted, each.changed) for each in found[1:]] == [(0, 1)]
    engine.dispose()


@pytest.mark.parametrize("by_role", [False, True], ids=["database", "role"])
def test_everything_that_matters_is_ours_whatever_the_database_or_role_says(
    database: str, alter: Alter, *, by_role: bool
) -> None:
    """Every transaction holds the contract, writes, and reads moments as moments."""
    for setting, value in FOREIGN.items():
        alter(setting, value, by_role=by_role)
    engine = connect(database)
    with writing(engine) as connection:
        wrong = [check for check in contract.checks(connection) if not check.holds]
        told = connection.exec_driver_sql(
            "SELECT current_setting('transaction_isolation'), timestamptz '2026-01-31 12:00+00'"
        ).one()
        store_id = store(connection)
    assert wrong == []
    assert tuple(told) == ("read committed", SENT)
    assert clock.draw(engine, store_id) < clock.draw(engine, store_id)
    with reading(engine) as connection:
        assert connection.exec_driver_sql("SHOW transaction_read_only").scalar_one() == "on"
    engine.dispose()


def test_a_limit_that_a_role_set_does_not_end_our_transactions(
    database: str, alter: Alter, servers: Servers
) -> None:
    """One of a whole transaction runs from its beginning, and is begun anew as ours."""
    with servers.postgres.connect("postgres") as connection:
        if connection.info.server_version < 170_000:
            pytest.skip("Postgres before 17 has no limit for a whole transaction")
    alter("transaction_timeout", "400ms")
    engine = connect(database)
    with writing(engine) as connection:
        connection.exec_driver_sql("SELECT pg_sleep(0.8)")
    engine.dispose()


def test_long_values_are_compressed_by_lz4_where_the_server_can(database: str) -> None:
    """It costs Postgres a quarter less than pglz in a load, and not every build has it."""
    engine = connect(database)
    with writing(engine) as connection:
        can = connection.exec_driver_sql(
            "SELECT 'lz4' = ANY (enumvals) FROM pg_settings"
            " WHERE name = 'default_toast_compression'"
        ).scalar_one()
        connection.exec_driver_sql("CREATE TEMPORARY TABLE long (raw jsonb)")
        connection.exec_driver_sql(
            "INSERT INTO long SELECT jsonb_build_object('text', repeat('Москва ', 1000))"
        )
        used = connection.exec_driver_sql("SELECT pg_column_compression(raw) FROM long").scalar()
    assert used == ("lz4" if can else "pglz")
    engine.dispose()


def test_nothing_of_ours_stays_in_the_session(database: str) -> None:
    """A pooler gives it to others next."""
    engine = connect(database, size=1)
    shown = "SELECT name, setting FROM pg_settings WHERE context IN ('user', 'superuser')"
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        driver.autocommit = True
        before = driver.execute(shown).fetchall()
        driver.autocommit = False
        connection.exec_driver_sql("SELECT 1")
        connection.commit()
        driver.autocommit = True
        assert driver.execute(shown).fetchall() == before
        driver.autocommit = False
    engine.dispose()


@pytest.fixture(params=["LATIN1", "SQL_ASCII", "WIN1251"])
def foreign_database(request: pytest.FixtureRequest, servers: Servers) -> Iterator[str]:
    """A database in another encoding than the mirror's."""
    name = f"in_{request.param.lower()}"
    with servers.postgres.connect("postgres") as connection:
        connection.execute(
            f"CREATE DATABASE {name} ENCODING '{request.param}' LOCALE_PROVIDER libc LOCALE 'C'"
            " TEMPLATE template0"
        )
    yield url_of(servers, name)
    with servers.postgres.connect("postgres") as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_database_in_another_encoding_is_refused_in_a_sentence(foreign_database: str) -> None:
    """By `migrate` and by everything else; nothing is made in it."""
    sentence = r"The database's encoding is \w+, and the mirror needs UTF8, .* CREATE DATABASE"
    with pytest.raises(NeedsOperator, match=sentence):
        migrate.upgrade(foreign_database)
    engine = connect(foreign_database)
    with pytest.raises(NeedsOperator, match=sentence), reading(engine):
        pass
    engine.dispose()


def test_a_server_that_is_too_old_is_refused_in_a_sentence(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As 14 is, with this one in its place: a later release than any is needed."""
    monkeypatch.setattr(contract, "OLDEST", 99)
    with pytest.raises(NeedsOperator, match=r"^Postgres \d\d is too old: the mirror needs 99 or"):
        migrate.upgrade(empty_database)


def test_a_pooler_that_loses_a_setting_is_found_at_the_head_of_the_transaction(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says which setting does not hold, and what to do."""
    engine = connect(database)
    lost = (contract.Setting("lock_timeout", "12345ms"),)

    def forgetful(connection: sa.Connection, statements: bytes) -> list[str]:
        return ["0" for _ in run(connection, statements)]

    run = contract.run
    monkeypatch.setattr(contract, "run", forgetful)
    monkeypatch.setattr(contract, "MEANING", lost)
    told = r"lock_timeout is 0, not 12345ms.*SYNC_DATABASE_URL"
    with pytest.raises(NeedsOperator, match=told), writing(engine):
        pass
    engine.dispose()


def test_a_standby_is_read_and_takes_writes_once_it_is_promoted(own_servers: Servers) -> None:
    """One sentence until then, whatever the language of the server's messages."""
    postgres = own_servers.postgres
    postgres.stop()
    (postgres.data / "standby.signal").touch()
    postgres.account.own(postgres.data / "standby.signal")
    postgres.start()
    engine = connect(postgres.url, size=1)
    with reading(engine) as connection:
        assert connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar() is True
    told = r"^SYNC_DATABASE_URL leads to a standby, which takes no writes until it is promoted; of"
    with pytest.raises(TryLater, match=told), writing(engine):
        pass
    with pytest.raises(TryLater, match=told):
        migrate.upgrade(postgres.url)
    with postgres.connect() as connection:
        connection.execute("SELECT pg_promote()")
    with writing(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE public.written ()")
    engine.dispose()


def test_several_hosts_and_a_socket_lead_to_the_server(own_servers: Servers) -> None:
    """However an operator writes them: the first host that serves is used, for migrations too."""
    postgres = own_servers.postgres
    folder = Path(tempfile.mkdtemp(prefix="socket-"))  # a socket's path has to be short
    postgres.account.own(folder)
    postgres.settings = {**postgres.settings, "unix_socket_directories": str(folder)}
    postgres.restart()
    login, dead = f"{USER}:{postgres.password}", free_port(None)
    try:
        for where, is_local in (
            (f"127.0.0.1:{dead},127.0.0.1:{postgres.port}/{DATABASE}", False),
            (f"/{DATABASE}?host=127.0.0.1,127.0.0.1&port={dead},{postgres.port}", False),
            (f"/{DATABASE}?host={folder}&port={postgres.port}", True),
            (f"{quote(str(folder), safe='')}:{postgres.port}/{DATABASE}", True),
        ):
            told = Settings.from_env(
                {"SYNC_DATABASE_URL": f"postgresql://{login}@{where}", "SYNC_SECRET_KEY": _KEY}
            ).database_url
            assert told is not None
            engine = connect(told.get_secret_value(), size=1)
            with reading(engine) as connection:
                asked = "SELECT inet_server_addr() IS NULL"
                assert connection.exec_driver_sql(asked).scalar() is is_local, where
            migrate.upgrade(told.get_secret_value(), "0016")
            engine.dispose()
    finally:
        postgres.stop()
        folder.rmdir()


def test_a_server_that_takes_no_writes_says_so_in_one_sentence(database: str) -> None:
    """Managed ones turn a whole server read-only before its disk is full; work waits."""
    engine = connect(database)
    told = r"^Postgres is in read-only mode and takes no writes; managed servers turn it on when"
    with pytest.raises(TryLater, match=told), writing(engine) as connection:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY; CREATE TABLE public.written ()")
    engine.dispose()


def test_a_database_that_is_read_only_by_default_is_told_once(database: str, alter: Alter) -> None:
    """The mirror writes, since a role's default is none of its business; a person learns of it."""
    contract._tell_once.cache_clear()
    alter("default_transaction_read_only", "on")
    engine = connect(database)
    with capture_logs() as told, writing(engine) as connection, writing(engine):
        store(connection)
    engine.dispose()
    [line] = told
    assert "read-only by default (default_transaction_read_only), and the mirror" in line["event"]


def test_the_checks_name_the_right_that_a_role_lacks(empty_database: str, servers: Servers) -> None:
    """With the statement that gives it."""
    with servers.postgres.connect("postgres") as connection:
        connection.execute("CREATE ROLE weak LOGIN PASSWORD 'weak'")
    try:
        weak = sa.make_url(empty_database).set(username="weak", password="weak")
        engine = connect(weak.render_as_string(hide_password=False))
        with reading(engine) as connection:
            wrong = [check for check in contract.checks(connection) if not check.holds]
        engine.dispose()
        assert [check.check for check in wrong] == [
            "weak may make the schema crm",
            "weak may make the schema sync",
        ]
        assert {check.cure for check in wrong} == {
            f"GRANT CREATE ON DATABASE {sa.make_url(empty_database).database} TO weak"
        }
    finally:
        with servers.postgres.connect("postgres") as connection:
            connection.execute("DROP ROLE weak")
