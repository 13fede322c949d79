"""The pages of a list: each is read in requests of the size that comes (spans.py, fit.py).

A page that fails as a whole (HTTP 500 every time, cut, too slow or too large) is asked for in
smaller ones: of 100, 50 and 20 records, and then by the ids that may stand in its places, as long
as the account answers otherwise. Each part is handed over, and can be committed, by itself.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from sync.crawl import record_id_of
from sync.crm import Priority
from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.errors import Refused, TooManyRecords, TryLater, UnexpectedData
from sync.records.normalise import Batch
from sync.state.windows import Window
from sync.work.by_ids import TRIES, ids_page, insistent, is_unreadable
from sync.work.context import Context
from sync.work.prefetch import Prefetcher
from sync.work.session import Reply
from sync.work.spans import SIZES, Span, Spans, pages_in, rest, size_below, smaller, spans_of

SMALLEST = SIZES[-1]
NEIGHBOURHOOD = 500
"""The largest gap between two neighbours in which every id is requested, not only known ones."""
Ask = Callable[[Mapping[str, Any]], Reply]


@dataclass(slots=True)
class Part:
    """The records of a page, or of the next places of it where it comes in parts.

    `as_of` is the send moment of its oldest request. `total` and `pages` are the list's length, in
    records and in pages of the size that the resource declares. `failed` are records that could
    not be read, with the reason; `unnamed` is the number of further ones whose ids are not known.
    `left` is what is still to be read of the page; empty at its end.
    """

    records: list[Any] | None
    as_of: dt.datetime
    total: int
    pages: int
    left: Spans
    failed: dict[int, str] = field(default_factory=dict)
    unnamed: int = 0
    body_bytes: int = 0
    elapsed_seconds: float = 0.0
    records_seen: int = field(init=False)

    def __post_init__(self) -> None:
        self.records_seen = len(self.records or ())

    def take_records(self) -> list[Any]:
        """Return the records, once: a page waits for its commit as rows alone."""
        records, self.records = self.records or [], None
        return records

    @property
    def is_last(self) -> bool:
        """True when the page is read to its end."""
        return not self.left


@dataclass(frozen=True, slots=True)
class PageList:
    """A list that is read by page numbers.

    `params` are those of the list, without `limit` and `page`; `page_size` is the number of records
    in which its pages are counted. `ask` sends a request; by default to the resource's own path.
    `window` is the one that it shows, if it is a part of a list.
    """

    ctx: Context
    resource: Resource
    params: Mapping[str, Any]
    priority: Priority
    page_size: int = 0
    ask: Ask | None = None
    window: Window | None = None

    @property
    def unit(self) -> int:
        """The number of records in which pages are counted."""
        return self.page_size or self.resource.page_size

    def spans(self, page: int, *, done: int = 0) -> Spans:
        """Return what is to be read of a page, after `done` of its records."""
        fit = self.ctx.fit(self.resource)
        kept = min(fit.size, self.unit)
        size = min(fit.next_size(), self.unit)
        return spans_of(page, self.unit, size=size, kept=kept, done=done)

    def job(self, page: int, *, done: int = 0) -> Job:
        """Return the job of a page, after `done` of its records."""
        return Job(self, page, self.spans(page, done=done))

    def send(self, span: Span) -> Reply:
        """Request the page that shows a span's first place."""
        params = {**self.params, "limit": span.size, "page": span.number}
        if self.ask is not None:
            reply = self.ask(params)
        else:
            send = self.ctx.api.first if span.number == 1 else self.ctx.api.later
            reply = send(self.resource, params, priority=self.priority)
        came = len(reply.records(self.resource))
        if came > span.size:
            raise TooManyRecords(
                f"{self.resource.path} sent {came} records, and {span.size} were asked for",
                body=reply.body,
            )
        return reply


@dataclass(frozen=True, slots=True)
class Job:
    """A page of a list to fetch, or what is left of it."""

    of: PageList
    number: int
    spans: Spans

    @property
    def window(self) -> Window:
        """The window that it is a page of."""
        assert self.of.window is not None
        return self.of.window


@dataclass(slots=True)
class Page:
    """A page, or a part of it, converted to rows by the thread that fetched it.

    `drift` is what its reader found odd about it: kind and detail.
    """

    job: Job
    batch: Batch
    part: Part
    drift: tuple[str, str] | None = None

    @property
    def window(self) -> Window:
        """The window that it is a page of."""
        return self.job.window

    @property
    def number(self) -> int:
        """The number of the page."""
        return self.job.number

    @property
    def first(self) -> int:
        """Its first place in the list."""
        return self.job.spans[0].first

    @property
    def end(self) -> int:
        """The place after its last one."""
        left = self.part.left
        return left[0].first if left else self.number * self.job.of.unit

    @property
    def is_empty(self) -> bool:
        """True when it shows nothing, and nothing on it failed."""
        return not (self.part.records_seen or self.part.failed or self.part.unnamed)

    @property
    def checkpoint(self) -> tuple[int, int]:
        """The whole pages read with this part, and the records of the next one."""
        if self.part.is_last:
            return self.number, 0
        return self.number - 1, self.end - (self.number - 1) * self.job.of.unit


def fetch(job: Job) -> Page:
    """Request the next places of a page, and convert them to rows, so that the body is freed."""
    part = read_part(job.of, job.spans)
    records = part.take_records()
    return Page(job, job.of.ctx.normalise(job.of.resource, records, as_of=part.as_of), part)


def read_part(of: PageList, spans: Spans) -> Part:
    """Request the next places of a page. Thread-safe: no row is written."""
    span = spans[0]
    fit = of.ctx.fit(of.resource)
    if span.is_by_id:
        return _by_ids(of, spans)
    tries = TRIES if span.size >= span.kept else 1
    reply = insistent(of.ctx, lambda: of.send(span), priority=of.priority, tries=tries)
    fit.came(span.size)
    records, pagination = reply.records(of.resource), reply.pagination
    # Pages of the usual size are the API's own: it may count them in another size than asked for.
    is_unit = span.size == of.unit
    return Part(
        records[span.skipped : span.skipped + span.reach - span.first] if not is_unit else records,
        reply.as_of,
        pagination.total,
        pagination.pages if is_unit else pages_in(pagination.total, of.unit),
        rest(spans, total=None if is_unit else pagination.total, size=fit.size),
        body_bytes=len(reply.body),
        elapsed_seconds=reply.elapsed_seconds,
    )


def step_down(of: PageList, spans: Spans, error: Exception) -> Spans | None:
    """Return a page's spans with a smaller first request; None when no smaller one may succeed."""
    span = spans[0]
    # A refused part of a page: the list is shorter, or its limit is fixed. The ids will tell.
    is_refused = isinstance(error, Refused) and span.size < span.kept
    if not (is_refused or is_unreadable(error)) or of.ctx.stop.is_set() or span.is_by_id:
        return None
    left = smaller(spans, by_ids=of.resource.key == "id" and of.resource.parent is None)
    if not is_refused:
        of.ctx.fit(of.resource).failed(span.size, error)
    if left is not None and of.ctx.is_over and not left[0].is_by_id:
        return None  # the next slice begins with the smaller size
    return left


def read_page(of: PageList, page: int) -> Iterator[Part]:
    """Yield the parts of a page, one after the other."""
    spans: Spans | None = of.spans(page)
    while spans:
        try:
            part = read_part(of, spans)
        except (TryLater, UnexpectedData, Refused) as error:
            spans = step_down(of, spans, error)
            if spans is None:
                raise
        else:
            yield part
            spans = part.left


def ask_sized(
    ctx: Context, resource: Resource, ask: Callable[[int], Reply], *, priority: Priority
) -> Reply:
    """Request the next page of a list that goes on from what the last answer told.

    Its pages have no numbers, so a smaller page is just a shorter step. `ask` takes the size.
    """
    fit = ctx.fit(resource)
    size, tries = fit.next_size(), TRIES
    while True:
        try:
            reply = insistent(
                ctx,
                lambda size=size: ask(size),  # type: ignore[misc]
                priority=priority,
                tries=tries,
            )
        except (TryLater, UnexpectedData) as error:
            below = size_below(size, by_ids=False)
            if not is_unreadable(error) or ctx.stop.is_set():
                raise
            fit.failed(size, error)
            if below is None or ctx.is_over:
                raise
            size, tries = below, 1
        else:
            fit.came(size)
            return reply


def in_parts(
    ahead: Prefetcher[Job, Page], *, is_wanted: Callable[[Job], bool] = lambda _: True
) -> Iterator[tuple[Job, Page | Exception, bool]]:
    """Yield the results of pages fetched ahead; those that fail come in parts, in their order."""
    for job, result, ready in ahead.results():
        if not is_wanted(job):
            continue
        if isinstance(result, Exception):
            left = step_down(job.of, job.spans, result)
            if left is not None:
                ahead.instead(replace(job, spans=left))
                continue
        yield job, result, ready
        if not isinstance(result, Exception) and result.part.left and is_wanted(job):
            ahead.instead(replace(job, spans=result.part.left))


def _by_ids(of: PageList, spans: Spans) -> Part:
    """Request by id the records that may stand at the next places, between their neighbours.

    The page that failed may begin before them and end after them: its neighbours are asked for.
    """
    span, fit = spans[0], of.ctx.fit(of.resource)
    first, end = span.first // SMALLEST * SMALLEST, pages_in(span.end, SMALLEST) * SMALLEST
    around = _Neighbours(of)
    below, above = around.id_at(first - 1), around.id_at(end)
    if not around.totals:
        # Nothing around these places is known, or the method itself is at fault.
        raise fit.error or TryLater(f"{of.resource.path} answers no page of any size")
    total = around.totals[-1]
    places = max(0, min(end, total) - first)
    wanted = _candidates(of, below, above) if places else set()
    if places and below is None and above is None:
        raise fit.error or TryLater(f"{of.resource.path} answers no page of any size")
    answered = ids_page(
        of.ctx,
        of.resource,
        wanted,
        priority=of.priority,
        chosen=of.params.get("filter"),
        tries=1,  # all of them together have just failed
    )
    found: dict[int, Any] = {}
    for reply in answered.replies:
        around.sent.append(reply.as_of)
        for record in reply.records(of.resource):
            named = _id_of(record)
            if named in wanted:
                found.setdefault(named, record)
    failed = {each: text for each, text in answered.failed.items() if each not in found}
    unnamed = max(0, places - len(found) - len(failed))
    if failed or unnamed:
        fit.restore(span.kept)
    descends = below is not None and above is not None and below > above
    return Part(
        [found[each] for each in sorted(found, reverse=descends)],
        min(around.sent),
        total,
        pages_in(total, of.unit),
        rest(spans, total=total, size=fit.size),
        failed,
        unnamed,
    )


@dataclass(slots=True)
class _Neighbours:
    """The records beside some places, from pages of the smallest size."""

    of: PageList
    totals: list[int] = field(default_factory=list)
    sent: list[dt.datetime] = field(default_factory=list)

    def id_at(self, place: int) -> int | None:
        """Return the id at a place; None beyond an end, or where that page fails too."""
        if place < 0 or (self.totals and place >= self.totals[-1]):
            return None
        span = Span(place, place + 1, SMALLEST, SMALLEST)
        try:
            reply = self.of.send(span)
            records = reply.records(self.of.resource)
        except (Refused, TryLater, UnexpectedData) as error:
            if not isinstance(error, Refused) and not is_unreadable(error):
                raise
            return None
        self.totals.append(reply.pagination.total)
        self.sent.append(reply.as_of)
        return _id_of(records[span.skipped]) if span.skipped < len(records) else None


def _candidates(of: PageList, one: int | None, other: int | None) -> set[int]:
    """Return the ids that may stand between two neighbours, whichever order the list has."""
    known = [each for each in (one, other) if each is not None]
    if not known:
        return set()
    if len(known) == 2:
        low, high = min(known), max(known)
    else:
        # An end of the list: half of NEIGHBOURHOOD on either side, or the known ids there.
        low, high = max(0, known[0] - NEIGHBOURHOOD // 2 - 1), known[0] + NEIGHBOURHOOD // 2 + 1
    if high - low <= NEIGHBOURHOOD + 2:
        return set(range(low + 1, high)) - set(known)
    with of.ctx.reading() as connection:
        return _known_between(connection, of.ctx, of.resource, low, high)


def _id_of(record: Any) -> int | None:
    return record_id_of(record.get("id")) if isinstance(record, dict) else None


def _known_between(
    connection: sa.Connection, ctx: Context, resource: Resource, low: int, high: int
) -> set[int]:
    """Return the ids between two ids that the mirror holds or that a history named."""
    sql = f"SELECT id FROM {crm_name(resource.name)} WHERE store_id = %s AND id > %s AND id < %s"
    binds: list[Any] = [ctx.store.id, low, high]
    for history in ctx.resources.values():
        if history.target == resource.name:
            subject = f"{history.subject}_id"
            sql += (
                f' UNION SELECT "{subject}" FROM {crm_name(history.name)}'
                f' WHERE store_id = %s AND "{subject}" > %s AND "{subject}" < %s'
            )
            binds += [ctx.store.id, low, high]
    rows = connection.exec_driver_sql(f"{sql} LIMIT 5000", tuple(binds))
    return {row[0] for row in rows}
