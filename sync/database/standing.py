"""The schema of the database, looked at by a process while it runs.

A dump of an older release may be restored under a worker, and a later release may upgrade the
schema beside it. With an older schema every task would fail, so work waits for `migrate`, as it
does at the start (sync/worker/start.py). A later one only adds: work goes on until the process is
replaced.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from sync.database.engine import reading
from sync.database.revisions import Standing, WrongSchema, require_head
from sync.errors import SyncError
from sync.telemetry import log

LOOK_SECONDS = 5.0
TOLD_SECONDS = 60.0


class Look:
    """Looks at the schema before work, every LOOK_SECONDS at most. Thread-safe.

    `engine` is called at each look, so that nothing is connected before. While Postgres cannot be
    asked the last look counts: an outage is told by the work that meets it.
    """

    def __init__(
        self, engine: Callable[[], sa.Engine], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine, self._clock = engine, clock
        self._lock = Lock()
        self._wrong: WrongSchema | None = None
        self._looked_at = self._told_at = float("-inf")

    def serves(self) -> bool:
        """Tell whether work may begin: the schema is not older than this release."""
        if self._clock() - self._looked_at >= LOOK_SECONDS and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        return self._wrong is None or self._wrong.standing is Standing.AHEAD

    def is_behind(self) -> bool:
        """Look now, after a statement failed; tell whether the schema is an older one."""
        with self._lock:
            self._look()
        return self._wrong is not None and self._wrong.standing is Standing.BEHIND

    def _look(self) -> None:
        before = self._wrong
        try:
            with reading(self._engine()) as connection:
                require_head(connection)
            self._wrong = None
        except WrongSchema as error:
            self._wrong = error
        except (SyncError, SQLAlchemyError):
            return
        finally:
            self._looked_at = self._clock()
        self._tell(before)

    def _tell(self, before: WrongSchema | None) -> None:
        wrong = self._wrong
        if wrong is None:
            if before is not None:
                log().info("the schema is this release's again")
        elif wrong.standing is Standing.AHEAD:
            if before is None or str(before) != str(wrong):
                log().warning(
                    "works beside a later release until it is replaced", reason=str(wrong)
                )
        elif str(before) != str(wrong) or self._clock() - self._told_at >= TOLD_SECONDS:
            self._told_at = self._clock()
            log().warning("work waits for the schema", reason=str(wrong))
