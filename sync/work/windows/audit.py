"""The days that a nightly reconcile compares, to find errors that cancel in counts.

Each night has a turn: some months, whose windows are walked and compared by ids and contents.
Within thirty nights every month was compared. The number of a month gives its turn of thirty, so
that turns stay the same while the account grows. A list without creation days is one turn. Days in
doubt are compared whenever a list is counted.
"""

from __future__ import annotations

import sqlalchemy as sa

from sync.crawl import WHOLE, Days, months_of_turn
from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.state import coverage, crawls, doubts
from sync.state.crawls import Crawl
from sync.work.context import Context

TURNS = 30


def days_to_compare(
    ctx: Context, crawl: Crawl, *, cuttable: bool
) -> tuple[list[Days], tuple[int, int] | None]:
    """Return the days that a crawl compares: days in doubt, and by night a turn's months.

    The second value is the turn (its number, and how many there are); None when no turn is due.
    """
    resource = ctx.resources[crawl.resource]

    with ctx.reading() as connection:
        found = doubts.open_doubts(connection, ctx.store.id, resource.name)
        deep = [doubt.days for doubt in found]
    if not cuttable and deep:
        deep = [WHOLE]
    if crawl.kind != "reconcile" or crawl.asked_by != "schedule" or crawl.deep:
        return deep, None
    turns = TURNS if cuttable else 1
    with ctx.reading() as connection:
        turn = coverage.next_turn(connection, ctx.store.id, resource.name, turns=turns)
    if turn is None:
        return deep, None  # compared within the last thirty days
    months = _months(ctx, resource, turn) if cuttable else [WHOLE]
    return [*deep, *months], (turn, turns)


def note_turn(connection: sa.Connection, crawl: Crawl, turn: tuple[int, int] | None) -> None:
    """Store the turn that a crawl compares."""
    if turn is not None:
        crawls.note(connection, crawl, turn=turn[0], turns=turn[1])


def keep_turn(connection: sa.Connection, crawl: Crawl) -> None:
    """Mark the turn of a proven crawl as done, unless months became one list, or the reverse."""
    turn, turns = crawl.report.get("turn"), crawl.report.get("turns", 0)
    known = coverage.standing(connection, crawl.store_id, crawl.resource)
    if turn is not None and not (turns > 1 and known.filters_work is False):
        coverage.turn_done(connection, crawl.store_id, crawl.resource, turn=turn, turns=turns)


def _months(ctx: Context, resource: Resource, turn: int) -> list[Days]:
    today = ctx.draw().astimezone(ctx.zone).date()
    oldest = ctx.store.since
    if oldest is None:
        with ctx.reading() as connection:
            oldest = connection.exec_driver_sql(
                f"SELECT min(created_on) FROM {crm_name(resource.name)}"
                " WHERE store_id = %s AND deleted_at IS NULL",
                (ctx.store.id,),
            ).scalar()
    oldest = oldest or today
    return months_of_turn(turn, oldest=oldest, newest=today, turns=TURNS)
