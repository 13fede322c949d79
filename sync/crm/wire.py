"""HTTP connections that pause, open and ready, just before the first byte of a request.

A slot of the request budget is a moment, and 20 ms decide whether the limit holds at the server
(limiter.py). Opening a connection takes 100 ms and more, and httpx does it inside `send`. So the
wait for the slot happens underneath httpx: the request is encoded, its connection is open, and
the gate runs in the `write` of the socket. After the write the gate learns the moment it ended.

A connection the server closed during the wait is found before a byte is written; then
`ConnectionGone` says that nothing was sent.

From the gate on the answer has so many seconds, all of it: httpx bounds only the silence between
two receipts, and a byte of a header every now and then keeps a thread for a day.
"""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import httpcore
import httpx


class Gate(Protocol):
    """What stands between an open connection and its request."""

    def before(self) -> None:
        """Block until the request may be written; raise to send nothing."""

    def after(self) -> None:
        """The request has been handed to the network, this very moment."""


class ConnectionGone(Exception):
    """The server closed the idle connection while it waited at the gate; nothing was sent."""


@dataclass(frozen=True, slots=True)
class _Sending:
    gate: Gate
    answer_seconds: float


_SENDING: ContextVar[_Sending | None] = ContextVar("sending", default=None)


@contextmanager
def gated(gate: Gate, *, answer_seconds: float = math.inf) -> Iterator[None]:
    """Put `gate` before the first write of this thread's next request, and time after it."""
    token = _SENDING.set(_Sending(gate, answer_seconds))
    try:
        yield
    finally:
        _SENDING.reset(token)


class _GatedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._used = False
        self._deadline = math.inf

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        sending = _SENDING.get()
        if sending is None:
            self._stream.write(buffer, self._left(timeout, httpcore.WriteTimeout))
            return
        _SENDING.set(None)
        sending.gate.before()
        # A fresh TLS connection may be readable and well: session tickets arrive unasked.
        if self._used and self._stream.get_extra_info("is_readable"):
            raise ConnectionGone
        self._used = True
        self._deadline = time.monotonic() + sending.answer_seconds
        try:
            self._stream.write(buffer, self._left(timeout, httpcore.WriteTimeout))
        finally:
            sending.gate.after()  # also when the write broke: a part of it may have left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(timeout, httpcore.ReadTimeout))

    def _left(self, timeout: float | None, late: type[httpcore.TimeoutException]) -> float | None:
        """The wait that is left of the answer's time, at most `timeout`."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise late("the answer took too long")
        return timeout if left == math.inf else left if timeout is None else min(timeout, left)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _GatedStream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _GatedBackend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        stream = super().connect_tcp(host, port, timeout, local_address, socket_options)
        return _GatedStream(stream)


class GatedTransport(httpx.HTTPTransport):
    """httpx's own transport over connections that know the gate. HTTP/1.1, no proxy."""

    def __init__(
        self,
        *,
        connections: int,
        idle_seconds: float,
        local_address: str | None,
        tls: ssl.SSLContext | None,
    ) -> None:
        # A private CA may be named by SSL_CERT_FILE; nothing else of the environment counts.
        context = tls or httpx.create_ssl_context(trust_env=True)
        super().__init__(verify=context, trust_env=False)
        # httpx offers no argument for the backend; tests/integration/test_client_wire.py would
        # tell if a new version no longer kept its pool here.
        self._pool.close()
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=idle_seconds,
            http1=True,
            http2=False,
            local_address=local_address,
            network_backend=_GatedBackend(),
        )


class GatedStandIn(httpx.BaseTransport):
    """A transport without sockets (tests) behind the same gate."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        sending = _SENDING.get()
        if sending is not None:
            _SENDING.set(None)
            sending.gate.before()
            sending.gate.after()
        answer = self._transport.handle_request(request)
        # One made from bytes has been read already; from its stream it can be read as received.
        return httpx.Response(
            answer.status_code,
            headers=answer.headers,
            stream=answer.stream,
            extensions=answer.extensions,
        )

    def close(self) -> None:
        self._transport.close()
