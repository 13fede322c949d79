"""Pages fetched ahead by a bounded pool of threads, returned in the order of the requests.

One page at a time cannot use the request budget: at 300 ms a page that is three requests a second
of ten. The number of pages in flight follows the observed latency (`crawl.in_flight`), and never
exceeds `MOST_IN_FLIGHT`. A page that is late, or was refused and goes again, holds up nothing but
its turn: pages that came before it do not count while it is waited for, up to `MOST_AHEAD`. To
bound memory, a slice holds at most `MOST_BYTES` from the request of a page to its commit, and all
slices of this process `MOST_BYTES_TOGETHER`. The page whose turn it is is always fetched, so that
nobody waits for another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Lock
from typing import Generic, TypeVar

from sync.crawl import MOST_IN_FLIGHT

Job = TypeVar("Job")
Result = TypeVar("Result")

IN_FLIGHT = 8
"""The initial number in flight: at 10 requests a second it covers latencies up to 0.3 s."""

MOST_AHEAD = 2 * MOST_IN_FLIGHT
"""The most pages from request to commit: what ten a second bring while a refused one goes again."""
MOST_BYTES = 24_000_000
"""The most bytes, as sent, of the pages in flight: twelve usual pages have three million."""
MOST_BYTES_TOGETHER = 48_000_000
"""The most bytes of the pages in flight of all slices of a process: rows take three times that."""
FIRST_BYTES = 500_000
"""The size that a page is taken to have before the first one has come."""


class _Held:
    """The bytes that each slice of this process holds in pages that are not committed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._bytes: dict[int, int] = {}

    def set(self, owner: int, size: int) -> int:
        """Set what a slice holds, nothing for 0; return what the others hold."""
        with self._lock:
            self._bytes.pop(owner, None)
            others = sum(self._bytes.values())
            if size:
                self._bytes[owner] = size
            return others


_HELD = _Held()


def _no_size(_: object) -> int:
    return 0


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
        size: Callable[[Result], int] = _no_size,
    ) -> None:
        self._fetch = fetch
        self._size = size
        self._has_sizes = size is not _no_size
        self._last_size = FIRST_BYTES if self._has_sizes else 0
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

    def push_each_behind(
        self, jobs: Iterable[Job], *, of: Hashable, behind: Collection[Hashable]
    ) -> None:
        """Add a run of jobs before those that have not started, but behind some runs."""
        last = max((n for n, (each, _) in enumerate(self._waiting) if each in behind), default=-1)
        self._waiting.insert(last + 1, (of, iter(jobs)))

    def instead(self, job: Job) -> None:
        """Run a job in place of the one whose result was taken last: before all others."""
        self._running.appendleft((job, self._pool.submit(self._fetch, job)))

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
            while not self._running[0][1].done():
                coming = [future for _, future in self._running if not future.done()]
                wait(coming, return_when=FIRST_COMPLETED)
                self._fill()
            job, future = self._running.popleft()
            try:
                result: Result | Exception = future.result()
            except Exception as error:  # noqa: BLE001  handed to the caller, who raises it
                result = error
            self._last_size = self._size_of(future) or self._last_size
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
        others = _HELD.set(id(self), held)
        is_first_late = not self._running[0][1].done()
        return (
            (coming <= self._width if is_first_late else len(self._running) < self._width)
            and len(self._running) < MOST_AHEAD
            and held <= MOST_BYTES
            and held + others <= MOST_BYTES_TOGETHER
        )

    def _size_of(self, future: Future[Result]) -> int:
        return 0 if future.exception() is not None else self._size(future.result())

    def close(self) -> None:
        """Cancel the jobs that wait, and wait for running ones; their pages are requested again."""
        for _, future in self._running:
            future.cancel()
        _HELD.set(id(self), 0)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Prefetcher[Job, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
