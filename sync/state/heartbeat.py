"""Heartbeats: the living processes, on which leases depend, and proof that queues are consumed."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable
from threading import Event, Lock, Thread
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from sync import failpoints
from sync.database.engine import connect, writing
from sync.errors import SyncError, TryLater
from sync.telemetry import log, told

BEAT_SECONDS = failpoints.scaled(5)
FRESH_SECONDS = failpoints.scaled(20)
"""A process whose last beat is older is taken for dead, and its leases may be taken over."""
WORKING_SECONDS = 120.0
"""The age of a process's last task of a queue up to which it counts as a consumer. A busy worker
ends a task of each queue much more often; a restart takes less."""


_BEAT = sa.text(
    "INSERT INTO sync.worker (id, host, pid, started_at, beat_at)"
    " VALUES (:id, :host, :pid, clock_timestamp(), clock_timestamp())"
    " ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at"
)


class Heart:
    """A process's heartbeat: a row of `sync.worker`, renewed by a thread of its own.

    The thread has its own connection, so that work which takes every connection of the pool does
    not stop it. A stopped process stops beating. While Postgres is away nothing beats, and nobody
    can take leases over; they live on with the next beat.
    """

    def __init__(self) -> None:
        self.id = str(uuid4())
        self._begun: str | None = None
        self._lock = Lock()
        self._ended = Event()
        self._owed: deque[Callable[[sa.Connection], object]] = deque()

    def owe(self, work: Callable[[sa.Connection], object]) -> None:
        """Have `work` done with the next beat that succeeds.

        It gives back a lease that could not be given back while Postgres was away: as long as this
        process lives, no other may take it.
        """
        self._owed.append(work)

    def beating(self, url: str) -> str:
        """Return the id this process holds leases by; TryLater until its first beat is written."""
        with self._lock:
            if self._begun is None:
                self._begin(url)
            return self.id

    def end(self) -> None:
        """Stop beating."""
        self._ended.set()

    def _begin(self, url: str) -> None:
        engine = connect(url, size=1, name=f"heart:{os.getpid()}")
        try:
            self._beat(engine)
        except TryLater:
            engine.dispose()
            raise
        Thread(target=self._go_on, args=(engine,), name="heart", daemon=True).start()
        self._begun = url

    def _go_on(self, engine: sa.Engine) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self._beat(engine)
                self._pay(engine)
            except (TryLater, SQLAlchemyError) as error:
                log().warning("no heartbeat", reason=told(error))
        engine.dispose()

    def _pay(self, engine: sa.Engine) -> None:
        while self._owed:
            try:
                with writing(engine) as connection:
                    self._owed[0](connection)
            except TryLater:
                raise
            except SyncError as error:
                log().info("no longer owed", reason=told(error))
            self._owed.popleft()

    def _beat(self, engine: sa.Engine) -> None:
        about = {"id": self.id, "host": socket.gethostname(), "pid": os.getpid()}
        with writing(engine) as connection:
            connection.execute(_BEAT, about)


def consumed(
    connection: sa.Connection, *, process: str, queue: str, egress: str | None = None
) -> None:
    """Note that a process, which sends from `egress`, ended a task; write at most once a second."""
    connection.execute(
        sa.text(
            "INSERT INTO sync.heartbeat AS h (process, queue, consumed_at, egress)"
            " VALUES (:process, :queue, clock_timestamp(), :egress)"
            " ON CONFLICT (process, queue) DO UPDATE"
            " SET consumed_at = excluded.consumed_at, egress = excluded.egress"
            " WHERE h.consumed_at < excluded.consumed_at - interval '1 second'"
        ),
        {"process": process, "queue": queue, "egress": egress},
    )


def working_egresses(connection: sa.Connection, *, queue: str) -> set[str]:
    """Return the egress addresses of the processes that consume a queue, idle or not."""
    found = connection.execute(
        sa.text(
            "SELECT DISTINCT egress FROM sync.heartbeat WHERE queue = :queue AND egress IS NOT NULL"
            " AND consumed_at > clock_timestamp() - make_interval(secs => :seconds)"
        ),
        {"queue": queue, "seconds": WORKING_SECONDS},
    )
    return set(found.scalars())


def forget_old(connection: sa.Connection) -> None:
    """Delete what processes said of themselves that have been silent for a day.

    No lease lasts a day: until then a dead holder can be told from an unknown one.
    """
    connection.exec_driver_sql(
        "DELETE FROM sync.heartbeat WHERE consumed_at < now() - interval '1 day'"
    )
    connection.exec_driver_sql("DELETE FROM sync.worker WHERE beat_at < now() - interval '1 day'")
