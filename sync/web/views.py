"""Pages that only show data."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import Response

from sync.errors import TryLater
from sync.resources import RESOURCES
from sync.state import accounts, stores
from sync.state import status as look
from sync.state.status import ResourceStatus, StoreStatus
from sync.web import charts, queries
from sync.web.state import Refusal, Site

SOON, LATER = 3, 10
"""Seconds until a page refreshes: while something moves, and otherwise."""
SILENT_SECONDS = 60.0
SHOWN = 60
"""Stores shown as cards on the overview; the others are in the list below."""


def overview(site: Site, request: Request) -> Response:
    """Show all stores at a glance, what needs a person, and the request budget."""

    with site.reading() as connection:
        told = look.statuses(connection, look.chosen(connection, None), order=list(RESOURCES))
        uses, silent = queries.budget_use(connection), _silence(connection)
    told.sort(key=lambda each: (not each.needs_attention, not each.store.enabled))
    lines = [line for each in told for line in each.resources]
    lags = [line.lag_seconds for line in lines if line.lag_seconds is not None]
    return site.render(
        request,
        "overview.html",
        told=told[:SHOWN],
        others=told[SHOWN:],
        needs=[need for each in told for need in needs(each)],
        rows=sum(line.mirrored for line in lines),
        rejects=sum(line.rejects for line in lines),
        lag=max(lags, default=None),
        silent=silent if any(each.store.enabled for each in told) else None,
        budget=_budget(site, uses),
        refresh=SOON if any(_moves(each) for each in told) else LATER,
    )


def needs(told: StoreStatus) -> list[dict[str, Any]]:
    """Return what needs a person in a store: the store itself once, else each resource."""
    lines = {line.resource: line for line in told.resources}
    return [
        {"store": told.store, "line": lines.get(each.resource), "text": each.text}
        for each in told.troubles
    ]


def _moves(told: StoreStatus) -> bool:
    return any(line.progress is not None for line in told.resources)


def _silence(connection: sa.Connection) -> float | None:
    """Return the seconds a queue has not been consumed (inf: never); None when both are."""
    ages = [look.consumed_seconds_ago(connection, queue=queue) for queue in ("feeds", "crawls")]
    oldest = max(float("inf") if age is None else age for age in ages)
    return oldest if oldest > SILENT_SECONDS else None


def _budget(site: Site, uses: list[queries.Use]) -> dict[str, Any]:
    """Return the chart and the current budget; without Redis the chart alone."""
    picture = charts.budget(uses, limit=site.services.settings.rate_limit)
    try:
        report = site.services.limiter.report()[0]
    except TryLater as error:
        return {"picture": picture, "report": None, "error": str(error)}
    return {"picture": picture, "report": report, "error": None}


def a_store(site: Site, request: Request) -> Response:
    """Show one store: its resources, its crawls, and its actions."""
    name = request.path_params["name"]

    with site.reading() as connection:
        known = stores.by_name(connection, name)
        [told] = look.statuses(connection, [known], order=list(RESOURCES))
        about: dict[str, Any] = {
            "crawls": queries.open_crawls(connection, store=name),
            "ended": queries.ended_crawls(connection, store=name)[:12],
            "silent": _silence(connection),
        }
    groups = _groups(told.resources)
    selected = [line.resource for line in told.resources if line.state != "disabled"]
    return site.render(
        request,
        "store.html",
        **about,
        store=known,
        told=told,
        removed=accounts.is_removed(known),
        groups=groups,
        selected=selected,
        needs=needs(told),
        refresh=SOON if _moves(told) else LATER,
    )


def _groups(lines: list[ResourceStatus]) -> list[tuple[str, list[ResourceStatus]]]:
    """Group resources by urgency; those that need nothing come last."""
    wanted = [
        ("Needs attention", {"attention"}),
        ("Loading", {"loading", "pending"}),
        ("Complete", {"following", "fresh"}),
        ("Not available", {"unavailable"}),
        ("Turned off", {"disabled"}),
    ]
    found = [(title, [line for line in lines if line.state in states]) for title, states in wanted]
    return [(title, some) for title, some in found if some]


def crawls(site: Site, request: Request) -> Response:
    """Show crawls at work, failures, and crawls that ended lately."""
    store = _store_wanted(request)

    with site.reading() as connection:
        about: dict[str, Any] = {
            "open": queries.open_crawls(connection, store=store),
            "failing": queries.failing(connection, store=store),
            "ended": queries.ended_crawls(connection, store=store),
            "names": _names(connection),
            "silent": _silence(connection),
        }
    return site.render(
        request, "crawls.html", **about, store=store, refresh=SOON if about["open"] else LATER
    )


def a_crawl(site: Site, request: Request) -> Response:
    """Show one crawl until it ends."""
    crawl_id = request.path_params["crawl_id"]

    with site.reading() as connection:
        found = queries.crawl(connection, crawl_id)
        windows, silent = queries.windows(connection, crawl_id), _silence(connection)
    if found is None:
        raise Refusal(404, "No such crawl", "Crawls are kept for 30 days after their end.")
    return site.render(
        request,
        "crawl.html",
        crawl=found,
        windows=windows,
        silent=silent,
        refresh=None if found.is_over else 2,
    )


def rejects(site: Site, request: Request) -> Response:
    """Show values that could not be normalised, and answers without the declared shape."""
    store, resource = _store_wanted(request), request.query_params.get("resource") or None
    page = _page(request)

    with site.reading() as connection:
        found = queries.rejects(connection, store=store, resource=resource, page=page)
        parked = queries.parked_answers(connection, store=store) if page == 0 else []
        names = _names(connection)
    return site.render(
        request,
        "rejects.html",
        found=found[: queries.AT_ONCE],
        parked=parked,
        names=names,
        store=store,
        resource=resource,
        resources=list(RESOURCES),
        number_of_page=page,
        more=len(found) > queries.AT_ONCE,
        refresh=None,
    )


def unknown_fields(site: Site, request: Request) -> Response:
    """Show fields the API sends that have no column yet."""
    store = _store_wanted(request)
    with site.reading() as connection:
        found, names = queries.unknown_fields(connection, store=store), _names(connection)
    return site.render(request, "unknown.html", found=found, names=names, store=store, refresh=None)


def _names(connection: sa.Connection) -> list[str]:
    return [store.name for store in stores.every(connection)]


def _store_wanted(request: Request) -> str | None:
    return request.query_params.get("store") or None


def _page(request: Request) -> int:
    text = request.query_params.get("page", "0")
    return min(int(text), 100_000) if text.isascii() and text.isdigit() and len(text) < 7 else 0
