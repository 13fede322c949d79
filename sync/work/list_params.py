"""The parameters of a page of a list."""

from __future__ import annotations

from sync.crawl import Days
from sync.declare import DateWindows, Resource
from sync.work.context import Context

SMALL_PAGE = 20
"""The smallest limit the API accepts: for a total, or for the records at an end of a list."""


def list_params(
    ctx: Context, resource: Resource, days: Days, *, page: int, limit: int | None = None
) -> dict[str, object]:
    """Return the parameters of a page of a window."""
    params: dict[str, object] = {"limit": limit or resource.page_size, "page": page}
    return {**filters_of(ctx, resource, days), **params}


def filters_of(ctx: Context, resource: Resource, days: Days) -> dict[str, object]:
    """Return the parameters of a window that all its pages share."""
    chosen: dict[str, object] = {}
    if isinstance(resource.listing, DateWindows):
        if days.first is not None:
            chosen[resource.listing.first] = days.first.isoformat()
        if days.last is not None:
            chosen[resource.listing.last] = days.last.isoformat()
    if ctx.store.chosen_sites is not None and resource.has_site:
        chosen["sites"] = list(ctx.store.chosen_sites)
    return {**dict(resource.params), **({"filter": chosen} if chosen else {})}
