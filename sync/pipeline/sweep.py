"""Small lists read whole: what a closed pass lacks is tombstoned, and revived when it comes back.

Absence is judged with care: the pass must be closed, the key must see what it saw, an empty
answer is never a delete, and more than half of a list of twenty waits for an operator.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from sync.crawl import WHOLE, Count, PassCheck, pages_bound
from sync.crm import WorkClass
from sync.declare import Once, Resource
from sync.errors import Refused, TryLater
from sync.mirror import checkpoint, coverage, notes, passes
from sync.mirror.checkpoint import Crawl
from sync.mirror.graves import Grave, bury
from sync.mirror.live import live_keys
from sync.mirror.load import Dated, Loaded, Origin, load
from sync.normalise import Batch
from sync.pipeline.absence import insist_on_access
from sync.pipeline.ahead import Ahead
from sync.pipeline.asking import Reply
from sync.pipeline.context import Context
from sync.pipeline.windows import list_params

PASSES = 4


@dataclass(slots=True)
class Pass:
    """One reading of a whole list."""

    first_as_of: dt.datetime | None = None
    check: PassCheck = field(default_factory=PassCheck)
    loaded: Loaded = field(default_factory=Loaded)
    replies: int = 0
    unusable: int = 0


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
        if closed is not None and closed.check.pages > 1 and _absent(ctx, resource, closed)[0]:
            # A deletion and an insertion at the far end cancel in every count, and move a row
            # between two pages: only what two passes did not see is absent.
            again = _read_closed(ctx, crawl, resource)
            if again is not None:
                closed.check.ids |= again.check.ids
                closed.unusable += again.unusable
            closed = closed if again is not None else None
    if closed is None:
        return False
    _close(ctx, crawl, resource, closed)
    return True


def _read_closed(ctx: Context, crawl: Crawl, resource: Resource) -> Pass | None:
    """Read the list until a pass closes; None when the process is to stop.

    What one pass saw is known to this slice alone, so the next one is not put off to another.
    """
    before: PassCheck | None = None
    for _ in range(PASSES):
        closed = _read_pages(ctx, crawl, resource)
        if closed.check.is_closed or closed.check.agrees_with(before):
            return closed
        before = closed.check
        _note_open(ctx, resource, closed)
        if ctx.stop.is_set():
            return None
    problem = before.problem if before else ""
    raise TryLater(f"{resource.name} did not hold still for {PASSES} passes: {problem}")


def _commit(
    ctx: Context, crawl: Crawl, resource: Resource, batch: Batch, as_of: dt.datetime
) -> Loaded:
    def write(connection: sa.Connection) -> Loaded:
        rows = [Dated(row, as_of) for row in batch.rows]
        loaded = load(connection, resource, ctx.store.id, rows, origin=Origin.WALK)
        ctx.keep_notes(connection, resource, batch)
        coverage.add_loaded(connection, resource, ctx.store.id, loaded, origin=Origin.WALK)
        checkpoint.count_pages(
            connection, crawl, pages=1, seen=loaded.seen, changed=loaded.written, requests=1
        )
        return loaded

    return ctx.write(write)


def _read_once(ctx: Context, crawl: Crawl, resource: Resource) -> Pass:
    """An answer that is not paged is closed by itself."""
    reply = ctx.api.first(resource, dict(resource.params), work=WorkClass.REFRESH)
    batch = ctx.normalise(resource, reply.records(resource))
    result = Pass(first_as_of=reply.as_of, replies=1)
    result.check.add([row.key for row in batch.rows], len(batch.rows))
    result.unusable = len(unusable(batch))
    result.loaded = _commit(ctx, crawl, resource, batch, reply.as_of)
    return result


def _read_pages(ctx: Context, crawl: Crawl, resource: Resource) -> Pass:
    """One pass: pages fetched ahead, with a probe of the total before and after."""

    def ask(page: int) -> Reply:
        params = list_params(ctx, resource, WHOLE, page=page)
        if page == 1:
            return ctx.api.first(resource, params, work=WorkClass.REFRESH)
        return ctx.api.later(resource, params, work=WorkClass.REFRESH)

    result = Pass()
    bound = 0
    with Ahead(ask) as ahead:
        ahead.push(1)
        for page, reply, _ in ahead.results():
            if isinstance(reply, Refused) and page > 1:
                break  # beyond the end: the totals will not agree
            if isinstance(reply, Exception):
                raise reply
            batch = ctx.normalise(resource, reply.records(resource))
            pagination = reply.pagination
            keys: list[Any] = [row.key for row in batch.rows]
            result.replies += 1
            if result.first_as_of is None:
                result.first_as_of = reply.as_of
                bound = pages_bound(pagination.pages)
                ahead.push_each(range(2, min(pagination.pages, bound) + 1))
                last = pagination.pages
            elif page == last and pagination.pages > page and page < bound:
                last = page + 1
                ahead.push(last)
            result.check.add(keys, pagination.total)
            result.check.ids.update(unusable(batch))
            result.unusable += len(unusable(batch))
            result.loaded.add(_commit(ctx, crawl, resource, batch, reply.as_of))
            if ctx.stop.is_set():
                raise TryLater("stopped between two pages of a pass")
            if not batch.rows and not batch.rejects:
                break
    if result.replies > 1:
        probe = ctx.api.first(
            resource, list_params(ctx, resource, WHOLE, page=1, limit=20), work=WorkClass.REFRESH
        )
        result.check.add_total(probe.pagination.total)
    return result


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
        live = live_keys(connection, resource, ctx.store.id, known_before=first)
        approved = passes.is_approved(connection, ctx.store.id, resource.name)
        return live - closed.check.ids, len(live), approved

    return ctx.read(ask)


def _may_be_hidden(ctx: Context, resource: Resource, absent: set[Any]) -> bool:
    """Whether any of what is absent was written before the key was known to have lost sites."""
    as_of = ctx.store.hidden_from
    if as_of is None or not absent:
        return False
    return bool(
        absent & ctx.read(lambda c: live_keys(c, resource, ctx.store.id, known_before=as_of))
    )


def _close(ctx: Context, crawl: Crawl, resource: Resource, closed: Pass) -> None:
    """A closed pass: tombstone what it lacks, and say what is complete as of when."""
    first = closed.first_as_of
    assert first is not None
    absent, live, approved = _absent(ctx, resource, closed)
    if absent:
        insist_on_access(ctx, work=WorkClass.REFRESH)
    # A record that cannot be read may be the one that seems to be gone, and so may one of a site
    # the key has lost.
    in_doubt = (
        not closed.check.ids or bool(closed.unusable) or _may_be_hidden(ctx, resource, absent)
    )
    is_much = passes.is_too_many(len(absent), of=live)
    waits = bool(absent) and (in_doubt or is_much) and not approved

    def write(connection: sa.Connection) -> None:
        if waits:
            passes.wait_for_approval(
                connection,
                ctx.store,
                resource.name,
                absent=len(absent),
                of=live,
            )
        else:
            graves = [Grave(key, first, "absent") for key in absent]
            buried = bury(connection, resource, ctx.store.id, graves)
            coverage.add_loaded(connection, resource, ctx.store.id, buried, origin=Origin.WALK)
            coverage.close(connection, resource, ctx.store.id, complete_as_of=first)
        count = Count(WHOLE, len(closed.check.ids), live, 0, first)
        notes.keep_proof(
            connection,
            ctx.store.id,
            resource.name,
            count,
            method="pass",
            head_id=None,
            proven=not waits,
            detail=f"{len(absent)} absent" if absent else "",
        )
        checkpoint.end_crawl(connection, crawl)

    ctx.write(write)
