"""The connections of the status page, none of which holds a place for longer than it is of use.

uvicorn waits for ever for the end of a request that has begun. A few hundred half-sent ones would
use up the files that a process may open, and nobody else would be let in.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class Bounded(H11Protocol):
    """An HTTP connection with bounds; past one of them it is cut without an answer."""

    request_seconds = 15.0
    """From its begin, or the answer before, until a request has come whole."""
    answer_seconds = 60.0
    """The same until its answer has been taken."""
    most = 400
    """Connections at a time. One more cuts the one that has been sending its request for longest,
    or else the one that has been answered for longest."""

    _since: float
    _look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin_anew()
        if len(self.connections) > self.most:
            others = [c for c in self.connections if isinstance(c, Bounded) and c is not self]
            slow = [c for c in others if c._is_sending] or others
            min(slow, key=lambda each: each._since, default=self).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._begin_anew()
        super().on_response_complete()

    @property
    def _is_sending(self) -> bool:
        cycle: Any = self.cycle  # None before the first request
        return cycle is None or cycle.response_complete or cycle.more_body

    def _begin_anew(self) -> None:
        if self._look is not None:
            self._look.cancel()
        self._since = self.loop.time()
        self._look = self.loop.call_later(self.request_seconds, self._cut_if_late)

    def _cut_if_late(self) -> None:
        bound = self.request_seconds if self._is_sending else self.answer_seconds
        left = self._since + bound - self.loop.time()
        if left <= 0:
            self.transport.abort()
        else:
            self._look = self.loop.call_later(left, self._cut_if_late)


OPTIONS: dict[str, Any] = {
    "http": Bounded,
    "ws": "none",
    "h11_max_incomplete_event_size": 32_768,
    "timeout_keep_alive": 5,
    "timeout_graceful_shutdown": 5,
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,  # the application evaluates them: SYNC_WEB_PROXIES
}
"""The options of uvicorn for the page, beside its address and the level of its log."""
