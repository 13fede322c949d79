"""Heartbeats: the living processes, on which leases depend, and proof that queues are consumed."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Lock, Thread
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from sync import failpoints
from sync.database.engine import connect, writing
from sync.errors import LeaseLost, SyncError, TryLater
from sync.state import clock
from sync.telemetry import log, told

BEAT_SECONDS = failpoints.scaled(5)
FRESH_SECONDS = failpoints.scaled(20)
"""A process whose last beat is older is taken for dead, and its leases may be taken over."""
WORKING_SECONDS = 120.0
"""The age of a process's last task of a queue up to which it counts as a consumer. A busy worker
ends a task of each queue much more often; a restart takes less."""
USUAL_PLACES = 8
"""The places for a kind of lanes of a process that has not told how many it has."""


_BEAT = sa.text(
    "INSERT INTO sync.worker (id, host, pid, started_at, beat_at, ahead_seconds)"
    " VALUES (:id, :host, :pid, clock_timestamp(), clock_timestamp(), :ahead)"
    " ON CONFLICT (id) DO UPDATE"
    " SET beat_at = excluded.beat_at, ahead_seconds = excluded.ahead_seconds"
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
        self._ahead_seconds: float | None = None
        self._differs = False

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
        said = ""
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self._beat(engine)
                self._pay(engine)
                said = ""
            except (SyncError, SQLAlchemyError) as error:
                if said != (said := told(error)):
                    log().warning("no heartbeat", reason=said)
        engine.dispose()

    def _pay(self, engine: sa.Engine) -> None:
        while self._owed:
            try:
                with writing(engine) as connection:
                    self._owed[0](connection)
            except SyncError as error:
                # Another worker has the lease: waiting for it would hold up all that is owed later.
                if isinstance(error, TryLater) and not isinstance(error, LeaseLost):
                    raise
                log().info("no longer owed", reason=told(error))
            self._owed.popleft()

    def _beat(self, engine: sa.Engine) -> None:
        about = {
            "id": self.id,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "ahead": self._ahead_seconds,
        }
        with writing(engine) as connection:
            connection.execute(_BEAT, about)
            ahead, within = clock.ahead(connection)
        self._compare(ahead, within)

    def _compare(self, ahead: float, within: float) -> None:
        """Keep the difference for the next beat; log when it becomes notable and when it ends."""
        self._ahead_seconds = ahead
        if clock.is_notable(ahead, within) == self._differs:
            return
        self._differs = not self._differs
        if self._differs:
            log().warning("this host's clock is not Postgres's", ahead_seconds=round(ahead, 3))
        else:
            log().info("this host's clock agrees with Postgres's again")


def consumed(
    connection: sa.Connection,
    *,
    process: str,
    queue: str,
    egress: str | None = None,
    places: int | None = None,
) -> None:
    """Note that a process, which sends from `egress`, ended a task; write at most once a second.

    `places` is the number of lanes of this queue that it works on at once.
    """
    connection.execute(
        sa.text(
            "INSERT INTO sync.heartbeat AS h (process, queue, consumed_at, egress, places)"
            " VALUES (:process, :queue, clock_timestamp(), :egress, :places)"
            " ON CONFLICT (process, queue) DO UPDATE SET consumed_at = excluded.consumed_at,"
            " egress = excluded.egress, places = excluded.places"
            " WHERE h.consumed_at < excluded.consumed_at - interval '1 second'"
        ),
        {"process": process, "queue": queue, "egress": egress, "places": places},
    )


def heard_beat(connection: sa.Connection, *, process: str, queue: str) -> None:
    """Note that a worker, which has ended tasks of the queue, took something only beat sends."""
    connection.execute(
        sa.text(
            "UPDATE sync.heartbeat SET beat_at = clock_timestamp()"
            " WHERE process = :process AND queue = :queue"
        ),
        {"process": process, "queue": queue},
    )


@dataclass(frozen=True, slots=True)
class Signs:
    """Signs of life: seconds since a worker took something from each queue, None for never.

    `beat` is the same for what beat sends; `workers` are processes that have a heartbeat.
    """

    consumed: dict[str, float | None]
    beat: float | None
    workers: int


def signs(connection: sa.Connection, *, queues: Sequence[str]) -> Signs:
    """Return the signs of life of workers and beat."""
    rows = connection.execute(
        sa.text(
            "SELECT queue, extract(epoch FROM clock_timestamp() - max(consumed_at)) AS age,"
            " extract(epoch FROM clock_timestamp() - max(beat_at)) AS beat"
            " FROM sync.heartbeat GROUP BY 1"
        )
    ).all()
    ages = {row.queue: float(row.age) for row in rows}
    beats = [float(row.beat) for row in rows if row.beat is not None]
    alive: int = connection.execute(
        sa.text(
            "SELECT count(*) FROM sync.worker"
            " WHERE beat_at > clock_timestamp() - make_interval(secs => :fresh)"
        ),
        {"fresh": FRESH_SECONDS},
    ).scalar_one()
    return Signs({queue: ages.get(queue) for queue in queues}, min(beats, default=None), alive)


def places(connection: sa.Connection, *, queue: str) -> int:
    """Return the places of the processes that consume a queue; of one process when none is known.

    A process whose last heart beat is old has died, even if it ended a task a minute ago.
    """
    found: int = connection.execute(
        sa.text(
            "SELECT coalesce(sum(coalesce(h.places, :usual)), :usual) FROM sync.heartbeat AS h"
            " WHERE h.queue = :queue"
            " AND h.consumed_at > clock_timestamp() - make_interval(secs => :seconds)"
            " AND ((SELECT max(w.beat_at) FROM sync.worker AS w"
            " WHERE w.host || ':' || w.pid = h.process)"
            " < clock_timestamp() - make_interval(secs => :fresh)) IS NOT TRUE"
        ),
        {
            "queue": queue,
            "usual": USUAL_PLACES,
            "seconds": WORKING_SECONDS,
            "fresh": FRESH_SECONDS,
        },
    ).scalar_one()
    return int(found)


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


def clocks(connection: sa.Connection) -> dict[str, float]:
    """Return how far the clock of each living process is ahead of Postgres's, by host:pid."""
    found = connection.execute(
        sa.text(
            "SELECT host || ':' || pid AS process, ahead_seconds FROM sync.worker"
            " WHERE ahead_seconds IS NOT NULL"
            " AND beat_at > clock_timestamp() - make_interval(secs => :fresh)"
        ),
        {"fresh": FRESH_SECONDS},
    )
    return {row.process: row.ahead_seconds for row in found}


def forget_old(connection: sa.Connection) -> None:
    """Delete what processes said of themselves that have been silent for a day.

    No lease lasts a day: until then a dead holder can be told from an unknown one.
    """
    connection.exec_driver_sql(
        "DELETE FROM sync.heartbeat WHERE consumed_at < now() - interval '1 day'"
    )
    connection.exec_driver_sql("DELETE FROM sync.worker WHERE beat_at < now() - interval '1 day'")
