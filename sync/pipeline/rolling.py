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
from sync.mirror.checkpoint import Crawl
from sync.mirror.load import Origin
from sync.mirror.names import crm_name
from sync.pipeline.context import Context
from sync.pipeline.prove import walk_again

TURNS = 30


def compare_ids(ctx: Context, crawl: Crawl, *, work: WorkClass) -> bool:
    """Compare the turn that has waited longest; False when the slice ended before."""
    resource = ctx.resources[crawl.resource]
    turns = TURNS if resource.created_field else 1
    turn = ctx.read(lambda c: coverage.next_turn(c, ctx.store.id, resource.name, turns=turns))
    if turn is None:
        return True  # compared within the last thirty days
    left = ctx.read(lambda c: checkpoint.windows(c, crawl.id, states=("planned", "open")))
    if not left:
        months = _months(ctx, resource, turn) if resource.created_field else [Days()]
        left = ctx.write(lambda c: checkpoint.add_windows(c, crawl, months))
    for window in left:
        if ctx.is_over:
            return False
        began = ctx.draw()
        loaded = walk_again(ctx, crawl, window, work=work, origin=Origin.DEEP)
        if not ctx.read(lambda c: checkpoint.windows(c, crawl.id, states=("walked",))):
            return False  # the walk was cut short
        count = Count(window.days, loaded.seen, loaded.seen - loaded.written, 0, began)

        def write(
            connection: sa.Connection, count: Count = count, window_id: int = window.id
        ) -> None:
            began = count.asked_as_of
            notes.keep_proof(
                connection,
                ctx.store.id,
                resource.name,
                count,
                method="ids",
                head_id=None,
                proven=True,
            )
            # The window itself, and those it was cut into.
            walked = checkpoint.windows(connection, crawl.id, states=("walked",))
            checkpoint.verify(connection, [window_id, *(each.id for each in walked)], began)

        ctx.write(write)
    ctx.write(lambda c: coverage.turn_done(c, ctx.store.id, resource.name, turn=turn, turns=turns))
    return True


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
