"""The core of an account: its keys, collections and histories, and one save as one commit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from threading import RLock
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from sync.sandbox import records
from sync.sandbox.clock import Clock, local_text
from sync.sandbox.dialect import Word
from sync.sandbox.history import Entry, History
from sync.sandbox.keys import Key
from sync.sandbox.knobs import Knobs
from sync.sandbox.php import Json, Refusal
from sync.sandbox.records import Collection, Gone, Press, Record
from sync.sandbox.sums import Sums
from sync.sandbox.timeline import Timeline

COLLECTIONS = (
    "orders", "customers", "customers-corporate", "packs", "tasks", "customer-notes",
    "corporate-notes", "costs", "files", "shipments", "products", "offers", "product-groups",
    "properties", "property-values", "loyalty-accounts", "loyalties", "bonus-operations",
    "segments", "users", "user-groups", "custom-fields", "dictionaries", "task-comments",
    "addresses", "companies", "contacts", "templates",
)  # fmt: skip
HISTORIES = ("orders", "customers", "customers-corporate", "packs", "tasks")
# The object a history entry is about.
SUBJECT = {
    "orders": "order", "customers": "customer", "customers-corporate": "customer",
    "packs": "pack", "tasks": "task",
}  # fmt: skip


class Save:
    """One save: all its entries carry one createdAt and become visible together."""

    def __init__(self, ledger: Ledger, source: str, *, silent: bool) -> None:
        self.ledger = ledger
        self.silent = silent
        self.now = ledger.clock.now()
        self.timeline = ledger.kept_timeline(self.now)
        self.text = ledger.local(self.now)
        knobs = ledger.knobs
        late = knobs.history_publish_delay > 0 and ledger.rng.random() < knobs.history_publish_share
        self.committed = self.now + (knobs.history_publish_delay if late else 0)
        self.visible = self.committed + knobs.list_lag_seconds
        self.replicas = knobs.replica_lags
        self.author: Json = {"source": source}
        if source == "user":
            self.author["user"] = {"id": ledger.rng.choice(ledger.user_ids)}
        elif source == "api":
            self.author["apiKey"] = {"current": ledger.rng.random() < 0.2}

    def put(self, collection: str, record: Record) -> None:
        self.ledger.collections[collection].gone.pop(record.id, None)
        self._replace(collection, record.id, record)

    def drop(
        self, collection: str, record_id: int, reason: str, combined_to: int | None = None
    ) -> None:
        target = self.ledger.collections[collection]
        last = target.truth.live.get(record_id)
        target.gone[record_id] = Gone(reason, self.now, combined_to, last)
        self._replace(collection, record_id, None)

    def _replace(self, collection: str, record_id: int, record: Record | None) -> None:
        at = self.ledger.collections[collection].put(
            record_id, record, now=self.now, committed=self.committed, visible=self.visible,
            replicas=self.replicas,
        )  # fmt: skip
        if self.timeline is not None:
            self.timeline.note(self.ledger, collection, record_id, record, at=at)

    def say(
        self,
        history: str,
        record: Record,
        word: Word,
        *,
        stub: Json | None = None,
        flags: Json | None = None,
        whole: bytes | None = None,
    ) -> None:
        """Write one entry. `whole` is the full object of a `created` or `deleted` record."""
        if self.silent:
            return
        body: Json = {**(flags or {}), **self.author}
        body |= {"field": word.field, "oldValue": word.old, "newValue": word.new}
        if stub is not None:
            body[SUBJECT[history]] = stub
        body |= word.about
        packed = self.ledger.press.pack
        entry = Entry(
            0, self.now, self.text, record.id, record.site, packed(orjson.dumps(body)[1:-1]),
            whole, record.customer, record.contact,
        )  # fmt: skip
        replicas = self.replicas if self.ledger.knobs.replica_histories else ()
        self.ledger.histories[history].append(
            entry, now=self.now, committed=self.committed, delay=self.ledger.entry_delay(),
            replicas=replicas,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Backup:
    """An account as it was."""

    collections: dict[str, records.Backup]
    histories: dict[str, tuple[list[Entry], int]]
    sums: dict[int, Sums]
    counters: dict[str, int]


class Ledger:
    """State of one account; everything that changes it goes through `saving`."""

    def __init__(
        self,
        name: str,
        *,
        zone: str,
        currency: str,
        language: str,
        sites: Iterable[str],
        seed: int,
        clock: Clock,
        knobs: Knobs,
        lean: bool,
        lock: RLock,
    ) -> None:
        self.name = name
        self.zone_name, self.zone = zone, ZoneInfo(zone)
        self.currency, self.language = currency, language
        self.country = {"RUB": "RU", "EUR": "ES", "MXN": "MX"}.get(currency, "US")
        self.sites = list(sites)
        self.seed, self.clock, self.knobs, self.lock = seed, clock, knobs, lock
        self.rng = Random(f"{seed}/{name}/life")
        self.press = Press(lean)
        self.collections = {c: Collection(c, self.press) for c in COLLECTIONS}
        self.histories = {h: History(h) for h in HISTORIES}
        self.references: dict[str, dict[str, Json]] = {}
        self.settings_changed_at = self.local(clock.now() - 400 * 86400)
        self.user_ids: list[int] = [1]
        self.counters: dict[str, int] = {}
        self.keys: dict[str, Key] = {}
        self.timeline: Timeline | None = None
        self.backups: list[Backup] = []
        self.sums: dict[int, Sums] = {}
        self._together: Save | None = None
        self._lateness = Random(f"{seed}/{name}/lateness")
        self._turns: dict[str, int] = {}

    # --- time and numbers

    def local(self, at: float) -> str:
        """A moment of our clock as the CRM writes it: by its own clock, in the account's zone."""
        return local_text(at + self.knobs.clock_offset_seconds, self.zone)

    def entry_delay(self) -> float:
        """Seconds that the next entry is published after its save's commit."""
        knobs, draw = self.knobs, self._lateness
        if not (knobs.entry_delay_share or knobs.entry_delay_long_share):
            return 0.0
        point = draw.random()
        if point < knobs.entry_delay_long_share:
            return draw.uniform(*knobs.entry_delay_long_seconds)
        if point < knobs.entry_delay_long_share + knobs.entry_delay_share:
            return draw.uniform(*knobs.entry_delay_seconds)
        return 0.0

    def next_replica(self, path: str) -> float:
        """The lag of the replica whose turn it is to answer this method."""
        lags = self.knobs.replica_lag_seconds
        if not lags:
            return 0.0
        turn = self._turns[path] = self._turns.get(path, -1) + 1
        return lags[turn % len(lags)]

    def kept_timeline(self, now: float) -> Timeline | None:
        """The timeline, begun or forgotten as the knob says."""
        if not self.knobs.timeline:
            self.timeline = None
        elif self.timeline is None:
            self.timeline = Timeline.of(self, now)
        return self.timeline

    def count(self, what: str) -> int:
        self.counters[what] = self.counters.get(what, 0) + 1
        return self.counters[what]

    def set_zone(self, zone: str) -> None:
        """Dates stored before keep their text; what is written from now on is in the new zone."""
        with self.lock:
            self.zone_name, self.zone = zone, ZoneInfo(zone)
            self.settings_changed_at = self.local(self.clock.now())

    # --- keys

    @property
    def key(self) -> str:
        """The account's first key that still works."""
        return next(k.value for k in self.keys.values() if k.active)

    def add_key(
        self,
        value: str | None = None,
        *,
        scopes: Iterable[str] | None = None,
        sites: Iterable[str] | None = None,
    ) -> str:
        """A key that may read `scopes` (None: all) of `sites` (None: access_full)."""
        with self.lock:
            text = value or self._derived_key()
            self.keys[text] = Key.of(text, scopes=scopes, sites=sites)
            return text

    def _derived_key(self) -> str:
        base = f"{self.seed}/{self.name}/{len(self.keys)}"
        return hashlib.sha256(base.encode()).hexdigest()[:32]

    def revoke_key(self, value: str | None = None) -> None:
        with self.lock:
            self.keys[value or self.key].active = False

    def restore_key(self, value: str) -> None:
        with self.lock:
            self.keys[value].active = True

    def revoke_scope(self, scope: str, value: str | None = None) -> None:
        with self.lock:
            self.keys[value or self.key].scopes.discard(scope)

    def grant_scope(self, scope: str, value: str | None = None) -> None:
        with self.lock:
            self.keys[value or self.key].scopes.add(scope)

    def limit_sites(self, sites: list[str] | None, value: str | None = None) -> None:
        """Make a key selective (a list of site codes) or full again (None)."""
        with self.lock:
            self.keys[value or self.key].sites = None if sites is None else tuple(sites)

    def revoke_site(self, site: str, value: str | None = None) -> None:
        """Take one site from a key; a full key becomes selective for all others."""
        with self.lock:
            key = self.keys[value or self.key]
            key.sites = tuple(s for s in key.sites or self.sites if s != site)

    # --- saves

    @contextmanager
    def saving(self, source: str = "user", *, silent: bool = False) -> Iterator[Save]:
        with self.lock:
            yield self._together or Save(self, source, silent=silent)

    @contextmanager
    def saving_together(self, source: str, *, commit_seconds: float = 0.0) -> Iterator[Save]:
        """One transaction around all saves inside: ids allotted now, seen at its commit."""
        with self.lock:
            save = Save(self, source, silent=False)
            lag = save.visible - save.committed
            save.committed = max(save.committed, save.now + commit_seconds)
            save.visible = save.committed + lag
            self._together = save
            try:
                yield save
            finally:
                self._together = None

    # --- a backup of the account

    def back_up(self) -> int:
        """Keep the account as it is; the number to restore it by."""
        with self.lock:
            self.backups.append(
                Backup(
                    {name: c.back_up() for name, c in self.collections.items()},
                    {name: h.back_up() for name, h in self.histories.items()},
                    dict(self.sums), dict(self.counters),
                )
            )  # fmt: skip
            return len(self.backups) - 1

    def restore(self, backup: int = -1) -> int:
        """The account as it was at a backup: records, histories and the next ids of both.

        What happens from then on gets the ids of what was undone. How many records changed.
        """
        with self.lock:
            kept, now = self.backups[backup], self.clock.now()
            timeline, changed = self.kept_timeline(now), 0
            before = {name: c.truth.live for name, c in self.collections.items()}
            for name, collection in self.collections.items():
                collection.restore(kept.collections[name])
            for name, history in self.histories.items():
                history.restore(kept.histories[name])
            self.sums, self.counters = dict(kept.sums), dict(kept.counters)
            for name, was in before.items():
                live = self.collections[name].truth.live
                for record_id in {**was, **live}:
                    if was.get(record_id) is live.get(record_id):
                        continue
                    changed += 1
                    if timeline is not None:
                        timeline.note(self, name, record_id, live.get(record_id), at=now)
            return changed

    def must(self, collection: str, record_id: int) -> Record:
        record = self.collections[collection].truth.live.get(int(record_id))
        if record is None:
            raise Refusal(404, f"{collection} has no live record {record_id}")
        return record

    def pack(self, entity: Json) -> bytes:
        return self.press.pack(orjson.dumps(entity))

    def record(self, entity: Json, **slots: Any) -> Record:
        """A record as sent, its sorting values taken from the entity itself."""
        return Record(
            entity["id"], entity.get("createdAt", ""), slots.pop("site", entity.get("site")),
            entity.get("externalId"), self.pack(entity), **slots,
        )  # fmt: skip

    # --- references

    def set_reference(self, dictionary: str, code: str, **fields: Any) -> None:
        """Change, rename or add a dictionary entry (`set_reference("statuses", "new", name=…)`)."""
        with self.lock:
            entry = self.references[dictionary].setdefault(code, {"code": code, "active": True})
            entry.update({k: v for k, v in fields.items() if v is not None})
            for gone in [k for k, v in fields.items() if v is None]:
                entry.pop(gone, None)

    def remove_reference(self, dictionary: str, code: str) -> None:
        with self.lock:
            del self.references[dictionary][code]
