"""Walking windows: their pages fetched ahead, committed in page order with their checkpoint.

A planned window's page 1 is its probe: it tells how many pages there are, and whether the window
has to be cut. Pages shift while they are walked; what is lost that way is found by counting
(prove.py), so a walk only has to be bounded and to say what it saw.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import sqlalchemy as sa

from sync.crawl import (
    WINDOW_MAX,
    Pagination,
    in_flight,
    pages_bound,
    parts_of,
    slices,
)
from sync.crm import WorkClass
from sync.declare import Days as DayFilters
from sync.errors import Refused, UnexpectedData
from sync.mirror import checkpoint, notes
from sync.mirror.checkpoint import Crawl, Window
from sync.mirror.load import Dated, Loaded, Origin
from sync.normalise import Batch
from sync.pipeline.ahead import Ahead
from sync.pipeline.context import Context
from sync.pipeline.windows import is_filter_off, list_params, oldest_day
from sync.pipeline.writing import write_rows

PAGES_PER_COMMIT = 2
"""When they are there already: more cost memory, and less CPU by nothing that can be measured."""


@dataclass(frozen=True, slots=True)
class Job:
    """A page of a window to fetch."""

    window: Window
    page: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page as the thread that fetched it leaves it: rows, so that its body can be let go."""

    batch: Batch
    pagination: Pagination
    as_of: dt.datetime
    elapsed_seconds: float
    is_empty: bool
    body_bytes: int


@dataclass(slots=True)
class _Page:
    """A fetched page on its way to the commit."""

    window: Window
    number: int
    batch: Batch
    as_of: dt.datetime
    pagination: Pagination
    drift: tuple[str, str] | None = None


@dataclass
class Walk:
    """What a walk did so far. `seen` is filled for windows whose ids are to be compared.

    `is_cut`: the one window that was to be walked held too much; its parts are planned.
    """

    loaded: Loaded = field(default_factory=Loaded)
    seen: dict[int, set[object]] | None = None
    is_complete: bool = False
    is_cut: bool = False
    filter_ignored: bool = False


def walk(
    ctx: Context,
    crawl: Crawl,
    windows: Iterable[Window],
    *,
    work: WorkClass,
    seen: dict[int, set[object]] | None = None,
    origin: Origin = Origin.WALK,
) -> Walk:
    """Walk the windows' remaining pages until done or the slice is over.

    With `seen`, each window's ids are collected under its id.
    """
    walker = _Walker(ctx, crawl, work=work, origin=origin)
    walker.walk.seen = seen
    return walker.run(list(windows))


def walk_one(
    ctx: Context,
    crawl: Crawl,
    window: Window,
    *,
    work: WorkClass,
    seen: dict[int, set[object]],
    origin: Origin,
) -> Walk:
    """Walk one window to its end, past the end of the slice if need be, or cut it into parts.

    Its last page leaves it open: the caller, who compares what was seen, calls it walked.
    """
    walker = _Walker(ctx, crawl, work=work, origin=origin)
    walker.walk.seen = seen
    walker.is_alone, walker.walked = True, "open"
    return walker.run([window])


class _Walker:
    is_alone = False
    walked = "walked"

    def __init__(self, ctx: Context, crawl: Crawl, *, work: WorkClass, origin: Origin) -> None:
        self.ctx = ctx
        self.crawl = crawl
        self.resource = ctx.resources[crawl.resource]
        self.work = work
        self.origin = origin
        self.walk = Walk()
        self._pending: list[_Page] = []
        self._last_ids: dict[int, frozenset[object]] = {}
        self._planned: dict[int, int] = {}
        self._ended: set[int] = set()
        self._latency = 0.3
        self._today = ctx.draw().astimezone(ctx.zone).date()
        self._cuttable = isinstance(self.resource.listing, DayFilters) and not is_filter_off(
            ctx, self.resource
        )

    def run(self, windows: list[Window]) -> Walk:
        with Ahead(self._fetch, size=lambda page: page.body_bytes) as ahead:
            for window in windows:
                if window.state == "planned":
                    ahead.push(Job(window, 1))
                else:
                    self._planned[window.id] = window.page_count
                    ahead.push_each(_pages(window, window.last_page + 1), of=window.id)
            for job, result, ready in ahead.results():
                if job.window.id in self._ended:
                    continue  # its end was seen on an earlier page
                self._take(ahead, job, result)
                if not ready or len(self._pending) >= PAGES_PER_COMMIT:
                    self._commit()
                if self.walk.filter_ignored or self.walk.is_cut:
                    return self.walk
                if self._is_over:
                    self._commit()
                    return self.walk
            self._commit()
        self.walk.is_complete = True
        return self.walk

    @property
    def _is_over(self) -> bool:
        return self.ctx.stop.is_set() if self.is_alone else self.ctx.is_over

    def _fetch(self, job: Job) -> Fetched:
        params = list_params(self.ctx, self.resource, job.window.days, page=job.page)
        ask = self.ctx.api.first if job.page == 1 else self.ctx.api.later
        reply = ask(self.resource, params, work=self.work)
        records = reply.records(self.resource)
        return Fetched(
            self.ctx.normalise(self.resource, records),
            reply.pagination,
            reply.as_of,
            reply.elapsed_seconds,
            is_empty=not records,
            body_bytes=len(reply.body),
        )

    def _take(self, ahead: Ahead[Job, Fetched], job: Job, result: Fetched | Exception) -> None:
        window = job.window
        if isinstance(result, Refused) and job.page > 1:
            # 400 or 404 beyond the first page: the list is shorter than it was.
            self._end(ahead, window, "beyond_end", f"page {job.page}: {result}")
            return
        if isinstance(result, Exception):
            self._commit()
            if isinstance(result, UnexpectedData):
                self._park(job, result)
            raise result
        self._latency += (result.elapsed_seconds - self._latency) / 4
        ahead.adapt(
            in_flight(
                requests_per_second=self.ctx.requests_per_second, latency_seconds=self._latency
            )
        )
        page = _Page(window, job.page, result.batch, result.as_of, result.pagination)
        ids = frozenset(row.key for row in result.batch.rows)
        if job.page == 1 and window.state == "planned" and self._settle(ahead, page):
            return
        self._pending.append(page)
        if self.walk.seen is not None:
            self.walk.seen.setdefault(window.id, set()).update(ids)
        if result.is_empty and job.page > 1:
            page.drift = ("shrank", f"page {job.page} of {window.page_count} is empty")
            self._close(ahead, page)
        elif ids and ids == self._last_ids.get(window.id):
            page.drift = ("repeated", f"page {job.page} is the page before it")
            self._close(ahead, page)
        elif job.page >= window.page_count:
            self._go_on(ahead, page)
        self._last_ids[window.id] = ids

    def _settle(self, ahead: Ahead[Job, Fetched], page: _Page) -> bool:
        """Take the first page of a planned window; True when the window was cut instead."""
        window, pagination = page.window, page.pagination
        if self._is_filter_ignored(page):
            self._pending.append(page)
            self._commit()
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

    def _is_filter_ignored(self, page: _Page) -> bool:
        """Whether records outside the window's days came: the filter does nothing here."""
        days = page.window.days
        return any(
            row.created_on is not None
            and (
                (days.first is not None and row.created_on < days.first)
                or (days.last is not None and row.created_on > days.last)
            )
            for row in page.batch.rows
        )

    def _cut(self, ahead: Ahead[Job, Fetched], page: _Page) -> bool:
        """Replace a window that holds too much by smaller ones; its page's rows are kept.

        False when it cannot be cut: all of it was made on one day.
        """
        window = page.window
        oldest = oldest_day(
            self.ctx,
            self.resource,
            window.days,
            list_params(self.ctx, self.resource, window.days, page=page.pagination.pages),
            beside=page.batch,
            work=self.work,
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

        def write(connection: sa.Connection) -> list[Window]:
            self._load(connection, [page])
            checkpoint.remove_window(connection, window.id)
            return checkpoint.add_windows(connection, self.crawl, runs)

        parts = self.ctx.write(write)
        self.walk.is_cut = self.is_alone
        for each in reversed(parts if not self.is_alone else []):
            ahead.push_first(Job(each, 1))
        return True

    def _go_on(self, ahead: Ahead[Job, Fetched], page: _Page) -> None:
        """The last known page: the list may have grown under the walk."""
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

    def _close(self, ahead: Ahead[Job, Fetched], page: _Page) -> None:
        page.window.state = self.walked
        self._ended.add(page.window.id)
        ahead.drop(page.window.id)

    def _end(self, ahead: Ahead[Job, Fetched], window: Window, kind: str, detail: str) -> None:
        """A window ended on a page that could not be had."""
        self._commit()
        self._ended.add(window.id)
        ahead.drop(window.id)
        window.state = self.walked
        as_of = self.ctx.draw()

        def write(connection: sa.Connection) -> None:
            checkpoint.advance(
                connection,
                window.id,
                last_page=window.last_page,
                total=window.total,
                page_count=window.page_count,
                state=self.walked,
                as_of=as_of,
            )
            self._note(connection, window, (kind, detail))

        self.ctx.write(write)

    def _commit(self) -> None:
        """Write the pages taken so far and their checkpoints in one transaction."""
        pages, self._pending = self._pending, []
        if not pages:
            return

        def write(connection: sa.Connection) -> Loaded:
            loaded = self._load(connection, pages)
            for page in pages:
                checkpoint.advance(
                    connection,
                    page.window.id,
                    last_page=page.number,
                    total=page.pagination.total,
                    page_count=page.window.page_count,
                    state=page.window.state if page is _last_of(page, pages) else "open",
                    as_of=page.as_of,
                )
                if page.drift is not None:
                    self._note(connection, page.window, page.drift)
            return loaded

        self.walk.loaded.add(self.ctx.write(write))
        for page in pages:
            page.window.last_page = page.number

    def _load(self, connection: sa.Connection, pages: list[_Page]) -> Loaded:
        ctx, resource = self.ctx, self.resource
        loaded = write_rows(
            ctx,
            connection,
            resource,
            [Dated(row, page.as_of) for page in pages for row in page.batch.rows],
            origin=self.origin,
            batches=[page.batch for page in pages],
        )
        checkpoint.count_pages(
            connection,
            self.crawl,
            pages=len(pages),
            seen=loaded.seen,
            changed=loaded.written,
            requests=len(pages),
        )
        return loaded

    def _note(self, connection: sa.Connection, window: Window, drift: tuple[str, str]) -> None:
        notes.note_drift(
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
        self.ctx.write(
            lambda connection: notes.park_page(
                connection,
                self.ctx.store.id,
                self.resource.name,
                request=request,
                reason=str(problem),
                body=problem.body,
            )
        )


def _pages(window: Window, first: int) -> Iterator[Job]:
    """A window's pages, from one on: as many as it was last known to have."""
    return (Job(window, page) for page in range(first, window.page_count + 1))


def _last_of(page: _Page, pages: list[_Page]) -> _Page:
    """The last page of the same window in this commit: only it may say that the window is done."""
    return [each for each in pages if each.window.id == page.window.id][-1]
