"""Small lists read whole: rows missing from a closed pass become tombstones, and may revive.

sync/deletion.py judges the absence. A list that grows during the reading closes for the records
that existed when the pass began (`PassCheck`). One that never holds still is read less often.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sync.crawl import WHOLE, Count, Days, PassCheck, pages_bound, put_off_seconds
from sync.crm import Priority
from sync.declare import Resource, SinglePage
from sync.deletion import By, Deleted, Evidence, Withheld
from sync.errors import Refused, TryLater
from sync.records.loaded import Source
from sync.records.normalise import Batch, Row
from sync.rows.live_rows import live_keys
from sync.rows.tombstones import Tombstone
from sync.state import approvals, coverage, crawls, diagnostics, rereads
from sync.state.crawls import Crawl
from sync.telemetry import log
from sync.work.by_ids import TRIES, insistent
from sync.work.context import Context
from sync.work.list_params import SMALL_PAGE, filters_of, list_params
from sync.work.missing import judge_list
from sync.work.pages import PageList, Part, fetch, in_parts, read_page
from sync.work.prefetch import Prefetcher
from sync.work.writing import write_rows, write_tombstones

PASSES = 4
FIRST_WAIT_SECONDS = 15.0
LONGEST_WAIT_SECONDS = 3_600.0
"""The longest wait before a list that does not hold still is read again."""


@dataclass(slots=True)
class Pass:
    """One reading of a whole list, or of its `days`.

    The ids are kept in memory until it ends: some 100 bytes each, 50 MB for half a million.
    `failed` are records that cannot be read; they exist all the same.
    """

    days: Days = WHOLE
    first_as_of: dt.datetime | None = None
    check: PassCheck = field(default_factory=PassCheck)
    pages: int = 0
    failed: dict[int, str] = field(default_factory=dict)

    def take(self, batch: Batch, part: Part) -> None:
        """Add a page, or a part of it, in the order sent."""
        self.first_as_of = self.first_as_of or part.as_of
        keys = [row.key for row in batch.rows]
        self.check.add(keys, part.total, unusable=unusable(batch))
        self.check.ids.update(part.failed)
        self.failed |= part.failed


def unusable(batch: Batch) -> set[str]:
    """Return the names of rejects that are whole records: a pass has seen these all the same."""
    return {reject.record for reject in batch.rejects if reject.is_whole}


def crawl_sweep(ctx: Context, crawl: Crawl) -> bool:
    """Read the list until a pass closes; False when the list did not hold still."""
    resource = ctx.resources[crawl.resource]
    if isinstance(resource.listing, SinglePage):
        closed: Pass | None = _read_once(ctx, crawl, resource)
    else:
        closed = _read_closed(ctx, crawl, resource)
        if closed is not None and _is_to_be_read_twice(ctx, resource, closed):
            again = _read_closed(ctx, crawl, resource)
            if again is not None:
                closed.check.ids |= again.check.ids
                closed.check.unusable += again.check.unusable
            closed = closed if again is not None else None
    if closed is None:
        return False
    _close(ctx, crawl, resource, closed)
    return True


def _is_to_be_read_twice(ctx: Context, resource: Resource, closed: Pass) -> bool:
    """Tell whether a pass lacks rows that a second pass may show.

    A deletion and an insertion at the far end cancel in every count, and move a row between two
    pages. So only a row that two passes lack is absent.
    """
    if closed.check.pages <= 1 or closed.check.holds_its_beginning:
        return False
    return bool(_absent(ctx, resource, closed)[0])


def _read_closed(ctx: Context, crawl: Crawl, resource: Resource) -> Pass | None:
    """Read the list until a pass closes; None when none did: the next try comes later.

    The ids of a pass are in memory of this slice only, so the next pass follows at once.
    """
    before: Pass | None = None
    for _ in range(PASSES):
        closed = _read_pages(ctx, crawl, resource, before)
        check = closed.check
        if check.is_closed or check.agrees_with(before.check if before else None):
            return closed
        before = closed
        for attempt in ctx.attempts():
            with attempt as connection:
                detail = check.problem or "not closed"
                diagnostics.note_drift(
                    connection, ctx.store.id, resource.name, kind="order", detail=detail
                )
        if ctx.stop.is_set():
            return None
    rounds = crawl.rounds + 1
    seconds = put_off_seconds(rounds, first=FIRST_WAIT_SECONDS, most=LONGEST_WAIT_SECONDS)
    for attempt in ctx.attempts():
        with attempt as connection:
            crawls.wait(connection, crawl, seconds=seconds, rounds=rounds)
    log(store=ctx.store.name, resource=resource.name).info(
        "did not hold still", passes=PASSES, again_in_seconds=seconds
    )
    return None


def _read_once(ctx: Context, crawl: Crawl, resource: Resource) -> Pass:
    """Read an answer without pages: one answer is a closed pass."""
    reply = insistent(
        ctx,
        lambda: ctx.api.first(resource, dict(resource.params), priority=Priority.REFRESH),
        priority=Priority.REFRESH,
        tries=TRIES,
    )
    batch = ctx.normalise(resource, reply.records(resource), as_of=reply.as_of)
    result = Pass()
    result.take(batch, Part(None, reply.as_of, total=len(batch.rows), pages=1, left=()))
    for attempt in ctx.attempts():
        with attempt as connection:
            write_rows(ctx, connection, resource, [batch], source=Source.WALK, crawl=crawl)
    return result


def _read_pages(ctx: Context, crawl: Crawl, resource: Resource, before: Pass | None) -> Pass:
    """Make one pass, and after its pages request the total once more."""
    result = Pass(crawl.days if resource.created_field else WHOLE)
    if before is not None and before.check.grew and before.check.ascends:
        _begin_at_the_end(ctx, resource, result, page=before.pages)
    read_list(ctx, resource, result, source=Source.WALK, crawl=crawl)
    if result.check.pages > 1:
        small = list_params(ctx, resource, result.days, page=1, limit=SMALL_PAGE)
        probe = insistent(
            ctx,
            lambda: ctx.api.first(resource, small, priority=Priority.REFRESH),
            priority=Priority.REFRESH,
            tries=TRIES,
        )
        result.check.add_total(probe.pagination.total)
    return result


def read_list(
    ctx: Context,
    resource: Resource,
    result: Pass,
    *,
    source: Source,
    chosen: Mapping[str, object] | None = None,
    crawl: Crawl | None = None,
) -> None:
    """Read a list's pages, fetched ahead, and write them; `chosen` are further filters.

    The reading ends at an empty page, or at one that is refused because the list became shorter.
    """
    pages = _list_of(ctx, resource, result.days, chosen or {})
    bound = last = 0

    with Prefetcher(fetch, size=lambda page: page.part.body_bytes) as ahead:
        ahead.push(pages.job(1))
        for job, page, _ in in_parts(ahead):
            number = job.number
            if isinstance(page, Refused) and job.spans[0].first:
                result.check.add_refusal()
                break
            if isinstance(page, Exception):
                raise page
            batch, part = page.batch, page.part
            result.pages = part.pages
            if not last:
                bound, last = pages_bound(part.pages), max(part.pages, 1)
                ahead.push_each(map(pages.job, range(2, min(last, bound) + 1)))
            elif part.is_last and number == last and part.pages > number and number < bound:
                last = number + 1
                ahead.push_each(map(pages.job, [last]))
            result.take(batch, part)
            for attempt in ctx.attempts():
                with attempt as connection:
                    write_rows(ctx, connection, resource, [batch], source=source, crawl=crawl)
            if ctx.stop.is_set():
                raise TryLater("stopped between two pages of a pass")
            if page.is_empty:
                break


def _list_of(
    ctx: Context, resource: Resource, days: Days, chosen: Mapping[str, object]
) -> PageList:
    params = filters_of(ctx, resource, days)
    if chosen:
        filters = params.get("filter")
        params["filter"] = {**(filters if isinstance(filters, dict) else {}), **chosen}
    return PageList(ctx, resource, params, Priority.REFRESH)


def _begin_at_the_end(ctx: Context, resource: Resource, result: Pass, *, page: int) -> None:
    """Begin a pass over a list that grows at its end with the last page, which has the largest id.

    If the list has more pages by now, a few steps look for its end.
    """
    pages = _list_of(ctx, resource, result.days, {})
    for _ in range(PASSES):
        try:
            parts = list(read_page(pages, page))
        except Refused:
            return  # the list became shorter
        end = parts[-1]
        if end.pages <= page:
            keys = [row.key for part in parts for row in _rows(ctx, resource, part)]
            result.first_as_of = parts[0].as_of
            result.check.begin(keys, end.total)
            return
        page = end.pages


def _rows(ctx: Context, resource: Resource, part: Part) -> list[Row]:
    return ctx.normalise(resource, part.take_records(), as_of=part.as_of).rows


def _absent(ctx: Context, resource: Resource, closed: Pass) -> tuple[set[Any], int, bool]:
    """Return the keys known before a pass that it lacks, the number known, and the approval."""
    first = closed.first_as_of
    assert first is not None
    with ctx.reading() as connection:
        live = live_keys(connection, resource, ctx.store.id, known_before=first, days=closed.days)
        known = coverage.standing(connection, ctx.store.id, resource.name)
    return live - closed.check.ids, len(live), known.is_approved


def _close(ctx: Context, crawl: Crawl, resource: Resource, closed: Pass) -> None:
    """Mark as deleted what a closed pass lacks, and move coverage.

    Coverage stays when the pass covered fewer days than the store mirrors, or a record was
    unreadable.
    """
    first = closed.first_as_of
    assert first is not None
    absent, live, approved = _absent(ctx, resource, closed)
    verdict = judge_list(
        ctx,
        resource,
        absent,
        Evidence(
            By.LIST,
            of=live,
            seen=len(closed.check.ids),
            is_whole=True,
            unusable=closed.check.unusable,
            approved=approved,
        ),
    )
    told = f"{len(absent)} absent" if absent else ""
    tombstones: list[Tombstone] = []
    approval: approvals.Approval | None = None
    if isinstance(verdict, Deleted):
        tombstones = [Tombstone(key, first, verdict.reason) for key in absent]
        told += f" ({verdict.words})" if verdict.words else ""
    elif isinstance(verdict, Withheld):
        approval = approvals.Approval(len(absent), live, verdict.words)
    mirrored = ctx.store.days_of(resource)
    is_whole = mirrored.within(closed.days) == mirrored and not closed.failed
    for attempt in ctx.attempts():
        with attempt as connection:
            write_tombstones(ctx, connection, resource, tombstones)
            rereads.failed(connection, ctx.store.id, resource.name, closed.failed)
            rereads.forget_failing(connection, ctx.store.id, resource.name, but=closed.failed)
            diagnostics.keep_proof(
                connection,
                ctx.store.id,
                resource.name,
                Count(closed.days, len(closed.check.ids), live, 0, first),
                method="pass",
                head_id=None,
                proven=approval is None and not closed.failed,
                detail=told,
            )
            approvals.end(
                connection,
                ctx.store,
                resource,
                crawl,
                complete_as_of=first if is_whole else None,
                approval=approval,
            )
