"""HTTP connections that pause, open and ready, just before the first byte of a request.

A slot of the request budget is a moment, and 20 ms decide whether the limit holds at the server
(limiter.py). Opening a connection takes 100 ms or more, and httpx does it inside `send`. So the
wait for the slot happens below httpx: the request is encoded, its connection is open, and the gate
runs in the socket's `write`. The gate is called again right after the write.

When the server closed the connection during the wait, this is noticed before a byte is written,
and `ConnectionGone` says that nothing was sent.

From the gate on, the whole answer has a deadline. httpx limits only the silence between two
receipts, so a server that sends a byte now and then could hold a thread for a day.
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
    """The two calls around the first write of a request."""

    def before(self) -> None:
        """Block until the request may be written; raise to send nothing."""

    def after(self) -> None:
        """Note that the request has just been handed to the network."""


class ConnectionGone(Exception):
    """The server closed the idle connection while it waited at the gate; nothing was sent."""


@dataclass(frozen=True, slots=True)
class _Sending:
    gate: Gate
    answer_seconds: float


_SENDING: ContextVar[_Sending | None] = ContextVar("sending", default=None)


@contextmanager
def gated(gate: Gate, *, answer_seconds: float = math.inf) -> Iterator[None]:
    """Put `gate` around the first write of this thread's next request, and limit its answer."""
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
        # A new TLS connection may be readable and still open: session tickets arrive unasked.
        if self._used and self._stream.get_extra_info("is_readable"):
            raise ConnectionGone
        self._used = True
        self._deadline = time.monotonic() + sending.answer_seconds
        try:
            self._stream.write(buffer, self._left(timeout, httpcore.WriteTimeout))
        finally:
            sending.gate.after()  # also when the write failed: a part may have been sent

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(timeout, httpcore.ReadTimeout))

    def _left(self, timeout: float | None, late: type[httpcore.TimeoutException]) -> float | None:
        """Return the seconds left until the answer's deadline, at most `timeout`; raise `late`."""
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
    """httpx's transport over gated connections. HTTP/1.1, no proxy."""

    def __init__(
        self,
        *,
        connections: int,
        idle_seconds: float,
        local_address: str | None,
        tls: ssl.SSLContext | None,
    ) -> None:
        # SSL_CERT_FILE may name a private CA; no other variable of the environment is used.
        context = tls or httpx.create_ssl_context(trust_env=True)
        super().__init__(verify=context, trust_env=False)
        # httpx has no argument for the backend; tests/integration/test_client_wire.py fails if a
        # new version keeps its pool elsewhere.
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
        # A response made from bytes counts as read; its stream can still be read as received.
        return httpx.Response(
            answer.status_code,
            headers=answer.headers,
            stream=answer.stream,
            extensions=answer.extensions,
        )

    def close(self) -> None:
        self._transport.close()
