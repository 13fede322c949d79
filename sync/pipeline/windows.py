"""Which days to walk a list in: a window holds so much that little is walked again.

Windows are whole days of creation in the store's zone; a list without such a filter is one window.
"""

from __future__ import annotations

import contextlib
import datetime as dt

import sqlalchemy as sa

from sync.crawl import WHOLE, WINDOW_MAX, Days, parts_of, slices
from sync.crm import WorkClass
from sync.declare import Days as DayFilters
from sync.declare import Resource
from sync.errors import Refused
from sync.normalise import Batch
from sync.pipeline.context import Context

SMALL_PAGE = 20
"""The least the API takes as a limit: for a total, or for what stands at an end of a list."""


def list_params(
    ctx: Context, resource: Resource, days: Days, *, page: int, limit: int | None = None
) -> dict[str, object]:
    """The parameters of a page of a window."""
    chosen: dict[str, object] = {}
    if isinstance(resource.listing, DayFilters):
        if days.first is not None:
            chosen[resource.listing.first] = days.first.isoformat()
        if days.last is not None:
            chosen[resource.listing.last] = days.last.isoformat()
    has_site = any(f.name == "site" for f in resource.fields)
    if ctx.store.chosen_sites is not None and has_site:
        chosen["sites"] = list(ctx.store.chosen_sites)
    params: dict[str, object] = {"limit": limit or resource.page_size, "page": page}
    if chosen:
        params["filter"] = chosen
    return {**dict(resource.params), **params}


def days_of(ctx: Context, resource: Resource) -> Days:
    """The days a store mirrors of a list: from `store add --since` on, where it has dates."""
    return Days(ctx.store.since, None) if resource.created_field else WHOLE


def is_filter_off(ctx: Context, resource: Resource) -> bool:
    """Whether the API was seen to ignore the creation day filters: its list cannot be cut."""

    def ask(connection: sa.Connection) -> bool:
        return (
            connection.execute(
                sa.text(
                    "SELECT date_filter IS FALSE FROM sync.coverage"
                    " WHERE store_id = :store AND resource = :resource"
                ),
                {"store": ctx.store.id, "resource": resource.name},
            ).scalar()
            is True
        )

    return ctx.read(ask)


def plan_windows(
    ctx: Context, resource: Resource, days: Days, *, work: WorkClass
) -> tuple[int, list[Days]]:
    """How many records a list has, and the windows to walk it in: cut where it is long.

    Two small requests, instead of two pages that the windows would bring again.
    """

    def params(page: int) -> dict[str, object]:
        return list_params(ctx, resource, days, page=page, limit=SMALL_PAGE)

    reply = ctx.api.first(resource, params(1), work=work)
    found = reply.pagination
    cuttable = isinstance(resource.listing, DayFilters) and not is_filter_off(ctx, resource)
    if found.total <= WINDOW_MAX or not cuttable or days.is_one_day:
        return found.total, [days]
    first = ctx.normalise(resource, reply.records(resource))
    oldest = oldest_day(ctx, resource, days, params(found.pages), beside=first, work=work)
    newest = ctx.draw().astimezone(ctx.zone).date()
    return found.total, slices(days, oldest=oldest, newest=newest, parts=parts_of(found.total))


def oldest_day(
    ctx: Context,
    resource: Resource,
    days: Days,
    last_page: dict[str, object],
    *,
    beside: Batch,
    work: WorkClass,
) -> dt.date:
    """The oldest creation day of a list, from its last page; lists come newest first."""
    if days.first is not None:
        return days.first
    rows = beside.rows
    with contextlib.suppress(Refused):  # the list became shorter: older ones fall in the last part
        last = ctx.api.later(resource, last_page, work=work)
        rows = [*ctx.normalise(resource, last.records(resource)).rows, *rows]
    newest = days.last or ctx.draw().astimezone(ctx.zone).date()
    return min([*(row.created_on for row in rows if row.created_on is not None), newest])
