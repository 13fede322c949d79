"""One request answered: whose key, which method, which scope. No HTTP, no limits, no faults."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import TYPE_CHECKING

import orjson

from sync.sandbox import methods
from sync.sandbox.calls import Call
from sync.sandbox.faults import PAGE
from sync.sandbox.php import Json, Refusal

if TYPE_CHECKING:
    from sync.sandbox.box import Sandbox

JSON, HTML = b"application/json", b"text/html; charset=utf-8"


def answer(
    sandbox: Sandbox, verb: str, path: str, params: Json, key: str | None
) -> tuple[int, bytes, bytes]:
    """Status, body and content type."""
    owner = sandbox.account_of(key)
    if owner is not None and any(fnmatch(owner.name, p) for p in sandbox.knobs.html_always):
        return 200, PAGE, HTML
    try:
        return _method(sandbox, verb, path, params, key)
    except Refusal as refusal:
        return refusal.status, orjson.dumps(refusal.body), JSON


def _method(
    sandbox: Sandbox, verb: str, path: str, params: Json, key: str | None
) -> tuple[int, bytes, bytes]:
    account, found = sandbox.holder(key)
    below = path.removeprefix("/api/v5/")
    answers = methods.find(path.rstrip("/"))
    if answers is None or any(fnmatch(below, p) for p in sandbox.knobs.missing):
        raise Refusal(404, "Method not found")
    if verb not in ("GET", "HEAD"):
        raise Refusal(405, "Method Not Allowed")
    method, args = answers
    if any(fnmatch(below, p) for p in sandbox.knobs.forbidden):
        raise Refusal(403, "Access denied.")
    if method.scope is not None and method.scope not in found.scopes:
        raise Refusal(403, "Access denied.")
    behind = account.next_replica(below)
    call = Call(account, found, path, params, args, sandbox.clock.now(), behind)
    return 200, method.answer(call), method.kind
