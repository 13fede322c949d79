"""Cuts of a list into windows: if it can be cut by creation days, how far back, and where.

Windows are whole days of creation in the store's zone. A list without such a filter is one window.
"""

from __future__ import annotations

import contextlib
import datetime as dt

import sqlalchemy as sa

from sync.crawl import Days, cut_around, slices
from sync.crm import Priority
from sync.declare import DateWindows, Resource
from sync.errors import Refused
from sync.records.normalise import Batch
from sync.state import coverage, doubts
from sync.work.context import Context
from sync.work.list_params import SMALL_PAGE, list_params


def is_cuttable(ctx: Context, resource: Resource) -> bool:
    """Tell whether a list can be cut by creation days: it has such filters, and they work."""
    if not isinstance(resource.listing, DateWindows):
        return False
    with ctx.reading() as connection:
        known = coverage.standing(connection, ctx.store.id, resource.name)
    return known.filters_work is not False


NO_DAY = Days(dt.date(1990, 1, 1), dt.date(1990, 1, 1))
"""A day with next to no records: a filter for it narrows every list."""
SURE_CHECKS = 3


def is_filter_ignored(ctx: Context, resource: Resource, *, priority: Priority) -> bool:
    """Tell whether the API ignores the creation day filters, by its totals; the result is stored.

    A record outside the days may have another reason, and one odd answer is not a fact. The filters
    are ignored when the total of a day without records equals that of the whole list, every time.
    """

    def total(days: Days) -> int:
        params = list_params(ctx, resource, days, page=1, limit=SMALL_PAGE)
        return ctx.api.first(resource, params, priority=priority).pagination.total

    ignored = all(0 < total(Days()) <= total(NO_DAY) for _ in range(SURE_CHECKS))
    for attempt in ctx.attempts():
        with attempt as connection:
            coverage.set_filter(connection, ctx.store.id, resource.name, works=not ignored)
    return ignored


def cut(
    ctx: Context,
    connection: sa.Connection,
    resource: Resource,
    days: Days,
    *,
    oldest: dt.date,
    newest: dt.date,
    parts: int,
) -> list[Days]:
    """Cut days into about so many runs, newest first; the days of an accepted difference stay one.

    Of half of those days nothing was accepted. `oldest` and `newest` stand for open ends.
    """
    accepted = doubts.accepted_days(connection, ctx.store.id, resource.name)
    return cut_around(slices(days, oldest=oldest, newest=newest, parts=parts), accepted)


def last_page_of(ctx: Context, resource: Resource, days: Days, *, total: int) -> dict[str, object]:
    """Return the parameters of the last page of a list, in pages of the smallest size."""
    page = max(1, -(-total // SMALL_PAGE))
    return list_params(ctx, resource, days, page=page, limit=SMALL_PAGE)


def oldest_day(
    ctx: Context,
    resource: Resource,
    days: Days,
    last_page: dict[str, object],
    *,
    beside: Batch,
    priority: Priority,
) -> dt.date:
    """Return the oldest creation day of a list, from its last page; lists come newest first."""
    if days.first is not None:
        return days.first
    rows = beside.rows
    with contextlib.suppress(Refused):  # the list became shorter: the last part is open
        last = ctx.api.later(resource, last_page, priority=priority)
        found = ctx.normalise(resource, last.records(resource), as_of=last.as_of)
        rows = [*found.rows, *rows]
    newest = days.last or ctx.draw().astimezone(ctx.zone).date()
    return min([*(row.created_on for row in rows if row.created_on is not None), newest])
