"""HTTP connections that pause, open and ready, just before the first byte of a request.

A slot of the request budget is a moment, and 20 ms decide whether the limit holds at the server
(limiter.py). Opening a connection takes 100 ms or more, and httpx does it inside `send`. So the
wait for the slot happens below httpx: the request is encoded, its connection is open, and the gate
runs in the socket's `write`. The gate is called again right after the write.

When the server closed the connection during the wait, this is noticed before a byte is written,
and `ConnectionGone` says that nothing was sent.

From the gate on, the whole answer has a deadline. httpx limits only the silence between two
receipts, so a server that sends a byte now and then could hold a thread for a day. The silence
before the first byte has a limit of its own: a large page takes an account a minute to prepare.
Whoever waits for the answer may cut it before: a read looks every half second whether it is still
wanted.
"""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import httpcore
import httpx

from sync.errors import Ended
from sync.settings.surroundings import Proxy


class Gate(Protocol):
    """The two calls around the first write of a request."""

    def before(self) -> None:
        """Block until the request may be written; raise to send nothing."""

    def after(self) -> None:
        """Note that the request has just been handed to the network."""


Cut = Callable[[float, bool], str | None]
"""A function that returns why an answer is to be cut, None while it is wanted: given the seconds
since its request was sent, and whether it has begun."""

LOOK_SECONDS = 0.5
"""The longest time until it is noticed that an answer is to be cut."""


class ConnectionGone(Exception):
    """The server closed the idle connection while it waited at the gate; nothing was sent."""


@dataclass(frozen=True, slots=True)
class _Sending:
    gate: Gate
    answer_seconds: float
    first_byte_seconds: float | None
    cut: Cut | None


_SENDING: ContextVar[_Sending | None] = ContextVar("sending", default=None)


@contextmanager
def gated(
    gate: Gate,
    *,
    answer_seconds: float = math.inf,
    first_byte_seconds: float | None = None,
    cut: Cut | None = None,
) -> Iterator[None]:
    """Put `gate` around the first write of this thread's next request, and limit its answer.

    `first_byte_seconds` is the silence allowed before the answer begins; None for the silence that
    is allowed between any two receipts. Ended is raised once `cut` gives a reason.
    """
    token = _SENDING.set(_Sending(gate, answer_seconds, first_byte_seconds, cut))
    try:
        yield
    finally:
        _SENDING.reset(token)


class _GatedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._used = False
        self._deadline = math.inf
        self._first_byte_seconds: float | None = None
        self._cut: Cut | None = None
        self._sent = 0.0
        self._look_at = math.inf
        self._has_begun = False

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
        self._sent = time.monotonic()
        self._deadline = self._sent + sending.answer_seconds
        self._cut, self._has_begun = sending.cut, False
        self._look_at = self._sent if self._cut is not None else math.inf
        self._first_byte_seconds = sending.first_byte_seconds
        try:
            self._stream.write(buffer, self._left(timeout, httpcore.WriteTimeout))
        finally:
            sending.gate.after()  # also when the write failed: a part may have been sent

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if not self._has_begun:
            timeout = self._first_byte_seconds or timeout
        silent_until = time.monotonic() + (math.inf if timeout is None else timeout)
        while True:
            now = time.monotonic()
            if now >= self._look_at:
                self._insist(now)
            until = min(silent_until, self._deadline, self._look_at)
            left = self._left(None if until == math.inf else until - now, httpcore.ReadTimeout)
            try:
                data = self._stream.read(max_bytes, left)
            except httpcore.ReadTimeout:
                if time.monotonic() < min(silent_until, self._deadline):
                    continue
                raise
            self._has_begun = True
            return data

    def _insist(self, now: float) -> None:
        """Raise when the answer is not wanted any longer."""
        assert self._cut is not None
        reason = self._cut(now - self._sent, self._has_begun)
        if reason is not None:
            raise Ended(f"an answer was cut: {reason}")
        self._look_at = now + LOOK_SECONDS

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


class _TunnelStream(_GatedStream):
    """A connection to a proxy before it is a tunnel: its CONNECT is not the request.

    The TLS connection inside the tunnel is gated.
    """

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, timeout)


class _Backend(httpcore.SyncBackend):
    """Connections as streams of one class."""

    def __init__(self, stream: type[_GatedStream]) -> None:
        self._stream = stream

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        made = super().connect_tcp(host, port, timeout, local_address, socket_options)
        return self._stream(made)


class GatedTransport(httpx.HTTPTransport):
    """httpx's transport over gated connections, direct or by a proxy's tunnels. HTTP/1.1."""

    def __init__(
        self,
        *,
        connections: int,
        idle_seconds: float,
        local_address: str | None,
        tls: ssl.SSLContext | None,
        proxy: Proxy | None = None,
    ) -> None:
        # SSL_CERT_FILE may name a private CA; no other variable of the environment is used here.
        context = tls or httpx.create_ssl_context(trust_env=True)
        super().__init__(verify=context, trust_env=False)
        # httpx has no argument for the backend; tests/integration/test_client_wire.py fails if a
        # new version keeps its pool elsewhere.
        self._pool.close()
        tunnel = None if proxy is None else httpcore.Proxy(proxy.url, proxy.auth)
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            proxy=tunnel,
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=idle_seconds,
            http1=True,
            http2=False,
            local_address=local_address,
            network_backend=_Backend(_GatedStream if proxy is None else _TunnelStream),
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
