"""A method of the API answered by a test: a list that may change between any two pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import httpx

from tests.integration.pipeline.harness import Mirror

Record = dict[str, Any]
Parameters = dict[str, list[str]]


def answer(status: int = 200, **body: Any) -> httpx.Response:
    """A JSON answer; success unless the status is an error."""
    return httpx.Response(status, json={"success": status < 300, **body})


def page_of(key: str, records: list[Any], parameters: Parameters) -> httpx.Response:
    """One page of a list as the API pages it."""
    limit, page = int(parameters["limit"][0]), int(parameters["page"][0])
    block = {
        "limit": limit,
        "totalCount": len(records),
        "currentPage": page,
        "totalPageCount": -(-len(records) // limit),
    }
    chosen = records[(page - 1) * limit : page * limit]
    return answer(**{key: chosen, "pagination": block})


class Fake:
    """Lists by path, served instead of the sandbox's. `acts` happen before the nth request.

    fake = Fake(mirror, segments=("/api/v5/segments", "segments"))
    fake.lists["/api/v5/segments"] = [...]
    fake.before(2, act)
    """

    def __init__(self, mirror: Mirror) -> None:
        self.lists: dict[str, tuple[str, list[Any]]] = {}
        self.handlers: dict[str, Callable[[Parameters], httpx.Response]] = {}
        self.asked: list[tuple[str, Parameters]] = []
        self._acts: dict[tuple[str, int], Callable[[], None]] = {}
        mirror.wire.answers = self._answer

    def serve(self, path: str, key: str, records: list[Any]) -> list[Any]:
        """Serve a list; changing it changes what is served."""
        self.lists[path] = (key, records)
        return records

    def handle(self, path: str, handler: Callable[[Parameters], httpx.Response]) -> None:
        """Answer a path by a function of its parameters."""
        self.handlers[path] = handler

    def before(self, path: str, nth: int, act: Callable[[], None]) -> None:
        """Have something happen before the nth request of a path is answered."""
        self._acts[path, nth] = act

    def count(self, path: str) -> int:
        """Requests of a path so far."""
        return sum(1 for each, _ in self.asked if each == path)

    def _answer(self, request: httpx.Request) -> httpx.Response | None:
        path = request.url.path
        if path not in self.lists and path not in self.handlers:
            return None
        parameters = parse_qs(request.url.query.decode())
        self.asked.append((path, parameters))
        act = self._acts.pop((path, self.count(path)), None)
        if act is not None:
            act()
        if path in self.handlers:
            return self.handlers[path](parameters)
        key, records = self.lists[path]
        return page_of(key, json.loads(json.dumps(records)), parameters)
