"""The request limit in any sliding second, and the log of arrived requests."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any


class SlidingWindow:
    """A limit of `rate` grants in any second for one client: strict, nothing is averaged."""

    def __init__(self) -> None:
        self._granted: dict[tuple[str, str], deque[float]] = {}

    def grants(self, client: str, bucket: str, rate: float, at: float) -> bool:
        """Admit a request arriving at `at` (monotonic seconds), or refuse it, uncounted."""
        window = self._granted.setdefault((client, bucket), deque())
        while window and at - window[0] >= 1.0:
            window.popleft()
        if len(window) >= rate:
            return False
        window.append(at)
        return True


@dataclass(slots=True)
class Arrival:
    """One API request: `at` is monotonic, `time` wall clock, both at arrival."""

    at: float
    time: float
    client: str
    account: str | None
    path: str
    params: dict[str, Any]
    verb: str = "GET"
    status: int = 0
    fault: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "time": self.time, "client": self.client, "account": self.account,
            "verb": self.verb, "path": self.path, "params": self.params, "status": self.status,
            "fault": self.fault,
        }  # fmt: skip


class RequestLog:
    """The latest requests, without their keys."""

    def __init__(self, keep: int = 300_000) -> None:
        self._arrivals: deque[Arrival] = deque(maxlen=keep)
        self.recent: deque[tuple[Arrival, bytes]] = deque(maxlen=50)  # with how the answer begins

    def add(self, arrival: Arrival) -> None:
        self._arrivals.append(arrival)

    def answered(self, arrival: Arrival, body: bytes) -> None:
        """Keep how an answer begins, of the latest few."""
        self.recent.append((arrival, body[:300]))

    def clear(self) -> None:
        self._arrivals.clear()
        self.recent.clear()

    def matching(
        self, account: str | None = None, path: str | None = None, since: float = 0
    ) -> list[Arrival]:
        return [
            a
            for a in list(self._arrivals)  # copied in one step: the server appends meanwhile
            if a.time >= since
            and (account is None or a.account == account)
            and (path is None or path in a.path)
        ]


def busiest_second(arrivals: list[Arrival]) -> int:
    """Return the most requests of one client in any sliding second, refused ones included."""
    busiest = 0
    windows: dict[str, deque[float]] = {}
    for arrival in sorted(arrivals, key=lambda a: a.at):
        window = windows.setdefault(arrival.client, deque())
        window.append(arrival.at)
        while arrival.at - window[0] >= 1.0:
            window.popleft()
        busiest = max(busiest, len(window))
    return busiest
