"""The server: the API with its limits and faults; beside it the oracle and the controls."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from fnmatch import fnmatch
from random import Random
from typing import Any

import orjson

from sync.sandbox import control
from sync.sandbox.api import HTML, JSON
from sync.sandbox.faults import PAGE, STATUS
from sync.sandbox.forms import posted
from sync.sandbox.limit import Arrival
from sync.sandbox.network import seconds_until_arrival
from sync.sandbox.php import Json, nested
from sync.sandbox.sandbox import Sandbox

_LONG = 1000  # letters of a parameter that the log keeps
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class App:
    """An ASGI application. It answers /api itself; Starlette the rest: page, control, oracle."""

    def __init__(self, sandbox: Sandbox, *, allowed: Iterable[str] = ()) -> None:
        """Take networks whose clients reach page, controls and oracle, beside this machine."""
        self.sandbox = sandbox
        self.backstage = control.application(sandbox, allowed)
        self._rng = Random(f"{sandbox.seed}/latency")
        self._way = Random(f"{sandbox.seed}/network")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/api"):
            await self._api(scope, receive, send)
        else:
            await self.backstage(scope, receive, send)

    async def _api(self, scope: Scope, receive: Receive, send: Send) -> None:
        sandbox, knobs = self.sandbox, self.sandbox.knobs
        on_the_way = seconds_until_arrival(knobs, sent_at=time.monotonic(), rng=self._way)
        if on_the_way > 0:
            await asyncio.sleep(on_the_way)
        arrived = time.monotonic()
        path, query = scope["path"], scope["query_string"].decode("latin-1")
        params = nested(query)
        if scope["method"] == "POST":
            body = await _body(receive)
            if body is None:
                return
            params = posted(params, body, _header(scope, b"content-type") or "")
        key = _key(scope, params)
        client = scope["client"][0] if scope["client"] else "?"
        owner = sandbox.api.account_of(key)
        name = owner.name if owner else None
        arrival = Arrival(arrived, sandbox.clock.now(), client, name, path, params, scope["method"])
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
            sandbox.log.answered(arrival, b"")
            await _fail(send, fault)
            return
        with sandbox.lock:
            status, body, kind = sandbox.api.answer(scope["method"], path, params, key)
        arrival.status = status
        sandbox.log.answered(arrival, body)
        if delay > 0:
            await asyncio.sleep(delay - before)
        if fault == "cut":
            body = body[: len(body) // 2]
        if fault == "drip":
            await _drip(send, status, body, kind, knobs.drip_seconds)
            return
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
        self.sandbox.log.answered(arrival, body)
        await _reply(send, 503, body, JSON, promised=len(body), headers=headers)


def _key(scope: Scope, params: Json) -> str | None:
    """Take the key of a request out of the parameters, so that no log holds it."""
    given = params.pop("apiKey", None)
    return _header(scope, b"x-api-key") or (None if given is None else str(given))


def _shown(params: Json) -> Json:
    """Return the parameters for the log, long forms at their beginning."""
    return {k: v[:_LONG] if isinstance(v, str) else v for k, v in params.items()}


def _header(scope: Scope, name: bytes) -> str | None:
    found = (value for given, value in scope["headers"] if given == name)
    value = next(found, None)
    return None if value is None else str(value.decode("latin-1"))


async def _body(receive: Receive) -> bytes | None:
    """Read a request's body to its end; None: the client left before it."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


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


async def _drip(send: Send, status: int, body: bytes, kind: bytes, seconds: float) -> None:
    """Send a body byte by byte, until the client has hung up."""
    head = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": head})
    with suppress(asyncio.CancelledError):  # the server ends
        for number in range(len(body)):
            await asyncio.sleep(seconds)
            if getattr(getattr(send, "__self__", None), "disconnected", False):
                return
            byte, is_more = body[number : number + 1], number + 1 < len(body)
            await send({"type": "http.response.body", "body": byte, "more_body": is_more})


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
