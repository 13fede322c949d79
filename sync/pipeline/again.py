"""A window walked again; rows that were not met are asked for before they become tombstones."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence

import sqlalchemy as sa

from sync import faults
from sync.crawl import Days
from sync.crm import WorkClass
from sync.mirror import checkpoint, coverage
from sync.mirror.checkpoint import Crawl, Window
from sync.mirror.load import Loaded, Origin
from sync.mirror.names import crm_name
from sync.pipeline.context import Context
from sync.pipeline.reread import Told, apply, read_again
from sync.pipeline.walk import walk_one

GHOSTS_PER_ROUND = 500
UNPROVEN = ("planned", "open", "walked")
"""States of windows that are still to be walked or judged."""


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
