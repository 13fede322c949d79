"""--wait: show progress of crawls until they are done or parked, or no worker runs.

A crawl whose result waits for a person has not ended well: the exit status says so.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sync.commands.shell import ATTENTION, UNKNOWN, say
from sync.commands.status import pause
from sync.database.engine import reading
from sync.errors import TryLater
from sync.forecast import Way, duration, together
from sync.state import status as look
from sync.state.status import pages_there_are
from sync.telemetry import plain
from sync.work.services import services

LOOK_SECONDS = 0.5
PIPE_SECONDS = 5.0
QUIET_SECONDS = 10.0
GIVE_UP_SECONDS = 30.0
_IDLE = (
    "No worker consumes the queue crawls. Start one: celery -A sync worker -Q feeds,crawls (and "
    "celery -A sync beat)."
)

# `stopped`: a worker has looked at the crawl since, and postponed it for long.
_CRAWLS = sa.text(
    """
    SELECT w.id, w.resource, w.state, w.phase, w.pages_planned, w.pages_expected, w.pages_done,
        w.rows_seen, w.rows_changed, c.expected, p.per_second,
        CASE WHEN w.state = 'done' THEN c.approval END AS approval,
        l.parked_at IS NOT NULL AS parked,
        l.error,
        extract(epoch FROM coalesce(w.finished_at, clock_timestamp()) - w.started_at) AS seconds,
        CASE WHEN l.lease_until IS NULL AND l.claimed_until IS NULL
                AND l.due_at > clock_timestamp() + interval '10 minutes'
            THEN coalesce(c.unavailable, s.error) END AS stopped,
        NOT l.enabled AS off
    FROM sync.crawl AS w
    JOIN sync.store AS s ON s.id = w.store_id
    JOIN sync.lane AS l ON l.store_id = w.store_id AND l.resource = w.resource AND l.lane = 'walk'
    JOIN sync.coverage AS c ON c.store_id = w.store_id AND c.resource = w.resource
    LEFT JOIN sync.pace AS p ON p.store_id = w.store_id AND p.resource = w.resource
        AND p.at > clock_timestamp() - interval '10 minutes'
    WHERE w.id = ANY(:ids) ORDER BY w.id
    """
)


@dataclass(frozen=True, slots=True)
class Line:
    """The current state of a crawl; `waits` is what a person has to decide about its result."""

    resource: str
    state: str
    phase: str
    way: Way
    rows: int
    changed: int
    seconds: float
    problem: str | None
    error: str | None
    waits: str | None = None

    @property
    def is_over(self) -> bool:
        """True when there is nothing left to wait for."""
        return self.state in {"done", "dropped"} or self.problem is not None

    @property
    def is_bad(self) -> bool:
        """True when it ended, and not well."""
        return self.problem is not None or self.waits is not None

    @property
    def text(self) -> str:
        """`orders: 12 of 60 pages, 1,200 rows, 98 rows/s, 25 s left`."""
        if self.problem is not None:
            return f"{self.resource}: stopped: {self.problem}"
        if self.state == "pending":
            return f"{self.resource}: queued"
        done = self.state in {"done", "dropped"}
        of = f" of {self.way.total:,}" if self.way.total and not done else ""
        rate = f", {self.rows / self.seconds:,.0f} rows/s" if self.seconds > 0.5 else ""
        text = f"{self.resource}: {self.way.done:,}{of} pages, {self.rows:,} rows{rate}"
        if done:
            text += f", {self.changed:,} written, {self.state} in {duration(self.seconds)}"
            return f"{text}; waits for you: {self.waits}" if self.waits else text
        left = self.left_seconds
        text += f", {duration(left)} left" if left is not None else f", {self.phase}"
        return f"{text}; {self.error}" if self.error else text

    @property
    def left_seconds(self) -> float | None:
        """Seconds that the rest takes at the pace of late; None when unknown."""
        if not self.way.total or self.way.total <= self.way.done:
            return None
        return self.way.left_seconds


def lines(connection: sa.Connection, ids: Sequence[int]) -> list[Line]:
    """Return the current state of the crawls."""
    return [
        Line(
            resource=row.resource,
            state=row.state,
            phase=row.phase,
            way=_way(row),
            rows=row.rows_seen,
            changed=row.rows_changed,
            seconds=float(row.seconds or 0),
            problem=_problem(row),
            error=row.error,
            waits=row.approval,
        )
        for row in connection.execute(_CRAWLS, {"ids": list(ids)})
    ]


def _way(row: sa.Row[Any]) -> Way:
    mean = float(row.pages_done / row.seconds) if row.seconds and row.pages_done else None
    there_are = pages_there_are(row.resource, row, expected={row.resource: row.expected})
    return Way(row.pages_done, there_are or None, row.per_second or mean)


def _together(found: Sequence[Line]) -> str:
    """Return `all: 62 %, 41 min left` of several crawls."""
    going = [line for line in found if not line.is_bad]
    paces = [line.way.per_second for line in going if not line.is_over and line.way.per_second]
    if len(going) < 2 or not paces:
        return ""
    words = together([line.way for line in going], per_second=sum(paces)).words
    return f"all: {words}" if words else ""


def _problem(row: sa.Row[Any]) -> str | None:
    if row.state in {"done", "dropped"}:
        return "dropped by a reset or by removing the store" if row.state == "dropped" else None
    if row.parked:
        return row.error or "parked"
    if row.off:
        return "its store or resource was turned off"
    found: str | None = row.stopped
    return found


def wait(ids: Sequence[int]) -> int:
    """Show progress until every crawl is over; return the exit status.

    Ctrl-C ends only the waiting. Without a worker it says so at once and gives up after
    GIVE_UP_SECONDS; the crawls stay queued.
    """
    try:
        return _Waiting(ids).run()
    except KeyboardInterrupt:
        say("\nStill running: only the waiting ended. See: celery -A sync mirror status")
        return UNKNOWN


class _Waiting:
    def __init__(self, ids: Sequence[int]) -> None:
        self._ids = ids
        self._consumed = time.monotonic()
        self._said_idle = False
        self._printed: dict[str, str] = {}
        self._printed_at = 0.0

    def run(self) -> int:
        if sys.stdout.isatty():
            return self._live()
        while True:
            found = self._look()
            if found is not None:
                self._print(found, all_=all(line.is_over for line in found))
                if all(line.is_over for line in found):
                    return _status_of(found)
            if self._is_idle():
                return UNKNOWN
            pause(LOOK_SECONDS)

    def _look(self) -> list[Line] | None:
        """Return the crawls; None while the database is unreachable, since it may come back."""
        try:
            with reading(services().engine) as connection:
                return lines(connection, self._ids)
        except TryLater as error:
            say(str(error), err=True)
            pause(PIPE_SECONDS)
            return None

    def _is_idle(self) -> bool:
        """Say at once that no worker consumes; return True when that has lasted too long."""
        now = time.monotonic()
        try:
            with reading(services().engine) as connection:
                age = look.consumed_seconds_ago(connection, queue="crawls")
        except TryLater:
            return False
        if age is not None and age <= QUIET_SECONDS:
            self._consumed, self._said_idle = now, False
            return False
        if not self._said_idle:
            say(_IDLE, err=True)
            self._said_idle = True
        if now - self._consumed < GIVE_UP_SECONDS:
            return False
        say("Stopped waiting; the crawls stay queued.", err=True)
        return True

    def _print(self, found: Sequence[Line], *, all_: bool) -> None:
        """Print lines with news: at once when a crawl is over, otherwise every few seconds."""
        now = time.monotonic()
        is_turn = all_ or now - self._printed_at >= PIPE_SECONDS
        for line in found:
            news = self._printed.get(line.resource) != line.text
            if news and (line.is_over or is_turn):
                say(line.text)
                self._printed[line.resource] = line.text
        if is_turn and not all_ and (whole := _together(found)):
            say(whole)
        if is_turn:
            self._printed_at = now

    def _live(self) -> int:
        from rich.progress import BarColumn, Progress, TextColumn

        bars = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            TextColumn("{task.fields[told]}", markup=False),
        )
        with bars:
            tasks: dict[str, Any] = {}
            whole = bars.add_task("all", total=None, told="") if len(self._ids) > 1 else None
            while True:
                found = self._look()
                for line in found or []:
                    if line.resource not in tasks:
                        tasks[line.resource] = bars.add_task(line.resource, total=None, told="")
                    done, total = line.way.done, line.way.total
                    bars.update(
                        tasks[line.resource],
                        total=max(done, 1) if line.is_over else total,
                        completed=max(done, 1) if line.is_over else done,
                        told=plain(line.text.partition(": ")[2]),
                    )
                if whole is not None and found is not None:
                    told = _together(found).removeprefix("all: ")
                    over = sum(line.is_over for line in found)
                    bars.update(
                        whole,
                        total=len(found),
                        completed=over,
                        told=", ".join(filter(None, [f"{over} of {len(found)} done", told])),
                    )
                if found is not None and all(line.is_over for line in found):
                    return _status_of(found)
                if self._is_idle():
                    return UNKNOWN
                pause(LOOK_SECONDS)


def _status_of(found: Sequence[Line]) -> int:
    bad = [line for line in found if line.is_bad]
    if bad and not sys.stdout.isatty():
        say(f"{len(bad)} of {len(found)} crawls did not end well.", err=True)
    for line in bad:
        if line.waits and sys.stdout.isatty():
            say(f"{line.resource} waits for you: {line.waits}")
    return ATTENTION if bad else 0
