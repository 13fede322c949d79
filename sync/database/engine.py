"""The connection pool of a process, and its transactions as `with` blocks.

    with reading(engine) as connection:   reads; Postgres refuses a write
    with writing(engine) as connection:   writes; the caller repeats the whole when it fails
    for attempt in attempts(engine):      writes that are repeated here after a deadlock or a race,
        with attempt as connection:       so that what led to them (an answer) is not lost

The engine is made at first use, after a worker has forked. What holds in a transaction, encoding,
time zone, time limits, is the contract's (contract.py). Error messages lose the rows they quote
before anybody can log them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Event
from types import TracebackType

import psycopg.errors
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from sync.database import contract
from sync.errors import Overtaken, TryLater, UnexpectedData
from sync.telemetry.redact_errors import first_line

SILENCE_SECONDS = 30
"""A server that acknowledges nothing for so long counts as gone: a lost network sends no error."""
_RETRIED = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
_READ_ONLY = psycopg.errors.ReadOnlySqlTransaction.sqlstate
_TOO_MUCH = "54"
"""The class of SQLSTATE of what is too large for Postgres: it will be so the next time, too."""
_ATTEMPTS = 5


def connect(
    url: str,
    *,
    size: int = 20,
    name: str = "mirror",
    wait_seconds: float = 30,
) -> sa.Engine:
    """Return a pool of at most `size` connections; nothing is opened yet.

    A caller that finds all of them taken waits for one, `wait_seconds` at most.
    """
    made = contract.engine(
        url,
        pool_size=min(size, 5),
        max_overflow=max(size - 5, 0),
        pool_timeout=wait_seconds,
        pool_pre_ping=True,
        # A worker lives for weeks; behind a proxy a connection may not.
        pool_recycle=1800,
        connect_args={
            "application_name": name,
            "connect_timeout": 10,
            "tcp_user_timeout": SILENCE_SECONDS * 1000,
            "keepalives_idle": SILENCE_SECONDS // 3,
            "keepalives_interval": SILENCE_SECONDS // 6,
            "keepalives_count": 4,
        },
    )
    sa.event.listen(made, "handle_error", _without_rows)
    return made


def _without_rows(context: sa.ExceptionContext) -> None:
    """Cut an error's message where its values begin (redact_errors.py); `diag` still has them."""
    origin = context.original_exception
    if isinstance(origin, psycopg.Error):
        line = first_line(origin)
        origin.args = (line,)
        if context.sqlalchemy_exception is not None:
            kind = type(origin)
            context.sqlalchemy_exception.args = (f"({kind.__module__}.{kind.__qualname__}) {line}",)


@contextmanager
def outages() -> Iterator[None]:
    """Turn errors of a Postgres that is out of reach into TryLater, whatever was being done."""
    try:
        yield
    except NoConnectionFree as error:
        raise TryLater("Postgres does not answer: every connection of the pool is taken") from error
    except (OperationalError, InterfaceError) as error:
        if (getattr(error.orig, "sqlstate", None) or "").startswith(_TOO_MUCH):
            raise UnexpectedData(
                f"The data exceed a limit of Postgres: {first_line(error)}"
            ) from error
        told = contract.refusal(error.orig)
        raise told or TryLater(f"Postgres could not serve us: {first_line(error)}") from error
    except DBAPIError as error:
        if (told := contract.refusal(error.orig)) is not None:
            raise told from error
        if error.connection_invalidated or _is_resource_error(error):
            raise TryLater(f"Postgres could not serve us: {first_line(error)}") from error
        raise


def _is_resource_error(error: DBAPIError) -> bool:
    """Tell whether Postgres could not serve us, by the class of SQLSTATE.

    The classes are 25 (a time limit ended the transaction), 53 (disk full, out of memory), 57
    (shutdown, cancelled by a limit) and 58 (I/O).
    """
    state = getattr(error.orig, "sqlstate", None) or ""
    return state[:2] in {"53", "57", "58", "25"}


Transaction = AbstractContextManager[sa.Connection, bool | None]


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a transaction that may only read; a write in it is a bug, and raises RuntimeError."""
    with outages(), engine.connect() as connection:
        connection.execution_options(postgresql_readonly=True)
        try:
            with connection.begin():
                yield connection
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == _READ_ONLY:
                raise RuntimeError(f"a read that writes: {first_line(error)}") from error
            raise


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a transaction that is tried once: a deadlock raises TryLater, as an outage does."""
    with outages(), engine.begin() as connection:
        yield connection


def attempts(engine: sa.Engine) -> Iterator[Transaction]:
    """Yield transactions until one of them commits: `for attempt in …: with attempt as …`.

    The body must be repeatable: it only reads and writes through the connection it is given. It may
    `return`; a value needed after the loop is assigned in the body.
    """
    return repeated(lambda: writing(engine))


def repeated(transaction: Callable[[], Transaction]) -> Iterator[Transaction]:
    """Yield new transactions while Postgres ends them to break a deadlock, five at most."""
    pause = Event()
    for number in range(1, _ATTEMPTS + 1):
        attempt = _Attempt(transaction(), is_last=number == _ATTEMPTS)
        yield attempt
        if not attempt.is_broken:
            return
        pause.wait(random.uniform(0.01, 0.05) * number)  # noqa: S311  jitter


class _Attempt(AbstractContextManager[sa.Connection, bool]):
    """A transaction that suppresses a deadlock or race of its body, so that the loop goes on."""

    def __init__(self, transaction: Transaction, *, is_last: bool) -> None:
        self._transaction = transaction
        self._is_last = is_last
        self.is_broken = False

    def __enter__(self) -> sa.Connection:
        return self._transaction.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        try:
            is_suppressed = bool(self._transaction.__exit__(kind, error, trace))
        except TryLater as failed:
            cause = getattr(failed.__cause__, "orig", None)
            # Without an error of the body, the commit failed. The body may have ended by a
            # `return`, after which the loop would not go on.
            if error is None or self._is_last or not isinstance(cause, _RETRIED):
                raise
        else:
            if self._is_last or not isinstance(error, Overtaken):
                return is_suppressed
        self.is_broken = True
        return True
