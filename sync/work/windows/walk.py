"""The walk of windows: pages fetched ahead, committed in page order with their checkpoint.

Page 1 of a planned window is its probe: it gives the number of pages, and shows whether the window
has to be cut. Pages shift during a walk. Rows lost that way are found by counting (prove.py), so a
walk only needs an end and a record of what it saw.

Pages are counted in the window's own size, whatever size is asked for: a page that does not come
whole is taken, and committed, in parts (work/pages.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from sync.crawl import (
    WINDOW_MAX,
    in_flight,
    pages_bound,
    parts_of,
)
from sync.errors import Refused
from sync.records.loaded import Source, Unchanged
from sync.state import coverage, crawls, diagnostics, doubts, rereads, windows
from sync.state.crawls import Crawl
from sync.state.windows import Window
from sync.work.context import Context
from sync.work.list_params import filters_of
from sync.work.pages import Job, Page, PageList, fetch, in_parts
from sync.work.prefetch import Prefetcher
from sync.work.spans import pages_in
from sync.work.windows.plan import cut, is_cuttable, is_filter_ignored, last_page_of, oldest_day
from sync.work.writing import write_rows

PAGES_PER_COMMIT = 4
"""The pages written in one transaction, if ready: what a transaction costs besides its rows is then
shared by four hundred, and more pages cost memory and save little."""


@dataclass
class Walk:
    """The state of a walk.

    `is_complete`: every page was read. `filter_ignored`: the API ignores the creation day filter.
    """

    is_complete: bool = False
    filter_ignored: bool = False


def walk(ctx: Context, crawl: Crawl, windows: Iterable[Window]) -> Walk:
    """Walk the windows' remaining pages until all are read or the slice is over.

    In a compared window (`deep`), contents are compared too, and the ids seen are kept. The window
    stays open after its last page, until the rows it lacks were requested (rewalk.py).
    """
    return _Walker(ctx, crawl).run(list(windows))


class _Walker:
    def __init__(self, ctx: Context, crawl: Crawl) -> None:
        self.ctx = ctx
        self.crawl = crawl
        self.resource = ctx.resources[crawl.resource]
        self.walk = Walk()
        self._pending: list[Page] = []
        self._last_ids: dict[int, frozenset[object]] = {}
        self._planned: dict[int, int] = {}
        self._ended: set[int] = set()
        self._accepted: list[int] = []
        self._expected: int | None = None
        self._latency = 0.3
        self._today = ctx.draw().astimezone(ctx.zone).date()
        self._cuttable = is_cuttable(ctx, self.resource)

    def run(self, windows: list[Window]) -> Walk:
        with Prefetcher(fetch, size=lambda page: page.part.body_bytes) as ahead:
            for window in windows:
                if window.state == "planned":
                    ahead.push(self._job(window, 1))
                else:
                    self._planned[window.id] = window.page_count
                    self._accepted.append(window.id)
                    ahead.push_each(self._pages(window, window.last_page + 1), of=window.id)
            for job, result, ready in in_parts(ahead, is_wanted=self._is_wanted):
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

    def _is_wanted(self, job: Job) -> bool:
        return job.window.id not in self._ended  # an earlier page was the window's end

    def _job(self, window: Window, page: int) -> Job:
        """Return the job of a page, of the rest of it where the checkpoint is inside it."""
        params = filters_of(self.ctx, self.resource, window.days)
        pages = PageList(
            self.ctx, self.resource, params, self.crawl.priority, window.page_size, window=window
        )
        return pages.job(page, done=window.in_page if page == window.last_page + 1 else 0)

    def _pages(self, window: Window, first: int) -> Iterator[Job]:
        """Return the jobs of a window's pages from `first` to the last known one."""
        return (self._job(window, page) for page in range(first, window.page_count + 1))

    def _take(self, ahead: Prefetcher[Job, Page], job: Job, page: Page | Exception) -> None:
        window = job.window
        if isinstance(page, Refused) and job.spans[0].first:
            # 400 or 404 after the first page: the list is shorter than before.
            self._end(ahead, window, "beyond_end", f"page {job.number}: {page}")
            return
        if isinstance(page, Exception):
            self._commit()
            raise page
        self._latency += (page.part.elapsed_seconds - self._latency) / 4
        ahead.adapt(
            in_flight(
                requests_per_second=self.ctx.requests_per_second, latency_seconds=self._latency
            )
        )
        if page.number == 1 and window.state == "planned" and self._accept_first(ahead, page):
            return
        if self._pending and self._pending[-1].window.deep != window.deep:
            self._commit()  # a compared window is written in its own way
        self._pending.append(page)
        ids = frozenset(row.key for row in page.batch.rows)
        if page.is_empty and page.number > 1:
            page.drift = ("shrank", f"page {page.number} of {window.page_count} is empty")
            self._finish(ahead, window, last_page=page.number)
        elif ids and ids == self._last_ids.get(window.id):
            page.drift = ("repeated", f"page {page.number} is the page before it")
            self._finish(ahead, window, last_page=page.number)
        elif page.part.is_last and page.number >= window.page_count:
            self._go_on(ahead, page)
        self._last_ids[window.id] = ids

    def _accept_first(self, ahead: Prefetcher[Job, Page], page: Page) -> bool:
        """Accept the first page of a planned window; True when the window was cut instead."""
        window, part = page.window, page.part
        if self._is_outside(page) and is_filter_ignored(
            self.ctx, self.resource, priority=self.crawl.priority
        ):
            self.walk.filter_ignored = True
            return True
        splittable = self._cuttable and not window.days.is_one_day
        if part.total > WINDOW_MAX and splittable and self._cut(ahead, page):
            return True
        if not window.total:
            self._expected = (self._expected or 0) + part.total
        window.state = "open"
        window.total, window.page_count = part.total, max(part.pages, 1)
        self._planned[window.id] = window.page_count
        # Behind the pages of newer windows: what is newest is wanted first.
        ahead.push_each_behind(self._pages(window, 2), of=window.id, behind=self._accepted)
        self._accepted.append(window.id)
        return False

    def _is_outside(self, page: Page) -> bool:
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

    def _cut(self, ahead: Prefetcher[Job, Page], page: Page) -> bool:
        """Replace a window that is too large by smaller ones; the rows of its page are kept.

        Returns False when it cannot be cut: all its records were created on one day.
        """
        window = page.window
        oldest = oldest_day(
            self.ctx,
            self.resource,
            window.days,
            last_page_of(self.ctx, self.resource, window.days, total=page.part.total),
            beside=page.batch,
            priority=self.crawl.priority,
        )
        parts = max(2, parts_of(page.part.total))
        with self.ctx.reading() as connection:
            runs = cut(
                self.ctx, connection, self.resource, window.days,
                oldest=oldest, newest=self._today, parts=parts,
            )  # fmt: skip
        if len(runs) == 1:
            return False
        self._commit()

        for attempt in self.ctx.attempts():
            with attempt as connection:
                self._load(connection, [page])
                self._expect(connection, None if window.total else page.part.total)
                windows.remove_window(connection, window.id)
                doubts.divide(connection, self.ctx.store.id, self.resource.name, runs)
                smaller = windows.add_windows(
                    connection,
                    self.crawl,
                    runs,
                    like=window,
                    total=max(1, page.part.total // len(runs)),
                )
        self._ended.add(window.id)
        for each in reversed(smaller):
            ahead.push_first(self._job(each, 1))
        return True

    def _go_on(self, ahead: Prefetcher[Job, Page], page: Page) -> None:
        """Finish the window at its last known page, or add a page where the list has grown."""
        window, part = page.window, page.part
        planned = self._planned.get(window.id, window.page_count)
        if part.pages <= page.number:
            if part.total != window.total:
                kind = "grew" if part.total > window.total else "shrank"
                page.drift = (kind, f"from {window.total} to {part.total} records")
            self._finish(ahead, window, last_page=page.number)
        elif page.number >= pages_bound(planned):
            page.drift = ("endless", f"planned {planned} pages, {page.number} walked, no end")
            self._finish(ahead, window, last_page=page.number)
        else:
            window.page_count = page.number + 1
            ahead.push_first(self._job(window, page.number + 1), of=window.id)

    def _finish(self, ahead: Prefetcher[Job, Page], window: Window, *, last_page: int) -> None:
        window.state = "open" if window.deep else "walked"
        window.page_count = last_page
        self._ended.add(window.id)
        self._last_ids.pop(window.id, None)
        ahead.drop(window.id)

    def _end(self, ahead: Prefetcher[Job, Page], window: Window, kind: str, detail: str) -> None:
        """Finish a window at a page that was refused, or at the rest of one that came in part."""
        self._commit()
        window.last_page, window.in_page = window.last_page + (window.in_page > 0), 0
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

        expected, self._expected = self._expected, None
        for attempt in self.ctx.attempts():
            with attempt as connection:
                self._load(connection, pages)
                self._expect(connection, expected)
                for page in pages:
                    last_page, in_page = page.checkpoint
                    windows.advance(
                        connection,
                        page.window.id,
                        last_page=last_page,
                        in_page=in_page,
                        total=page.part.total,
                        page_count=page.window.page_count,
                        state=page.window.state if page is _last_of(page, pages) else "open",
                        as_of=page.part.as_of,
                    )
                    if page.window.deep:
                        ids = [row.key for row in page.batch.rows if isinstance(row.key, int)]
                        windows.keep_met(connection, page.window.id, page.first, page.end, ids)
                    if page.drift is not None:
                        self._note(connection, page.window, page.drift)
        for page in pages:
            page.window.last_page, page.window.in_page = page.checkpoint

    def _expect(self, connection: sa.Connection, total: int | None) -> None:
        """Note how many records there are to be read, as first pages told."""
        if total is None:
            return
        pages = pages_in(total, self.resource.page_size)
        crawls.count_pages(connection, self.crawl, planned=pages)
        if self.crawl.kind == "load":
            coverage.expect_more(connection, self.ctx.store.id, self.resource.name, total=total)

    def _load(self, connection: sa.Connection, pages: list[Page]) -> None:
        ctx, resource = self.ctx, self.resource
        deep = pages[0].window.deep
        loaded = write_rows(
            ctx,
            connection,
            resource,
            [page.batch for page in pages],
            source=Source.LOAD if self.crawl.kind == "load" and not deep else Source.WALK,
            unchanged=Unchanged.COMPARED if deep else Unchanged.DROPPED,
            crawl=self.crawl,
        )
        for page in pages:
            rereads.failed(connection, ctx.store.id, resource.name, page.part.failed)
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


def _last_of(page: Page, pages: list[Page]) -> Page:
    """Return the last page of the same window in this commit: only that page may end the window."""
    return [each for each in pages if each.window.id == page.window.id][-1]
