"""One RetailCRM account, put together from its parts. No kind of record is named here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from random import Random
from threading import RLock
from typing import TYPE_CHECKING, Any

from sync.sandbox.aggregates import Aggregates
from sync.sandbox.backups import Backups
from sync.sandbox.clock import Clock, LocalTime
from sync.sandbox.history import History
from sync.sandbox.history_writer import HistoryWriter
from sync.sandbox.keys import Keyring
from sync.sandbox.knobs import Knobs
from sync.sandbox.records import Press
from sync.sandbox.reference import references
from sync.sandbox.saves import Saves
from sync.sandbox.shop import Shop
from sync.sandbox.store import Store
from sync.sandbox.timeline import Timeline

COUNTRIES = {"RUB": "RU", "EUR": "ES", "MXN": "MX"}
LANGUAGES = {"RUB": "RU", "EUR": "ES", "MXN": "ES"}


class Account:
    """An account; build it with `Sandbox.account`.

    `mutations` holds by name all that an editor may do. The same function serves the controls, the
    churn, the journal and `account.update_order(...)` in a test.
    """

    def __init__(
        self, name: str, *, zone: str, currency: str, language: str | None, sites: Iterable[str],
        awkward: float, seed: int, clock: Clock, knobs: Knobs, lean: bool, lock: RLock,
        collections: Iterable[str], subjects: Mapping[str, str],
        mutations: Mapping[str, Callable[..., Any]],
    ) -> None:  # fmt: skip
        """Take `collections` and `subjects` (history -> key of its object) from the kinds."""
        self.name, self.currency = name, currency
        self.language = language or LANGUAGES.get(currency, "EN")
        self.country = COUNTRIES.get(currency, "US")
        self.sites, self.user_ids = list(sites), [1]
        self.seed, self.clock, self.knobs, self.lock = seed, clock, knobs, lock
        self.rng = Random(f"{seed}/{name}/life")
        self.counters: dict[str, int] = {}
        self.started = clock.now() - 800 * 86400

        self.time = LocalTime(clock, zone, lambda: knobs.clock_offset_seconds)
        self.local = self.time.local
        self.settings_changed_at = self.local(clock.now() - 400 * 86400)
        self.references = references(
            self.language, currency, self.country, self.sites, self.local(self.started)
        )
        self.store = Store(collections, Press(lean), lock)
        self.collections = self.store.collections
        self.histories = {name: History(subject) for name, subject in subjects.items()}
        self.aggregates = Aggregates(self.store)
        self.timeline = Timeline(self.store, subjects, knobs)
        self.writer = HistoryWriter(
            self.histories, press=self.store.press, time=self.time, knobs=knobs,
            lateness=Random(f"{seed}/{name}/lateness"),
        )  # fmt: skip
        self.saves = Saves(
            store=self.store, writer=self.writer, timeline=self.timeline, time=self.time,
            knobs=knobs, rng=self.rng, user_ids=self.user_ids, lock=lock,
        )  # fmt: skip
        self.saving = self.saves.saving
        self.shop = Shop(
            self.language, currency, self.country, self.sites, self.user_ids, {}, self.local,
            lambda: self.count("item"), lambda: self.count("payment"), awkward,
            lambda site: self.count(f"order of {site}"),
        )  # fmt: skip
        self.keyring = Keyring(seed, name, self.sites, lock)
        self.backups = Backups(
            store=self.store, histories=self.histories, aggregates=self.aggregates,
            counters=self.counters, timeline=self.timeline, clock=clock, lock=lock,
        )  # fmt: skip
        self._turns: dict[str, int] = {}

        self.mutations: dict[str, Callable[..., Any]] = {
            name: partial(edit, self) for name, edit in mutations.items()
        }
        # Read-only methods, for tests that hold the account.
        store = self.store
        self.must, self.ids, self.read, self.entities = (
            store.must, store.ids, store.read, store.entities,
        )  # fmt: skip

    if not TYPE_CHECKING:  # `account.create_order()` of a test; our own code calls the function

        def __getattr__(self, name: str) -> Callable[..., Any]:
            try:
                return self.__dict__["mutations"][name]
            except KeyError:
                raise AttributeError(f"an account has no part or mutation {name!r}") from None

    @property
    def key(self) -> str:
        """Return the account's first key that still works."""
        return self.keyring.first

    def count(self, what: str) -> int:
        self.counters[what] = self.counters.get(what, 0) + 1
        return self.counters[what]

    def next_replica(self, path: str) -> float:
        """Return the lag of the replica that answers this method next, in turn."""
        lags = self.knobs.replica_lag_seconds
        if not lags:
            return 0.0
        turn = self._turns[path] = self._turns.get(path, -1) + 1
        return lags[turn % len(lags)]

    def set_zone(self, zone: str) -> None:
        """Change the zone; dates stored earlier keep their text."""
        with self.lock:
            self.time.move_to(zone)
            self.settings_changed_at = self.local(self.clock.now())
