"""The size in which a list's pages are asked for: the usual one, or the largest that came of late.

A size that fails is given up at once, for every worker (sync/state/page_sizes.py), so that the next
slice does not begin with the same failure. From time to time one page is asked for larger.
"""

from __future__ import annotations

from threading import Lock

import sqlalchemy as sa

from sync.database.engine import attempts, reading
from sync.declare import Resource
from sync.state import page_sizes
from sync.telemetry import log, plain
from sync.work.spans import SIZES, size_above, size_below

WORDS = 300


class PageFit:
    """The page size of one list of one store, during a slice. Thread-safe."""

    def __init__(self, engine: sa.Engine, store_id: int, resource: Resource) -> None:
        self._engine = engine
        self._store_id = store_id
        self._resource = resource
        self._lock = Lock()
        self._size: int | None = None
        self._is_larger_due = False
        self.error: Exception | None = None
        """The last failure, for a page that cannot be read in any way."""

    @property
    def usual(self) -> int:
        """The size that the resource declares."""
        return self._resource.page_size

    @property
    def size(self) -> int:
        """The largest size that came of late."""
        with self._lock:
            return self._known()

    def next_size(self) -> int:
        """Return the size of the next request: larger than `size` once, where a try is due."""
        with self._lock:
            size = self._known()
            if self._is_larger_due and size < self.usual:
                self._is_larger_due = False
                return size_above(size, usual=self.usual)
            return size

    def read(self, connection: sa.Connection) -> None:
        """Read what other slices found out, in a transaction that is open already."""
        if self._size is None:
            kept = page_sizes.page_size(connection, self._store_id, self._resource.name)
            self._size = min(kept.size, self.usual) if kept else self.usual
            self._is_larger_due = kept is not None and kept.is_larger_due

    def _known(self) -> int:
        if self._size is None:
            with reading(self._engine) as connection:
                self.read(connection)
        assert self._size is not None
        return self._size

    def failed(self, size: int, error: Exception) -> None:
        """Give up a size; the smallest one stays."""
        self.error = error
        below = size_below(size, by_ids=False)
        if below is None:
            return
        with self._lock:
            known, self._size = self._known(), min(self._known(), below)
        for attempt in attempts(self._engine):
            with attempt as connection:
                page_sizes.keep_smaller(
                    connection,
                    self._store_id,
                    self._resource.name,
                    size=below,
                    reason=plain(error, most=WORDS),
                )
        if below < known:
            log(resource=self._resource.name).info("smaller pages", size=below, reason=str(error))

    def came(self, size: int) -> None:
        """Note records that came together; a larger page than before is the size from now on."""
        fits = max((each for each in SIZES if each <= min(size, self.usual)), default=0)
        with self._lock:
            if fits <= self._known():
                return
        self.restore(fits)

    def restore(self, size: int) -> None:
        """Go back to a size: what failed since was the fault of a record, not of the size."""
        with self._lock:
            self._size = max(self._known(), size)
            self._is_larger_due = True  # one step led to another
        for attempt in attempts(self._engine):
            with attempt as connection:
                if size >= self.usual:
                    page_sizes.forget(connection, self._store_id, self._resource.name)
                else:
                    page_sizes.keep_larger(
                        connection, self._store_id, self._resource.name, size=size
                    )
