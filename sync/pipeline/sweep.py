"""Small lists read whole: what a closed pass lacks is tombstoned, and revived when it comes back.

What absence means is judged by sync/absence.py. A list that grows while it is read closes for what
was there when the pass began (`PassCheck`); one that never holds still is read less and less often.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from sync.absence import Tombstone, Withheld
from sync.crawl import WHOLE, Count, Days, PassCheck, pages_bound
from sync.crm import WorkClass
from sync.declare import Once, Resource
from sync.errors import Refused, TryLater
from sync.mirror import checkpoint, coverage, notes, passes, rereads
from sync.mirror.checkpoint import Crawl
from sync.mirror.graves import Grave, bury
from sync.mirror.live import live_keys
from sync.mirror.load import Dated, Origin, load
from sync.normalise import Batch
from sync.pipeline.absence import judge_list
from sync.pipeline.ahead import Ahead
from sync.pipeline.context import Context
from sync.pipeline.halves import TRIES, insistent
from sync.pipeline.pages import Page, read_page
from sync.pipeline.windows import SMALL_PAGE, days_of, list_params
from sync.telemetry import log

PASSES = 4


@dataclass(slots=True)
class Pass:
    """One reading of a whole list, or of the `days` of it that are asked for.

    The ids it met are in memory until it ends: some 100 bytes each, 50 MB for half a million.
    """

    days: Days = WHOLE
    first_as_of: dt.datetime | None = None
    check: PassCheck = field(default_factory=PassCheck)
    replies: int = 0
    pages: int = 0
    unusable: int = 0
    failed: dict[int, str] = field(default_factory=dict)

    def take(self, page: Page) -> None:
        """Note a page's totals, and the records of it that cannot be had: they are there."""
        self.replies += 1
        self.first_as_of = self.first_as_of or page.reply.as_of
        self.pages = page.reply.pagination.pages
        for total in page.totals - {page.reply.pagination.total}:
            self.check.add_total(total)
        self.check.ids.update(page.failed)
        self.failed |= page.failed


def unusable(batch: Batch) -> set[str]:
    """Records that became no row, by their reject's name: a pass has seen them all the same."""
    return {reject.record for reject in batch.rejects if reject.is_whole}


def crawl_sweep(ctx: Context, crawl: Crawl) -> bool:
    """Read the list until a pass closes; False when it would not hold still this time."""
    resource = ctx.resources[crawl.resource]
    if isinstance(resource.listing, Once):
        closed: Pass | None = _read_once(ctx, crawl, resource)
    else:
        closed = _read_closed(ctx, crawl, resource)
        if closed is not None and _is_to_be_read_twice(ctx, resource, closed):
            again = _read_closed(ctx, crawl, resource)
            if again is not None:
                closed.check.ids |= again.check.ids
                closed.unusable += again.unusable
            closed = closed if again is not None else None
    if closed is None:
        return False
    _close(ctx, crawl, resource, closed)
    return True


def _is_to_be_read_twice(ctx: Context, resource: Resource, closed: Pass) -> bool:
    """Whether a pass lacks rows that a second one may see.

    A deletion and an insertion at the far end cancel in every count, and move a row between two
    pages: only what two passes did not see is absent.
    """
    if closed.check.pages <= 1 or closed.check.holds_its_beginning:
        return False
    return bool(_absent(ctx, resource, closed)[0])


def _read_closed(ctx: Context, crawl: Crawl, resource: Resource) -> Pass | None:
    """Read the list until a pass closes; None when none did: it is tried later, and less often.

    What one pass saw is known to this slice alone, so the next one is not put off to another.
    """
    before: Pass | None = None
    for _ in range(PASSES):
        closed = _read_pages(ctx, crawl, resource, before)
        check = closed.check
        if check.is_closed or check.agrees_with(before.check if before else None):
            return closed
        before = closed
        _note_open(ctx, resource, closed)
        if ctx.stop.is_set():
            return None
    seconds = ctx.write(lambda connection: passes.postpone(connection, crawl))
    log(store=ctx.store.name, resource=resource.name).info(
        "did not hold still", passes=PASSES, again_in_seconds=seconds
    )
    return None


def _commit(
    ctx: Context, crawl: Crawl, resource: Resource, batch: Batch, as_of: dt.datetime
) -> None:
    def write(connection: sa.Connection) -> None:
        rows = [Dated(row, as_of) for row in batch.rows]
        loaded = load(connection, resource, ctx.store.id, rows, origin=Origin.WALK)
        ctx.keep_notes(connection, resource, batch)
        coverage.add_loaded(connection, resource, ctx.store.id, loaded, origin=Origin.WALK)
        checkpoint.count_pages(
            connection, crawl, pages=1, seen=loaded.seen, changed=loaded.written, requests=1
        )

    ctx.write(write)


def _read_once(ctx: Context, crawl: Crawl, resource: Resource) -> Pass:
    """An answer that is not paged is closed by itself."""
    reply = insistent(
        ctx,
        lambda: ctx.api.first(resource, dict(resource.params), work=WorkClass.REFRESH),
        work=WorkClass.REFRESH,
        tries=TRIES,
    )
    batch = ctx.normalise(resource, reply.records(resource))
    result = Pass(first_as_of=reply.as_of, replies=1)
    result.check.add([row.key for row in batch.rows], len(batch.rows))
    result.unusable = len(unusable(batch))
    _commit(ctx, crawl, resource, batch, reply.as_of)
    return result


def _read_pages(ctx: Context, crawl: Crawl, resource: Resource, before: Pass | None) -> Pass:
    """One pass: pages fetched ahead, with a probe of the total before and after."""
    days = crawl.days if resource.created_field else WHOLE

    def ask(page: int) -> Page:
        params = list_params(ctx, resource, days, page=page)
        return read_page(ctx, resource, params, page=page, work=WorkClass.REFRESH)

    result = Pass(days)
    if before is not None and before.check.grew and before.check.ascends:
        _begin_at_the_end(ctx, resource, ask, result, page=before.pages)
    bound = last = 0
    with Ahead(ask, size=lambda page: len(page.reply.body)) as ahead:
        ahead.push(1)
        for number, page, _ in ahead.results():
            if isinstance(page, Refused) and number > 1:
                break  # beyond the end: the totals will not agree
            if isinstance(page, Exception):
                raise page
            batch = ctx.normalise(resource, page.reply.records(resource))
            pagination = page.reply.pagination
            if number == 1:
                bound = pages_bound(pagination.pages)
                last = pagination.pages
                ahead.push_each(range(2, min(last, bound) + 1))
            elif number == last and pagination.pages > number and number < bound:
                last = number + 1
                ahead.push(last)
            result.check.add([row.key for row in batch.rows], pagination.total)
            result.take(page)
            result.check.ids.update(unusable(batch))
            result.unusable += len(unusable(batch))
            _commit(ctx, crawl, resource, batch, page.reply.as_of)
            if ctx.stop.is_set():
                raise TryLater("stopped between two pages of a pass")
            if not batch.rows and not batch.rejects and not page.failed:
                break
    if result.replies > 1:
        small = list_params(ctx, resource, days, page=1, limit=SMALL_PAGE)
        probe = insistent(
            ctx,
            lambda: ctx.api.first(resource, small, work=WorkClass.REFRESH),
            work=WorkClass.REFRESH,
            tries=TRIES,
        )
        result.check.add_total(probe.pagination.total)
    return result


def _begin_at_the_end(
    ctx: Context, resource: Resource, ask: Callable[[int], Page], result: Pass, *, page: int
) -> None:
    """Begin a pass over a list that grows at its end with its last page: it has the largest id.

    The list may have a page more by now; a few steps find its end, or the pass does without.
    """
    for _ in range(PASSES):
        try:
            end = ask(page)
        except Refused:
            return  # it became shorter
        last = end.reply.pagination.pages
        if last <= page:
            batch = ctx.normalise(resource, end.reply.records(resource))
            result.first_as_of = end.reply.as_of
            result.check.begin([row.key for row in batch.rows], end.reply.pagination.total)
            return
        page = last


def _note_open(ctx: Context, resource: Resource, closed: Pass) -> None:
    detail = closed.check.problem or "not closed"
    ctx.write(
        lambda connection: notes.note_drift(
            connection, ctx.store.id, resource.name, kind="order", detail=detail
        )
    )


def _absent(ctx: Context, resource: Resource, closed: Pass) -> tuple[set[Any], int, bool]:
    """Keys known from before the pass that it lacks, of how many, and whether they may go."""
    first = closed.first_as_of
    assert first is not None

    def ask(connection: sa.Connection) -> tuple[set[Any], int, bool]:
        live = live_keys(connection, resource, ctx.store.id, known_before=first, days=closed.days)
        approved = passes.is_approved(connection, ctx.store.id, resource.name)
        return live - closed.check.ids, len(live), approved

    return ctx.read(ask)


def _close(ctx: Context, crawl: Crawl, resource: Resource, closed: Pass) -> None:
    """A closed pass: tombstone what it lacks, and say what is complete as of when.

    A pass over fewer days than the store mirrors says nothing of the rest, and one that lacks a
    record that cannot be had leaves coverage where it was.
    """
    first = closed.first_as_of
    assert first is not None
    absent, live, approved = _absent(ctx, resource, closed)
    verdict = judge_list(
        ctx,
        resource,
        absent,
        of=live,
        seen=len(closed.check.ids),
        unusable=closed.unusable,
        approved=approved,
    )
    detail = f"{len(absent)} absent" if absent else ""
    mirrored = days_of(ctx, resource)
    is_whole = mirrored.within(closed.days) == mirrored

    def write(connection: sa.Connection) -> None:
        told = detail
        if isinstance(verdict, Withheld):
            passes.wait_for_approval(
                connection,
                ctx.store,
                resource.name,
                absent=len(absent),
                of=live,
                words=verdict.words,
            )
        elif isinstance(verdict, Tombstone):
            graves = [Grave(key, first, verdict.reason) for key in absent]
            buried = bury(connection, resource, ctx.store.id, graves)
            coverage.add_loaded(connection, resource, ctx.store.id, buried, origin=Origin.WALK)
            if is_whole and not closed.failed:
                coverage.close(connection, resource, ctx.store.id, complete_as_of=first)
            told += f" ({verdict.words})" if verdict.words else ""
        rereads.failed(connection, ctx.store.id, resource.name, closed.failed)
        rereads.forget_failing(connection, ctx.store.id, resource.name, but=closed.failed)
        count = Count(closed.days, len(closed.check.ids), live, 0, first)
        notes.keep_proof(
            connection,
            ctx.store.id,
            resource.name,
            count,
            method="pass",
            head_id=None,
            proven=isinstance(verdict, Tombstone) and not closed.failed,
            detail=told,
        )
        checkpoint.end_crawl(connection, crawl)

    ctx.write(write)
