"""Methods that are asked once for every record of another resource: a pass over the parents.

Each parent's list is closed on its own: what it lacks is tombstoned, of that parent alone. In
between, a parent that its history names is asked for again (follow.py drains those wishes).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa

from sync.crm import WorkClass
from sync.declare import Resource
from sync.errors import (
    MissingScope,
    NotFound,
    Unavailable,
    UnexpectedData,
)
from sync.mirror import checkpoint, coverage, passes, stores
from sync.mirror.checkpoint import Crawl
from sync.mirror.load import Dated, Grave, Loaded, Origin, bury, keys_of_parent, load, orphans
from sync.pipeline.ahead import Ahead
from sync.pipeline.context import Context
from sync.pipeline.parent import Answered, NotStill, ParentRow, ask_parent, live_parents
from sync.pipeline.reread import insist_on_access
from sync.pipeline.sweep import PASSES, unusable

PARENTS_AT_ONCE = 200
SUSPECT_AFTER = 20
"""So many parents that have none, and no other: is the method there at all?"""


@dataclass(slots=True)
class Tally:
    """What a pass has found so far, over all its slices; kept in the crawl's report."""

    began: dt.datetime
    live: int
    answered: int = 0
    missing: int = 0
    absent: int = 0
    withheld: int = 0
    approved: bool = False


def crawl_parents(ctx: Context, crawl: Crawl) -> bool:
    """Ask for every live parent, in key order; False when it could not be done to the end.

    It waits for its parents: a pass over half of them would claim what is not so.
    """
    resource = ctx.resources[crawl.resource]
    tally = _tally(ctx, crawl, resource)
    if tally is None:
        return False
    while True:
        after = ctx.read(lambda c: checkpoint.rebuilt_to(c, crawl))
        parents = live_parents(ctx, resource, after=after, at_most=PARENTS_AT_ONCE)
        with Ahead[ParentRow, Answered](partial(ask_parent, ctx, resource)) as ahead:
            for parent in parents:
                ahead.push(parent)
            for _, result, _ in ahead.results():
                if isinstance(result, Exception):
                    raise result
                _take(ctx, crawl, resource, result, tally)
                if tally.missing == SUSPECT_AFTER and not tally.answered:
                    _insist_on_method(ctx, crawl, resource)
                if ctx.is_over:
                    return False
        if len(parents) < PARENTS_AT_ONCE:
            break
    if tally.missing and not tally.answered:
        _insist_on_method(ctx, crawl, resource)
    _close(ctx, crawl, resource, tally)
    return True


def _tally(ctx: Context, crawl: Crawl, resource: Resource) -> Tally | None:
    """The pass so far; None while the parents are not complete.

    It is complete as of when it began, or as of when its parents were then, if that is older.
    """
    assert resource.parent is not None
    parents = resource.parent.resource
    moment = ctx.draw()
    known = ctx.read(lambda c: coverage.complete_as_of(c, ctx.store.id, parents))
    if known is None:
        return None
    moment = min(moment, known)

    def write(connection: sa.Connection) -> Tally:
        live = passes.count_live(connection, resource, ctx.store.id)
        report: dict[str, Any] = connection.execute(
            sa.text(
                "UPDATE sync.crawl SET report = jsonb_build_object('began', cast(:now AS text),"
                " 'live', cast(:live AS bigint)) || coalesce(report, '{}'::jsonb)"
                " WHERE id = :id RETURNING report"
            ),
            {"id": crawl.id, "now": moment.isoformat(), "live": live},
        ).scalar_one()
        return Tally(
            dt.datetime.fromisoformat(report["began"]),
            report["live"],
            **{name: report.get(name, 0) for name in ("answered", "missing", "absent", "withheld")},
            approved=passes.is_approved(connection, ctx.store.id, resource.name),
        )

    return ctx.write(write)


def _insist_on_method(ctx: Context, crawl: Crawl, resource: Resource) -> None:
    """Unavailable when parents that are there have nothing to ask for: no such method here.

    The pass begins anew when it is asked again, tomorrow.
    """
    parents = live_parents(ctx, resource, at_most=SUSPECT_AFTER)
    if any(_is_there(ctx, resource, parent) for parent in parents):
        ctx.write(lambda c: checkpoint.begin_anew(c, crawl))
        raise Unavailable(f"this account has no {resource.path} (HTTP 404)")


def _is_there(ctx: Context, resource: Resource, parent: ParentRow) -> bool:
    assert resource.parent is not None
    single = ctx.resources[resource.parent.resource].single
    if not single or resource.parent.by != "id":
        return True
    try:
        path = single.replace("{id}", str(parent.key))
        ctx.api.ask(path, {"by": "id"}, work=WorkClass.REFRESH)
    except NotFound:
        return False
    return True


def _take(ctx: Context, crawl: Crawl, resource: Resource, answered: Answered, tally: Tally) -> None:
    """Commit a parent's answer; asked again where newer knowledge stood in the way of it."""
    for _ in range(PASSES):
        loaded = _commit(ctx, crawl, resource, answered, tally)
        if not loaded.refused:
            break
        answered = ask_parent(ctx, resource, answered.parent)
    tally.answered += not answered.is_missing
    tally.missing += answered.is_missing


def _absent(ctx: Context, resource: Resource, answered: Answered, tally: Tally | None) -> set[Any]:
    """Keys of one parent's rows that its list lacks, as far as they may be tombstoned now.

    A parent that has none (404) lacks all, once others have shown that the method is there.
    """
    first = answered.first_as_of
    if answered.is_missing and (tally is None or not tally.answered):
        return set()
    parent = answered.parent.key
    known = ctx.read(
        lambda c: keys_of_parent(c, resource, ctx.store.id, parent, known_before=first)
    )
    absent = known - answered.keys
    if not absent or any(unusable(batch) for batch, _ in answered.batches):
        return set()  # a record that cannot be read may be the one that seems to be gone
    insist_on_access(ctx, work=WorkClass.REFRESH)
    if tally is None:
        return set() if passes.is_too_many(len(absent), of=len(known)) else absent
    many = passes.is_too_many(len(absent), of=len(known))
    if not tally.approved and (
        many or passes.is_too_many(tally.absent + len(absent), of=tally.live)
    ):
        tally.withheld += len(absent)
        return set()
    tally.absent += len(absent)
    return absent


def _commit(
    ctx: Context,
    crawl: Crawl | None,
    resource: Resource,
    answered: Answered,
    tally: Tally | None,
) -> Loaded:
    """Write a parent's records, tombstone what its list lacks, move the checkpoint."""
    before = (tally.absent, tally.withheld) if tally else (0, 0)
    absent = _absent(ctx, resource, answered, tally)
    reason = "not_found" if answered.is_missing else "absent"

    def write(connection: sa.Connection) -> Loaded:
        rows = [Dated(row, as_of) for batch, as_of in answered.batches for row in batch.rows]
        loaded = load(connection, resource, ctx.store.id, rows, origin=Origin.WALK)
        graves = [Grave(key, answered.first_as_of, reason) for key in absent]
        loaded.add(bury(connection, resource, ctx.store.id, graves))
        for batch, _ in answered.batches:
            ctx.keep_notes(connection, resource, batch)
        coverage.add_loaded(connection, resource, ctx.store.id, loaded, origin=Origin.REREAD)
        if crawl is not None and tally is not None:
            checkpoint.count_pages(
                connection,
                crawl,
                pages=len(answered.batches),
                seen=loaded.seen,
                changed=loaded.written,
                requests=max(1, len(answered.batches)),
            )
            found = {
                "answered": int(not answered.is_missing),
                "missing": int(answered.is_missing),
                "absent": tally.absent - before[0],
                "withheld": tally.withheld - before[1],
            }
            if not loaded.refused:
                counts = {name: number for name, number in found.items() if number}
                checkpoint.add_report(connection, crawl, counts)
                checkpoint.set_rebuilt_to(connection, crawl, str(answered.parent.key))
        return loaded

    return ctx.write(write)


def _close(ctx: Context, crawl: Crawl, resource: Resource, tally: Tally) -> None:
    """Every parent was asked: bury the records of parents that are gone, and say so."""
    as_of = ctx.draw()

    def write(connection: sa.Connection) -> None:
        _bury_orphans(ctx, connection, resource, as_of)
        if tally.withheld:
            passes.wait_for_approval(
                connection,
                ctx.store.id,
                ctx.store.name,
                resource.name,
                absent=tally.withheld,
                of=tally.live,
            )
        else:
            coverage.close(connection, resource, ctx.store.id, complete_as_of=tally.began)
        checkpoint.end_crawl(connection, crawl)

    ctx.write(write)


def _bury_orphans(
    ctx: Context, connection: sa.Connection, resource: Resource, as_of: dt.datetime
) -> None:
    """Rows of parents that are gone. `as_of` is of now, later than any read before it: a parent
    deleted after it was asked for leaves none behind."""
    assert resource.parent is not None
    gone = orphans(connection, resource, ctx.resources[resource.parent.resource], ctx.store.id)
    graves = [Grave(key, as_of, "absent") for key in gone]
    loaded = bury(connection, resource, ctx.store.id, graves)
    coverage.add_loaded(connection, resource, ctx.store.id, loaded, origin=Origin.REREAD)


def read_parents(ctx: Context, resource: Resource, keys: list[Any]) -> bool:
    """Ask again for parents that changed; the records of those that are gone are buried.

    False when the slice ended before. This is the parents' feed, which must not stumble over a
    method it is not for: what is off or unavailable is not asked, and what refuses is left to a
    pass of its own, which finds out what that means.
    """
    if not ctx.read(lambda c: passes.is_asked_for(c, ctx.store.id, resource.name)):
        return True
    try:
        for parent in live_parents(ctx, resource, only=keys, at_most=len(keys)):
            if ctx.is_over:
                return False
            for _ in range(PASSES):
                answered = ask_parent(ctx, resource, parent)
                if not _commit(ctx, None, resource, answered, None).refused:
                    break
    except (MissingScope, Unavailable, UnexpectedData, NotStill):
        ctx.write(lambda c: stores.queue_once(c, ctx.store.id, resource.name, kind="refresh"))
        return True
    as_of = ctx.draw()
    ctx.write(lambda connection: _bury_orphans(ctx, connection, resource, as_of))
    return True
