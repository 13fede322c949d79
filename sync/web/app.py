"""Routes, and the pages shown when a request cannot be answered."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from typing import Any, cast

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from sync.errors import BadRequest, SyncError, TryLater
from sync.metrics.ready import Looks, readiness
from sync.metrics.scraping import scrape
from sync.telemetry import log, scrubbed, told
from sync.verdict import Facts, judge
from sync.web import actions, nudges, record, views
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
            with suppress(SyncError) if everybody else nullcontext():
                await site.identify(request)
            if not everybody:
                turned_away = site.require_reader(request)
                if turned_away is not None:
                    return turned_away
            if inspect.iscoroutinefunction(view):
                answer: Response = await view(site, request)
                return answer
            return await run_in_threadpool(view, site, request)  # type: ignore[arg-type]

        return endpoint

    async def refuse(request: Request, error: Exception) -> Response:
        with suppress(SyncError):  # a page about an error is shown without Postgres too
            await site.identify(request)
        if isinstance(error, TryLater) and request.scope["path"] == "/":
            return views.away(site, request, judge(Facts(postgres=str(error))))
        status, title, text = _in_words(error)
        return site.render(
            request, "refusal.html", status=status, title=title, text=text, refresh=None
        )

    routes = [
        Route("/", open_to(views.overview)),
        Route("/stores/{name}", open_to(views.a_store)),
        Route("/stores/{name}/sure", open_to(views.sure)),
        Route("/stores/{name}/why", open_to(record.find)),
        Route("/stores/{name}/records/{resource}/{key}", open_to(record.a_record)),
        Route("/stores/{name}/plan", open_to(actions.show_plan), methods=["POST"]),
        Route("/stores/{name}/{what}", open_to(actions.act), methods=["POST"]),
        Route("/crawls", open_to(views.crawls)),
        Route("/crawls/{crawl_id}", open_to(views.a_crawl)),
        Route("/rejects", open_to(views.rejects)),
        Route("/unknown", open_to(views.unknown_fields)),
        Route("/acts", open_to(views.all_acts)),
        Route("/nudge/{secret}", nudges.endpoint(services), methods=["POST"]),
        Route("/login", open_to(actions.login_page, everybody=True)),
        Route("/login", open_to(actions.login, everybody=True), methods=["POST"]),
        Route("/logout", open_to(actions.logout), methods=["POST"]),
        Route("/healthz", _alive),
        Route("/readyz", _ready(Looks(lambda: readiness(services)))),
        Route("/metrics", open_to(_metrics, everybody=True)),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]
    handled = (Refusal, SyncError, HTTPException, OverflowError, Exception)
    pages = Starlette(routes=routes, exception_handlers=dict.fromkeys(handled, refuse))
    pages.router.redirect_slashes = False  # such a redirect repeats the Host header of the request
    # Sizes of compressed pages tell strangers nothing: the session's cookie is SameSite=strict, so
    # no other site can have a page of it fetched. Headers come outermost: error pages get them too.
    app = _Headers(GZipMiddleware(pages, minimum_size=1_000, compresslevel=5))
    proxies = trusted(services.settings.web_proxies)
    return cast(ASGIApp, ProxyHeadersMiddleware(cast(Any, app), trusted_hosts=proxies))


def _in_words(error: Exception) -> tuple[int, str, str]:
    if isinstance(error, Refusal):
        return error.status, error.title, error.text
    if isinstance(error, BadRequest):
        return 404, "Not found", str(error)
    if isinstance(error, SyncError):
        return 503, "Cannot find out", str(error)
    if isinstance(error, HTTPException):
        return error.status_code, "Not found" if error.status_code == 404 else "Not so", (
            "There is no such page." if error.status_code == 404 else error.detail
        )  # fmt: skip
    log().error("page failed", error=told(error))
    return 500, "Internal error", "The page could not be built; the log has the reason."


MOST_HEADERS = 32_768
"""Bytes of all headers. uvicorn's own bound holds only for those that come in pieces."""
NOWHERE = "/-"
"""The path of no page. What asks for the character NUL asks for it: neither Postgres nor a file
system takes that in a name."""


def _has_nul(scope: Scope) -> bool:
    asked = scope["query_string"]
    return "\0" in scope["path"] or b"%00" in asked or b"\0" in asked


def _unfit(scope: Scope) -> str | None:
    """Return why a request is not looked at, None for one that is."""
    headers = scope["headers"]
    if {b"content-length", b"transfer-encoding"} <= {name for name, _ in headers}:
        return "A request has a length or chunks, or else two readers see two requests."
    if sum(len(name) + len(value) for name, value in headers) > MOST_HEADERS:
        return "These headers are too long."
    return None


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

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if (reason := _unfit(scope)) is not None:
            refusal = PlainTextResponse(reason, 400, headers={"Connection": "close"})
            await refusal(scope, receive, with_headers)
            return
        if _has_nul(scope):
            # A nudge's stranger gets the answer of all its strangers.
            path = f"/nudge{NOWHERE}" if scope["path"].startswith("/nudge/") else NOWHERE
            scope = {**scope, "path": path, "raw_path": path.encode(), "query_string": b""}
        await self._app(scope, receive, with_headers)


# --- routes for machines


async def _alive(_: Request) -> Response:
    """Answer 200 while this process works; says nothing about the mirror."""
    return JSONResponse({"alive": True})


def _ready(looks: Looks) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint: 200 when database, Redis and both queues work, else 503."""

    async def endpoint(_: Request) -> Response:
        checks = await looks.latest()
        ready = all(each["ok"] for each in checks.values())
        told = {"ready": ready, "checks": checks}
        return JSONResponse(scrubbed(told), status_code=200 if ready else 503)

    return endpoint


async def _metrics(site: Site, request: Request) -> Response:
    """Return the metrics to a client with the token (or on this machine, where none is set)."""
    await site.require_scraper(request)
    detailed = request.query_params.get("detail") == "resources"
    body, kind = await run_in_threadpool(scrape, site.services, detailed=detailed)
    return Response(body, headers={"Content-Type": kind})
