"""The connection pool of a process, and transactions that survive deadlocks.

The engine is made at first use, after a worker has forked. Sessions carry limits shorter than a
lease (lease.py): a stopped process can neither commit late nor hold locks for ever. Its errors have
lost the rows they happened to before anybody can log them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import TypeVar

import psycopg.errors
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from sync import faults
from sync.errors import TryLater
from sync.telemetry.told import first_line

TRANSACTION_SECONDS = faults.scaled(40)
IDLE_SECONDS = faults.scaled(20)
LOCK_SECONDS = faults.scaled(15)
SILENCE_SECONDS = 30
"""A server that acknowledges nothing for so long is gone: a dropped network says nothing."""
_RETRIED = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
_ATTEMPTS = 5
T = TypeVar("T")

_LIMITS = (
    f"-c transaction_timeout={TRANSACTION_SECONDS * 1000:.0f}ms "
    f"-c idle_in_transaction_session_timeout={IDLE_SECONDS * 1000:.0f}ms "
    f"-c lock_timeout={LOCK_SECONDS * 1000:.0f}ms "
    # A plan made for an empty table is a sequential scan, and would be kept while it fills.
    "-c plan_cache_mode=force_custom_plan "
    "-c timezone=UTC"
)


def connect(
    url: str,
    *,
    size: int = 20,
    name: str = "mirror",
    limits: str = _LIMITS,
    wait_seconds: float = 30,
) -> sa.Engine:
    """A pool of at most `size` connections; nothing is opened yet.

    Who finds all of them taken waits for one, `wait_seconds` at most.
    """
    made = sa.create_engine(
        url,
        pool_size=min(size, 5),
        max_overflow=max(size - 5, 0),
        pool_timeout=wait_seconds,
        pool_pre_ping=True,
        # A worker lives for weeks: behind a proxy a connection may not.
        pool_recycle=1800,
        hide_parameters=True,
        connect_args={
            "options": limits,
            "application_name": name,
            "connect_timeout": 10,
            "tcp_user_timeout": SILENCE_SECONDS * 1000,
            "keepalives_idle": SILENCE_SECONDS // 3,
            "keepalives_interval": SILENCE_SECONDS // 6,
            "keepalives_count": 4,
            # Statements are few and repeated: psycopg prepares them after five uses.
            "prepare_threshold": 5,
        },
    )
    sa.event.listen(made, "handle_error", _without_rows)
    return made


def _without_rows(context: sa.ExceptionContext) -> None:
    """Cut an error's message where its values begin (told.py); `diag` still has them."""
    origin = context.original_exception
    if isinstance(origin, psycopg.Error):
        line = first_line(origin)
        origin.args = (line,)
        if context.sqlalchemy_exception is not None:
            kind = type(origin)
            context.sqlalchemy_exception.args = (f"({kind.__module__}.{kind.__qualname__}) {line}",)


@contextmanager
def outages() -> Iterator[None]:
    """Turn "Postgres is out of reach" into TryLater, whatever was being done."""
    try:
        yield
    except NoConnectionFree as error:
        raise TryLater("Postgres does not answer: every connection of the pool is taken") from error
    except (OperationalError, InterfaceError) as error:
        raise TryLater(f"Postgres could not serve us: {first_line(error)}") from error
    except DBAPIError as error:
        if error.connection_invalidated or _is_resource_error(error):
            raise TryLater(f"Postgres could not serve us: {first_line(error)}") from error
        raise


def _is_resource_error(error: DBAPIError) -> bool:
    """SQLSTATE 53 (disk full, out of memory), 57 (shutdown, cancelled by a limit), 58 (I/O)."""
    state = getattr(error.orig, "sqlstate", None) or ""
    return state[:2] in {"53", "57", "58", "25"}


def in_transaction(engine: sa.Engine, work: Callable[[sa.Connection], T]) -> T:
    """Run `work` in one transaction, again when Postgres broke a deadlock by ending it.

    `work` must be repeatable: it only reads and writes through the connection it is given.
    """
    pause = Event()
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with outages(), engine.begin() as connection:
                return work(connection)
        except TryLater as error:
            cause = getattr(error.__cause__, "orig", None)
            if attempt == _ATTEMPTS or not isinstance(cause, _RETRIED):
                raise
            pause.wait(random.uniform(0.01, 0.05) * attempt)  # noqa: S311  jitter
    raise AssertionError("unreachable")
