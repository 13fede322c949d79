"""Shared state of all pages: services, sessions, templates; and the check who may read."""

from __future__ import annotations

import datetime as dt
import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from sync.database.engine import Transaction, attempts, reading
from sync.state import ended_sessions
from sync.state.one_record import place_of
from sync.state.status import state_of
from sync.telemetry import log, scrubbed
from sync.web import formatting
from sync.web.door import Door, TooOften
from sync.web.security import (
    Role,
    Session,
    Sessions,
    counted_as,
    is_loopback,
    is_same_text,
    is_secure,
)
from sync.work.services import Services

HERE = Path(__file__).parent
COOKIE = "mirror_session"
SAID = "mirror_said"
KNOWN = "mirror_known"
_FOUND = "sync.session"


BEARER = "Authorization: Bearer, and SYNC_WEB_SCRAPE_TOKEN or, where none is set, SYNC_WEB_TOKEN."


class Refusal(Exception):
    """A page that cannot be shown: its status and a sentence or two."""

    def __init__(self, status: int, title: str, text: str) -> None:
        super().__init__(text)
        self.status, self.title, self.text = status, title, text


def require_privacy(request: Request, text: str) -> None:
    """Raise Refusal with this text unless a key can be typed here and read by nobody on the way.

    A proxy that speaks https may not have told us so. A browser names the scheme it sees in the
    Origin of a form, and in the Referer of a page that is opened from another one.
    """
    sent = [request.headers.get(name, "") for name in ("origin", "referer")]
    seen = next((each for each in sent if each), f"{request.scope['scheme']}:")
    if not seen.startswith("https:") and not is_loopback(request.headers.get("host", "")):
        raise Refusal(403, "Only over https", text)


class Site:
    """The state of the web process. Without a token to log in with it is read-only."""

    def __init__(self, services: Services) -> None:
        self.services = services
        operate, read, scrape = (
            None if token is None else token.get_secret_value()
            for token in (
                services.settings.web_token,
                services.settings.web_read_token,
                services.settings.web_scrape_token,
            )
        )
        self.sessions = Sessions(operate, read_token=read) if operate or read else None
        self.tokens = {token for token in (operate, read, scrape) if token}
        self.scrape_token = scrape or operate
        self.logins, self.scrapes = Door(), Door()

    def reading(self) -> Transaction:
        """Open a read-only transaction."""
        return reading(self.services.engine)

    # --- who asks

    def address(self, request: Request) -> str:
        """Return what the asker is counted as: the address that a trusted proxy saw, or its own."""
        return counted_as(request.client.host if request.client else "")

    async def identify(self, request: Request) -> Session | None:
        """Find the session of a request once; TryLater when Postgres cannot say if it has ended.

        A cookie that was not signed here costs no look at Postgres.
        """
        if _FOUND not in request.scope:
            request.scope[_FOUND] = None
            sent = request.cookies.get(COOKIE, "")
            session = None if self.sessions is None else self.sessions.read(sent)
            if session is not None and not await run_in_threadpool(self._has_ended, session):
                request.scope[_FOUND] = session
        return self.session(request)

    def session(self, request: Request) -> Session | None:
        """Return the session that `identify` found, or None."""
        found: Session | None = request.scope.get(_FOUND)
        return found

    def _has_ended(self, session: Session) -> bool:
        with self.reading() as connection:
            return ended_sessions.has_ended(connection, session.number)

    def log_out(self, session: Session) -> None:
        """End a session for good, also for a page that is started again."""
        if self.sessions is not None:
            self.sessions.end(session)
        ends_at = dt.datetime.fromtimestamp(session.ends_at, dt.UTC)
        for attempt in attempts(self.services.engine):
            with attempt as connection:
                ended_sessions.end(connection, session.number, ends_at=ends_at)

    def require_reader(self, request: Request) -> Response | None:
        """Return None when this request may read, else a redirect to the log-in.

        Raises Refusal when no token is set and the request is not from this machine.
        """
        path = request.scope["path"]
        if self.sessions is not None:
            if self.session(request) is not None:
                return None
            wanted = quote(path, safe="/") if request.method == "GET" else "/"
            return RedirectResponse(f"/login?next={wanted}", status_code=303)
        client = request.client.host if request.client else ""
        # The Host header too: another site could point its own name at this machine.
        if not is_loopback(client) or not is_loopback(request.headers.get("host", "")):
            raise Refusal(
                403,
                "Only from this machine",
                "Without SYNC_WEB_TOKEN this page is shown to the machine it runs on, and to no "
                "other.",
            )
        return None

    async def require_scraper(self, request: Request) -> None:
        """Raise Refusal unless the request may read the metrics."""
        token = self.scrape_token
        if token is None and self.sessions is None:
            self.require_reader(request)
            return
        scheme, _, sent = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Refusal(401, "Metrics need a token", BEARER)

        def look() -> bool | None:
            return (token is not None and is_same_text(sent.strip(), token)) or None

        try:
            if await self.scrapes.judge(self.address(request), look) is None:
                log().warning("scrape refused", address=self.address(request))
                raise Refusal(401, "Metrics need another token", BEARER)
        except TooOften as error:
            raise Refusal(
                429, "Too many attempts", f"Try again in {error.seconds:.0f} seconds."
            ) from None

    # --- what is shown

    def render(
        self, request: Request, template: str, *, status: int = 200, **about: Any
    ) -> HTMLResponse:
        """Render a page. The message of the previous action is shown once."""
        session = self.session(request)
        said = ""
        if self.sessions is not None and session is not None:
            said = self.sessions.unseal(request.cookies.get(SAID, ""))
        kind, _, text = said.partition(":")
        acts = session is not None and session.role is Role.OPERATE
        html = self._templates.get_template(template).render(
            # `session` is what buttons need: None for somebody who may only read.
            {"session": session if acts else None, "person": session, "path": request.scope["path"]}
            | {"has_token": self.sessions is not None}
            | {"said": text, "said_kind": kind, "now": dt.datetime.now(dt.UTC)}
            | about
        )
        response = HTMLResponse(html, status_code=status)
        if SAID in request.cookies:
            response.delete_cookie(SAID, path="/")
        return response

    def say(self, request: Request, to: str, kind: str, text: str) -> Response:
        """Redirect to a page that shows this text once."""
        response = RedirectResponse(to, status_code=303)
        if self.sessions is not None:
            self.set_cookie(
                request,
                response,
                SAID,
                self.sessions.seal(f"{kind}:{scrubbed(text)[:1500]}"),
                seconds=60,
            )
        return response

    def set_cookie(
        self, request: Request, response: Response, name: str, value: str, *, seconds: int
    ) -> None:
        """Set a cookie: HttpOnly, SameSite=strict, and `Secure` where `is_secure` says so."""
        response.set_cookie(
            name,
            value,
            max_age=seconds,
            path="/",
            httponly=True,
            samesite="strict",
            secure=is_secure(
                request.scope["scheme"],
                origin=request.headers.get("origin", ""),
                host=request.headers.get("host", ""),
            ),
        )

    @cached_property
    def _templates(self) -> jinja2.Environment:
        made = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            finalize=scrubbed,  # of every value that a page shows, before it is escaped
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        made.filters |= {
            "age": formatting.age,
            "duration": formatting.duration,
            "moment": formatting.moment,
            "number": formatting.number,
            "size": formatting.size,
            "meaning": formatting.meaning,
            "readable": formatting.readable,
            "shortened": formatting.shortened,
            "hex": lambda value: "–" if value is None else bytes(value).hex(),
            "path": lambda text: quote(str(text), safe=""),
        }
        made.globals |= {
            "version": _version(),
            "state_counts": formatting.state_counts,
            "days": formatting.days,
            "command": formatting.command,
            "store_state": state_of,
            "place_of": place_of,
            "GOOD": formatting.GOOD,
        }
        return made


def _version() -> str:
    """Return a hash of the files in static/, so that browsers may cache them until they change."""
    digest = hashlib.sha256()
    for file in sorted((HERE / "static").iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
