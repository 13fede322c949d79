"""Writes histories: the entries of one save after the other, and those of seeding by their time."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import orjson

from sync.sandbox.clock import LocalTime
from sync.sandbox.history import Entry, History
from sync.sandbox.history_format import Word, customer_stub
from sync.sandbox.knobs import Knobs
from sync.sandbox.php import Json
from sync.sandbox.records import Press, Record


class HistoryWriter:
    """Appends the entries of saves, each published as late as the knobs make it."""

    def __init__(
        self, histories: Mapping[str, History], *, press: Press, time: LocalTime, knobs: Knobs,
        lateness: Random, user_ids: list[int],
    ) -> None:  # fmt: skip
        self.histories = histories
        self._press, self._time, self._knobs = press, time, knobs
        self._lateness, self._user_ids = lateness, user_ids

    def append(
        self, history: str, record: Record, body: Json, *, at: float, committed: float, text: str,
        whole: bytes | None = None,
    ) -> None:  # fmt: skip
        """Write one entry about a record: `text` is its createdAt, `body` all after it."""
        knobs = self._knobs
        entry = Entry(
            0, at, text, record.id, record.site,
            self._press.pack(orjson.dumps(body)[1:-1]), whole, record.customer, record.contact,
        )  # fmt: skip
        self.histories[history].append(
            entry, now=at, committed=committed, delay=self._delay(),
            replicas=knobs.replica_lags if knobs.replica_histories else (),
        )  # fmt: skip

    def _delay(self) -> float:
        """Seconds that the next entry is published after its save's commit."""
        knobs, draw = self._knobs, self._lateness
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
        """Tell, while seeding, that a record came: told at once, and dated otherwise by `text`."""
        packed = self._press.pack(orjson.dumps(body)[1:-1])
        entry = Entry(0, at, text or self._time.local(at), record.id, record.site, packed)
        self.histories[history].append(entry, now=at, committed=at)

    def drafts(self, history: str) -> Drafts:
        """A history written in any order, for seeding."""
        return Drafts(self.histories[history], self._press, self._time, self._user_ids)


class Drafts:
    """Drafts of one history, until `publish` gives them their ids, in the order of their time."""

    def __init__(
        self, history: History, press: Press, time: LocalTime, user_ids: list[int]
    ) -> None:
        self._history, self._press, self._time = history, press, time
        self._user_ids = user_ids
        self._drafts: list[Entry] = []

    def write(
        self, at: float, entity: Json, body: bytes, *, whole: bytes | None = None,
        people: tuple[int | None, int | None] = (None, None),
    ) -> None:  # fmt: skip
        """`body` is all after createdAt; `people` are the customer and contact of an order."""
        packed, text = self._press.pack(body), self._time.local(at)
        self._drafts.append(
            Entry(0, at, text, entity["id"], entity["site"], packed, whole, *people)
        )

    def lifespan(self, at: float, person: Json, flag: str, blob: bytes) -> None:
        """A customer came (`created`) or went (`deleted`): the entry carries all of it."""
        came = flag == "created"
        old, new = (b"null", b"%d" % person["id"])[:: 1 if came else -1]
        body = b'"%b":true,"source":"code","field":"id","oldValue":%b,"newValue":%b'
        self.write(at, person, body % (flag.encode(), old, new), whole=blob)

    def said(self, at: float, person: Json, word: Word, source: str = "user") -> None:
        """A change of a customer, with the stub of it."""
        author: Json = {"source": source}
        if source == "user":
            author["user"] = {"id": self._user_ids[0]}
        said = {"field": word.field, "oldValue": word.old, "newValue": word.new}
        body = {**author, **said, **word.about, "customer": customer_stub(person)}
        self.write(at, person, orjson.dumps(body)[1:-1])

    def publish(self) -> None:
        self._drafts.sort(key=lambda entry: entry.at)
        for number, entry in enumerate(self._drafts, self._history.next_id):
            entry.id = number
        self._history.entries.extend(self._drafts)
        self._history.next_id += len(self._drafts)
        self._drafts = []
