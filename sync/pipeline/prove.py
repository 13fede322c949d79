"""Windows closed by proof: counted in a bracket of the feed, halved and walked where they differ.

The same routine ends a first load, a backfill and a reconcile: count, and where the counts agree
the sets agree; where they do not, halve; what is small enough is walked again, and rows the walk
did not meet are asked for singly before they become tombstones.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import partial

import sqlalchemy as sa

from sync.crawl import Count, Days, is_leaf, slices
from sync.crm import WorkClass
from sync.declare import Days as DayFilters
from sync.declare import Resource
from sync.errors import TryLater
from sync.mirror import checkpoint, coverage, doubts
from sync.mirror.checkpoint import Crawl, Window
from sync.mirror.names import crm_name
from sync.pipeline.again import UNPROVEN, Again, walk_again
from sync.pipeline.bracket import count_in_bracket
from sync.pipeline.context import Context
from sync.pipeline.reread import Told, apply, read_again
from sync.pipeline.windows import is_filter_off

WHOLE_TRIES = 3
ROUNDS_BEFORE_WALKING = 2
FRUITLESS_WALKS = 3
FRUITLESS_SECONDS = 300.0
WINDOWS_PER_ROUND = 20
_PAUSE_SECONDS = 0.3


def prove_whole(ctx: Context, crawl: Crawl, *, work: WorkClass, tries: int = WHOLE_TRIES) -> bool:
    """Try to prove the crawl's whole range by one number."""
    for _ in range(tries):
        counts = count_in_bracket(ctx, crawl, [crawl.days], work=work)
        if counts and counts[0].proven:
            _all_proven(ctx, crawl, counts[0].asked_as_of)
            return True
        if not counts or ctx.is_over or ctx.stop.wait(_PAUSE_SECONDS):
            return False
    return False


def _all_proven(ctx: Context, crawl: Crawl, as_of: dt.datetime) -> None:
    def write(connection: sa.Connection) -> None:
        open_ones = checkpoint.windows(connection, crawl.id, states=UNPROVEN)
        checkpoint.verify(connection, [window.id for window in open_ones], as_of)

    ctx.write(write)


def settle(ctx: Context, crawl: Crawl, *, work: WorkClass) -> bool:
    """Prove the crawl's walked windows one by one; False when the slice ended before.

    The windows' state carries the progress, so that the next slice goes on here, and every slice
    makes some: one that is over already takes one step. TryLater when a list contradicts itself:
    walking it on and on would only spend the budget.
    """
    resource = ctx.resources[crawl.resource]
    rounds: dict[int, int] = {}
    fruitless: dict[int, int] = {}
    while True:
        begun = ctx.read(lambda c: checkpoint.windows(c, crawl.id, states=("planned", "open")))
        if begun:
            # Its walk was cut short, or it is a part of what was too large to be walked again.
            walk_again(ctx, crawl, begun[0], work=work)
            if ctx.is_over:
                return False
            continue
        left = ctx.read(lambda c: checkpoint.windows(c, crawl.id, states=("walked",)))
        if not left:
            return True
        if ctx.stop.is_set():
            return False
        turn = left[:WINDOWS_PER_ROUND]
        counts = count_in_bracket(ctx, crawl, [window.days for window in turn], work=work)
        if not counts:
            return False
        for window, count in _differing(ctx, turn, counts):
            rounds[window.id] = rounds.get(window.id, 0) + 1
            if rounds[window.id] < ROUNDS_BEFORE_WALKING and not ctx.is_over:
                continue
            rounds.pop(window.id)
            again = _narrow(ctx, crawl, window, count, work=work)
            if again.filter_ignored:
                break
            if again.is_fruitless and not count.is_busy:
                fruitless[window.id] = fruitless.get(window.id, 0) + 1
                _insist_on_sense(resource, count, fruitless[window.id])
            if ctx.is_over:
                return False
        if ctx.stop.wait(_PAUSE_SECONDS):
            return False


def _differing(
    ctx: Context, windows: Sequence[Window], counts: Sequence[Count]
) -> list[tuple[Window, Count]]:
    """Keep which windows are proven; those whose counts differ."""
    judged = list(zip(windows, counts, strict=True))
    proven = [(window, count) for window, count in judged if count.proven]
    if proven:
        oldest = min(count.asked_as_of for _, count in proven)
        ids = [window.id for window, _ in proven]
        ctx.write(partial(checkpoint.verify, window_ids=ids, as_of=oldest))
    return [(window, count) for window, count in judged if not count.proven]


def _insist_on_sense(resource: Resource, count: Count, fruitless: int) -> None:
    """TryLater when a window was walked in vain so often that its list contradicts itself."""
    if fruitless >= FRUITLESS_WALKS:
        raise TryLater(
            f"{resource.name} {count.days}: the API counts {count.total}, its pages show"
            f" {count.mirrored + count.entered}, and walking them again finds nothing new",
            after=FRUITLESS_SECONDS,
        )


def _narrow(ctx: Context, crawl: Crawl, window: Window, count: Count, *, work: WorkClass) -> Again:
    """A window whose counts differ: halve it, or walk it again when it is small."""
    resource = ctx.resources[crawl.resource]
    cuttable = isinstance(resource.listing, DayFilters) and not is_filter_off(ctx, resource)
    if cuttable and not is_leaf(window.days, max(count.total, count.mirrored + count.entered)):
        oldest, newest = _bounds(ctx, resource, window.days)
        halves = slices(window.days, oldest=oldest, newest=newest, parts=2)
        if len(halves) > 1:

            def write(connection: sa.Connection) -> None:
                checkpoint.remove_window(connection, window.id)
                made = checkpoint.add_windows(connection, crawl, halves)
                for each in made:
                    connection.execute(
                        sa.text("UPDATE sync.window SET state = 'walked' WHERE id = :id"),
                        {"id": each.id},
                    )

            ctx.write(write)
            return Again()
    return walk_again(ctx, crawl, window, work=work)


def _bounds(ctx: Context, resource: Resource, days: Days) -> tuple[dt.date, dt.date]:
    """The oldest and newest creation day the mirror has in a window; the API may have others,
    which the outer halves, open as the window is, still hold."""
    today = ctx.draw().astimezone(ctx.zone).date()

    def ask(connection: sa.Connection) -> tuple[dt.date | None, dt.date | None]:
        row = connection.exec_driver_sql(
            f"SELECT min(created_on), max(created_on) FROM {crm_name(resource.name)}"
            " WHERE store_id = %s AND deleted_at IS NULL"
            " AND created_on >= coalesce(%s, '-infinity'::date)"
            " AND created_on <= coalesce(%s, 'infinity'::date)",
            (ctx.store.id, days.first, days.last),
        ).one()
        return row[0], row[1]

    oldest, newest = ctx.read(ask)
    return days.first or oldest or today, days.last or newest or today


def _settle_undated(ctx: Context, crawl: Crawl, resource: Resource, *, work: WorkClass) -> None:
    """No window counts a row without a creation day: each is asked for by its id."""

    def ask(connection: sa.Connection) -> list[int]:
        rows = connection.exec_driver_sql(
            f"SELECT id FROM {crm_name(resource.name)} WHERE store_id = %s"
            " AND deleted_at IS NULL AND created_on IS NULL",
            (ctx.store.id,),
        )
        return [row[0] for row in rows]

    undated = ctx.read(ask)
    if undated:
        read = read_again(ctx, resource, {record: Told() for record in undated}, work=work)
        loaded = ctx.write(lambda c: apply(ctx, c, resource, read))
        ctx.write(lambda c: checkpoint.add_report(c, crawl, {"ghosts": loaded.buried}))


def finish(ctx: Context, crawl: Crawl, *, work: WorkClass) -> None:
    """Every window is proven, so the whole is: their union, and rows that belong to no window."""
    resource = ctx.resources[crawl.resource]
    if resource.created_field:
        _settle_undated(ctx, crawl, resource, work=work)

    def write(connection: sa.Connection) -> None:
        as_of = connection.execute(
            sa.text(
                "SELECT min(verified_at) FROM sync.window WHERE crawl_id = :id"
                " HAVING bool_and(state = 'proven')"
            ),
            {"id": crawl.id},
        ).scalar()
        if checkpoint.windows(connection, crawl.id, states=UNPROVEN):
            checkpoint.set_phase(connection, crawl, "prove")
            return
        since = ctx.store.since if resource.created_field else None
        whole = crawl.days.last is None and crawl.days.first == since
        if crawl.deep:
            began = checkpoint.started_at(connection, crawl)
            doubts.lift(connection, ctx.store.id, resource.name, crawl.days, compared_from=began)
        if whole and as_of is not None:
            coverage.prove(
                connection,
                resource,
                ctx.store.id,
                as_of=as_of,
                by_ids=crawl.deep,
            )
        checkpoint.end_crawl(connection, crawl)

    ctx.write(write)
