"""The server: the API with its limits and faults; beside it the oracle and the controls."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable, MutableMapping
from fnmatch import fnmatch
from random import Random
from typing import Any

import orjson

from sync.sandbox import control
from sync.sandbox.api import HTML, JSON
from sync.sandbox.faults import PAGE, STATUS
from sync.sandbox.limit import Arrival
from sync.sandbox.php import Json, nested
from sync.sandbox.sandbox import Sandbox

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class App:
    """An ASGI application. It answers /api itself; Starlette the rest (control.py, oracle.py)."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.backstage = control.application(sandbox)
        self._rng = Random(f"{sandbox.seed}/latency")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].startswith(("/oracle", "/control")):
            await self._api(scope, send)
        else:
            await self.backstage(scope, receive, send)

    async def _api(self, scope: Scope, send: Send) -> None:
        arrived = time.monotonic()
        sandbox, knobs = self.sandbox, self.sandbox.knobs
        path, query = scope["path"], scope["query_string"].decode("latin-1")
        params = nested(query)
        key = _key(scope, params)
        client = scope["client"][0] if scope["client"] else "?"
        owner = sandbox.api.account_of(key)
        name = owner.name if owner else None
        arrival = Arrival(arrived, sandbox.clock.now(), client, name, path, params)
        sandbox.log.add(arrival)
        refused = self._over_limit(client, path, arrived)
        low, high = knobs.latency_ms
        delay = self._rng.uniform(low, high) / 1000
        before = delay * self._rng.random()  # the state is read at a random moment on the way
        if delay > 0:
            await asyncio.sleep(before)
        if refused:
            await self._refuse(arrival, send)
            return
        struck = any(fnmatch(name or "", p) for p in knobs.fault_accounts or ("*",))
        share = knobs.fault_share if struck else {}
        fault = arrival.fault = sandbox.faults.next(name, path, query, share)
        if fault == "slow":
            await asyncio.sleep(knobs.slow_seconds)
        if fault in STATUS:
            arrival.status = STATUS[fault]
            await _fail(send, fault)
            return
        with sandbox.lock:
            status, body, kind = sandbox.api.answer(scope["method"], path, params, key)
        arrival.status = status
        if delay > 0:
            await asyncio.sleep(delay - before)
        if fault == "cut":
            body = body[: len(body) // 2]
        await _reply(send, status, body, kind, promised=len(body), torn=fault == "short")

    def _over_limit(self, client: str, path: str, arrived: float) -> bool:
        knobs = self.sandbox.knobs
        if knobs.rate <= 0:
            return False
        telephony = path.startswith("/api/v5/telephony")
        bucket, rate = ("telephony", knobs.telephony_rate) if telephony else ("", knobs.rate)
        return not self.sandbox.window.grants(client, bucket, rate, arrived)

    async def _refuse(self, arrival: Arrival, send: Send) -> None:
        arrival.status = 503
        wait = self.sandbox.knobs.retry_after
        headers = [] if wait is None else [(b"retry-after", str(wait).encode())]
        body = b'{"success": false, "errorMsg": "Rate limit exceeded"}'
        await _reply(send, 503, body, JSON, promised=len(body), headers=headers)


def _key(scope: Scope, params: Json) -> str | None:
    """Take the key of a request out of the parameters, so that no log holds it."""
    given = params.pop("apiKey", None)
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            return str(value.decode("latin-1"))
    return None if given is None else str(given)


async def _fail(send: Send, kind: str) -> None:
    if kind == "reset":
        await _hang_up(send)
    elif kind in ("502", "html"):
        await _reply(send, 502 if kind == "502" else 200, PAGE, HTML, promised=len(PAGE))
    else:
        text = "Internal Server Error" if kind == "500" else "Service Unavailable"
        body = orjson.dumps({"success": False, "errorMsg": text})
        await _reply(send, int(kind), body, JSON, promised=len(body))


async def _reply(
    send: Send, status: int, body: bytes, kind: bytes, *, promised: int,
    headers: list[tuple[bytes, bytes]] | None = None, torn: bool = False,
) -> None:  # fmt: skip
    """Send an answer; a truncated one ends the connection half way through its body."""
    head = [(b"content-type", kind), (b"content-length", b"%d" % promised), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": head})
    if torn:
        half = body[: promised // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await _hang_up(send, politely=True)
        return
    await send({"type": "http.response.body", "body": body})


async def _hang_up(send: Send, *, politely: bool = False) -> None:
    """Close the connection under the answer: uvicorn's `send` is a method of its owner."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("the connection is reset on purpose")
    raw = transport.get_extra_info("socket")
    if raw is not None and not politely:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if politely:
        transport.close()
    else:
        transport.abort()
    await asyncio.sleep(0.01)  # uvicorn notices in this pause, and sends nothing more
