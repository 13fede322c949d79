"""Pages fetched ahead by a bounded pool of threads, handed over in the order asked for.

One page at a time cannot fill the request budget: at 300 ms a page that is three a second of ten.
How many it takes follows the latency observed (`crawl.in_flight`); the pool never holds more pages
than `MOST_IN_FLIGHT`, nor, where it is told how large they are, more than `MOST_BYTES` of them, so
that memory is bounded.
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
"""To begin with: at 10 requests a second this covers latencies up to 0.3 s."""

MOST_BYTES = 24_000_000
"""What the pages in flight may have weighed as sent: twelve usual ones are three million."""


class Prefetcher(Generic[Job, Result]):
    """Runs jobs ahead of their turn. Jobs may be pushed while results are taken.

    A run of jobs (`push_each`) is asked for its next one only when that can begin: what an answer
    says of its number of pages may be nonsense, and costs no memory.
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
        """Keep so many jobs in flight from now on."""
        self._width = min(width, MOST_IN_FLIGHT)

    def push(self, job: Job) -> None:
        """Add a job behind the others."""
        self._waiting.append((None, iter((job,))))

    def push_first(self, job: Job, *, of: Hashable = None) -> None:
        """Add a job before those that have not begun."""
        self._waiting.appendleft((of, iter((job,))))

    def push_each(self, jobs: Iterable[Job], *, of: Hashable = None) -> None:
        """Add a run of jobs behind the others."""
        self._waiting.append((of, iter(jobs)))

    def push_each_first(self, jobs: Iterable[Job], *, of: Hashable = None) -> None:
        """Add a run of jobs before those that have not begun."""
        self._waiting.appendleft((of, iter(jobs)))

    def drop(self, of: Hashable) -> None:
        """Forget what was pushed `of` this and has not begun."""
        self._waiting = deque(each for each in self._waiting if each[0] != of)

    def results(self) -> Iterator[tuple[Job, Result | Exception, bool]]:
        """Jobs and their results in order; the flag says whether the next one is ready too.

        An error of a fetch is handed over in its place, as a value: only the caller knows what it
        means for the pages after it.
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
        """Whether one more may begin: those under way are taken for as large as the largest."""
        if not self._running:
            return True
        done = [self._size_of(future) for _, future in self._running if future.done()]
        coming = len(self._running) - len(done) + 1
        held = sum(done) + coming * max(self._last_size, *done, 0)
        return len(self._running) < self._width and held <= MOST_BYTES

    def _size_of(self, future: Future[Result]) -> int:
        return 0 if future.exception() is not None else self._size(future.result())

    def close(self) -> None:
        """Wait for what is being fetched; its pages are asked for again later."""
        for _, future in self._running:
            future.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Prefetcher[Job, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
