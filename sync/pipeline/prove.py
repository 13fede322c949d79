"""Windows closed by proof: counted in a bracket of the feed, halved and walked where they differ.

The same routine ends a first load, a backfill and a reconcile: count, and where the counts agree
the sets agree; where they do not, halve; what is small enough is walked again, and rows the walk
did not meet are asked for singly before they become tombstones.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from functools import partial

import sqlalchemy as sa

from sync import faults
from sync.crawl import Count, Days, is_leaf, slices
from sync.crm import WorkClass
from sync.declare import Days as DayFilters
from sync.declare import Followed, Resource
from sync.errors import SyncError, TryLater
from sync.mirror import checkpoint, coverage, feeds, lease, notes
from sync.mirror.checkpoint import Crawl, Window
from sync.mirror.load import Loaded, Origin
from sync.mirror.names import crm_name
from sync.pipeline.ahead import Ahead
from sync.pipeline.context import Context
from sync.pipeline.follow import check_gap, follow_head, until_next_look
from sync.pipeline.reread import Told, apply, read_again
from sync.pipeline.walk import walk_one
from sync.pipeline.windows import is_filter_off, list_params

FOLLOW_SECONDS = 30.0
WHOLE_TRIES = 3
ROUNDS_BEFORE_WALKING = 2
FRUITLESS_WALKS = 3
FRUITLESS_SECONDS = 300.0
WINDOWS_PER_ROUND = 20
GHOSTS_PER_ROUND = 500
UNPROVEN = ("planned", "open", "walked")
"""States of windows that are still to be walked or judged."""
_PAUSE_SECONDS = 0.3


def history_of(ctx: Context, resource: Resource) -> Resource:
    """The history a resource is followed by."""
    assert isinstance(resource.changes, Followed)
    return ctx.resources[resource.changes.by]


def follow_past(ctx: Context, history: Resource, moment: dt.datetime) -> int | None:
    """Have the feed read to its end by a request sent after `moment`; the head's id then.

    Does it itself when nobody holds the feed's lease, else waits for the holder. None when that
    takes too long, TryLater when nobody will: its lane is parked or off. The end of the slice is
    not waited for: a total that was asked for is judged, or a store whose requests are long in
    coming would never prove anything.
    """
    until = ctx.monotonic() + FOLLOW_SECONDS
    while True:
        feed = ctx.read(lambda c: feeds.feed(c, ctx.store.id, history.name))
        if feed is not None and feed.head_at is not None and feed.head_at > moment:
            return feed.head_id
        if ctx.monotonic() > until or ctx.stop.is_set():
            return None
        if not _follow_here(ctx, history):
            ctx.stop.wait(0.1)


def _follow_here(ctx: Context, history: Resource) -> bool:
    claim = lease.Claim(ctx.store.id, history.name, "feed")
    held = ctx.read(lambda c: lease.acquire(c, claim, holder="prover"))
    if held is None:
        if ctx.read(lambda c: lease.is_at_rest(c, claim)):
            raise TryLater(
                f"{history.name} is not followed: its feed is parked or off",
                after=FRUITLESS_SECONDS,
            )
        return False
    theirs = dataclasses.replace(ctx, lease=held)
    try:
        # Before the head moves on: what it passes over can never be missed again.
        feed = ctx.read(lambda c: feeds.feed(c, ctx.store.id, history.name))
        if feed is not None and feed.head_at is not None:
            check_gap(theirs, history, feed)
        follow_head(theirs)
    except SyncError as error:
        text = str(error)
        again = ctx.feed_seconds
        ctx.read(lambda c: lease.fail(c, held, error=text, after_seconds=again, parked=False))
        raise
    ctx.read(lambda c: lease.release(c, held, after_seconds=until_next_look(theirs)))
    return True


def count_in_bracket(
    ctx: Context, crawl: Crawl, ranges: Sequence[Days], *, work: WorkClass
) -> list[Count]:
    """Ask for the totals, follow the feed past the answers, count the rows. [] when interrupted.

    Every range is judged and kept in `sync.proof`, proven or not.
    """
    resource = ctx.resources[crawl.resource]
    totals: list[tuple[Days, int, dt.datetime]] = []

    def ask(days: Days) -> tuple[int, dt.datetime]:
        params = list_params(ctx, resource, days, page=1, limit=20)
        reply = ctx.api.first(resource, params, work=work)
        return reply.pagination.total, reply.as_of

    with Ahead(ask) as ahead:
        for days in ranges:
            ahead.push(days)
        for days, result, _ in ahead.results():
            if isinstance(result, Exception):
                raise result
            totals.append((days, *result))
    after = ctx.draw()
    faults.point("reconcile_counted")
    head_id = follow_past(ctx, history_of(ctx, resource), after)
    if head_id is None:
        return []

    def judge(connection: sa.Connection) -> list[Count]:
        counts = []
        for days, total, asked in totals:
            mirrored, entered = coverage.count_live(
                connection,
                resource,
                ctx.store.id,
                days,
                found_before=asked,
                sites=ctx.store.sites,
            )
            count = Count(days, total, mirrored, entered, asked)
            notes.keep_proof(
                connection,
                ctx.store.id,
                resource.name,
                count,
                method="count",
                head_id=head_id,
                proven=count.proven,
            )
            counts.append(count)
        checkpoint.count_pages(connection, crawl, requests=len(totals))
        return counts

    return ctx.write(judge)


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


@dataclasses.dataclass(slots=True)
class Again:
    """How walking a window again ended.

    `is_complete`: every page was read, and every row that was not met was asked for. Otherwise it
    was cut into parts, the process is to stop, or its filter was found to do nothing
    (`filter_ignored`, and the whole list took its place); nothing may be concluded then, and what
    is to be walked is planned or open.
    """

    loaded: Loaded = dataclasses.field(default_factory=Loaded)
    is_complete: bool = False
    filter_ignored: bool = False

    @property
    def is_fruitless(self) -> bool:
        """Whether all of it was walked and nothing found."""
        return self.is_complete and not (self.loaded.written or self.loaded.buried)


def walk_again(
    ctx: Context,
    crawl: Crawl,
    window: Window,
    *,
    work: WorkClass,
    origin: Origin = Origin.WALK,
) -> Again:
    """Walk a window from its first page, and find out about rows the walk did not meet.

    What it met is known to this slice alone, so it is walked to its end, however long that takes;
    one that is too large is cut into parts, which are walked again one by one. It counts as walked
    only after its last ghost was asked for, in the same transaction.
    """
    began = ctx.draw()

    def reset(connection: sa.Connection) -> None:
        connection.execute(
            sa.text(
                "UPDATE sync.window SET state = 'planned', last_page = 0, page_count = 0,"
                " walks = walks + 1, walked_as_of = NULL WHERE id = :id"
            ),
            {"id": window.id},
        )

    ctx.write(reset)
    fresh = dataclasses.replace(window, state="planned", last_page=0, page_count=0)
    seen: dict[int, set[object]] = {}
    done = walk_one(ctx, crawl, fresh, work=work, seen=seen, origin=origin)
    again = Again(done.loaded, filter_ignored=done.filter_ignored)
    if done.filter_ignored:
        take_whole(ctx, crawl)
    if done.is_complete:
        met = seen.get(window.id, set())
        again.is_complete = _bury_all(ctx, crawl, window, met, began, work=work, into=again.loaded)
    found = {
        "missing": again.loaded.inserted + again.loaded.revived,
        "stale": again.loaded.changed,
        "ghosts": again.loaded.buried,
    }
    if any(found.values()):
        ctx.write(lambda c: checkpoint.add_report(c, crawl, found))
    faults.point("reconcile_repaired")
    return again


def take_whole(ctx: Context, crawl: Crawl) -> None:
    """The API ignores the creation day filter: one window, the whole list, for what is not proven.

    What was counted and agreed stands.
    """

    def write(connection: sa.Connection) -> None:
        coverage.give_up_filter(connection, ctx.store.id, crawl.resource)
        for window in checkpoint.windows(connection, crawl.id, states=UNPROVEN):
            checkpoint.remove_window(connection, window.id)
        checkpoint.add_windows(connection, crawl, [Days()])

    ctx.write(write)


def _bury_all(
    ctx: Context,
    crawl: Crawl,
    window: Window,
    met: set[object],
    began: dt.datetime,
    *,
    work: WorkClass,
    into: Loaded,
) -> bool:
    """Ask for every row the walk of a window did not meet; False when the slice ended before.

    Some hundreds at a time: each that is gone costs a request of its own.
    """
    suspects = _suspects(ctx, crawl, window.days, met, began)
    while True:
        turn, suspects = suspects[:GHOSTS_PER_ROUND], suspects[GHOSTS_PER_ROUND:]
        is_last = not suspects
        into.add(_bury(ctx, crawl, turn, walked=window if is_last else None, work=work))
        if is_last:
            return True
        if ctx.is_over:
            return False


def _suspects(
    ctx: Context, crawl: Crawl, days: Days, met: set[object], began: dt.datetime
) -> list[int]:
    """Live rows of a window that a whole walk of it did not meet.

    Rows without a creation day belong to no window and are suspected by each.
    """
    resource = ctx.resources[crawl.resource]
    where = ""
    binds: list[object] = [ctx.store.id, began]
    if resource.created_field and days != Days():
        where = (
            " AND (t.created_on BETWEEN coalesce(%s, '-infinity'::date)"
            " AND coalesce(%s, 'infinity'::date) OR t.created_on IS NULL)"
        )
        binds += [days.first, days.last]
    if ctx.store.sites is not None and any(f.name == "site" for f in resource.fields):
        # What the key cannot see, or was not asked for, proves nothing by its absence.
        where += " AND t.site = ANY(%s)"
        binds.append(ctx.store.sites)

    def ask(connection: sa.Connection) -> list[int]:
        rows = connection.exec_driver_sql(
            f"SELECT t.id FROM {crm_name(resource.name)} AS t WHERE t.store_id = %s"
            f" AND t.deleted_at IS NULL AND t.as_of < %s{where} ORDER BY t.id",
            tuple(binds),
        )
        return [row[0] for row in rows if row[0] not in met]

    return ctx.read(ask)


def _bury(
    ctx: Context,
    crawl: Crawl,
    suspects: Sequence[int],
    *,
    walked: Window | None,
    work: WorkClass,
) -> Loaded:
    """Ask for suspects by their ids and write what is found; with it, that a window is walked."""
    resource = ctx.resources[crawl.resource]
    read = read_again(ctx, resource, {record: Told() for record in suspects}, work=work)

    def write(connection: sa.Connection) -> Loaded:
        if walked is not None:
            checkpoint.set_walked(connection, walked.id)
        return apply(ctx, connection, resource, read) if suspects else Loaded()

    return ctx.write(write)


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
        history = history_of(ctx, resource).name
        bridged = not whole or feeds.bridge_gap(connection, crawl, history)
        if whole and bridged and as_of is not None:
            coverage.prove(
                connection,
                resource,
                ctx.store.id,
                as_of=as_of,
                by_ids=crawl.deep,
            )
        checkpoint.end_crawl(connection, crawl)

    ctx.write(write)
