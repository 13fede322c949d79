"""The oracle: the true state of every account, to compare a mirror with.

GET /oracle/requests?account=&path=&since=   requests, counts by status, busiest sliding second
GET /oracle/{account}                        summary: counts, zone, newest history ids, pending
GET /oracle/{account}/history/{name}         every entry, one JSON a line (?since=ID)
GET /oracle/{account}/moments/{history}      entries after ?since=ID, by line: {"id", "owner", "at":
                                             of the save, "seen_at": when published, "createdAt"}
GET /oracle/{account}/{collection}           every live record as its list would send it, by line
                                             (?steady=1: without what changes unannounced)
GET /oracle/{account}/{collection}/ids       {"ids": [...], "count": n}
GET /oracle/{account}/{collection}/deleted   [{"id", "reason", "at", "combinedTo"?}]
GET /oracle/{account}/{collection}/timeline  versions after the first ?since=N, by line, with the
                                             knob `timeline`: {"n": its number, "at": epoch, "id",
                                             "content": steady, null when dead; "totals"}
GET /oracle/{account}/reference/{name}       code -> entry
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from sync.sandbox.account import Account
from sync.sandbox.limit import busiest_second
from sync.sandbox.sandbox import Sandbox
from sync.sandbox.sending import lines, sent_entry

# Python's splitlines() would split at these characters; JSON can escape them.
_BREAKS = tuple((c.encode(), b"\\u%04x" % ord(c)) for c in "\u2028\u2029\x85")


def routes(sandbox: Sandbox) -> list[Route]:
    told = Oracle(sandbox)
    return [
        Route("/oracle/requests", told.requests),
        Route("/oracle", told.accounts),
        Route("/oracle/{account}", told.summary),
        Route("/oracle/{account}/history/{name:path}", told.history),
        Route("/oracle/{account}/moments/{name:path}", told.moments),
        Route("/oracle/{account}/reference/{name}", told.reference),
        Route("/oracle/{account}/{collection}/ids", told.ids),
        Route("/oracle/{account}/{collection}/deleted", told.deleted),
        Route("/oracle/{account}/{collection}/timeline", told.timeline),
        Route("/oracle/{account}/{collection}", told.records),
    ]


def answer(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def summary(account: Account, now: float) -> dict[str, Any]:
    """Return counts of live records, newest history ids, and whether changes are pending."""
    pending = sum(c.pending(now) for c in account.collections.values())
    return {
        "name": account.name, "zone": account.time.zone_name, "currency": account.currency,
        "language": account.language, "sites": account.sites, "now": account.local(now),
        "counts": {name: len(c.truth.live) for name, c in account.collections.items()},
        "deleted": {name: len(c.gone) for name, c in account.collections.items() if c.gone},
        "history": {name: h.newest_id(now) for name, h in account.histories.items()},
        "pending": pending + sum(h.pending(now) for h in account.histories.values()),
    }  # fmt: skip


def deleted(account: Account, collection: str) -> list[dict[str, Any]]:
    found = []
    for record_id, gone in account.collections[collection].gone.items():
        row: dict[str, Any] = {"id": record_id, "reason": gone.reason, "at": account.local(gone.at)}
        if gone.combined_to is not None:
            row["combinedTo"] = gone.combined_to
        found.append(row)
    return found


class Oracle:
    """The handlers behind the routes."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def _account(self, request: Request) -> Account:
        return self._sandbox.accounts[request.path_params["account"]]

    async def accounts(self, _: Request) -> Response:
        with self._sandbox.lock:
            now = self._sandbox.clock.now()
            return answer({n: summary(a, now) for n, a in self._sandbox.accounts.items()})

    async def summary(self, request: Request) -> Response:
        with self._sandbox.lock:
            if request.path_params["account"] not in self._sandbox.accounts:
                return answer({"error": "no such account"}, 404)
            return answer(summary(self._account(request), self._sandbox.clock.now()))

    async def records(self, request: Request) -> Response:
        account, name = self._account(request), request.path_params["collection"]
        if name not in account.collections:
            return answer({"error": "no such collection", "known": list(account.collections)}, 404)
        wanted = request.query_params.get("steady") in ("1", "true")
        with self._sandbox.lock:
            rows = list(lines(account, name, self._sandbox.clock.now(), only_steady=wanted))
        return _stream(rows)

    async def ids(self, request: Request) -> Response:
        account, name = self._account(request), request.path_params["collection"]
        with self._sandbox.lock:
            ids = sorted(account.collections[name].truth.live)
        return answer({"count": len(ids), "ids": ids})

    async def deleted(self, request: Request) -> Response:
        with self._sandbox.lock:
            return answer(deleted(self._account(request), request.path_params["collection"]))

    async def timeline(self, request: Request) -> Response:
        account, name = self._account(request), request.path_params["collection"]
        with self._sandbox.lock:
            kept = account.timeline.kept(self._sandbox.clock.now())
        if kept is None or name not in kept.versions:
            known = account.timeline.names
            return answer({"error": "no timeline: is the knob on?", "known": known}, 404)
        # Versions never change, so they are rendered without the lock.
        return _stream(kept.lines(name, int(request.query_params.get("since", 0))))

    async def history(self, request: Request) -> Response:
        account, name = self._account(request), request.path_params["name"]
        since = int(request.query_params.get("since", 0))
        now = self._sandbox.clock.now()
        with self._sandbox.lock:
            entries = [e for e in account.histories[name].entries if e.id > since]
            rows = [sent_entry(account, name, e, now) for e in entries]
        return _stream(rows)

    async def moments(self, request: Request) -> Response:
        since = int(request.query_params.get("since", 0))
        with self._sandbox.lock:
            entries = self._account(request).histories[request.path_params["name"]].entries
            later = entries[bisect_right(entries, since, key=lambda e: e.id) :]
        return _stream(
            orjson.dumps(
                {"id": e.id, "owner": e.owner, "at": e.at, "seen_at": e.seen_at,
                 "createdAt": e.created_at}
            )
            for e in later
        )  # fmt: skip

    async def reference(self, request: Request) -> Response:
        with self._sandbox.lock:
            return answer(self._account(request).references[request.path_params["name"]])

    async def requests(self, request: Request) -> Response:
        """Return the newest 10,000 matching `requests`; the counts are of all matching ones."""
        asked = request.query_params
        found = self._sandbox.log.matching(
            asked.get("account"), asked.get("path"), float(asked.get("since", 0))
        )
        statuses: dict[str, int] = {}
        for arrival in found:
            statuses[str(arrival.status)] = statuses.get(str(arrival.status), 0) + 1
        return answer(
            {
                "count": len(found), "statuses": statuses, "refused": statuses.get("503", 0),
                "busiest_second": busiest_second([a for a in found if "/telephony" not in a.path]),
                "busiest_second_telephony": busiest_second(
                    [a for a in found if "/telephony" in a.path]
                ),
                "faults": dict(self._sandbox.faults.count),
                "requests": [a.as_json() for a in found[-10_000:]],
            }
        )  # fmt: skip


def _stream(rows: Iterable[bytes]) -> StreamingResponse:
    """Send JSON lines in blocks, so that a large answer is not copied."""
    return StreamingResponse(_blocks(rows), media_type="application/x-ndjson")


def _blocks(rows: Iterable[bytes]) -> Iterator[bytes]:
    block: list[bytes] = []
    size = 0
    for raw in rows:
        row = raw
        for letter, escaped in _BREAKS:
            if letter in row:
                row = row.replace(letter, escaped)
        block.append(row)
        size += len(row)
        if size > 1 << 18:
            yield b"\n".join([*block, b""])
            block, size = [], 0
    yield b"\n".join([*block, b""]) if block else b""
