"""Shared state of all pages: services, sessions, templates; and the check who may read."""

from __future__ import annotations

import datetime as dt
import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from sync.database.engine import Transaction, reading
from sync.web import formatting
from sync.web.security import Session, Sessions, Tries, is_loopback, is_secure
from sync.work.services import Services

HERE = Path(__file__).parent
COOKIE = "mirror_session"
SAID = "mirror_said"


class Refusal(Exception):
    """A page that cannot be shown: its status and a sentence or two."""

    def __init__(self, status: int, title: str, text: str) -> None:
        super().__init__(text)
        self.status, self.title, self.text = status, title, text


class Site:
    """The state of the web process. Without a token in the settings it is read-only."""

    def __init__(self, services: Services) -> None:
        self.services = services
        token = services.settings.web_token
        self.sessions = None if token is None else Sessions(token.get_secret_value())
        self.tries = Tries()

    def reading(self) -> Transaction:
        """Open a read-only transaction."""
        return reading(self.services.engine)

    def session(self, request: Request) -> Session | None:
        """Return the session of a request, or None."""
        if self.sessions is None:
            return None
        return self.sessions.read(request.cookies.get(COOKIE, ""))

    def require_reader(self, request: Request) -> Response | None:
        """Return None when this request may read, else a redirect to the log-in.

        Raises Refusal when no token is set and the request is not from this machine.
        """
        if self.sessions is not None:
            if self.session(request) is not None:
                return None
            wanted = quote(request.url.path, safe="/") if request.method == "GET" else "/"
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

    def render(
        self, request: Request, template: str, *, status: int = 200, **about: Any
    ) -> HTMLResponse:
        """Render a page. The message of the previous action is shown once."""
        session = self.session(request)
        said = ""
        if self.sessions is not None and session is not None:
            said = self.sessions.unseal(request.cookies.get(SAID, ""))
        kind, _, text = said.partition(":")
        html = self._templates.get_template(template).render(
            {"session": session, "has_token": self.sessions is not None, "path": request.url.path}
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
                request, response, SAID, self.sessions.seal(f"{kind}:{text[:1500]}"), seconds=60
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
                request.url.scheme,
                origin=request.headers.get("origin", ""),
                host=request.headers.get("host", ""),
            ),
        )

    @cached_property
    def _templates(self) -> jinja2.Environment:
        made = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
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
            "path": lambda text: quote(str(text), safe=""),
        }
        made.globals |= {
            "version": _version(),
            "state_counts": formatting.state_counts,
            "days": formatting.days,
            "command": formatting.command,
            "GOOD": formatting.GOOD,
            "infinity": float("inf"),
        }
        return made


def _version() -> str:
    """Return a hash of the files in static/, so that browsers may cache them until they change."""
    digest = hashlib.sha256()
    for file in sorted((HERE / "static").iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
