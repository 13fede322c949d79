"""The records of an account: its collections, and how an entity becomes a record of one."""

from __future__ import annotations

from collections.abc import Iterable
from threading import RLock
from typing import Any

import orjson

from sync.sandbox.php import Json, Refusal
from sync.sandbox.records import Collection, Press, Record


class Store:
    """Every collection by name; they change only through a save, or while the account is seeded."""

    def __init__(self, names: Iterable[str], press: Press, lock: RLock) -> None:
        self.press = press
        self.collections = {name: Collection(name, press) for name in names}
        self._lock = lock

    def must(self, collection: str, record_id: int) -> Record:
        """A live record, or a refusal."""
        record = self.collections[collection].truth.live.get(int(record_id))
        if record is None:
            raise Refusal(404, f"{collection} has no live record {record_id}")
        return record

    def loaded(self, collection: str, record_id: int) -> tuple[Record, Json]:
        """A live record and what it holds, or a refusal."""
        record = self.must(collection, record_id)
        return record, self.collections[collection].load(record)

    def ids(self, collection: str) -> list[int]:
        """Ids of all live records, ascending."""
        with self._lock:
            return sorted(self.collections[collection].truth.live)

    def read(self, collection: str, record_id: int) -> Json:
        """A live record, without the customer an order is sent with."""
        with self._lock:
            return self.loaded(collection, record_id)[1]

    def entities(self, collection: str) -> list[Json]:
        """All live records of a small collection."""
        held = self.collections[collection]
        return [held.load(record) for record in held.truth.live.values()]

    def take_id(self, collection: str) -> int:
        return self.collections[collection].take_id()

    # --- making records

    def pack(self, entity: Json) -> bytes:
        return self.press.pack(orjson.dumps(entity))

    def record(self, entity: Json, **slots: Any) -> Record:
        """A record as sent, its sorting values taken from the entity itself."""
        return Record(
            entity["id"], entity.get("createdAt", ""), slots.pop("site", entity.get("site")),
            entity.get("externalId"), self.pack(entity), **slots,
        )  # fmt: skip

    def nameless(self, number: int, entity: Json) -> Record:
        """A record whose id stays inside: the API knows it by codes."""
        return Record(number, "", None, None, self.pack(entity))

    def fill(self, collection: str, entities: Iterable[Json]) -> None:
        self.fill_records(collection, [self.record(e, site=site_of(e)) for e in entities])

    def fill_records(self, collection: str, records: list[Record]) -> None:
        """Put many at once, while the account is seeded."""
        target = self.collections[collection]
        target.truth.fill(records)
        target.next_id = max([target.next_id, *(r.id + 1 for r in records)])


def site_of(entity: Json) -> str | None:
    if entity.get("sites"):
        return str(entity["sites"][0])
    return entity.get("site")
