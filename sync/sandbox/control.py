"""The controls.

POST /control/knobs                {"rate": 10, ...} -> all knobs; GET shows them
POST /control/faults               {"kind", "path"?, "nth"?, "times"?, "account"?, "containing"?}
POST /control/clock                {"freeze": epoch | true}, {"advance": seconds}, {"release": true}
POST /control/churn/start          {"per_second"?, "mix"?, "accounts"?}
POST /control/churn/stop           answers when no save is under way: {"counts": {...}}
POST /control/churn/many           {"saves": n}: so many saves at once
POST /control/reset_log            forgets the request log
POST /control/accounts             {"name", "zone"?, "orders"?, ...} -> {"name", "key"}
POST /control/{account}/{mutation} arguments by name -> {"result": ...}; among them
    import_orders {"count", "commit_seconds"?}  so many orders edited in one transaction
    merge_chain {"length"}                      merges, each survivor the next source
    back_up, restore {"backup"?}                the account as it was, histories and ids with it
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sync.sandbox import oracle, page
from sync.sandbox.oracle import answer
from sync.sandbox.php import Refusal
from sync.sandbox.registry import MUTATIONS
from sync.sandbox.sandbox import Sandbox


def _routes(sandbox: Sandbox) -> list[Route]:
    levers = Control(sandbox)
    return [
        Route("/control/knobs", levers.knobs, methods=["GET", "POST"]),
        Route("/control/faults", levers.faults, methods=["POST"]),
        Route("/control/clock", levers.clock, methods=["GET", "POST"]),
        Route("/control/churn/start", levers.churn_start, methods=["POST"]),
        Route("/control/churn/stop", levers.churn_stop, methods=["POST"]),
        Route("/control/churn/many", levers.churn_many, methods=["POST"]),
        Route("/control/reset_log", levers.reset_log, methods=["POST"]),
        Route("/control/accounts", levers.accounts, methods=["POST"]),
        Route("/control/{account}/{mutation}", levers.mutate, methods=["POST"]),
    ]


async def asked(request: Request) -> dict[str, Any]:
    body = await request.body()
    found: dict[str, Any] = orjson.loads(body) if body else {}
    return found


class Control:
    """The handlers behind the routes; wrong use is answered with 400 and the reason."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def knobs(self, request: Request) -> Response:
        values = await asked(request) if request.method == "POST" else {}
        try:
            with self._sandbox.lock:
                self._sandbox.knobs.turn(**values)
        except (ValueError, TypeError) as error:
            return answer({"error": str(error)}, 400)
        return answer(self._sandbox.knobs.as_json())

    async def faults(self, request: Request) -> Response:
        try:
            self._sandbox.faults.plan(**await asked(request))
        except (ValueError, TypeError) as error:
            return answer({"error": str(error)}, 400)
        return answer({"planned": len(self._sandbox.faults.shots)})

    async def clock(self, request: Request) -> Response:
        values = await asked(request) if request.method == "POST" else {}
        clock = self._sandbox.clock
        with self._sandbox.lock:
            if "freeze" in values:
                clock.freeze(None if values["freeze"] is True else float(values["freeze"]))
            if "advance" in values:
                clock.advance(float(values["advance"]))
            if values.get("release"):
                clock.release()
        return answer({"now": clock.now()})

    async def churn_start(self, request: Request) -> Response:
        values = await asked(request)
        knobs = self._sandbox.knobs
        if "per_second" in values:
            knobs.churn_per_second = float(values["per_second"])
        if "mix" in values:
            knobs.churn_mix = dict(values["mix"])
        self._sandbox.churn.start(values.get("accounts"))
        return answer({"per_second": knobs.churn_per_second, "mix": knobs.churn_mix})

    async def churn_stop(self, _: Request) -> Response:
        return answer({"counts": await self._sandbox.churn.stop()})

    async def churn_many(self, request: Request) -> Response:
        values = await asked(request)
        return answer({"counts": self._sandbox.churn.many(int(values.get("saves", 1)))})

    async def reset_log(self, _: Request) -> Response:
        self._sandbox.log.clear()
        self._sandbox.faults.count.clear()
        return answer({})

    async def accounts(self, request: Request) -> Response:
        try:
            made = self._sandbox.account(**await asked(request))
        except (ValueError, TypeError) as error:
            return answer({"error": str(error)}, 400)
        return answer({"name": made.name, "key": made.key})

    async def mutate(self, request: Request) -> Response:
        account = self._sandbox.accounts.get(request.path_params["account"])
        name = request.path_params["mutation"]
        if account is None or name not in MUTATIONS:
            return answer({"error": "no such account or mutation", "known": sorted(MUTATIONS)}, 404)
        try:
            result = account.mutations[name](**await asked(request))
        except Refusal as refusal:
            return answer({"error": str(refusal)}, refusal.status)
        except (ValueError, TypeError, KeyError) as error:
            return answer({"error": f"{type(error).__name__}: {error}"}, 400)
        return answer({"result": result})


class LoopbackOnly:
    """Refuses clients that are not on this machine, nor in one of the networks allowed."""

    def __init__(self, app: ASGIApp, allowed: Iterable[str] = ()) -> None:
        self._app, self._allowed = app, [ipaddress.ip_network(each) for each in allowed]

    def _may(self, client: str) -> bool:
        address = ipaddress.ip_address(client)
        return address.is_loopback or any(address in network for network in self._allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if scope["type"] == "http" and client and not self._may(client[0]):
            await JSONResponse({"error": "loopback only"}, 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def application(sandbox: Sandbox, allowed: Iterable[str] = ()) -> Starlette:
    """Return page, oracle and controls: for this machine and `allowed` networks, without limits."""
    routes: list[Route] = [*page.routes(sandbox), *oracle.routes(sandbox), *_routes(sandbox)]
    return Starlette(routes=routes, middleware=[Middleware(LoopbackOnly, allowed)])
