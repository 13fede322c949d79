"""Routes, and the pages shown when a request cannot be answered."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, cast

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from sync.errors import BadRequest, SyncError
from sync.metrics.ready import readiness
from sync.metrics.scraping import scrape
from sync.telemetry import log, scrubbed, told
from sync.web import actions, views
from sync.web.security import HEADERS, trusted
from sync.web.state import HERE, Refusal, Site
from sync.work.services import Services

View = Callable[[Site, Request], Response] | Callable[[Site, Request], Awaitable[Response]]


def create_app(services: Services) -> ASGIApp:
    """Build the application over a process's services.

    It evaluates the headers of proxies itself: start the server with `proxy_headers=False`.
    """
    site = Site(services)

    def open_to(view: View, *, everybody: bool = False) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint of a view: for readers only, or for everybody."""

        async def endpoint(request: Request) -> Response:
            if not everybody:
                turned_away = site.require_reader(request)
                if turned_away is not None:
                    return turned_away
            if inspect.iscoroutinefunction(view):
                answer: Response = await view(site, request)
                return answer
            return await run_in_threadpool(view, site, request)  # type: ignore[arg-type]

        return endpoint

    def refuse(request: Request, error: Exception) -> Response:
        status, title, text = _in_words(error)
        return site.render(
            request, "refusal.html", status=status, title=title, text=text, refresh=None
        )

    routes = [
        Route("/", open_to(views.overview)),
        Route("/stores/{name}", open_to(views.a_store)),
        Route("/stores/{name}/{what}", open_to(actions.act), methods=["POST"]),
        Route("/crawls", open_to(views.crawls)),
        Route("/crawls/{crawl_id:int}", open_to(views.a_crawl)),
        Route("/rejects", open_to(views.rejects)),
        Route("/unknown", open_to(views.unknown_fields)),
        Route("/login", open_to(actions.login_page, everybody=True)),
        Route("/login", open_to(actions.login, everybody=True), methods=["POST"]),
        Route("/logout", open_to(actions.logout), methods=["POST"]),
        Route("/healthz", open_to(_alive, everybody=True)),
        Route("/readyz", open_to(_ready, everybody=True)),
        Route("/metrics", open_to(_metrics, everybody=True)),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]
    handled = (Refusal, SyncError, HTTPException, OverflowError, Exception)
    # Outermost, so that error pages get the same headers.
    app = _Headers(Starlette(routes=routes, exception_handlers=dict.fromkeys(handled, refuse)))
    proxies = trusted(services.settings.web_proxies)
    return cast(ASGIApp, ProxyHeadersMiddleware(cast(Any, app), trusted_hosts=proxies))


def _in_words(error: Exception) -> tuple[int, str, str]:
    if isinstance(error, Refusal):
        return error.status, error.title, error.text
    if isinstance(error, BadRequest):
        return 404, "Not found", str(error)
    if isinstance(error, SyncError):
        return 503, "Cannot find out", scrubbed(str(error))
    if isinstance(error, HTTPException):
        return error.status_code, "Not found" if error.status_code == 404 else "Not so", (
            "There is no such page." if error.status_code == 404 else error.detail
        )  # fmt: skip
    log().error("page failed", error=told(error))
    return 500, "Internal error", "The page could not be built; the log has the reason."


class _Headers:
    """Middleware: the same headers on every answer; files in static/ may be cached."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message["headers"]}
                kept = dict(HEADERS)
                if scope["path"].startswith("/static/") and message["status"] == 200:
                    kept["Cache-Control"] = "public, max-age=86400"
                message["headers"] = [
                    *message["headers"],
                    *(
                        (name.lower().encode(), value.encode())
                        for name, value in kept.items()
                        if name.lower().encode() not in names
                    ),
                ]
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


# --- routes for machines


def _alive(_: Site, __: Request) -> Response:
    """Answer 200 while this process works; says nothing about the mirror."""
    return JSONResponse({"alive": True})


def _ready(site: Site, _: Request) -> Response:
    """Answer 200 when database, Redis and both queues work, 503 when one of them does not."""
    checks: dict[str, Any] = readiness(site.services)
    ready = all(each["ok"] for each in checks.values())
    return JSONResponse({"ready": ready, "checks": checks}, status_code=200 if ready else 503)


def _metrics(site: Site, request: Request) -> Response:
    """Return the metrics to a client with the token (or on this machine, where none is set)."""
    if site.sessions is not None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not site.sessions.is_token(token.strip()):
            raise Refusal(401, "Metrics need the token", "Authorization: Bearer SYNC_WEB_TOKEN")
    else:
        site.require_reader(request)
    body, kind = scrape(site.services)
    return Response(body, headers={"Content-Type": kind})
