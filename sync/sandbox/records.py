"""Records of one kind: the current state, and the older state that lagging lists show.

A record is kept as the bytes that are sent. It is never changed, only replaced, so that a lagging
view can share it.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
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
    """One record as sent, with the values that lists are sorted and filtered by."""

    id: int
    created: str
    site: str | None
    external: str | None
    blob: bytes
    customer: int | None = None
    contact: int | None = None


@dataclass(slots=True)
class Gone:
    """A tombstone: the reason an id is no longer live, and since when (epoch seconds)."""

    reason: str
    at: float
    combined_to: int | None = None
    last: Record | None = None


class Press:
    """Stores bytes as they are, or compressed where memory matters more than time."""

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
        self.found: dict[Any, list[int]] = {}  # filtered lists, until the next change

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
        """Add many records at once, while seeding."""
        self.live.update((record.id, record) for record in records)
        self.order = sorted((record.created, record.id) for record in self.live.values())
        self._changed()

    def keep(self, asked: Any, found: list[int]) -> None:
        """Cache an answer until the next change; the cache is bounded."""
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
    """A save that lists do not show yet; nobody sees it before `committed_at`."""

    visible_at: float
    sequence: int
    committed_at: float
    id: int
    before: Record | None
    after: Record | None


@dataclass(slots=True)
class Behind:
    """A view some seconds behind the current state, and the changes not shown yet."""

    view: View
    waiting: list[Change] = field(default_factory=list)

    def catch_up(self, until: float) -> list[Change]:
        """Show the changes visible at a moment; return those shown now for the first time."""
        due = 0
        while due < len(self.waiting) and self.waiting[due].visible_at <= until:
            change = self.waiting[due]
            if change.after is None:
                self.view.drop(change.id)
            else:
                self.view.put(change.after)
            due += 1
        shown, self.waiting = self.waiting[:due], self.waiting[due:] if due else self.waiting
        return shown


class Collection:
    """All records of one kind of an account."""

    def __init__(self, name: str, press: Press, *, first_id: int = 1) -> None:
        self.name = name
        self.press = press
        self.truth = View()
        self.gone: dict[int, Gone] = {}
        self.next_id = first_id
        self._behind: dict[float, Behind] = {}  # by the replica's lag; 0: the list itself
        self._latest: dict[int, Change] = {}  # the last change of an id, not shown by the list yet
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
        self, record_id: int, record: Record | None, *, now: float, committed: float,
        visible: float, replicas: Iterable[float] = (),
    ) -> float:  # fmt: skip
        """Make `record` (None: nothing) the current state of an id; lists show it when it is due.

        A change of a record whose last change is not committed yet waits for it, like the second
        of two transactions that lock one row. Returns the time at which this one is committed.
        """
        earlier = self._latest.get(record_id)
        if earlier is not None:
            committed = max(committed, earlier.committed_at)
            visible = max(visible, earlier.visible_at)
        self._sequence += 1
        before = self.truth.live.get(record_id)
        change = Change(visible, self._sequence, committed, record_id, before, record)
        self._behind |= {
            lag: self._fall_behind()
            for lag in (0.0, *replicas)
            if visible + lag > now and lag not in self._behind
        }
        for behind in self._behind.values():
            insort(behind.waiting, change, key=lambda c: (c.visible_at, c.sequence))
        if 0.0 in self._behind:
            self._latest[record_id] = change
        if record is None:
            self.truth.drop(record_id)
        else:
            self.truth.put(record)
        return committed

    def _fall_behind(self) -> Behind:
        """Return a copy of the shown records and the pending changes, as the start of a replica."""
        listed = self._behind.get(0.0)
        if listed is None:
            return Behind(self.truth.copy())
        return Behind(listed.view.copy(), list(listed.waiting))

    def view(self, now: float, replica: float = 0.0) -> View:
        """Return the records a list shows now, on a replica so many seconds behind."""
        behind = self._behind.get(replica)
        if behind is None:
            return self.truth if replica == 0 else self.view(now)
        for change in behind.catch_up(now - replica):
            if replica == 0 and self._latest.get(change.id) is change:
                del self._latest[change.id]
        if not behind.waiting:
            del self._behind[replica]
            return self.view(now, replica)
        return behind.view

    def get(self, record_id: int, now: float) -> Record | None:
        """Return the newest committed state of an id, as GET by id answers it."""
        latest = self._latest.get(record_id)
        if latest is not None and latest.committed_at > now:
            for change in self._behind[0.0].waiting:
                if change.id == record_id and change.committed_at > now:
                    return change.before
        return self.truth.live.get(record_id)

    def find(self, now: float, matches: Callable[[Record], bool]) -> Record | None:
        for record_id, record in self.truth.live.items():
            if matches(record):
                return self.get(record_id, now)
        return None

    def pick(self, rng: Random) -> int:
        """Return the id of a random live record, more often a recent one; IndexError if none."""
        order = self.truth.order
        if not order:
            raise IndexError(self.name)
        return order[-1 - int(len(order) * rng.random() ** 3)][1]

    def pick_gone(self, rng: Random) -> int:
        """Return the id of a record whose deletion is in a history."""
        return rng.choice([i for i, gone in self.gone.items() if gone.reason == "history"])

    def pending(self, now: float) -> int:
        """Count the saves that lists, or the replica furthest behind, do not show yet."""
        for lag in list(self._behind):
            self.view(now, lag)
        return max((len(behind.waiting) for behind in self._behind.values()), default=0)

    # --- a backup

    def back_up(self) -> Backup:
        """Return a copy of the collection; pending changes count as shown."""
        return Backup(self.truth.copy(), dict(self.gone), self.next_id)

    def restore(self, backup: Backup) -> None:
        """Replace the collection by a backup; lists and replicas show it at once."""
        self.truth, self.gone = backup.truth.copy(), dict(backup.gone)
        self.next_id = backup.next_id
        self._behind.clear()
        self._latest.clear()


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy of a collection at one moment."""

    truth: View
    gone: dict[int, Gone]
    next_id: int
