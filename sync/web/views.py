"""Pages that only show data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import Response

from sync.resources import RESOURCES
from sync.state import accounts, acts, samples, stores
from sync.state import status as look
from sync.state.status import ResourceStatus, StoreStatus, state_of
from sync.verdict import Need, Verdict
from sync.web import charts, queries, questions, trends
from sync.web.actions import CHOICE
from sync.web.state import Refusal, Site, require_privacy
from sync.work.outlook import Outlook, look_out

SOON, LATER = 3, 10
"""Seconds until a page refreshes: while something moves, and otherwise."""
CARDS = 6
"""Most stores that are shown as cards; more are a table."""
SORTS: dict[str, Callable[[StoreStatus], Any]] = {
    "name": lambda each: each.store.name.casefold(),
    "complete": lambda each: each.complete - len(each.wanted),
    "rows": lambda each: -each.rows,
    "lag": lambda each: -(each.lag_seconds or 0.0),
    "rejects": lambda each: -sum(line.rejects for line in each.resources),
}


def overview(site: Site, request: Request) -> Response:
    """Show the verdict, what is wrong in order of need, all stores, and the request budget."""
    seen = look_out(site.services)
    if seen.verdict.causes and seen.verdict.causes[0].need is Need.POSTGRES:
        return away(site, request, seen.verdict)
    with site.reading() as connection:
        uses = queries.budget_use(connection)
        sets_keys = stores.may_set_key(connection)
        drawn = trends.trends(
            samples.since(connection, store_id=None), samples.memory(connection),
            now=queries.now(connection),
        )  # fmt: skip
    wanted, sort = request.query_params.get("q", "").strip(), request.query_params.get("sort", "")
    down = seen.verdict.level == "down"
    told = [each for each in seen.stores if _is_found(each, wanted, is_down=down)]
    if sort in SORTS:
        told.sort(key=SORTS[sort])
    return site.render(
        request,
        "overview.html",
        verdict=seen.verdict,
        sets_keys=sets_keys,
        lines={each.store.name: lines_of(each) for each in seen.stores},
        told=told,
        count=len(seen.stores),
        cards=len(seen.stores) <= CARDS,
        q=wanted,
        sort=sort if sort in SORTS else "need",
        rows=sum(each.rows for each in seen.stores),
        lag=max((each.lag_seconds for each in seen.stores if each.lag_seconds), default=None),
        budget=_budget(site, seen, uses),
        trends=drawn,
        refresh=SOON if any(_moves(each) for each in seen.stores) else LATER,
    )


def away(site: Site, request: Request, verdict: Verdict) -> Response:
    """Show that Postgres does not answer, instead of the overview."""
    return site.render(request, "away.html", status=503, verdict=verdict, refresh=LATER)


def _is_found(each: StoreStatus, wanted: str, *, is_down: bool) -> bool:
    store, state = each.store, state_of(each, is_down=is_down)
    text = f"{store.name} {store.title or ''} {store.url} {state}".casefold()
    return all(word in text for word in wanted.casefold().split())


def lines_of(told: StoreStatus) -> dict[str, ResourceStatus]:
    """Return a store's resources by name."""
    return {line.resource: line for line in told.resources}


def _moves(told: StoreStatus) -> bool:
    return any(line.progress is not None for line in told.resources)


def _budget(site: Site, seen: Outlook, uses: list[queries.Use]) -> dict[str, Any]:
    """Return the chart and the current budget; without Redis the chart alone."""
    picture = charts.budget(uses, limit=site.services.settings.rate_limit)
    if not seen.reports:
        return {"picture": picture, "report": None, "error": "Redis cannot be asked"}
    return {"picture": picture, "report": seen.reports[0], "error": None}


def a_store(site: Site, request: Request) -> Response:
    """Show one store: its resources, its crawls, and its actions."""
    name = request.path_params["name"]

    with site.reading() as connection:
        known = stores.by_name(connection, name)
        [told] = look.statuses(connection, [known], order=list(RESOURCES))
        about: dict[str, Any] = {
            "crawls": queries.open_crawls(connection, store=name),
            "sets_keys": stores.may_set_key(connection),
            "uses_keys": stores.may_use_key(connection),
            "ended": queries.ended_crawls(connection, store=name)[:12],
            "trends": trends.trends(
                samples.since(connection, store_id=known.id), (), now=queries.now(connection)
            ),
        }
    groups = _groups(told.resources)
    selected = [line.resource for line in told.resources if line.state != "disabled"]
    return site.render(
        request,
        "store.html",
        **about,
        store=known,
        told=told,
        verdict=look_out(site.services, name).verdict,
        lines={name: lines_of(told)},
        removed=accounts.is_removed(known),
        groups=groups,
        selected=selected,
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


def sure(site: Site, request: Request) -> Response:
    """Ask before something big: what it does, what it costs; the answer is a form."""
    name, what = request.path_params["name"], request.query_params.get("what", "")
    command = f"run: celery -A sync mirror store set {name}"
    if what == "key":
        require_privacy(
            request,
            f"A key typed here could be read on the way. Open this page over https, or {command}",
        )
    with site.reading() as connection:
        known = stores.by_name(connection, name)
        if what == "key" and not stores.may_set_key(connection):
            raise Refusal(
                403, "This page may not change keys", f"Its login has no right to; {command}"
            )
        [told] = look.statuses(connection, [known], order=list(RESOURCES))
        plans = what == "backfill" and stores.may_use_key(connection)
    kept = [(key, value) for key, value in request.query_params.multi_items() if key in CHOICE]
    question = questions.question(
        what,
        told,
        names=request.query_params.getlist("resource"),
        settings=site.services.settings,
        some_days=any(key in {"since", "until"} for key, _ in kept),
    )
    if question is None:
        raise Refusal(404, "No such question", "Go back to the store's page.")
    return site.render(
        request,
        "sure.html",
        store=known,
        what=what,
        question=question,
        kept=kept,
        plans=plans,
        refresh=None,
    )


def crawls(site: Site, request: Request) -> Response:
    """Show crawls at work, failures, and crawls that ended lately."""
    store = _store_wanted(request)

    with site.reading() as connection:
        about: dict[str, Any] = {
            "open": queries.open_crawls(connection, store=store),
            "failing": queries.failing(connection, store=store),
            "ended": queries.ended_crawls(connection, store=store),
            "names": _names(connection),
        }
    return site.render(
        request,
        "crawls.html",
        **about,
        store=store,
        verdict=look_out(site.services).verdict,
        refresh=SOON if about["open"] else LATER,
    )


def a_crawl(site: Site, request: Request) -> Response:
    """Show one crawl until it ends."""
    asked = request.path_params["crawl_id"]
    if not (asked.isascii() and asked.isdigit() and len(asked) < 19):
        raise Refusal(404, "No such crawl", "Crawls have numbers.")
    crawl_id = int(asked)

    with site.reading() as connection:
        found = queries.crawl(connection, crawl_id)
        windows = queries.windows(connection, crawl_id)
    if found is None:
        raise Refusal(404, "No such crawl", "Crawls are kept for 30 days after their end.")
    return site.render(
        request,
        "crawl.html",
        crawl=found,
        windows=windows,
        verdict=look_out(site.services).verdict,
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


def all_acts(site: Site, request: Request) -> Response:
    """Show what people did, by command or on this page."""
    store = _store_wanted(request)
    with site.reading() as connection:
        found, names = acts.latest(connection, store=store), _names(connection)
    return site.render(request, "acts.html", found=found, names=names, store=store, refresh=None)


def _names(connection: sa.Connection) -> list[str]:
    return [store.name for store in stores.every(connection)]


def _store_wanted(request: Request) -> str | None:
    return request.query_params.get("store") or None


def _page(request: Request) -> int:
    text = request.query_params.get("page", "0")
    return min(int(text), 100_000) if text.isascii() and text.isdigit() and len(text) < 7 else 0
