"""/oracle and /control: what is true, and the levers. Loopback only, never limited."""

from __future__ import annotations

import ipaddress

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sync.sandbox import control, oracle
from sync.sandbox.sandbox import Sandbox


class LoopbackOnly:
    """Refuses whoever is not on this machine."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if scope["type"] == "http" and client and not ipaddress.ip_address(client[0]).is_loopback:
            await JSONResponse({"error": "loopback only"}, 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def application(sandbox: Sandbox) -> Starlette:
    routes: list[Route] = [*oracle.routes(sandbox), *control.routes(sandbox)]
    return Starlette(routes=routes, middleware=[Middleware(LoopbackOnly)])
