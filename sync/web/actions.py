"""Actions of a logged-in person. Every action ends by showing a page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, quote

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from sync.database.engine import attempts
from sync.errors import BadRequest
from sync.resources import RESOURCES
from sync.state import operations, stores
from sync.state.stores import Store
from sync.telemetry import log
from sync.web.security import SESSION_SECONDS, is_same
from sync.web.state import COOKIE, Refusal, Site

MOST_BYTES = 16_384
Form = Mapping[str, list[str]]


async def form_of(request: Request) -> Form:
    """Return the fields of a form; Refusal when the body is too long for one."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                raise Refusal(413, "Too much", "No form of this page is that long.")
    except ClientDisconnect:
        return {}
    try:
        return parse_qs(body.decode("ascii", "replace"), max_num_fields=300)
    except ValueError:
        raise Refusal(400, "Not a form", "It has too many fields.") from None


def first(form: Form, name: str) -> str:
    """Return a field's first value; empty when the field is missing."""
    return next(iter(form.get(name, [])), "").strip()


def require_this_site(request: Request) -> None:
    """Raise Refusal for a form sent from another site."""
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    if origin is not None and origin.partition("://")[2] != host:
        raise Refusal(403, "From another site", "This form was not sent by this page.")
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Refusal(403, "From another site", "This form was not sent by this page.")


# --- logging in and out


def login_page(site: Site, request: Request) -> Response:
    """Show the log-in form; redirect to the overview when already logged in."""
    if site.sessions is None or site.session(request) is not None:
        return RedirectResponse("/", status_code=303)
    wanted = _local(request.query_params.get("next", "/"))
    return site.render(request, "login.html", next=wanted, problem="", refresh=None)


async def login(site: Site, request: Request) -> Response:
    """Compare the token and log in; after too many failures the client has to wait."""
    require_this_site(request)
    form = await form_of(request)
    if site.sessions is None:
        raise Refusal(404, "No log-in", "SYNC_WEB_TOKEN is not set, so this page is read-only.")
    wanted = _local(first(form, "next") or "/")
    address = request.client.host if request.client else ""
    wait = site.tries.wait_seconds(address)
    if wait:
        response = site.render(
            request,
            "login.html",
            status=429,
            next=wanted,
            problem=f"Too many attempts. Try again in {wait:.0f} seconds.",
            refresh=None,
        )
        response.headers["Retry-After"] = f"{wait:.0f}"
        return response
    if not site.sessions.is_token(first(form, "token")):
        site.tries.failed(address)
        log().warning("log-in refused", address=address)
        return site.render(
            request,
            "login.html",
            status=401,
            next=wanted,
            problem="That is not the token.",
            refresh=None,
        )
    log().info("logged in", address=address)
    answer = RedirectResponse(wanted, status_code=303)
    site.set_cookie(request, answer, COOKIE, site.sessions.begin(), seconds=SESSION_SECONDS)
    return answer


async def logout(site: Site, request: Request) -> Response:
    """End the session of the request."""
    await _require_operator(site, request)
    session = site.session(request)
    if site.sessions is not None and session is not None:
        site.sessions.end(session)
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(COOKIE, path="/")
    return response


def _local(path: str) -> str:
    """Return the path if it belongs to this site, else that of the overview."""
    fine = path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if fine and path.isascii() and path.isprintable() else "/"


async def _require_operator(site: Site, request: Request) -> Form:
    require_this_site(request)
    session = site.session(request)
    if session is None:
        raise Refusal(
            403,
            "Log in first",
            "Your session is over, or this page is read-only because SYNC_WEB_TOKEN is not set.",
        )
    form = await form_of(request)
    if not is_same(first(form, "csrf"), session):
        raise Refusal(403, "An old page", "Go back, load the page again, and repeat what you did.")
    return form


# --- actions on a store


async def act(site: Site, request: Request) -> Response:
    """Perform the action, say what was done, and redirect to the page that shows the result."""
    form = await _require_operator(site, request)
    name, what = request.path_params["name"], request.path_params["what"]
    action = ACTIONS.get(what)
    if action is None:
        raise Refusal(404, "No such action", f"There are: {', '.join(ACTIONS)}.")
    page = f"/stores/{quote(name, safe='')}"
    try:
        said, to = await run_in_threadpool(_done, site, action, name, form)
    except BadRequest as error:
        return site.say(request, page, "bad", str(error))
    log(store=name).info("asked for", action=what)
    return site.say(request, to or page, "good", said)


def _done(site: Site, action: Action, name: str, form: Form) -> tuple[str, str | None]:
    """Perform an action on a store; return a sentence about it, and the page that shows it."""
    for attempt in attempts(site.services.engine):
        with attempt as connection:
            done = action(connection, operations.store_with_key(connection, name), form)
    return done


def _backfill(connection: sa.Connection, store: Store, form: Form) -> tuple[str, str | None]:
    since, until = _day(form, "since"), _day(form, "until")
    if since is not None and until is not None and until < since:
        raise BadRequest(f"The last day, {until}, is before the first, {since}.")
    return _queued(connection, store, form, kind="backfill", days=(since, until))


def _reconcile(connection: sa.Connection, store: Store, form: Form) -> tuple[str, str | None]:
    return _queued(connection, store, form, kind="reconcile", deep=first(form, "deep") == "on")


def _queued(
    connection: sa.Connection,
    store: Store,
    form: Form,
    *,
    kind: str,
    days: operations.Days = (None, None),
    deep: bool = False,
) -> tuple[str, str | None]:
    names = [_resource(name) for name in form.get("resource", []) if name]
    ids, parked = operations.ask_for(connection, store, names, kind=kind, days=days, deep=deep)
    said = f"{kind.capitalize()} queued: " + (
        ", ".join(names) if names else f"all {len(ids)} resources"
    )
    if parked:
        said += f". Parked, so press Retry first: {', '.join(parked)}"
    to = f"/crawls/{ids[0]}" if len(ids) == 1 else f"/crawls?store={quote(store.name, safe='')}"
    return f"{said}.", to


def _retry(connection: sa.Connection, store: Store, form: Form) -> tuple[str, str | None]:
    name = first(form, "resource")
    released = operations.retry(connection, store, _resource(name) if name else None)
    what = name or store.name
    return (f"{what} is tried again now." if released else f"{what} is requested again."), None


def _approve(connection: sa.Connection, store: Store, form: Form) -> tuple[str, str | None]:
    name = _resource(first(form, "resource"))
    waited = operations.approve(connection, store, name).partition(";")[0]
    return f"Approved: {waited}. {name} is read again now.", None


def _enable(connection: sa.Connection, store: Store, _: Form) -> tuple[str, str | None]:
    stores.set_enabled(connection, store.id, enabled=True)
    return f"{store.name} is enabled: it continues where it stopped.", None


def _disable(connection: sa.Connection, store: Store, _: Form) -> tuple[str, str | None]:
    stores.set_enabled(connection, store.id, enabled=False)
    return f"{store.name} is disabled: its rows stay and are no longer updated.", None


Action = Callable[[sa.Connection, Store, Form], tuple[str, str | None]]
ACTIONS: dict[str, Action] = {
    "backfill": _backfill,
    "reconcile": _reconcile,
    "retry": _retry,
    "approve": _approve,
    "enable": _enable,
    "disable": _disable,
}


def _resource(name: str) -> str:
    if name not in RESOURCES:
        from difflib import get_close_matches

        near = get_close_matches(name, RESOURCES, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise BadRequest(f"There is no resource {name!r}.{hint}")
    return name


def _day(form: Form, name: str) -> dt.date | None:
    text = first(form, name)
    if not text:
        return None
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"{text!r} is not a day; write it like 2024-01-31.") from None
