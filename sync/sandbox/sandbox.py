"""A sandbox: several accounts on one server, their clock, knobs, faults and request log."""

from __future__ import annotations

from collections.abc import Iterable
from threading import RLock
from typing import Any

import orjson

from sync.sandbox.account import Account
from sync.sandbox.api import JSON, Api
from sync.sandbox.churn import Churn
from sync.sandbox.clock import Clock
from sync.sandbox.faults import Faults
from sync.sandbox.keys import derived_key
from sync.sandbox.knobs import Knobs
from sync.sandbox.limit import RequestLog, SlidingWindow
from sync.sandbox.php import Json, nested
from sync.sandbox.registry import COLLECTIONS, KINDS, MUTATIONS, SUBJECTS
from sync.sandbox.seed import populate
from sync.sandbox.sending import lines

CURRENCIES = {"Europe/Moscow": "RUB", "Asia/Vladivostok": "RUB", "Asia/Yekaterinburg": "RUB",
              "America/Mexico_City": "MXN", "Europe/Madrid": "EUR"}  # fmt: skip


class Sandbox:
    """A server with accounts: build it, add accounts, serve it with `running(sandbox)`.

    Every change and every request takes `sandbox.lock`, so that a test may use the accounts
    directly while the server runs in a thread.
    """

    def __init__(
        self, knobs: Knobs | None = None, *, seed: int = 7, clock: Clock | None = None,
        lean: bool = False, **values: Any,
    ) -> None:  # fmt: skip
        self.knobs = knobs or Knobs()
        self.knobs.turn(**values)
        self.seed, self.clock, self.lean = seed, clock or Clock(), lean
        self.lock = RLock()
        self.accounts: dict[str, Account] = {}
        self.log = RequestLog()
        self.window = SlidingWindow()
        self.faults = Faults(seed)
        self.api = Api(self.accounts, self.knobs, self.clock)
        self.churn = Churn(seed, self.accounts, self.knobs, self.lock)

    def account(
        self, name: str = "demo", *, zone: str = "Europe/Moscow", currency: str | None = None,
        language: str | None = None, sites: Iterable[str] = ("main", "outlet"), orders: int = 0,
        customers: int = 0, products: int = 60, awkward: float = 0.02, key: str | None = None,
        scopes: Iterable[str] | None = None, only_sites: Iterable[str] | None = None,
    ) -> Account:  # fmt: skip
        """Add an account with seeded data and one key (`scopes` and `only_sites` are the key's)."""
        made = Account(
            name, zone=zone, currency=currency or CURRENCIES.get(zone, "EUR"), language=language,
            sites=sites, awkward=awkward, seed=self.seed, clock=self.clock, knobs=self.knobs,
            lean=self.lean, lock=self.lock, collections=COLLECTIONS, subjects=SUBJECTS,
            mutations=MUTATIONS,
        )  # fmt: skip
        populate(made, KINDS, orders=orders, customers=customers, products=products)
        made.timeline.kept(self.clock.now())
        made.keyring.add_key(key, scopes=scopes, sites=only_sites)
        with self.lock:
            if name in self.accounts:
                raise ValueError(f"there is an account {name!r} already")
            self.accounts[name] = made
        return made

    def get(self, path: str, *, key: str | None = None) -> tuple[int, Any]:
        """Return status and body of `GET path?query`, without HTTP, limits or faults.

        Paths are relative to /api/v5/ unless they begin with a slash. Without `key`, the first
        account's is used.
        """
        way, _, query = path.partition("?")
        whole = way if way.startswith("/") else f"/api/v5/{way}"
        key = key or next(iter(self.accounts.values())).key
        with self.lock:
            status, body, kind = self.api.answer("GET", whole, nested(query), key)
        return status, orjson.loads(body) if kind == JSON else body

    def post(self, path: str, *, key: str | None = None, **form: Any) -> tuple[int, Any]:
        """Return status and body of a POST, without HTTP, limits or faults.

        Fields that are no text go as JSON, as the API wants nested structures; `key` as in `get`.
        """
        key = key or next(iter(self.accounts.values())).key
        params = {k: v if isinstance(v, str) else orjson.dumps(v).decode() for k, v in form.items()}
        whole = path if path.startswith("/") else f"/api/v5/{path}"
        with self.lock:
            status, body, _ = self.api.answer("POST", whole, params, key)
        return status, orjson.loads(body)

    def truth(self, account: str, collection: str, *, steady: bool = False) -> list[Json]:
        """Return all live records as their list sends them when nothing lags, newest first.

        `steady` leaves out what changes without an entry: aggregates, and people inside orders.
        """
        with self.lock:
            rows = lines(self.accounts[account], collection, self.clock.now(), only_steady=steady)
            return [orjson.loads(row) for row in rows]


def demo_key(seed: int, name: str) -> str:
    """Return the first key of an account: derived from the seed, so that none is stored."""
    return derived_key(seed, name, 0)
