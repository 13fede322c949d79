"""Id sets compared on a rolling schedule: what counting cannot see, two errors that cancel.

Each nightly reconcile walks the months whose turn it is, comparing ids and contents; within thirty
nights every month has been compared once. Months belong to thirty turns by their number, so that
turns stay what they are while the account grows. A list without creation days is one turn.
"""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa

from sync.crawl import Count, Days, months_of_turn
from sync.crm import WorkClass
from sync.declare import Resource
from sync.mirror import checkpoint, coverage, notes
from sync.mirror.checkpoint import Crawl, Window
from sync.mirror.load import Loaded, Origin
from sync.mirror.names import crm_name
from sync.pipeline.again import UNPROVEN, walk_again
from sync.pipeline.context import Context
from sync.pipeline.windows import is_filter_off

TURNS = 30


def compare_ids(ctx: Context, crawl: Crawl, *, work: WorkClass) -> bool:
    """Compare the turn that has waited longest; False when the slice ended before."""
    resource = ctx.resources[crawl.resource]
    is_dated = resource.created_field is not None and not is_filter_off(ctx, resource)
    turns = TURNS if is_dated else 1
    turn = ctx.read(lambda c: coverage.next_turn(c, ctx.store.id, resource.name, turns=turns))
    if turn is None:
        return True  # compared within the last thirty days
    left = _left(ctx, crawl)
    if not left:
        months = _months(ctx, resource, turn) if is_dated else [Days()]
        left = ctx.write(lambda c: checkpoint.add_windows(c, crawl, months))
    while left:
        window, began = left[0], ctx.draw()
        again = walk_again(ctx, crawl, window, work=work, origin=Origin.DEEP)
        if again.filter_ignored:
            return compare_ids(ctx, crawl, work=work)  # the turn is the whole list from now on
        if again.is_complete:
            _keep(ctx, crawl, window, again.loaded, began)
        left = _left(ctx, crawl)  # a window that held too much was cut into others
        if left and ctx.is_over:
            return False
    ctx.write(lambda c: coverage.turn_done(c, ctx.store.id, resource.name, turn=turn, turns=turns))
    return True


def _left(ctx: Context, crawl: Crawl) -> list[Window]:
    """What is still to be compared; everything else of the crawl is proven by now."""
    return ctx.read(lambda c: checkpoint.windows(c, crawl.id, states=UNPROVEN))


def _keep(ctx: Context, crawl: Crawl, window: Window, loaded: Loaded, began: dt.datetime) -> None:
    """A window whose every id and content was compared."""
    count = Count(window.days, loaded.seen, loaded.seen - loaded.written, 0, began)

    def write(connection: sa.Connection) -> None:
        notes.keep_proof(
            connection,
            ctx.store.id,
            crawl.resource,
            count,
            method="ids",
            head_id=None,
            proven=True,
        )
        checkpoint.verify(connection, [window.id], began)

    ctx.write(write)


def _months(ctx: Context, resource: Resource, turn: int) -> list[Days]:
    today = ctx.draw().astimezone(ctx.zone).date()

    def ask(connection: sa.Connection) -> dt.date | None:
        oldest: dt.date | None = connection.exec_driver_sql(
            f"SELECT min(created_on) FROM {crm_name(resource.name)}"
            " WHERE store_id = %s AND deleted_at IS NULL",
            (ctx.store.id,),
        ).scalar()
        return oldest

    oldest = ctx.store.since or ctx.read(ask) or today
    return months_of_turn(turn, oldest=oldest, newest=today, turns=TURNS)
