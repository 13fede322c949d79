"""The walk of windows: pages fetched ahead, committed in page order with their checkpoint.

Page 1 of a planned window is its probe: it gives the number of pages, and shows whether the window
has to be cut. Pages shift during a walk. Rows lost that way are found by counting (prove.py), so a
walk only needs an end and a record of what it saw.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from sync.crawl import (
    WINDOW_MAX,
    Pagination,
    in_flight,
    pages_bound,
    parts_of,
    slices,
)
from sync.crm import Priority
from sync.errors import Refused, UnexpectedData
from sync.records.normalise import Batch
from sync.records.observed import Origin
from sync.state import crawls, diagnostics, doubts, rereads, windows
from sync.state.crawls import Crawl
from sync.state.windows import Window
from sync.work.context import Context
from sync.work.list_params import list_params
from sync.work.pages import read_page
from sync.work.prefetch import Prefetcher
from sync.work.windows.plan import is_cuttable, is_filter_ignored, oldest_day
from sync.work.writing import write_rows

PAGES_PER_COMMIT = 2
"""The pages written in one transaction, if ready: more cost memory and save no CPU time."""


@dataclass(frozen=True, slots=True)
class Job:
    """A page of a window to fetch."""

    window: Window
    page: int


@dataclass(slots=True)
class WindowPage:
    """A page converted to rows by the thread that fetched it, so that its body can be freed.

    `failed` are records on it that cannot be read, with their errors; `drift` is what the walk
    found odd about it: kind and detail.
    """

    window: Window
    number: int
    batch: Batch
    as_of: dt.datetime
    pagination: Pagination
    failed: dict[int, str]
    elapsed_seconds: float
    body_bytes: int
    is_empty: bool
    drift: tuple[str, str] | None = None


@dataclass
class Walk:
    """The state of a walk.

    `is_complete`: every page was read. `filter_ignored`: the API ignores the creation day filter.
    """

    is_complete: bool = False
    filter_ignored: bool = False


def walk(ctx: Context, crawl: Crawl, windows: Iterable[Window], *, priority: Priority) -> Walk:
    """Walk the windows' remaining pages until all are read or the slice is over.

    In a compared window (`deep`), contents are compared too, and the ids seen are kept. The window
    stays open after its last page, until the rows it lacks were requested (rewalk.py).
    """
    return _Walker(ctx, crawl, priority=priority).run(list(windows))


class _Walker:
    def __init__(self, ctx: Context, crawl: Crawl, *, priority: Priority) -> None:
        self.ctx = ctx
        self.crawl = crawl
        self.resource = ctx.resources[crawl.resource]
        self.priority = priority
        self.walk = Walk()
        self._pending: list[WindowPage] = []
        self._last_ids: dict[int, frozenset[object]] = {}
        self._planned: dict[int, int] = {}
        self._ended: set[int] = set()
        self._latency = 0.3
        self._today = ctx.draw().astimezone(ctx.zone).date()
        self._cuttable = is_cuttable(ctx, self.resource)

    def run(self, windows: list[Window]) -> Walk:
        with Prefetcher(self._fetch, size=lambda page: page.body_bytes) as ahead:
            for window in windows:
                if window.state == "planned":
                    ahead.push(Job(window, 1))
                else:
                    self._planned[window.id] = window.page_count
                    ahead.push_each(_pages(window, window.last_page + 1), of=window.id)
            for job, result, ready in ahead.results():
                if job.window.id in self._ended:
                    continue  # an earlier page was the window's end
                self._take(ahead, job, result)
                if not ready or len(self._pending) >= PAGES_PER_COMMIT:
                    self._commit()
                if self.walk.filter_ignored:
                    return self.walk
                if self.ctx.is_over:
                    self._commit()
                    return self.walk
            self._commit()
        self.walk.is_complete = True
        return self.walk

    def _fetch(self, job: Job) -> WindowPage:
        params = list_params(self.ctx, self.resource, job.window.days, page=job.page)
        for name in ("limit", "page"):
            params.pop(name)
        page = read_page(self.ctx, self.resource, params, page=job.page, priority=self.priority)
        records = page.reply.records(self.resource)
        return WindowPage(
            job.window,
            job.page,
            self.ctx.normalise(self.resource, records),
            page.reply.as_of,
            page.reply.pagination,
            page.failed,
            page.reply.elapsed_seconds,
            body_bytes=len(page.reply.body),
            is_empty=not records and not page.failed,
        )

    def _take(
        self, ahead: Prefetcher[Job, WindowPage], job: Job, page: WindowPage | Exception
    ) -> None:
        window = job.window
        if isinstance(page, Refused) and job.page > 1:
            # 400 or 404 after the first page: the list is shorter than before.
            self._end(ahead, window, "beyond_end", f"page {job.page}: {page}")
            return
        if isinstance(page, Exception):
            self._commit()
            if isinstance(page, UnexpectedData):
                self._park(job, page)
            raise page
        self._latency += (page.elapsed_seconds - self._latency) / 4
        ahead.adapt(
            in_flight(
                requests_per_second=self.ctx.requests_per_second, latency_seconds=self._latency
            )
        )
        if page.number == 1 and window.state == "planned" and self._accept_first(ahead, page):
            return
        if self._pending and self._pending[-1].window.deep != window.deep:
            self._commit()  # pages of compared windows are written with another origin
        self._pending.append(page)
        ids = frozenset(row.key for row in page.batch.rows)
        if page.is_empty and page.number > 1:
            page.drift = ("shrank", f"page {page.number} of {window.page_count} is empty")
            self._close(ahead, page)
        elif ids and ids == self._last_ids.get(window.id):
            page.drift = ("repeated", f"page {page.number} is the page before it")
            self._close(ahead, page)
        elif page.number >= window.page_count:
            self._go_on(ahead, page)
        self._last_ids[window.id] = ids

    def _accept_first(self, ahead: Prefetcher[Job, WindowPage], page: WindowPage) -> bool:
        """Accept the first page of a planned window; True when the window was cut instead."""
        window, pagination = page.window, page.pagination
        if self._is_outside(page) and is_filter_ignored(
            self.ctx, self.resource, priority=self.priority
        ):
            self.walk.filter_ignored = True
            return True
        splittable = self._cuttable and not window.days.is_one_day
        if pagination.total > WINDOW_MAX and splittable and self._cut(ahead, page):
            return True
        window.state = "open"
        window.total, window.page_count = pagination.total, max(pagination.pages, 1)
        self._planned[window.id] = window.page_count
        ahead.push_each_first(_pages(window, 2), of=window.id)
        return False

    def _is_outside(self, page: WindowPage) -> bool:
        """Tell whether the page contains records outside the window's days."""
        days = page.window.days
        return any(
            row.created_on is not None
            and (
                (days.first is not None and row.created_on < days.first)
                or (days.last is not None and row.created_on > days.last)
            )
            for row in page.batch.rows
        )

    def _cut(self, ahead: Prefetcher[Job, WindowPage], page: WindowPage) -> bool:
        """Replace a window that is too large by smaller ones; the rows of its page are kept.

        Returns False when it cannot be cut: all its records were created on one day.
        """
        window = page.window
        oldest = oldest_day(
            self.ctx,
            self.resource,
            window.days,
            list_params(self.ctx, self.resource, window.days, page=page.pagination.pages),
            beside=page.batch,
            priority=self.priority,
        )
        runs = slices(
            window.days,
            oldest=oldest,
            newest=self._today,
            parts=max(2, parts_of(page.pagination.total)),
        )
        if len(runs) == 1:
            return False
        self._commit()

        for attempt in self.ctx.attempts():
            with attempt as connection:
                self._load(connection, [page])
                windows.remove_window(connection, window.id)
                doubts.divide(connection, self.ctx.store.id, self.resource.name, runs)
                parts = windows.add_windows(connection, self.crawl, runs, like=window)
        for each in reversed(parts):
            ahead.push_first(Job(each, 1))
        return True

    def _go_on(self, ahead: Prefetcher[Job, WindowPage], page: WindowPage) -> None:
        """Finish the window at its last known page, or add a page where the list has grown."""
        window, more = page.window, page.pagination.pages > page.number
        planned = self._planned.get(window.id, window.page_count)
        if not more:
            if page.pagination.total != window.total:
                kind = "grew" if page.pagination.total > window.total else "shrank"
                page.drift = (kind, f"from {window.total} to {page.pagination.total} records")
            self._close(ahead, page)
        elif page.number >= pages_bound(planned):
            page.drift = ("endless", f"planned {planned} pages, {page.number} walked, no end")
            self._close(ahead, page)
        else:
            window.page_count = page.number + 1
            ahead.push_first(Job(window, page.number + 1), of=window.id)

    def _close(self, ahead: Prefetcher[Job, WindowPage], page: WindowPage) -> None:
        self._finish(ahead, page.window, last_page=page.number)

    def _finish(
        self, ahead: Prefetcher[Job, WindowPage], window: Window, *, last_page: int
    ) -> None:
        window.state = "open" if window.deep else "walked"
        window.page_count = last_page
        self._ended.add(window.id)
        self._last_ids.pop(window.id, None)
        ahead.drop(window.id)

    def _end(
        self, ahead: Prefetcher[Job, WindowPage], window: Window, kind: str, detail: str
    ) -> None:
        """Finish a window at a page that was refused."""
        self._commit()
        self._finish(ahead, window, last_page=window.last_page)
        as_of = self.ctx.draw()

        for attempt in self.ctx.attempts():
            with attempt as connection:
                windows.advance(
                    connection,
                    window.id,
                    last_page=window.last_page,
                    total=window.total,
                    page_count=window.page_count,
                    state=window.state,
                    as_of=as_of,
                )
                self._note(connection, window, (kind, detail))

    def _commit(self) -> None:
        """Write the pages taken so far and their checkpoints in one transaction."""
        pages, self._pending = self._pending, []
        if not pages:
            return

        for attempt in self.ctx.attempts():
            with attempt as connection:
                self._load(connection, pages)
                for page in pages:
                    windows.advance(
                        connection,
                        page.window.id,
                        last_page=page.number,
                        total=page.pagination.total,
                        page_count=page.window.page_count,
                        state=page.window.state if page is _last_of(page, pages) else "open",
                        as_of=page.as_of,
                    )
                    if page.window.deep:
                        ids = [row.key for row in page.batch.rows if isinstance(row.key, int)]
                        windows.keep_met(connection, page.window.id, page.number, ids)
                    if page.drift is not None:
                        self._note(connection, page.window, page.drift)
        for page in pages:
            page.window.last_page = page.number

    def _load(self, connection: sa.Connection, pages: list[WindowPage]) -> None:
        ctx, resource = self.ctx, self.resource
        deep = pages[0].window.deep
        origin = Origin.DEEP if deep else Origin.WALK
        if self.crawl.kind == "load" and not deep:
            origin = Origin.LOAD
        read = [(page.batch, page.as_of) for page in pages]
        loaded = write_rows(ctx, connection, resource, read, origin=origin, crawl=self.crawl)
        for page in pages:
            rereads.failed(connection, ctx.store.id, resource.name, page.failed)
        if deep:
            found = {"missing": loaded.inserted + loaded.revived, "stale": loaded.changed}
            crawls.add_report(connection, self.crawl, found)

    def _note(self, connection: sa.Connection, window: Window, drift: tuple[str, str]) -> None:
        diagnostics.note_drift(
            connection,
            self.ctx.store.id,
            self.resource.name,
            kind=drift[0],
            detail=f"{window.days}: {drift[1]}",
            window_id=window.id,
            crawl_id=self.crawl.id,
        )

    def _park(self, job: Job, problem: UnexpectedData) -> None:
        request = f"{self.resource.path} {job.window.days} page {job.page}"
        for attempt in self.ctx.attempts():
            with attempt as connection:
                diagnostics.park_page(
                    connection,
                    self.ctx.store.id,
                    self.resource.name,
                    request=request,
                    reason=str(problem),
                    body=problem.body,
                )


def _pages(window: Window, first: int) -> Iterator[Job]:
    """Return the jobs of a window's pages from `first` to the last known one."""
    return (Job(window, page) for page in range(first, window.page_count + 1))


def _last_of(page: WindowPage, pages: list[WindowPage]) -> WindowPage:
    """Return the last page of the same window in this commit: only that page may end the window."""
    return [each for each in pages if each.window.id == page.window.id][-1]
