"""A save of an account as one commit: its records and their history entries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from threading import RLock

from sync.sandbox.clock import LocalTime
from sync.sandbox.history_format import KEYLESS, Word
from sync.sandbox.history_writer import HistoryWriter
from sync.sandbox.knobs import Knobs
from sync.sandbox.php import Json
from sync.sandbox.records import Gone, Record
from sync.sandbox.store import Store
from sync.sandbox.timeline import Timeline


class Save:
    """One save: all its entries have the same createdAt and become visible together."""

    def __init__(self, saves: Saves, source: str, *, silent: bool) -> None:
        self._saves, self.silent = saves, silent
        self.now = saves.time.clock.now()
        self._past = saves.timeline.kept(self.now)
        self.text = saves.time.local(self.now)
        knobs, rng = saves.knobs, saves.rng
        late = knobs.history_publish_delay > 0 and rng.random() < knobs.history_publish_share
        self.committed = self.now + (knobs.history_publish_delay if late else 0)
        self.visible = self.committed + knobs.list_lag_seconds
        self._replicas = knobs.replica_lags
        self._key = None if silent else saves.writer_key
        if self._key is not None:  # a call of the API, whatever else would make such a change
            source = "api"
        self._author: Json = {"source": source}
        if self._key is not None:
            self._author["apiKey"] = {"current": False}  # true for its own key, when it is read
        elif source == "user":
            self._author["user"] = {"id": rng.choice(saves.user_ids)}
        elif source == "api":
            self._author["apiKey"] = {"current": rng.random() < 0.2}

    def came(self, history: str, record: Record, word: Word, *, stub: Json | None = None) -> None:
        """Put a new record; without a stub its entry carries the whole record."""
        self.put(history, record)
        whole = record.blob if stub is None else None
        self.say(history, record, word, stub=stub, flags={"created": True}, whole=whole)

    def went(
        self, history: str, record: Record, reason: str, word: Word, *, stub: Json | None = None,
        survivor: int | None = None,
    ) -> None:  # fmt: skip
        """Drop a record; without a stub its entry carries the whole record."""
        self.drop(history, record.id, reason, survivor)
        whole = record.blob if stub is None else None
        self.say(history, record, word, stub=stub, flags={"deleted": True}, whole=whole)

    def put(self, collection: str, record: Record) -> None:
        self._saves.store.collections[collection].gone.pop(record.id, None)
        self._replace(collection, record.id, record)

    def drop(
        self, collection: str, record_id: int, reason: str, combined_to: int | None = None
    ) -> None:
        target = self._saves.store.collections[collection]
        last = target.truth.live.get(record_id)
        target.gone[record_id] = Gone(reason, self.now, combined_to, last)
        self._replace(collection, record_id, None)

    def _replace(self, collection: str, record_id: int, record: Record | None) -> None:
        at = self._saves.store.collections[collection].put(
            record_id, record, now=self.now, committed=self.committed, visible=self.visible,
            replicas=self._replicas,
        )  # fmt: skip
        if self._past is not None:
            self._past.note(collection, record_id, record, at=at)

    def say(
        self, history: str, record: Record, word: Word, *, stub: Json | None = None,
        flags: Json | None = None, whole: bytes | None = None,
    ) -> None:  # fmt: skip
        """Write one entry. `whole` is the full object of a `created` or `deleted` record."""
        if self.silent:
            return
        writer = self._saves.writer
        body: Json = {**(flags or {}), **self._author}
        if history in KEYLESS:
            body.pop("apiKey", None)
        body |= {"field": word.field, "oldValue": word.old, "newValue": word.new}
        if stub is not None:
            body[writer.histories[history].subject] = stub
        body |= word.about
        writer.append(
            history, record, body, at=self.now, committed=self.committed, whole=whole,
            text=self.text, key=self._key,
        )  # fmt: skip


@dataclass
class Saves:
    """Opens the saves of an account; its records change through saves only."""

    store: Store
    writer: HistoryWriter
    timeline: Timeline
    time: LocalTime
    knobs: Knobs
    rng: Random
    user_ids: list[int]
    lock: RLock
    writer_key: str | None = None  # of the call under way
    _together: Save | None = None

    @contextmanager
    def by_key(self, key: str) -> Iterator[None]:
        """Have all entries of the saves inside name an API key as their author."""
        with self.lock:
            self.writer_key = key
            try:
                yield
            finally:
                self.writer_key = None

    @contextmanager
    def saving(self, source: str = "user", *, silent: bool = False) -> Iterator[Save]:
        with self.lock:
            yield self._together or Save(self, source, silent=silent)

    @contextmanager
    def saving_together(self, source: str, *, commit_seconds: float = 0.0) -> Iterator[Save]:
        """Join all saves inside in one transaction: ids allotted now, visible at its commit."""
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
