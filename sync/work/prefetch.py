"""Pages fetched ahead by a bounded pool of threads, returned in the order of the requests.

One page at a time cannot use the request budget: at 300 ms a page that is three requests a second
of ten. The number of pages in flight follows the observed latency (`crawl.in_flight`). To bound
memory, it never exceeds `MOST_IN_FLIGHT`, nor `MOST_BYTES` of pages where their sizes are known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from sync.crawl import MOST_IN_FLIGHT

Job = TypeVar("Job")
Result = TypeVar("Result")

IN_FLIGHT = 8
"""The initial number in flight: at 10 requests a second it covers latencies up to 0.3 s."""

MOST_BYTES = 24_000_000
"""The most bytes, as sent, of the pages in flight: twelve usual pages have three million."""


class Prefetcher(Generic[Job, Result]):
    """A runner of jobs ahead of their turn. Jobs may be added while results are taken.

    The next job of a run (`push_each`) is created only when it can start: an absurd page count in
    an answer costs no memory.
    """

    def __init__(
        self,
        fetch: Callable[[Job], Result],
        *,
        width: int = IN_FLIGHT,
        size: Callable[[Result], int] = lambda _: 0,
    ) -> None:
        self._fetch = fetch
        self._size = size
        self._last_size = 0
        self._width = width
        self._waiting: deque[tuple[Hashable, Iterator[Job]]] = deque()
        self._running: deque[tuple[Job, Future[Result]]] = deque()
        self._pool = ThreadPoolExecutor(max_workers=MOST_IN_FLIGHT, thread_name_prefix="fetch")

    def adapt(self, width: int) -> None:
        """Set the number of jobs in flight."""
        self._width = min(width, MOST_IN_FLIGHT)

    def push(self, job: Job) -> None:
        """Add a job behind the others."""
        self._waiting.append((None, iter((job,))))

    def push_first(self, job: Job, *, of: Hashable = None) -> None:
        """Add a job before those that have not started."""
        self._waiting.appendleft((of, iter((job,))))

    def push_each(self, jobs: Iterable[Job], *, of: Hashable = None) -> None:
        """Add a run of jobs behind the others."""
        self._waiting.append((of, iter(jobs)))

    def push_each_first(self, jobs: Iterable[Job], *, of: Hashable = None) -> None:
        """Add a run of jobs before those that have not started."""
        self._waiting.appendleft((of, iter(jobs)))

    def drop(self, of: Hashable) -> None:
        """Remove the jobs pushed with this `of` that have not started."""
        self._waiting = deque(each for each in self._waiting if each[0] != of)

    def results(self) -> Iterator[tuple[Job, Result | Exception, bool]]:
        """Yield jobs and results in order; the flag is True when the next result is ready too.

        An error of a fetch is yielded in its place: only the caller knows its meaning for later
        pages.
        """
        while True:
            self._fill()
            if not self._running:
                return
            job, future = self._running.popleft()
            try:
                result: Result | Exception = future.result()
            except Exception as error:  # noqa: BLE001  handed to the caller, who raises it
                result = error
            self._last_size = self._size_of(future)
            self._fill()
            ready = bool(self._running) and self._running[0][1].done()
            yield job, result, ready

    def _fill(self) -> None:
        while self._waiting and self._has_room():
            job = next(self._waiting[0][1], None)
            if job is None:
                self._waiting.popleft()
            else:
                self._running.append((job, self._pool.submit(self._fetch, job)))

    def _has_room(self) -> bool:
        """Tell whether one more job may start; unfinished pages count like the largest known."""
        if not self._running:
            return True
        done = [self._size_of(future) for _, future in self._running if future.done()]
        coming = len(self._running) - len(done) + 1
        held = sum(done) + coming * max(self._last_size, *done, 0)
        return len(self._running) < self._width and held <= MOST_BYTES

    def _size_of(self, future: Future[Result]) -> int:
        return 0 if future.exception() is not None else self._size(future.result())

    def close(self) -> None:
        """Cancel the jobs that wait, and wait for running ones; their pages are requested again."""
        for _, future in self._running:
            future.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Prefetcher[Job, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
