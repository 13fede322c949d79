"""Faults: for a share of all requests, or one shot on a path."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from random import Random
from typing import Any

KINDS = ("500", "502", "503", "html", "cut", "short", "slow", "drip", "reset")
# Statuses in the log for kinds that send no true answer; 0: nothing was sent.
STATUS = {"500": 500, "502": 502, "503": 503, "html": 200, "reset": 0}
PAGE = (
    b"<html><head><title>502 Bad Gateway</title></head>"
    b"<body><center><h1>502 Bad Gateway</h1></center><hr></body></html>"
)


@dataclass
class OneShot:
    """A fault for the `nth` matching request from now, and the `times - 1` after it."""

    kind: str
    path: str = "*"
    nth: int = 1
    times: int = 1
    account: str | None = None
    containing: str = ""  # a text in the query string, e.g. "page=3"

    def hits(self, account: str | None, path: str, query: str) -> bool:
        if self.times < 1 or not fnmatch(path, self.path) or self.containing not in query:
            return False
        if self.account is not None and account != self.account:
            return False
        self.nth -= 1
        if self.nth > 0:
            return False
        self.times -= 1
        return True


class Faults:
    """Decides which requests fail, and how."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(f"{seed}/faults")
        self.shots: list[OneShot] = []
        self.count: dict[str, int] = {}

    def plan(self, **shot: Any) -> None:
        made = OneShot(**shot)
        if made.kind not in KINDS:
            raise ValueError(f"there is no fault {made.kind!r}; there are {', '.join(KINDS)}")
        self.shots.append(made)

    def next(
        self, account: str | None, path: str, query: str, share: dict[str, float]
    ) -> str | None:
        """Return the fault of this request, or None."""
        found: str | None = None
        for shot in self.shots:
            if shot.hits(account, path, query):
                found = shot.kind
                break
        self.shots = [s for s in self.shots if s.times > 0]
        if found is None and share:
            point = self._rng.random()
            for kind, part in share.items():
                if point < part:
                    found = kind
                    break
                point -= part
        if found is not None:
            self.count[found] = self.count.get(found, 0) + 1
        return found
