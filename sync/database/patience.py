"""Changes of the schema beside people who read: short tries at each lock, and everybody passes.

A statement that waits for a table holds up every reader that comes after it. So a try waits
TRY_SECONDS for a lock, is rolled back, and comes again after a pause, while all others pass. What
is in the way is told by name as soon as it is known, with the command that ends it.

Everything is set for the transaction alone, so that it also holds behind a pooler that gives each
transaction another connection.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Self, TypeVar

import sqlalchemy as sa
from psycopg import errors
from sqlalchemy.exc import DBAPIError

from sync.database.engine import outages
from sync.errors import SyncError, TryLater
from sync.telemetry import log

TRY_SECONDS = 1.5
"""The longest wait of a try for one lock, and so the longest that a reader is held up."""
WAIT_SECONDS = 600.0
"""The longest that all pauses of a run take together."""
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
STATEMENT_SECONDS = 900
IDLE_SECONDS = 300
"""A run that was stopped in the middle of a transaction lets go of its locks after so long."""
_LOOK_SECONDS = 0.3
_TOLD_SECONDS = (5.0, 30.0)
_DEADLOCK = errors.DeadlockDetected.sqlstate
_IN_THE_WAY = frozenset({errors.LockNotAvailable.sqlstate, _DEADLOCK})
MADE_BY_ANOTHER = frozenset({
    errors.UniqueViolation.sqlstate, errors.DuplicateSchema.sqlstate,
    errors.DuplicateTable.sqlstate,
})  # fmt: skip
"""The errors of the second of two runs that make the same thing: tried again, it finds it made."""
_BLOCKERS = """
SELECT b.pid, a.usename, a.application_name, a.backend_type,
    extract(epoch FROM clock_timestamp() - a.xact_start)
FROM unnest(pg_blocking_pids(%s)) AS b (pid) LEFT JOIN pg_stat_activity AS a ON a.pid = b.pid
ORDER BY a.xact_start NULLS LAST LIMIT 3
"""
# Joined with pg_settings, because Postgres below 17 has no transaction_timeout.
_LIMITS = """
SELECT set_config(s.name, v.value, true) FROM (VALUES
    ('statement_timeout', %s), ('lock_timeout', %s),
    ('idle_in_transaction_session_timeout', %s), ('transaction_timeout', '0')
) AS v (name, value) JOIN pg_settings AS s ON s.name = v.name
"""

Say = Callable[[str], None]
T = TypeVar("T")


def warn(text: str) -> None:
    """Tell what is waited for as a line of the log."""
    log().warning(text)


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session that holds what is waited for. Its age may be hidden from our role."""

    pid: int
    user: str | None
    application: str | None
    age_seconds: float | None

    def __str__(self) -> str:
        if self.pid == 0:
            return (
                "a prepared transaction (SELECT gid FROM pg_prepared_xacts; to end it: ROLLBACK"
                " PREPARED 'gid')"
            )
        age = "of unknown age" if self.age_seconds is None else f"{_told(self.age_seconds)} old"
        return (
            f"pid {self.pid} (user {self.user or 'unknown'}, application "
            f"{self.application or 'unnamed'}, its transaction is {age}; to end it: SELECT"
            f" pg_terminate_backend({self.pid}))"
        )


def _told(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


@dataclass
class Patience:
    """The tries of one run. `say` is told who is in the way; `seconds` limits all its pauses.

    `engine` lends two connections: one for the work, one to look at what blocks it.
    """

    engine: sa.Engine
    say: Say = warn
    seconds: float = WAIT_SECONDS
    pause: Callable[[float], object] = field(default_factory=lambda: threading.Event().wait)
    _paused: float = 0
    _blockers: tuple[Blocker, ...] = ()

    def run(
        self,
        body: Callable[[sa.Connection], T],
        *,
        what: str,
        passing: Collection[str | None] = (),
    ) -> T:
        """Return what `body` returns for a transaction that committed; it may be begun often.

        `what` names it in messages, as a clause without a verb. `passing` are SQLSTATEs that pass,
        besides those of locks. Raises TryLater when something stays in the way for longer than the
        run has patience, naming it.
        """
        self._blockers = ()
        for number in count():
            try:
                with self._begun() as connection:
                    return body(connection)
            except DBAPIError as error:
                if not _passes(error, {*_IN_THE_WAY, *passing}):
                    with outages():
                        raise
                self._wait(number, what, error)
        raise AssertionError  # count() has no end

    @contextmanager
    def _begun(self) -> Iterator[sa.Connection]:
        with self.engine.begin() as connection:
            limit(connection, lock_seconds=TRY_SECONDS)
            pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            with _Watch(self.engine, pid, self.say) as watch:
                try:
                    yield connection
                finally:
                    self._blockers = watch.seen or self._blockers

    def _wait(self, number: int, what: str, error: DBAPIError) -> None:
        names = " and ".join(map(str, self._blockers)) or "a session that was gone before a look"
        if self._paused >= self.seconds:
            raise TryLater(
                f"{what[0].upper()}{what[1:]} waited for {_told(self.seconds)} for locks, in short"
                f" tries. In the way: {names}"
            ) from error
        jitter = random.uniform(0.8, 1.2)  # noqa: S311  two runs must not try in step
        seconds = min(PAUSES[min(number, len(PAUSES) - 1)] * jitter, self.seconds - self._paused)
        told = f"{what[0].upper()}{what[1:]} waits for {names}"
        if _state(error) == _DEADLOCK:
            told += ", which waited for it in turn: Postgres ended this try (deadlock)"
        self.say(
            f"{told}. Everybody else passes; the next try is in {seconds:.0f} s, and tries go on"
            f" for {_told(self.seconds - self._paused)}."
        )
        self._paused += seconds
        self.pause(seconds)


def _passes(error: DBAPIError, states: Collection[str | None]) -> bool:
    """Tell whether an error is one of two that work at once, and gone at the next try."""
    if _state(error) in states:
        return True
    # A GRANT takes no lock on its table, and fails beside another statement about it.
    return isinstance(error.orig, errors.InternalError_) and "concurrently" in str(error.orig)


def _state(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def limit(connection: sa.Connection, *, lock_seconds: float) -> None:
    """Set the time limits of this transaction; 0 waits for a lock for ever."""
    binds = (f"{STATEMENT_SECONDS}s", f"{lock_seconds * 1000:.0f}ms", f"{IDLE_SECONDS}s")
    connection.exec_driver_sql(_LIMITS, binds)


class _Watch:
    """A look, from a thread of its own, at what a backend waits for, while it works."""

    def __init__(self, engine: sa.Engine, pid: int, say: Say) -> None:
        self.seen: tuple[Blocker, ...] = ()
        self._engine, self._pid, self._say = engine, pid, say
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="patience", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        if self._is_over.wait(_LOOK_SECONDS):
            return
        try:
            with outages(), self._engine.connect() as connection:
                self._watch(connection)
        except (SyncError, DBAPIError) as error:  # without a second connection nobody is named
            log().debug("what is in the way cannot be seen", reason=str(error))

    def _watch(self, connection: sa.Connection) -> None:
        tell_at = time.monotonic() + _TOLD_SECONDS[0]
        while True:
            rows = connection.exec_driver_sql(_BLOCKERS, (self._pid,)).all()
            connection.rollback()
            now = tuple(
                Blocker(pid, user, application or kind, None if age is None else float(age))
                for pid, user, application, kind, age in rows
            )
            self.seen = now or self.seen
            if not now:
                tell_at = max(tell_at, time.monotonic() + _TOLD_SECONDS[0])
            elif time.monotonic() >= tell_at:
                tell_at = time.monotonic() + _TOLD_SECONDS[1]
                self._say(f"Waiting for {' and '.join(map(str, now))}.")
            if self._is_over.wait(_LOOK_SECONDS):
                return
