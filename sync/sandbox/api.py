"""The answer to one request: key, method, scope. No HTTP, no limits, no faults."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch

import orjson

from sync.sandbox import registry
from sync.sandbox.account import Account
from sync.sandbox.calls import Call
from sync.sandbox.clock import Clock
from sync.sandbox.faults import PAGE
from sync.sandbox.keys import Key
from sync.sandbox.knobs import Knobs
from sync.sandbox.php import Json, Refusal

JSON, HTML = b"application/json", b"text/html; charset=utf-8"


class Api:
    """Answers requests for all accounts of a sandbox; the key selects the account."""

    def __init__(self, accounts: Mapping[str, Account], knobs: Knobs, clock: Clock) -> None:
        self._accounts, self._knobs, self._clock = accounts, knobs, clock

    def answer(
        self, verb: str, path: str, params: Json, key: str | None
    ) -> tuple[int, bytes, bytes]:
        """Return status, body and content type."""
        owner = self.account_of(key)
        if owner is not None and any(fnmatch(owner.name, p) for p in self._knobs.html_always):
            return 200, PAGE, HTML
        try:
            return self._method(verb, path, params, key)
        except Refusal as refusal:
            return refusal.status, orjson.dumps(refusal.body), JSON

    def _method(
        self, verb: str, path: str, params: Json, key: str | None
    ) -> tuple[int, bytes, bytes]:
        account, found = self._holder(key)
        below = path.removeprefix("/api/v5/")
        way = path.rstrip("/")
        answers, writes = registry.READ_PATHS.find(way), registry.WRITE_PATHS.find(way)
        posted = verb == "POST"
        if (answers is None and writes is None) or any(
            fnmatch(below, p) for p in self._knobs.missing
        ):
            raise Refusal(404, "Method not found")
        if (writes if posted else answers) is None or verb not in ("GET", "HEAD", "POST"):
            raise Refusal(405, "Method Not Allowed")
        scope = writes[0][1] if posted and writes else answers and answers[0].scope
        if scope is not None and scope not in found.scopes:
            raise Refusal(403, "Access denied.")
        if any(fnmatch(below, p) for p in self._knobs.forbidden):
            raise Refusal(403, "Access denied.")
        if posted:
            number = list(account.keyring.keys).index(found.value)
            status, told = self.write(account=account.name, key=number, path=way, params=params)
            return status, orjson.dumps(told), JSON
        assert answers is not None
        method, args = answers
        behind = account.next_replica(below)
        call = Call(account, found, path, params, args, self._clock.now(), behind)
        return 200, method.answer(call), method.kind

    def write(self, *, account: str, key: int, path: str, params: Json) -> tuple[int, Json]:
        """Carry out a POST by the account's so many-th key; the journal repeats it by these."""
        holder = self._accounts[account]
        by = list(holder.keyring.keys.values())[key]
        answers = registry.WRITE_PATHS.find(path)
        assert answers is not None
        (write, _), args = answers
        call = Call(holder, by, path, params, args, self._clock.now())
        with holder.saves.by_key(by.value):
            return write(call)

    def _holder(self, key: str | None) -> tuple[Account, Key]:
        """Return the account and key of a request, or raise the refusal."""
        if not key:
            raise Refusal(403, '"apiKey" is missing.')
        for account in list(self._accounts.values()):
            found = account.keyring.keys.get(key)
            if found is not None and found.active:
                return account, found
        raise Refusal(403, 'Wrong "apiKey" value.')

    def account_of(self, key: str | None) -> Account | None:
        """Return the account of a key, even a revoked one: for the log and faults by account."""
        for account in list(self._accounts.values()):
            if key in account.keyring.keys:
                return account
        return None
