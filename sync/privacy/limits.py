"""Limits of readers, so that a notebook left open fills no disk and holds up no migration.

A role that is told nothing gets the limits of `Limits`. What a role has already, by whomever, is
kept: limits are changed by an option alone. All but the number of connections hold in the mirror's
database only. What our role may not set is told with the statement that somebody else has to run.

A reader can lift its own limits of time (SET statement_timeout = 0, ALTER ROLE), not the others. So
what it was granted is kept in `sync.reader`, whatever its role has since, and `migrate` ends
sessions that are over that and in its way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import DataError, ProgrammingError

from sync.database.engine import reading, writing
from sync.database.quoting import literal, quoted
from sync.errors import BadRequest
from sync.privacy import readers
from sync.telemetry.redact_errors import first_line


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits asked for. None leaves what the role has; the default where it has none."""

    connections: int | None = None
    statement: str | None = None
    idle: str | None = None
    temp: str | None = None


DEFAULTS = Limits(connections=10, statement="10min", idle="5min", temp="5GB")
"""A statement ends before a migration, which tries for ten minutes, gives up."""
_SETTINGS = {
    "statement": "statement_timeout",
    "idle": "idle_in_transaction_session_timeout",
    "temp": "temp_file_limit",
}
_WORDS = {
    "connections": "{} connections",
    "statement_timeout": "a statement {}",
    "idle_in_transaction_session_timeout": "an idle transaction {}",
    "temp_file_limit": "temporary files of a session {}",
}
# A setting of the role in this database goes before one of the role in all.
_THERE = (
    "SELECT DISTINCT ON (1) split_part(s.text, '=', 1), substr(s.text, strpos(s.text, '=') + 1)"
    " FROM pg_db_role_setting AS d CROSS JOIN LATERAL unnest(d.setconfig) AS s(text)"
    " WHERE d.setrole = %s::regrole AND d.setdatabase IN (0, (SELECT oid FROM pg_database"
    " WHERE datname = current_database())) ORDER BY 1, d.setdatabase DESC"
)
_NOTED = (
    "SELECT l.name, l.ms || 'ms' FROM sync.reader AS g CROSS JOIN LATERAL (VALUES"
    " ('statement_timeout', g.statement_ms),"
    " ('idle_in_transaction_session_timeout', g.idle_ms)) AS l(name, ms)"
    " WHERE g.role = %s AND l.ms IS NOT NULL"
)
_ROLE = (
    "SELECT rolconnlimit, rolcanlogin, rolsuper, current_database() FROM pg_roles"
    " WHERE rolname = %s"
)
# What is over the limits of time that it was granted although these were to end it.
_OVERDUE = """
SELECT a.pid, a.usename, a.state FROM pg_stat_activity AS a
JOIN sync.reader AS g ON g.role = a.usename
WHERE a.datname = current_database() AND (
    (a.state = 'active' AND clock_timestamp() - a.query_start
        > make_interval(secs => g.statement_ms / 1000.0 + %(grace)s))
    OR (a.state LIKE 'idle in transaction%%' AND clock_timestamp() - a.state_change
        > make_interval(secs => g.idle_ms / 1000.0 + %(grace)s)))
"""
GRACE_SECONDS = 10.0
_LIFTED = (
    "A reader can lift its own limits of time (SET statement_timeout = 0): what holds are"
    " connections and temporary files, and `migrate` ends sessions that are over the limits and in"
    " its way. To end one yourself: SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE usename = {}"
)


def settle(engine: sa.Engine, role: str, asked: Limits) -> list[str]:
    """Set a role's limits; return, in sentences, those that it has now, and what was not set."""
    with reading(engine) as connection:
        there, noted = _there(connection, role), _noted(connection, role)
        connections, can_login, is_super, database = connection.exec_driver_sql(
            _ROLE, (role,)
        ).one()
    if is_super:
        return [f"No limits: {role} is a superuser, whom none holds."]
    refused = []
    for what, statement in _statements(role, database, asked, there, noted, connections):
        if reason := _run(engine, statement):
            refused.append((what, reason, statement))
    given = {name: value for what, name in _SETTINGS.items() if (value := getattr(asked, what))}
    with writing(engine) as connection:
        # What the role has counts where nothing was noted: the reader may have altered it since.
        has = _there(connection, role)
        readers.keep_limits(connection, role, has | _noted(connection, role) | given)
        told = [_told(connection, role)]
    if not can_login:
        told.append(
            f"{role} cannot log in: these limits do not reach its members, who have limits of their"
            " own."
        )
    if refused:
        reasons = "; ".join(f"{what} ({reason})" for what, reason, _ in refused)
        statements = " ".join(f"{statement};" for _, _, statement in refused)
        told.append(f"Not set: {reasons}. Let a superuser run: {statements}")
    return [*told, _LIFTED.format(literal(role))]


def lift(engine: sa.Engine, role: str) -> list[str]:
    """Take a role's limits away; return, in sentences, those that it still has."""
    with reading(engine) as connection:
        database = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        connections = connection.exec_driver_sql(_ROLE, (role,)).one()[0]
    unset = [] if connections < 0 else [f"ALTER ROLE {quoted(role)} CONNECTION LIMIT -1"]
    return _reset(engine, role, database, unset)


def forget(engine: sa.Engine, role: str) -> list[str]:
    """Take a role's limits in this database away; return, in sentences, those that it keeps."""
    with reading(engine) as connection:
        database = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        if connection.exec_driver_sql(_ROLE, (role,)).one_or_none() is None:
            return []
    return _reset(engine, role, database, [])


def end_overdue(engine: sa.Engine) -> Iterator[str]:
    """End readers' sessions that are over what `grant` gave them; yield a sentence for each.

    What their roles have by now does not matter. Without the right to see or end sessions of other
    roles nothing is ended.
    """
    with reading(engine) as connection:
        found = connection.exec_driver_sql(_OVERDUE, {"grace": GRACE_SECONDS}).all()
    for pid, role, state in found:
        if not _run(engine, f"SELECT pg_terminate_backend({pid:d})"):
            yield f"Ended pid {pid} of the reader {role}, which was {state} beyond its limits."


def _statements(
    role: str,
    database: str,
    asked: Limits,
    there: dict[str, str],
    noted: dict[str, str],
    connections: int,
) -> Iterator[tuple[str, str]]:
    """Yield the limits to set, in words, each with its statement."""
    wanted = asked.connections
    if wanted is None and connections < 0:
        wanted = DEFAULTS.connections
    if wanted is not None and wanted != connections:
        yield (
            _WORDS["connections"].format(wanted),
            f"ALTER ROLE {quoted(role)} CONNECTION LIMIT {wanted:d}",
        )
    for name, setting in _SETTINGS.items():
        value = getattr(asked, name)
        if value is None and setting not in there:
            value = noted.get(setting, getattr(DEFAULTS, name))
        if value is not None and value != there.get(setting):
            yield (
                _WORDS[setting].format(value),
                f"ALTER ROLE {quoted(role)} IN DATABASE {quoted(database)}"
                f" SET {setting} = {literal(value)}",
            )


def _reset(engine: sa.Engine, role: str, database: str, statements: list[str]) -> list[str]:
    with reading(engine) as connection:
        there = _there(connection, role)
    statements = statements + [
        f"ALTER ROLE {quoted(role)} IN DATABASE {quoted(database)} RESET {setting}"
        for setting in _SETTINGS.values()
        if setting in there
    ]
    refused = [(reason, each) for each in statements if (reason := _run(engine, each))]
    with writing(engine) as connection:
        readers.keep_limits(connection, role, {})
        told = [_told(connection, role)]
    if refused:
        told.append(
            f"Not lifted: {refused[0][0]}. Let a superuser run: "
            + " ".join(f"{statement};" for _, statement in refused)
        )
    return told


def _there(connection: sa.Connection, role: str) -> dict[str, str]:
    rows = connection.exec_driver_sql(_THERE, (quoted(role),)).all()
    return {name: value for name, value in rows if name in _SETTINGS.values()}


def _noted(connection: sa.Connection, role: str) -> dict[str, str]:
    """Return the limits of time that a reader was granted."""
    rows = connection.exec_driver_sql(_NOTED, (role,)).all()
    return {name: value for name, value in rows}  # noqa: C416  a row is no tuple to mypy


def _told(connection: sa.Connection, role: str) -> str:
    """Return a role's limits in words, as Postgres has them now."""
    connections = connection.exec_driver_sql(_ROLE, (role,)).one()[0]
    there = _there(connection, role)
    parts = [_WORDS["connections"].format(connections)] if connections >= 0 else []
    parts += [_WORDS[name].format(there[name]) for name in _SETTINGS.values() if name in there]
    return f"Limits of {role}: {', '.join(parts) or 'none'}."


def _run(engine: sa.Engine, statement: str) -> str:
    """Run a statement in a transaction of its own; return why Postgres refused it, or "".

    BadRequest for a value that is out of Postgres's range.
    """
    try:
        with writing(engine) as connection:
            connection.exec_driver_sql(statement.replace("%", "%%"))
    except ProgrammingError as error:
        return first_line(error)
    except DataError as error:
        raise BadRequest(f"Postgres takes no such limit: {statement}") from error
    return ""
