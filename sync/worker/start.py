"""The start of a worker or beat: it works on nothing before the schema is this release's.

With an older schema every task would fail. So a process waits for `migrate`, and says so now and
then; it ends with a sentence when a later release was there first. What happens to the schema
while it runs: sync/database/standing.py.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from sync.database.engine import connect, reading
from sync.database.revisions import Standing, WrongSchema, require_head
from sync.errors import NeedsOperator, SyncError, TryLater
from sync.telemetry import log

LOOK_SECONDS = 2.0
TOLD_SECONDS = 60.0


def wait_or_end(url: str, *, who: str) -> None:
    """Return once the schema is this release's; SystemExit for what waiting cannot mend.

    `who` is the process in the log: the worker, or beat.
    """
    try:
        with _ending_on_sigterm():
            wait_for_schema(url, who=who)
    except NeedsOperator as error:
        log().error(str(error))
        raise SystemExit(1) from None


def wait_for_schema(
    url: str,
    *,
    who: str,
    pause: Callable[[float], object] = time.sleep,  # noqa: TID251  nothing else runs yet
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Wait until Postgres serves and its schema is this release's; WrongSchema for a newer one."""
    engine = connect(url, size=1, name="mirror:start")
    told: type[SyncError] | None = None
    told_at = clock()
    try:
        while reason := _reason_to_wait(engine):
            # Not each revision of a `migrate` that is at work.
            if type(reason) is not told or clock() - told_at >= TOLD_SECONDS:
                told, told_at = type(reason), clock()
                log().warning(f"{who} waits", reason=str(reason))
            pause(LOOK_SECONDS)
    finally:
        engine.dispose()


def _reason_to_wait(engine: sa.Engine) -> SyncError | None:
    try:
        with reading(engine) as connection:
            require_head(connection)
    except WrongSchema as error:
        if error.standing is Standing.AHEAD:
            raise
        return error
    except TryLater as error:
        return error
    return None


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """End on SIGTERM: the first process of a container ignores it where it has no handler."""

    def end(*_: object) -> None:
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
