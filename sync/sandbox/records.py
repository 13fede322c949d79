"""Records of one kind: what is true, and what lists show while they lag behind it.

A record is kept as the bytes it is sent as; it is never changed, only replaced, so that a lagging
view can share it.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from sync.sandbox.php import Json

_ZDICT = (
    b'"purchasePrice":"vatRate":"none","createdAt":"20"quantity":1,"status":"new","offer":{"id":'
    b'"displayName":"externalId":"xmlId":"article":"unit":{"code":"pc","name":"sym":"properties":['
    b'"initialPrice":"discountTotal":0,"prices":[{"price":"priceType":{"code":"base"},"items":[{'
    b'"delivery":{"cost":"netCost":0,"address":{"index":"countryIso":"RU","region":"city":"street":'
    b'"payments":{"amount":"paidAt":"customFields":{"contragent":{"contragentType":"individual"},'
    b'"orderType":"eshop-individual","orderMethod":"shopping-cart","privilegeType":"none","slug":'
    b'"bonusesCreditTotal":0,"bonusesChargeTotal":0,"number":"statusUpdatedAt":"summ":"totalSumm":'
    b'"prepaySum":0,"purchaseSumm":"markDatetime":"lastName":"firstName":"phone":"email":"call":'
    b'"source":"user","user":{"id":"field":"status","oldValue":{"code":"newValue":{"code":"order":{'
)


@dataclass(slots=True)
class Record:
    """One record as sent, and the few values that lists are sorted and sieved by."""

    id: int
    created: str
    site: str | None
    external: str | None
    blob: bytes
    customer: int | None = None
    contact: int | None = None


@dataclass(slots=True)
class Gone:
    """Why an id is no longer live, and since when (epoch seconds)."""

    reason: str
    at: float
    combined_to: int | None = None
    last: Record | None = None


class Press:
    """Keeps bytes as they are, or compressed when memory matters more than time."""

    def __init__(self, lean: bool) -> None:
        self.lean = lean

    def pack(self, blob: bytes) -> bytes:
        if not self.lean:
            return bytes(memoryview(blob))  # an exact copy: orjson's buffers keep slack
        packer = zlib.compressobj(6, zdict=_ZDICT)
        return packer.compress(blob) + packer.flush()

    def unpack(self, blob: bytes) -> bytes:
        return zlib.decompressobj(zdict=_ZDICT).decompress(blob) if self.lean else blob


class View:
    """Live records by id, and their keys in ascending (created, id) order."""

    def __init__(self) -> None:
        self.live: dict[int, Record] = {}
        self.order: list[tuple[str, int]] = []
        self.version = 0
        self.found: dict[Any, list[int]] = {}  # sieved lists, until the next change

    def put(self, record: Record) -> None:
        before = self.live.get(record.id)
        if before is None or before.created != record.created:
            if before is not None:
                del self.order[bisect_left(self.order, (before.created, before.id))]
            insort(self.order, (record.created, record.id))
        self.live[record.id] = record
        self._changed()

    def drop(self, record_id: int) -> None:
        before = self.live.pop(record_id, None)
        if before is not None:
            del self.order[bisect_left(self.order, (before.created, before.id))]
            self._changed()

    def fill(self, records: list[Record]) -> None:
        """Put many at once, while seeding."""
        self.live.update((record.id, record) for record in records)
        self.order = sorted((record.created, record.id) for record in self.live.values())
        self._changed()

    def keep(self, asked: Any, found: list[int]) -> None:
        """Remember an answer until the next change, but not too many of them."""
        if len(self.found) >= 500:
            self.found.clear()
        self.found[asked] = found

    def copy(self) -> View:
        other = View()
        other.live, other.order = dict(self.live), list(self.order)
        return other

    def _changed(self) -> None:
        self.version += 1
        self.found.clear()


@dataclass(slots=True, order=True)
class Change:
    """A save that lists do not show yet; `committed_at` later than now: nobody sees it yet."""

    visible_at: float
    sequence: int
    committed_at: float
    id: int
    before: Record | None
    after: Record | None


class Collection:
    """All records of one kind of an account."""

    def __init__(self, name: str, press: Press, *, first_id: int = 1) -> None:
        self.name = name
        self.press = press
        self.truth = View()
        self.gone: dict[int, Gone] = {}
        self.next_id = first_id
        self._lagging: View | None = None
        self._queue: list[Change] = []
        self._sequence = 0

    def take_id(self) -> int:
        self.next_id += 1
        return self.next_id - 1

    def load(self, record: Record) -> Json:
        parsed: Json = orjson.loads(self.press.unpack(record.blob))
        return parsed

    def bytes_of(self, record: Record) -> bytes:
        return self.press.unpack(record.blob)

    def put(
        self, record_id: int, record: Record | None, *, now: float, committed: float, visible: float
    ) -> None:
        """Make `record` (None: nothing) the truth about an id, and lists show it in due time.

        A change of a record whose last change is not committed yet waits for it, like the second
        of two transactions that lock one row.
        """
        before = self.truth.live.get(record_id)
        if visible > now or self._queue:
            if self._lagging is None:
                self._lagging = self.truth.copy()
            for earlier in self._queue:
                if earlier.id == record_id:
                    committed = max(committed, earlier.committed_at)
                    visible = max(visible, earlier.visible_at)
            self._sequence += 1
            change = Change(visible, self._sequence, committed, record_id, before, record)
            insort(self._queue, change, key=lambda c: (c.visible_at, c.sequence))
        if record is None:
            self.truth.drop(record_id)
        else:
            self.truth.put(record)

    def view(self, now: float) -> View:
        """What a list shows at this moment."""
        if self._lagging is None:
            return self.truth
        while self._queue and self._queue[0].visible_at <= now:
            change = self._queue.pop(0)
            if change.after is None:
                self._lagging.drop(change.id)
            else:
                self._lagging.put(change.after)
        if not self._queue:
            self._lagging = None
            return self.truth
        return self._lagging

    def get(self, record_id: int, now: float) -> Record | None:
        """The newest committed state of one id: what GET by id answers."""
        for change in self._queue:
            if change.id == record_id and change.committed_at > now:
                return change.before
        return self.truth.live.get(record_id)

    def find(self, now: float, matches: Callable[[Record], bool]) -> Record | None:
        for record_id, record in self.truth.live.items():
            if matches(record):
                return self.get(record_id, now)
        return None

    def pending(self, now: float) -> int:
        """Saves that lists do not show yet."""
        self.view(now)
        return len(self._queue)
