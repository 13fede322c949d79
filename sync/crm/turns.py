"""Slots reserved in the order in which pages are needed.

A walk fetches pages ahead and commits them in order, so a page that gets its slot late delays all
pages behind it. Redis answers concurrent threads in any order. So the threads of a slice take
turns: the waiting thread with the earliest ticket asks next. One thread at a time is enough: a slot
is granted up to 300 ms before its moment, and the next thread asks meanwhile.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition

from sync.crm.limiter import Clock, Stop, SystemClock
from sync.errors import TryLater

_LOOK_SECONDS = 0.5  # a waiting thread checks `stop` this often


class Turns:
    """The order at the limiter of the threads that fetch for one slice."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._monotonic: Callable[[], float] = (clock or SystemClock()).monotonic
        self._is_free = True
        self._next = 0
        self._waiting: list[int] = []
        self._changed = Condition()

    def ticket(self) -> int:
        """Draw a place in the order, before the request's connection is opened."""
        with self._changed:
            self._next += 1
            return self._next

    @contextmanager
    def turn(
        self, ticket: int, *, give_up_after: float, stop: Stop | None = None
    ) -> Iterator[None]:
        """Wait until no thread is asking and no earlier ticket waits; TryLater like the limiter.

        Earlier tickets whose connections are still being opened are not waited for.
        """
        self._wait(ticket, self._monotonic() + give_up_after, stop)
        try:
            yield
        finally:
            with self._changed:
                self._is_free = True
                self._changed.notify_all()

    def _wait(self, ticket: int, until: float, stop: Stop | None) -> None:
        with self._changed:
            heapq.heappush(self._waiting, ticket)
            try:
                while not self._is_free or self._waiting[0] != ticket:
                    if stop is not None and stop.is_set():
                        raise TryLater("stopped while waiting for a slot of the request budget")
                    left = until - self._monotonic()
                    if left <= 0:
                        raise TryLater("no slot of the request budget came in time")
                    self._changed.wait(min(left, _LOOK_SECONDS))
                self._is_free = False
            finally:
                self._waiting.remove(ticket)
                heapq.heapify(self._waiting)
                self._changed.notify_all()
