"""Actions of a logged-in person. Every action ends by showing a page."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event
from urllib.parse import parse_qs, quote, urlencode

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from sync.database.engine import attempts
from sync.errors import BadRequest, MissingScope, NoSuchAccount, WrongKey
from sync.resources import RESOURCES
from sync.state import acts, one_record, operations, stores
from sync.state import status as look
from sync.state.stores import Store
from sync.telemetry import log, scrubbed
from sync.web import questions
from sync.web.door import TooOften
from sync.web.security import (
    KNOWN_SECONDS,
    SESSION_SECONDS,
    Role,
    Session,
    is_same,
)
from sync.web.state import COOKIE, KNOWN, Refusal, Site, require_privacy
from sync.work.account import renew, typed_key
from sync.work.estimates import Plan, plan

MOST_BYTES = 16_384
KEY = "key"
"""The action that asks the account first, and so is none of ACTIONS."""
CHOICE = ("resource", "since", "until", "deep")
"""The fields of a form that say what is read again."""
PLAN_SECONDS = 45.0
"""The longest that a plan is waited for: a page has 60 seconds."""
READABLE = (
    "On the way to this page the key could be read. Make a new key in the account: this one is no "
    "secret any more."
)
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
    if b"%00" in body or b"\0" in body:  # no field of a form has one, and Postgres takes none
        raise Refusal(400, "Not a form", "It has a character that no field may have.")
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
    wanted, token = _local(first(form, "next") or "/"), first(form, "token")
    address, browser = site.address(request), site.sessions.known(request.cookies.get(KNOWN, ""))
    sessions = site.sessions
    try:
        role = await site.logins.judge(
            browser or address, lambda: sessions.role_of(token), is_stranger=browser is None
        )
    except TooOften as error:
        problem = f"Too many attempts. Try again in {error.seconds:.0f} seconds."
        response = _refused(site, request, wanted, 429, problem)
        response.headers["Retry-After"] = f"{error.seconds:.0f}"
        return response
    if role is None:
        log().warning("log-in refused", address=address)
        return _refused(site, request, wanted, 401, "That is not the token.")
    log().info("logged in", address=address, may=role.value)
    answer = RedirectResponse(wanted, status_code=303)
    site.set_cookie(request, answer, COOKIE, sessions.begin(role), seconds=SESSION_SECONDS)
    if role is Role.OPERATE and browser is None:
        site.set_cookie(request, answer, KNOWN, sessions.know(), seconds=KNOWN_SECONDS)
    return answer


def _refused(site: Site, request: Request, wanted: str, status: int, problem: str) -> Response:
    return site.render(
        request, "login.html", status=status, next=wanted, problem=problem, refresh=None
    )


async def logout(site: Site, request: Request) -> Response:
    """End the session of the request."""
    session, _ = await _require_session(site, request)
    await run_in_threadpool(site.log_out, session)
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(COOKIE, path="/")
    return response


def _local(path: str) -> str:
    """Return the path if it belongs to this site, else that of the overview."""
    fine = path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if fine and path.isascii() and path.isprintable() else "/"


async def _require_session(site: Site, request: Request) -> tuple[Session, Form]:
    """Return the session and the form of a request that this session's page sent, else Refusal."""
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
    return session, form


# --- actions on a store


async def act(site: Site, request: Request) -> Response:
    """Perform the action, say what was done, and redirect to the page that shows the result."""
    form, by = await _require_operator(site, request)
    name, what = request.path_params["name"], request.path_params["what"]
    action = ACTIONS.get(what)
    if action is None and what != KEY:
        raise Refusal(404, "No such action", f"There are: {', '.join(ACTIONS)}, {KEY}.")
    page = f"/stores/{quote(name, safe='')}"
    try:
        if action is None:
            require_privacy(request, READABLE)
            said, to = await run_in_threadpool(_new_key, site, name, form, by), None
        else:
            said, to = await run_in_threadpool(_done, site, what, action, name, form, by)
    except (BadRequest, NoSuchAccount, WrongKey, MissingScope) as error:
        if action is None:  # whoever tries keys here is noted; the reason tells no key
            log(store=name).warning("key refused", reason=scrubbed(str(error)), address=by.address)
        return site.say(request, page, "bad", scrubbed(str(error)))
    if not said:  # it asks first
        return RedirectResponse(to or page, status_code=303)
    log(store=name).info("asked for", action=what)
    return site.say(request, to or page, "good", said)


async def show_plan(site: Site, request: Request) -> Response:
    """Ask the account what reading the lists chosen would cost, and show it; queue nothing."""
    form, by = await _require_operator(site, request)
    name, stop = request.path_params["name"], Event()
    page = f"/stores/{quote(name, safe='')}"
    asking = asyncio.to_thread(_planned, site, name, form, by, stop)
    try:
        known, made = await asyncio.wait_for(asking, PLAN_SECONDS)
    except BadRequest as error:
        return site.say(request, page, "bad", scrubbed(str(error)))
    except TimeoutError:
        stop.set()  # the request that is under way is the last one
        return site.say(
            request, page, "bad",
            f"{name} did not tell the lengths of its lists within {PLAN_SECONDS:.0f} seconds. "
            f"Choose fewer, or run: celery -A sync mirror plan {name}",
        )  # fmt: skip
    return site.render(
        request, "plan.html", store=known, plan=made, kept=_choice(form), refresh=None
    )


def _planned(site: Site, name: str, form: Form, by: By, stop: Event) -> tuple[Store, Plan]:
    names, days = _names(form), _days(form)
    with site.reading() as connection:
        known = operations.store_with_key(connection, name)
        if not stores.may_use_key(connection):
            raise BadRequest(f"This page may not use keys; run: celery -A sync mirror plan {name}")
    made = plan(site.services, known, names, days=days, stop=stop)
    for attempt in attempts(site.services.engine):
        with attempt as connection:
            acts.note(
                connection, "plan", store=name, detail=_detail(form), who=by.who,
                address=by.address,
            )  # fmt: skip
    return known, made


@dataclass(frozen=True, slots=True)
class By:
    """The actor: the name of the token, and the address of the client."""

    who: str
    address: str | None


async def _require_operator(site: Site, request: Request) -> tuple[Form, By]:
    """Return the form of a request by somebody who may act, and the actor; else Refusal."""
    session, form = await _require_session(site, request)
    if session.role is not Role.OPERATE:
        raise Refusal(403, "Read only", "Log out, and log in with SYNC_WEB_TOKEN to act from here.")
    return form, By("operator", request.client.host if request.client else None)


def _new_key(site: Site, name: str, form: Form, by: By) -> str:
    """Ask the account with a key that was typed, and keep it; no transaction is open meanwhile."""
    key = typed_key(first(form, "key"), "the field")
    if key in site.tokens:
        raise BadRequest("That is a token of this page, not an API key. Change the token.")
    with site.reading() as connection:
        known = operations.store_with_key(connection, name)
        if not stores.may_set_key(connection):
            raise BadRequest(
                f"This page may not change keys; run: celery -A sync mirror store set {name}"
            )
    renew(site.services, known, url=known.url, key=key, who=by.who, address=by.address)
    return f"{name} has another key; it is used from now on."


def _done(
    site: Site, what: str, action: Action, name: str, form: Form, by: By
) -> tuple[str, str | None]:
    """Perform an action on a store; return a sentence about it, and the page that shows it."""
    for attempt in attempts(site.services.engine):
        with attempt as connection:
            done = action(connection, operations.store_with_key(connection, name), form)
            if done[0]:
                acts.note(
                    connection, what, store=name, detail=_detail(form), who=by.who,
                    address=by.address,
                )  # fmt: skip
    return done


def _detail(form: Form) -> str:
    """Return what was chosen in a form, apart from what is no choice."""
    return ", ".join(
        f"{field} {value}"
        for field, values in form.items()
        for value in values
        if value and field not in {"csrf", "sure"}
    )


def _choice(form: Form) -> list[tuple[str, str]]:
    """Return what is chosen to be read again, as fields of a form."""
    return [(name, value) for name in CHOICE for value in form.get(name, []) if value]


def _asks(connection: sa.Connection, store: Store, form: Form, what: str) -> str | None:
    """Return the page that asks before something big; None when nothing is, or it was answered."""
    if first(form, "sure") == "yes":
        return None
    if names := _names(form):
        [told] = look.statuses(connection, [store], order=list(RESOURCES))
        if questions.requests_of(told, names) < questions.BIG:
            return None
    asked = urlencode([("what", what), *_choice(form)])
    return f"/stores/{quote(store.name, safe='')}/sure?{asked}"


def _backfill(connection: sa.Connection, store: Store, form: Form) -> tuple[str, str | None]:
    days = _days(form)
    if asked := _asks(connection, store, form, "backfill"):
        return "", asked
    return _queued(connection, store, form, kind="backfill", days=days)


def _reconcile(connection: sa.Connection, store: Store, form: Form) -> tuple[str, str | None]:
    deep = first(form, "deep") == "on"
    if deep and (asked := _asks(connection, store, form, "reconcile")):
        return "", asked
    return _queued(connection, store, form, kind="reconcile", deep=deep)


def _queued(
    connection: sa.Connection,
    store: Store,
    form: Form,
    *,
    kind: str,
    days: operations.Days = (None, None),
    deep: bool = False,
) -> tuple[str, str | None]:
    names = _names(form)
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


def _reset(connection: sa.Connection, store: Store, form: Form) -> tuple[str, str | None]:
    name = _resource(first(form, "resource"))
    _require_crm(connection, f"reset {store.name} {name}", name)
    operations.require_enabled(store)
    operations.reset(connection, store, name)
    return f"{name} is loaded anew; its rows stay readable.", None


def _rebuild(connection: sa.Connection, store: Store, form: Form) -> tuple[str, str | None]:
    return _queued(connection, store, form, kind="rebuild")


def _pause(connection: sa.Connection, store: Store, form: Form) -> tuple[str, str | None]:
    changed = operations.turn(connection, store, _resource(first(form, "resource")), is_on=False)
    return f"Turned off: {', '.join(changed) or 'it was already'}.", None


def _resume(connection: sa.Connection, store: Store, form: Form) -> tuple[str, str | None]:
    name = _resource(first(form, "resource"))
    _require_crm(connection, f"resource {store.name} {name} on", name)
    changed = operations.turn(connection, store, name, is_on=True)
    return f"Turned on: {', '.join(changed) or 'it was already'}.", None


def _cancel(connection: sa.Connection, store: Store, form: Form) -> tuple[str, str | None]:
    text = first(form, "crawl")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadRequest("Say which crawl.")
    return f"Cancelled: the crawl of {operations.cancel(connection, store, int(text))}.", None


Action = Callable[[sa.Connection, Store, Form], tuple[str, str | None]]
ACTIONS: dict[str, Action] = {
    "backfill": _backfill,
    "reconcile": _reconcile,
    "retry": _retry,
    "approve": _approve,
    "enable": _enable,
    "disable": _disable,
    "reset": _reset,
    "rebuild": _rebuild,
    "pause": _pause,
    "resume": _resume,
    "cancel": _cancel,
}


def _require_crm(connection: sa.Connection, command: str, resource: str) -> None:
    """Raise BadRequest with the command where this page's login may not look for rows in crm."""
    if not one_record.may_read(connection, resource):
        raise BadRequest(f"This page may not read crm; run: celery -A sync mirror {command}")


def _resource(name: str) -> str:
    if name not in RESOURCES:
        from difflib import get_close_matches

        near = get_close_matches(name, RESOURCES, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise BadRequest(f"There is no resource {name!r}.{hint}")
    return name


def _names(form: Form) -> list[str]:
    """Return the resources chosen; none for all."""
    return [_resource(name) for name in form.get("resource", []) if name]


def _days(form: Form) -> operations.Days:
    """Return the first and last day chosen; BadRequest for days that cannot be."""
    since, until = _day(form, "since"), _day(form, "until")
    if since is not None and until is not None and until < since:
        raise BadRequest(f"The last day, {until}, is before the first, {since}.")
    operations.require_past(since)
    return since, until


def _day(form: Form, name: str) -> dt.date | None:
    text = first(form, name)
    if not text:
        return None
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"{text!r} is not a day; write it like 2024-01-31.") from None
