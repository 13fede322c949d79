"""Methods that are asked once for every record of another resource: a pass over the parents.

Each parent's list is closed on its own: what it lacks is tombstoned, of that parent alone. In
between, a parent that its history names is asked for again (follow.py drains those wishes).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa

from sync.absence import By, Evidence, Tombstone, Withheld, judge
from sync.crm import WorkClass
from sync.declare import Resource
from sync.errors import (
    MissingScope,
    NotFound,
    TryLater,
    Unavailable,
    UnexpectedData,
)
from sync.mirror import checkpoint, coverage, passes, rereads, stores
from sync.mirror.checkpoint import Crawl
from sync.mirror.graves import Grave, bury
from sync.mirror.live import keys_of_parent, orphans
from sync.mirror.load import Dated, Loaded, Origin, load
from sync.pipeline.absence import judge_list
from sync.pipeline.ahead import Ahead
from sync.pipeline.context import Context
from sync.pipeline.halves import MOST_ALONE, WORDS, cannot_be_had
from sync.pipeline.parent import (
    Answered,
    Long,
    NotStill,
    ParentRow,
    Unfinished,
    ask_parent,
    live_parents,
)
from sync.pipeline.sweep import PASSES
from sync.telemetry import plain

PARENTS_AT_ONCE = 200
FEED_PAGES = 50
"""A feed reads lists of so many pages, and leaves longer ones to the pass."""
SUSPECT_AFTER = 20
"""So many parents that have none, and no other: is the method there at all?"""
WITHOUT_PARENTS_SECONDS = 300.0
"""Until it is looked again whether there are parents after all: a query, and no request."""
LOOK_SECONDS = (5.0, 60.0)
"""A pass that waits for its parents looks again after a tenth of its age, but not sooner, nor
later, than these."""


_COUNTED = ("answered", "missing", "absent", "withheld", "failing")


class WithoutParents(Unavailable):
    """What the records belong to is off, or not given: there is nothing to ask for."""


@dataclass(slots=True)
class Tally:
    """What a pass has found so far, over all its slices; kept in the crawl's report.

    `first` is the first parent of this slice.
    """

    began: dt.datetime
    live: int
    answered: int = 0
    missing: int = 0
    absent: int = 0
    withheld: int = 0
    failing: int = 0
    approved: bool = False
    words: str = "more than half of a list, or some that cannot be told"
    first: Any = None


def crawl_parents(ctx: Context, crawl: Crawl) -> bool:
    """Ask for every live parent, in key order; False when it could not be done to the end.

    It waits for its parents: a pass over half of them would claim what is not so.
    """
    resource = ctx.resources[crawl.resource]
    tally = _tally(ctx, crawl, resource)
    if tally is None:
        _insist_on_parents(ctx, resource)
        return False
    try:
        while _ask_next(ctx, crawl, resource, tally):
            if ctx.is_over:
                return False
    except Unfinished:
        return False
    if tally.missing and not tally.answered:
        _insist_on_method(ctx, crawl, resource)
    _close(ctx, crawl, resource, tally)
    return True


def _insist_on_parents(ctx: Context, resource: Resource) -> None:
    """WithoutParents when they will not become complete by being waited for."""
    assert resource.parent is not None
    parents = resource.parent.resource
    is_selected, unavailable = ctx.read(lambda c: coverage.why_not(c, ctx.store.id, parents))
    if not is_selected:
        raise WithoutParents(
            f"it is asked for by {parents}, which is off; turn it on: "
            f"celery -A sync mirror resource {ctx.store.name} {parents} on"
        )
    if unavailable is not None:
        raise WithoutParents(f"it is asked for by {parents}: {unavailable}")


def seconds_to_parents(ctx: Context, crawl: Crawl) -> float:
    """In how many seconds a pass that waits for its parents looks for them again."""
    least, most = LOOK_SECONDS
    age = ctx.read(lambda c: checkpoint.age_seconds(c, crawl))
    return min(most, max(least, age / 10))


def _ask_next(ctx: Context, crawl: Crawl, resource: Resource, tally: Tally) -> bool:
    """Ask for the next parents; False when they were the last. Unfinished when the slice is over.

    A long list is read in its turn, by one thread, which writes it in parts.
    """
    after = ctx.read(lambda c: checkpoint.rebuilt_to(c, crawl))
    parents = live_parents(ctx, resource, after=after, at_most=PARENTS_AT_ONCE)
    keep = partial(_keep, ctx, crawl, resource)

    def ask(parent: ParentRow) -> Answered:
        return ask_parent(ctx, resource, parent, is_over=_end_for(ctx, parent, tally))

    def ask_in_parts(parent: ParentRow) -> Answered:
        return ask_parent(ctx, resource, parent, is_over=_end_for(ctx, parent, tally), keep=keep)

    with Ahead(ask) as ahead:
        for parent in parents:
            tally.first = parent.key if tally.first is None else tally.first
            ahead.push(parent)
        for parent, result, _ in ahead.results():
            answered = _of_long(ask_in_parts, parent) if isinstance(result, Long) else result
            if isinstance(answered, Exception):
                _pass_by(ctx, crawl, resource, parent, answered, tally)
                continue
            _take(ctx, crawl, resource, answered, tally, again=ask_in_parts)
            if tally.missing == SUSPECT_AFTER and not tally.answered:
                _insist_on_method(ctx, crawl, resource)
            if ctx.is_over:
                raise Unfinished("the slice is over")
    return len(parents) == PARENTS_AT_ONCE


def _of_long(ask: Callable[[ParentRow], Answered], parent: ParentRow) -> Answered | Exception:
    try:
        return ask(parent)
    except (TryLater, UnexpectedData) as error:
        return error


def _pass_by(
    ctx: Context,
    crawl: Crawl,
    resource: Resource,
    parent: ParentRow,
    error: Exception,
    tally: Tally,
) -> None:
    """Go on without a parent whose list cannot be had while the account is well.

    It is named, and coverage stays where it was. The first few of a pass may be the method itself.
    """
    if not _is_of_parent(error) or not isinstance(parent.key, int):
        raise error
    if tally.failing + 1 >= MOST_ALONE and not tally.answered:
        raise error

    def write(connection: sa.Connection) -> None:
        failing = {parent.key: plain(error, most=WORDS)}
        rereads.failed(connection, ctx.store.id, resource.name, failing)
        checkpoint.add_report(connection, crawl, {"failing": 1})
        checkpoint.set_rebuilt_to(connection, crawl, str(parent.key))

    ctx.write(write)
    tally.failing += 1


def _is_of_parent(error: Exception) -> bool:
    """Whether an error is one parent's: others may answer."""
    return cannot_be_had(error) and not isinstance(
        error, Unfinished | Long | NotStill | UnexpectedData
    )


def _end_for(ctx: Context, parent: ParentRow, tally: Tally) -> Callable[[], bool]:
    """When a parent's list is left for the next slice.

    The first of a slice may outlast it, or a list that takes longer would be begun for ever.
    """
    return ctx.stop.is_set if parent.key == tally.first else lambda: ctx.is_over


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
        coverage.set_asked(connection, ctx.store.id, resource.name)
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
            **{name: report.get(name, 0) for name in _COUNTED},
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


def _take(
    ctx: Context,
    crawl: Crawl,
    resource: Resource,
    answered: Answered,
    tally: Tally,
    *,
    again: Callable[[ParentRow], Answered],
) -> None:
    """Commit a parent's answer; asked again where newer knowledge stood in the way of it."""
    for _ in range(PASSES):
        _commit(ctx, crawl, resource, answered, tally)
        if not answered.is_refused:
            break
        answered = again(answered.parent)
    tally.answered += not answered.is_missing
    tally.missing += answered.is_missing


def _absent(ctx: Context, resource: Resource, answered: Answered, tally: Tally | None) -> set[Any]:
    """Keys of one parent's rows that its list lacks, as far as they may be tombstoned now.

    A parent that has none (404) lacks all, once others have shown that the method is there. What
    waits for a person waits in a pass: the parents' feed leaves it alone.
    """
    parent = answered.parent.key
    known = ctx.read(
        lambda c: keys_of_parent(
            c, resource, ctx.store.id, parent, known_before=answered.first_as_of
        )
    )
    absent = known - answered.keys
    if not absent:
        return absent
    approved = tally is not None and tally.approved
    verdict = judge_list(
        ctx,
        resource,
        absent,
        of=len(known),
        by=By.NO_LIST if answered.is_missing else By.LIST,
        answers=not answered.is_missing or (tally is not None and tally.answered > 0),
        unusable=int(answered.is_doubtful),
        approved=approved,
    )
    if isinstance(verdict, Tombstone) and tally is not None:
        together = tally.absent + len(absent)
        verdict = judge(Evidence(By.LIST, absent=together, of=tally.live, approved=approved))
    if isinstance(verdict, Tombstone):
        if tally is not None:
            tally.absent += len(absent)
        return absent
    if tally is not None and isinstance(verdict, Withheld) and verdict.approvable:
        tally.withheld += len(absent)
        tally.words = verdict.words
    return set()


def _commit(
    ctx: Context,
    crawl: Crawl | None,
    resource: Resource,
    answered: Answered,
    tally: Tally | None,
) -> None:
    """Write a parent's records, tombstone what its list lacks, move the checkpoint."""
    before = (tally.absent, tally.withheld) if tally else (0, 0)
    absent = _absent(ctx, resource, answered, tally)
    reason = "not_found" if answered.is_missing else "absent"

    def write(connection: sa.Connection) -> bool:
        loaded = _load(ctx, connection, crawl, resource, answered)
        graves = [Grave(key, answered.first_as_of, reason) for key in absent]
        buried = bury(connection, resource, ctx.store.id, graves)
        coverage.add_loaded(connection, resource, ctx.store.id, buried, origin=Origin.REREAD)
        is_refused = answered.is_refused or bool(loaded.refused) or bool(buried.refused)
        if crawl is not None and tally is not None:
            found = {
                "answered": int(not answered.is_missing),
                "missing": int(answered.is_missing),
                "absent": tally.absent - before[0],
                "withheld": tally.withheld - before[1],
            }
            if not is_refused:
                counts = {name: number for name, number in found.items() if number}
                checkpoint.add_report(connection, crawl, counts)
                if isinstance(answered.parent.key, int):
                    rereads.forget_failing(
                        connection, ctx.store.id, resource.name, among=[answered.parent.key]
                    )
                checkpoint.set_rebuilt_to(connection, crawl, str(answered.parent.key))
        return is_refused

    answered.is_refused = ctx.write(write)


def _keep(ctx: Context, crawl: Crawl | None, resource: Resource, answered: Answered) -> None:
    """Write what was read of a long list so far: true as of its request, whatever the rest says."""
    loaded = ctx.write(lambda connection: _load(ctx, connection, crawl, resource, answered))
    answered.is_refused |= bool(loaded.refused)
    answered.batches, answered.held_bytes = [], 0


def _load(
    ctx: Context,
    connection: sa.Connection,
    crawl: Crawl | None,
    resource: Resource,
    answered: Answered,
) -> Loaded:
    rows = [Dated(row, as_of) for batch, as_of in answered.batches for row in batch.rows]
    loaded = load(connection, resource, ctx.store.id, rows, origin=Origin.WALK)
    for batch, _ in answered.batches:
        ctx.keep_notes(connection, resource, batch)
    coverage.add_loaded(connection, resource, ctx.store.id, loaded, origin=Origin.REREAD)
    if crawl is not None:
        checkpoint.count_pages(
            connection,
            crawl,
            pages=len(answered.batches),
            seen=loaded.seen,
            changed=loaded.written,
            requests=max(1, len(answered.batches)),
        )
    return loaded


def _close(ctx: Context, crawl: Crawl, resource: Resource, tally: Tally) -> None:
    """Every parent was asked: bury the records of parents that are gone, and say so."""
    as_of = ctx.draw()

    def write(connection: sa.Connection) -> None:
        _bury_orphans(ctx, connection, resource, as_of)
        if tally.withheld:
            passes.wait_for_approval(
                connection,
                ctx.store,
                resource.name,
                absent=tally.withheld,
                of=tally.live,
                words=tally.words,
            )
        elif not tally.failing:
            coverage.close(connection, resource, ctx.store.id, complete_as_of=tally.began)
        checkpoint.end_crawl(connection, crawl)

    ctx.write(write)


def _bury_orphans(
    ctx: Context,
    connection: sa.Connection,
    resource: Resource,
    as_of: dt.datetime,
    *,
    among: list[Any] | None = None,
) -> None:
    """Rows of parents that are gone. `as_of` is of now, later than any read before it: a parent
    deleted after it was asked for leaves none behind."""
    assert resource.parent is not None
    parents = ctx.resources[resource.parent.resource]
    gone = orphans(connection, resource, parents, ctx.store.id, among=among)
    graves = [Grave(key, as_of, "absent") for key in gone]
    loaded = bury(connection, resource, ctx.store.id, graves)
    coverage.add_loaded(connection, resource, ctx.store.id, loaded, origin=Origin.REREAD)


def read_parents(ctx: Context, resource: Resource, keys: list[Any]) -> list[Any]:
    """Ask again for parents that changed; the records of those that are gone are buried.

    Returns the keys that are done with: not all when the slice ended before. This is the parents'
    feed, which must not stumble over a method it is not for: what is off or unavailable is not
    asked, and what refuses, or is too long, is left to a pass of its own, which finds out what that
    means.
    """
    if not ctx.read(lambda c: passes.is_asked_for(c, ctx.store.id, resource.name)):
        return keys
    done: list[Any] = []
    failing: dict[Any, str] = {}
    try:
        for parent in live_parents(ctx, resource, only=keys, at_most=len(keys)):
            if ctx.is_over:
                return done
            # The first may outlast the slice, as in a pass.
            is_over = (lambda: ctx.is_over) if done else ctx.stop.is_set
            try:
                _read_parent(ctx, resource, parent, is_over=is_over)
            except TryLater as error:
                is_method = len(failing) + 1 >= MOST_ALONE and not done
                if is_method or not _is_of_parent(error):
                    raise
                failing[parent.key] = plain(error, most=WORDS)
            else:
                done.append(parent.key)
    except Unfinished:
        return done
    except (MissingScope, Unavailable, UnexpectedData, NotStill):
        ctx.write(lambda c: stores.queue_once(c, ctx.store.id, resource.name, kind="refresh"))
        return keys
    except TryLater:
        if not done:
            raise
        # What was read counts: of a hundred requests one in ten may fail, and all together they
        # would never come through.
        return done
    as_of = ctx.draw()

    def write(connection: sa.Connection) -> None:
        _bury_orphans(ctx, connection, resource, as_of, among=keys)
        rereads.failed(connection, ctx.store.id, resource.name, failing)

    ctx.write(write)
    return [key for key in keys if key not in failing]


def _read_parent(
    ctx: Context, resource: Resource, parent: ParentRow, *, is_over: Callable[[], bool]
) -> None:
    keep = partial(_keep, ctx, None, resource)
    for _ in range(PASSES):
        answered = ask_parent(
            ctx, resource, parent, is_over=is_over, most_pages=FEED_PAGES, keep=keep
        )
        _commit(ctx, None, resource, answered, None)
        if not answered.is_refused:
            return
