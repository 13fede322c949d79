"""Writes histories: entries save by save, and those of seeding in the order of their time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

import orjson

from sync.sandbox.clock import LocalTime
from sync.sandbox.history import Entry, History
from sync.sandbox.history_format import Word, customer_stub
from sync.sandbox.knobs import Knobs
from sync.sandbox.php import Json
from sync.sandbox.records import Press, Record


@dataclass
class HistoryWriter:
    """Appends the entries of saves; the knobs decide how late each is published."""

    histories: Mapping[str, History]
    press: Press
    time: LocalTime
    knobs: Knobs
    lateness: Random
    triggers: list[Callable[[str, int], None]] = field(default_factory=list)
    """Called with the history and the record of each entry, when it is written."""

    def append(
        self, history: str, record: Record, body: Json, *, at: float, committed: float, text: str,
        whole: bytes | None = None, key: str | None = None,
    ) -> None:  # fmt: skip
        """Write one entry about a record: `text` is its createdAt, `body` all that follows it."""
        knobs = self.knobs
        entry = Entry(
            0, at, text, record.id, record.site,
            self.press.pack(orjson.dumps(body)[1:-1]), whole, record.customer, record.contact,
            key=key,
        )  # fmt: skip
        self.histories[history].append(
            entry, now=at, committed=committed, delay=self._delay(),
            replicas=knobs.replica_lags if knobs.replica_histories else (),
        )  # fmt: skip
        for trigger in self.triggers:
            trigger(history, record.id)

    def _delay(self) -> float:
        """Return the seconds between the commit of a save and the publication of the next entry."""
        knobs, draw = self.knobs, self.lateness
        if not (knobs.entry_delay_share or knobs.entry_delay_long_share):
            return 0.0
        point = draw.random()
        if point < knobs.entry_delay_long_share:
            return draw.uniform(*knobs.entry_delay_long_seconds)
        if point < knobs.entry_delay_long_share + knobs.entry_delay_share:
            return draw.uniform(*knobs.entry_delay_seconds)
        return 0.0

    def made(
        self, history: str, record: Record, body: Json, *, at: float, text: str | None = None
    ) -> None:
        """Write a `created` entry while seeding: published at once, dated by `text`."""
        packed = self.press.pack(orjson.dumps(body)[1:-1])
        entry = Entry(0, at, text or self.time.local(at), record.id, record.site, packed)
        self.histories[history].append(entry, now=at, committed=at)

    def drafts(self, history: str) -> Drafts:
        """Return drafts of a history whose entries are written in any order, for seeding."""
        return Drafts(self.histories[history], self.press, self.time)


class Drafts:
    """Drafts of one history; `publish` gives them ids in the order of their time."""

    def __init__(self, history: History, press: Press, time: LocalTime) -> None:
        self._history, self._press, self._time = history, press, time
        self._drafts: list[Entry] = []

    def say(
        self, at: float, entity: Json, author: Json, word: Word, tail: Json | None = None, *,
        whole: bytes | None = None, people: tuple[int | None, int | None] = (None, None),
    ) -> None:  # fmt: skip
        """Write one entry: `tail` are its stubs, `people` the customer and contact of an order."""
        said = {"field": word.field, "oldValue": word.old, "newValue": word.new}
        packed = self._press.pack(orjson.dumps({**author, **said, **(tail or {})})[1:-1])
        text = self._time.local(at)
        self._drafts.append(
            Entry(0, at, text, entity["id"], entity["site"], packed, whole, *people)
        )

    def lifespan(self, at: float, person: Json, flag: str, blob: bytes) -> None:
        """Write a customer's `created` or `deleted` entry, which carries the whole customer."""
        old, new = (None, person["id"])[:: 1 if flag == "created" else -1]
        self.say(at, person, {flag: True, "source": "code"}, Word("id", old, new), whole=blob)

    def said(self, at: float, person: Json, word: Word, author: Json) -> None:
        """Write a change of a customer, with its stub."""
        self.say(at, person, author, word, {**word.about, "customer": customer_stub(person)})

    def publish(self) -> None:
        self._drafts.sort(key=lambda entry: entry.at)
        for number, entry in enumerate(self._drafts, self._history.next_id):
            entry.id = number
        self._history.entries.extend(self._drafts)
        self._history.next_id += len(self._drafts)
        self._drafts = []
