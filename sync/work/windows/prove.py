"""Windows closed by proof: counted in a bracket of the feed, sealed when it is clear past that.

The same routine ends a first load, a backfill and a reconcile. Where the counts agree, the sets
agree. Where they differ, the window is cut; a small one is walked again and compared. If it still
differs, a doubt is raised, and the window is tried less and less often, while other work goes on.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Sequence

import sqlalchemy as sa

from sync import failpoints
from sync.crawl import (
    Count,
    Days,
    Step,
    can_seal,
    next_step,
    parts_of_contested,
    seconds_to_count,
    seconds_to_seal,
)
from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.state import clock, coverage, crawls, departures, doubts, feeds, windows
from sync.state.crawls import Crawl
from sync.state.windows import Window
from sync.work.context import Context
from sync.work.feed.reread import ChangeHint, apply, read_again
from sync.work.windows.audit import keep_turn
from sync.work.windows.counts import CountBracket, ask_totals, count_rows
from sync.work.windows.plan import cut, is_cuttable

WINDOWS_PER_ROUND = 20
LEAST_WAIT_SECONDS = 1.0
_PAUSE_SECONDS = 0.3
PARTS = 8
"""The parts of a window with contradicted counts: most parts contain none of the departures."""
UNSEALED = ("walked", "counted")


def prove_windows(ctx: Context, crawl: Crawl) -> bool:
    """Count and seal the windows of a crawl whose pages are all read; False when it is not done.

    False means that the crawl waits, the slice ended, or a window has to be walked again. Progress
    is kept in the windows. A slice that is over already still counts once.
    """
    while True:
        seal(ctx, crawl)
        with ctx.reading() as connection:
            left = windows.of_crawl(connection, crawl.id, states=UNSEALED)
        if not left:
            return finish(ctx, crawl)
        waits = _seconds_to_wait(ctx, crawl, left)
        turn = [window for window in left if waits[window.id] <= 0][:WINDOWS_PER_ROUND]
        if not turn:
            _wait(ctx, crawl, left, min(waits.values()))
            return False
        if not _count_all(ctx, crawl, left) and not _count(ctx, crawl, turn):
            return False
        with ctx.reading() as connection:
            is_cut = bool(windows.of_crawl(connection, crawl.id, states=("planned",)))
        if is_cut or ctx.is_over or ctx.stop.wait(_PAUSE_SECONDS):
            return False


def seal(ctx: Context, crawl: Crawl) -> None:
    """Seal the counts that the feed is clear past: late entries can contradict them no more.

    Windows whose count was contradicted by a late departure are counted again, in parts. A count so
    old that departures since may be forgotten is repeated.
    """
    resource = ctx.resources[crawl.resource]
    history = ctx.history_of(resource)
    cuttable = is_cuttable(ctx, resource)

    for attempt in ctx.attempts():
        with attempt as connection:
            # No departure is learnt meanwhile.
            feed = feeds.hold(connection, ctx.store.id, history.name, of=resource.name)
            counted = windows.of_crawl(connection, crawl.id, states=("counted",))
            assert feed is not None, "a feed is followed from its bookmark"
            for group in _counted_together(counted):
                window = group[0]
                assert window.asked_at is not None
                assert window.counted_at is not None
                if not can_seal(window.asked_at, feed.clear_at):
                    continue
                if departures.speaks_against(
                    connection,
                    ctx.store.id,
                    crawl.resource,
                    _hull(group),
                    asked_at=window.asked_at,
                    counted_at=window.counted_at,
                    crm_at=window.crm_at,
                    lateness_seconds=feed.bound_seconds,
                ):
                    runs = _parts(ctx, connection, resource, window.days, PARTS) if cuttable else []
                    if len(group) == 1 and runs:
                        _cut(connection, crawl, window, runs)
                    else:
                        windows.count_again(connection, group)
                    continue
                if window.counted_at < departures.known_since(connection):
                    windows.count_again(connection, group)
                    continue
                windows.seal(connection, group)
                if sum(_lift(connection, crawl, each, feed.bound_seconds) for each in group):
                    coverage.set_counts(connection, resource, ctx.store.id)
    failpoints.point("sealed")


def _lift(connection: sa.Connection, crawl: Crawl, window: Window, bound: float) -> int:
    """Lift the doubts raised before a window was compared; return their number."""
    if not window.deep or window.walked_as_of is None:
        return 0
    return doubts.lift(
        connection,
        crawl.store_id,
        crawl.resource,
        window.days,
        compared_from=window.walked_as_of,
        lateness_seconds=bound,
    )


def _counted_together(windows: Sequence[Window]) -> list[list[Window]]:
    """Group windows by the count that proved them; one count may prove the whole range."""

    def when(window: Window) -> dt.datetime:
        assert window.asked_at is not None
        return window.asked_at

    ordered = sorted(windows, key=when)
    return [list(group) for _, group in itertools.groupby(ordered, key=when)]


def _hull(windows: Sequence[Window]) -> Days:
    """Return the days from the first to the last of some windows."""
    firsts, lasts = [w.days.first for w in windows], [w.days.last for w in windows]
    return Days(
        None if None in firsts else min(day for day in firsts if day is not None),
        None if None in lasts else max(day for day in lasts if day is not None),
    )


def _seconds_to_wait(ctx: Context, crawl: Crawl, left: Sequence[Window]) -> dict[int, float]:
    """Return the seconds that each window waits for its count or its seal, by window id."""
    history = ctx.history_of(ctx.resources[crawl.resource])

    with ctx.reading() as connection:
        feed = feeds.feed(connection, ctx.store.id, history.name)
    assert feed is not None, "a feed is followed from its bookmark"

    def seconds(window: Window) -> float:
        if window.state == "counted":
            assert window.asked_at is not None
            behind = seconds_to_seal(
                asked_at=window.asked_at,
                clear_at=feed.clear_at,
                lateness_seconds=feed.bound_seconds,
            )
            return max(behind, ctx.feed_seconds / 4)  # a look too early costs no request
        ago = (feed.now - window.counted_at).total_seconds() if window.counted_at else None
        return seconds_to_count(
            differed=window.differed,
            walks=window.walks,
            counted_seconds_ago=ago,
            lateness_seconds=feed.bound_seconds,
        )

    return {window.id: seconds(window) for window in left}


def _wait(ctx: Context, crawl: Crawl, left: Sequence[Window], seconds: float) -> None:
    """Make the crawl wait; the vain walks of a window that differs are its rounds."""
    phase = "seal" if all(window.state == "counted" for window in left) else "prove"
    rounds = max((w.walks for w in left if w.state == "walked" and w.differed), default=0)
    seconds = max(seconds, LEAST_WAIT_SECONDS)
    for attempt in ctx.attempts():
        with attempt as connection:
            crawls.wait(connection, crawl, seconds=seconds, phase=phase, rounds=rounds)


def _count_all(ctx: Context, crawl: Crawl, left: Sequence[Window]) -> bool:
    """Try to prove a crawl's whole range by one total, once, before its windows are counted."""
    if len(left) < 2 or any(window.counted_at is not None for window in left):
        return False
    with ctx.reading() as connection:
        is_begun = bool(windows.of_crawl(connection, crawl.id, states=("proven",)))
    if is_begun:
        return False  # departures are only checked for the windows that are left
    asked = ask_totals(ctx, crawl, [crawl.days])
    if asked is None:
        return False
    for attempt in ctx.attempts():
        with attempt as connection:
            [count], bracket = count_rows(ctx, connection, crawl, asked)
            if count.proven:
                windows.set_counted(
                    connection,
                    left,
                    asked_at=count.asked_as_of,
                    counted_at=bracket.counted_at,
                    crm_at=bracket.crm_at,
                )
    return count.proven


def _count(ctx: Context, crawl: Crawl, turn: Sequence[Window]) -> bool:
    """Count some windows and apply the next step to each; False when interrupted."""
    resource = ctx.resources[crawl.resource]
    cuttable = is_cuttable(ctx, resource)
    asked = ask_totals(ctx, crawl, [window.days for window in turn])
    if asked is None:
        return False
    for attempt in ctx.attempts():
        with attempt as connection:
            counts, bracket = count_rows(ctx, connection, crawl, asked)
            for window, count in zip(turn, counts, strict=True):
                _judge(ctx, connection, crawl, window, count, bracket, cuttable=cuttable)
    return True


def _judge(
    ctx: Context,
    connection: sa.Connection,
    crawl: Crawl,
    window: Window,
    count: Count,
    bracket: CountBracket,
    *,
    cuttable: bool,
) -> None:
    resource = ctx.resources[crawl.resource]
    store_id, days = ctx.store.id, window.days
    if window.deep and count.accepted and count.total == count.mirrored and not count.contested:
        # The accepted difference is gone: the window was compared, and agrees without it.
        doubts.forget_accepted(connection, store_id, resource.name, days)
        count = Count(days, count.total, count.mirrored, count.entered, count.asked_as_of)
    runs: list[Days] = []
    if cuttable and not count.proven:
        runs = _parts(ctx, connection, resource, days, parts_of_contested(count.contested))
    step = next_step(
        count,
        differed=window.differed,
        walks=window.walks,
        was_contested=window.counted_at is not None and not window.differed,
        is_doubted=window.walks > 0
        and doubts.is_open_about(
            connection, store_id, resource.name, days, raised_after=window.walked_as_of
        ),
        can_cut=bool(runs),
    )
    differed = window.differed + (0 if step is Step.LATER else 1)
    if step is Step.COUNTED:
        windows.set_counted(
            connection,
            [window],
            asked_at=count.asked_as_of,
            counted_at=bracket.counted_at,
            crm_at=bracket.crm_at,
        )
    elif step is Step.CUT:
        _cut(connection, crawl, window, runs)
    else:
        windows.set_differed(connection, window, counted_at=bracket.counted_at, differed=differed)
    if step is Step.PUT_OFF or (step is Step.DEEP and not count.proven and not count.entered):
        _doubt(connection, store_id, resource, count)
    if step is Step.DEEP:
        windows.walk_again(connection, window.id)


def _doubt(connection: sa.Connection, store_id: int, resource: Resource, count: Count) -> None:
    """Raise a doubt on a window whose counts differ: coverage does not go past it."""
    doubts.raise_doubt(
        connection,
        store_id,
        resource.name,
        kind="count",
        detail=f"of {count.days} the API counts {count.total}, here are {count.mirrored}",
        days=count.days,
        difference=count.difference,
    )
    coverage.set_counts(connection, resource, store_id)


def _cut(connection: sa.Connection, crawl: Crawl, window: Window, runs: Sequence[Days]) -> None:
    """Replace a window by its parts, each to be counted."""
    windows.remove_window(connection, window.id)
    doubts.divide(connection, crawl.store_id, crawl.resource, runs)
    windows.add_windows(connection, crawl, runs, state="walked", like=window)


def _parts(
    ctx: Context, connection: sa.Connection, resource: Resource, days: Days, parts: int
) -> list[Days]:
    """Cut a window's days by the days of its rows here; [] where they cannot be cut.

    Records that only the API has fall into a part too: the outer parts stay as open as the window.
    """
    if days.is_one_day:
        return []
    row = connection.exec_driver_sql(
        f"SELECT min(created_on), max(created_on) FROM {crm_name(resource.name)}"
        " WHERE store_id = %s AND deleted_at IS NULL"
        " AND created_on >= coalesce(%s, '-infinity'::date)"
        " AND created_on <= coalesce(%s, 'infinity'::date)",
        (ctx.store.id, days.first, days.last),
    ).one()
    today = clock.now(connection).astimezone(ctx.zone).date()
    oldest, newest = days.first or row[0] or today, days.last or row[1] or today
    runs = cut(ctx, connection, resource, days, oldest=oldest, newest=newest, parts=parts)
    return runs if len(runs) > 1 else []


def _settle_undated(ctx: Context, crawl: Crawl, resource: Resource) -> None:
    """Request each row without a creation day by its id: no window counts it."""
    with ctx.reading() as connection:
        rows = connection.exec_driver_sql(
            f"SELECT id FROM {crm_name(resource.name)} WHERE store_id = %s"
            " AND deleted_at IS NULL AND created_on IS NULL",
            (ctx.store.id,),
        )
        undated = [row[0] for row in rows]
    if undated:
        read = read_again(
            ctx, resource, {record: ChangeHint() for record in undated}, priority=crawl.priority
        )
        for attempt in ctx.attempts():
            with attempt as connection:
                loaded = apply(ctx, connection, resource, read)
                crawls.add_report(connection, crawl, {"ghosts": loaded.deleted})


def finish(ctx: Context, crawl: Crawl) -> bool:
    """Mark the whole as proven once every window is sealed; check rows that belong to none.

    False when one was opened again meanwhile, because of a departure that was learnt only then.
    """
    resource = ctx.resources[crawl.resource]
    if resource.created_field:
        _settle_undated(ctx, crawl, resource)

    for attempt in ctx.attempts():
        with attempt as connection:
            feeds.hold(connection, ctx.store.id, ctx.history_of(resource).name, of=resource.name)
            if windows.of_crawl(connection, crawl.id, states=UNSEALED):
                return False
            as_of = windows.proven_as_of(connection, crawl.id)
            if crawl.days == ctx.store.days_of(resource) and as_of is not None:
                coverage.mark_proven(
                    connection, resource, ctx.store.id, as_of=as_of, by_ids=crawl.deep
                )
                keep_turn(connection, crawl)
            crawls.report_ghosts(connection, resource, crawl)
            crawls.queue_left(connection, crawl)
            crawls.end_crawl(connection, crawl)
    return True
