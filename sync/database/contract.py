"""The contract with the Postgres server: what it has to be, and what holds in our transactions.

A role, a database, an environment variable or a pooler can give sessions other settings than ours,
and nothing would tell: a foreign encoding stores other letters than the API sent, a lost time limit
lets a stopped process hold its locks. So nothing is left to the session. Every transaction begins
with one message, `BEGIN …; SELECT set_config(…), …`, whose answer says what holds. Settings made
so last as long as the transaction, therefore a pooler in transaction mode cannot lose them or give
them to others. Start parameters (`options`) and prepared statements would not pass through it.

`engine` makes an engine that keeps the contract; `checks` shows it to people, row by row.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import psycopg.errors
import sqlalchemy as sa
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn
from sqlalchemy.exc import DBAPIError

from sync import failpoints
from sync.errors import NeedsOperator, SyncError, TryLater
from sync.telemetry import log
from sync.telemetry.redact_errors import first_line

OLDEST, NEWEST = 15, 18
"""The major versions that the mirror is tested on. A later one is used, an older one refused."""
ENCODING = "UTF8"
TRANSACTION_SECONDS = failpoints.scaled(40)
IDLE_SECONDS = failpoints.scaled(20)
LOCK_SECONDS = failpoints.scaled(15)


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of the session, in the form in which Postgres shows it; `since` is a version."""

    name: str
    value: str
    since: int = OLDEST


def shown(seconds: float) -> str:
    """Return a time as Postgres shows it: in the largest unit that it is a whole number of."""
    whole = round(seconds * 1000)
    for unit, size in (("min", 60_000), ("s", 1000)):
        if whole and whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}ms" if whole else "0"


MEANING = (
    Setting("client_encoding", ENCODING),
    Setting("DateStyle", "ISO, YMD"),
    Setting("IntervalStyle", "postgres"),
    Setting("TimeZone", "UTC"),
    Setting("extra_float_digits", "1"),
    Setting("standard_conforming_strings", "on"),
    Setting("search_path", "pg_catalog"),
    # An error instead of rows that a policy hides from a role which does not own the tables.
    Setting("row_security", "off"),
    # A plan made for an empty table is a sequential scan, and a function would keep it.
    Setting("plan_cache_mode", "force_custom_plan"),
)
"""The settings that give statements and their answers their meaning."""

COMPRESSION = Setting("default_toast_compression", "lz4")
"""The compression of long values where the server was built with it; else it is pglz, for a quarter
more of Postgres's CPU in a load (ops/docs/decisions/0008-loading-cost.md)."""
_HAS_LZ4 = (
    b"SELECT 'lz4' = ANY (enumvals) FROM pg_catalog.pg_settings"
    b" WHERE name = 'default_toast_compression'"
)

LIMITS = (
    Setting("lock_timeout", shown(LOCK_SECONDS)),
    Setting("statement_timeout", shown(TRANSACTION_SECONDS)),
    Setting("idle_in_transaction_session_timeout", shown(IDLE_SECONDS)),
    # A limit that a role has set is running already, and only a new one begins anew.
    Setting("transaction_timeout", "0", since=17),
    Setting("transaction_timeout", shown(TRANSACTION_SECONDS), since=17),
)
"""Limits shorter than a lease (lanes.py): a stopped process does not hold locks for ever.

Before 17 there is none for a whole transaction: each statement and each pause has its own.
"""


def engine(
    url: str,
    *,
    limits: Sequence[Setting] | None = None,
    connect_args: Mapping[str, object],
    **options: Any,
) -> sa.Engine:
    """Make an engine whose connections and transactions keep the contract.

    `connect_args` are added to the contract's own, `options` are those of `create_engine`. `limits`
    are LIMITS unless others are given; with none of them those of the role or database apply.
    """
    limits = LIMITS if limits is None else limits
    made = sa.create_engine(
        url,
        # Named in BEGIN, because a role may have another default.
        isolation_level="READ COMMITTED",
        hide_parameters=True,
        connect_args={
            # The one start parameter: what comes before the first transaction is UTF-8 as well.
            "client_encoding": "utf8",
            # A pooler gives the next transaction another connection, which knows none of them.
            "prepare_threshold": None,
            **connect_args,
        },
        **options,
    )
    heads: dict[int, tuple[bytes, list[Setting]]] = {}

    def begin(connection: sa.Connection) -> None:
        driver = _driver(connection)
        if driver.autocommit:
            return
        version = driver.info.server_version // 10_000
        if version not in heads:
            compression = [COMPRESSION] if run(connection, _HAS_LZ4) == ["t"] else []
            heads[version] = _head(version, [*limits, *compression])
        select, wanted = heads[version]
        _require(wanted, run(connection, _begin(driver) + select))

    sa.event.listen(made, "connect", _greet)
    sa.event.listen(made, "begin", begin)
    return made


def without_limits(connection: sa.Connection) -> None:
    """Let the open transaction take as long as it takes."""
    version = _driver(connection).info.server_version // 10_000
    for name in {each.name for each in LIMITS if each.since <= version}:
        connection.exec_driver_sql(f"SET LOCAL {name} = 0")


def _greet(driver: psycopg.Connection[object], record: object) -> None:
    """Refuse a server or database that cannot hold the mirror; what it told on connecting."""
    told = wrong_server(driver.info.server_version // 10_000) or wrong_encoding(
        driver.info.parameter_status("server_encoding") or ""
    )
    if told:
        driver.close()
        raise NeedsOperator(told)
    driver.read_only = False  # named in BEGIN, too
    if _reports(driver.pgconn, "default_transaction_read_only"):
        _tell_once(_READ_ONLY)


_READ_ONLY = (
    "The role or database is read-only by default (default_transaction_read_only), and the mirror"
    " writes all the same. If this is to keep a disk from filling up, stop the workers."
)


@functools.cache
def _tell_once(text: str) -> None:
    log().warning(text)


def wrong_server(version: int) -> str:
    """Return why a server of a major version is refused; the empty text when it is not."""
    if version >= OLDEST:
        return ""
    return f"Postgres {version} is too old: the mirror needs {OLDEST} or newer."


def wrong_encoding(encoding: str) -> str:
    """Return why a database with an encoding is refused; the empty text when it is not."""
    if encoding == ENCODING:
        return ""
    return (
        f"The database's encoding is {encoding or 'not known'}, and the mirror needs {ENCODING}, "
        "or letters would be lost. Make another one: "
        f"CREATE DATABASE mirror ENCODING '{ENCODING}' TEMPLATE template0"
    )


def _begin(driver: psycopg.Connection[object]) -> bytes:
    level = driver.isolation_level
    words = ["BEGIN"]
    if level is not None:
        words.append(f"ISOLATION LEVEL {level.name.replace('_', ' ')}")
    words.append("READ ONLY" if driver.read_only else "READ WRITE")
    return f"{' '.join(words)}; ".encode()


def _head(version: int, limits: Sequence[Setting]) -> tuple[bytes, list[Setting]]:
    wanted = [each for each in (*MEANING, *limits) if each.since <= version]
    calls = ", ".join(f"set_config('{each.name}', '{each.value}', true)" for each in wanted)
    return f"SELECT {calls}".encode(), wanted


def _require(wanted: Sequence[Setting], holds: Sequence[str]) -> None:
    wrong = [
        f"{setting.name} is {value}, not {setting.value}"
        for setting, value in zip(wanted, holds, strict=True)
        if setting.value != value
    ]
    if wrong:
        raise NeedsOperator(
            f"Postgres, or a pooler before it, does not keep our settings ({', '.join(wrong)}). "
            f"{_CURE}"
        )


_CURE = (
    "Let SYNC_DATABASE_URL name Postgres itself, or a pooler in session or transaction mode "
    "that passes SELECT set_config on."
)


def run(connection: sa.Connection, statements: bytes) -> list[str]:
    """Send statements in one message; return the first row of the last one, as text.

    A cursor cannot send BEGIN or COMMIT together with other statements: in one round trip, without
    a moment between them in which this process may be stopped. There are no parameters.
    """
    pgconn = _driver(connection).pgconn
    try:
        result = pgconn.exec_(statements)
        if result.status == ExecStatus.COMMAND_OK:
            return []
        if result.status == ExecStatus.TUPLES_OK:
            row = [result.get_value(0, column) for column in range(result.nfields)]
            return [(value or b"").decode() for value in row]
        if pgconn.status != ConnStatus.BAD:
            raise error_from_result(result)
        raise psycopg.OperationalError(result.get_error_message())
    except psycopg.Error as error:
        error.args = (first_line(error),)
        told = refusal(error, is_standby=_reports(pgconn, "in_hot_standby"))
        if told is not None:
            raise told from error
        is_lost = pgconn.status == ConnStatus.BAD
        if is_lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            None, None, error, psycopg.Error, hide_parameters=True, connection_invalidated=is_lost
        ) from error


def _driver(connection: sa.Connection) -> psycopg.Connection[object]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def _reports(pgconn: PGconn, setting: str) -> bool:
    """Tell whether Postgres reports a setting as on; a pooler may keep the report to itself."""
    return pgconn.parameter_status(setting.encode()) == b"on"


def refusal(error: BaseException | None, *, is_standby: bool = False) -> SyncError | None:
    """Return what an error says of a pooler or server that cannot serve us; None for others.

    `is_standby` is what Postgres reports of itself: its messages may be in any language.
    """
    if "statement pooling" in str(error):
        return NeedsOperator(f"The pooler before Postgres is in statement mode. {_CURE}")
    if isinstance(error, psycopg.errors.FeatureNotSupported) and (
        is_standby or "recovery" in str(error)
    ):
        return TryLater(
            "SYNC_DATABASE_URL leads to a standby, which takes no writes until it is promoted; "
            "of several hosts, target_session_attrs=read-write finds the primary"
        )
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return TryLater(
            "Postgres is in read-only mode and takes no writes; managed servers turn it on when"
            " their disk is nearly full"
        )
    return None


@dataclass(frozen=True, slots=True)
class Check:
    """A part of the contract, if it holds, and what to do when it does not."""

    check: str
    holds: bool
    cure: str = ""


def checks(connection: sa.Connection) -> list[Check]:
    """Return the contract row by row, as it holds in an open transaction of `engine`.

    The settings are read in a statement after the one that made them: a pooler that lets others in
    between, or forgets them, is found out.
    """
    driver = _driver(connection)
    version = driver.info.server_version // 10_000
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    old, foreign = wrong_server(version), wrong_encoding(encoding)
    rows = [
        Check(f"Postgres {version} is {OLDEST} or newer", not old, old),
        Check(f"the database is encoded in {ENCODING}", not foreign, foreign),
    ]
    rows += [
        Check(f"a transaction has {name} = {value}", now == value, _CURE)
        for name, value, now in _held(connection, version)
    ]
    rows += [Check(what, holds, cure) for what, holds, cure in _rights(connection)]
    return [replace(row, cure="") if row.holds else row for row in rows]


def _held(connection: sa.Connection, version: int) -> list[tuple[str, str, str]]:
    last = {each.name: each for each in (*MEANING, *LIMITS) if each.since <= version}
    calls = ", ".join(f"current_setting('{name}')" for name in last)
    found = connection.exec_driver_sql(f"SELECT {calls}").one()
    return [(name, last[name].value, now) for name, now in zip(last, found, strict=True)]


def _rights(connection: sa.Connection) -> list[tuple[str, bool, str]]:
    """Return the rights that `migrate` and the service need, with the statement that gives each."""
    user, database = connection.exec_driver_sql(
        "SELECT quote_ident(current_user), quote_ident(current_database())"
    ).one()
    found = connection.exec_driver_sql(
        "SELECT nspname, pg_has_role(nspowner, 'USAGE') FROM pg_namespace"
        " WHERE nspname IN ('crm', 'sync')"
    )
    owned = {schema: is_owned for schema, is_owned in found if schema}
    may_create = connection.exec_driver_sql(
        "SELECT has_database_privilege(current_database(), 'CREATE')"
    ).scalar_one()
    return [
        (f"{user} owns the schema {name}", owned[name], f"ALTER SCHEMA {name} OWNER TO {user}")
        if name in owned
        else (
            f"{user} may make the schema {name}",
            may_create,
            f"GRANT CREATE ON DATABASE {database} TO {user}",
        )
        for name in ("crm", "sync")
    ]
