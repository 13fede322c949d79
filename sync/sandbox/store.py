"""The records of an account: its collections, and the conversion of entities to records."""

from __future__ import annotations

from collections.abc import Iterable
from threading import RLock
from typing import Any

import orjson

from sync.sandbox.php import Json, Refusal
from sync.sandbox.records import Collection, Press, Record


class Store:
    """The collections by name; they change only through a save, or while an account is seeded."""

    def __init__(self, names: Iterable[str], press: Press, lock: RLock) -> None:
        self.press = press
        self.collections = {name: Collection(name, press) for name in names}
        self._lock = lock

    def must(self, collection: str, record_id: int) -> Record:
        """Return a live record, or raise a refusal."""
        record = self.collections[collection].truth.live.get(int(record_id))
        if record is None:
            raise Refusal(404, f"{collection} has no live record {record_id}")
        return record

    def loaded(self, collection: str, record_id: int) -> tuple[Record, Json]:
        """Return a live record and its content, or raise a refusal."""
        record = self.must(collection, record_id)
        return record, self.collections[collection].load(record)

    def ids(self, collection: str) -> list[int]:
        """Return the ids of all live records, ascending."""
        with self._lock:
            return sorted(self.collections[collection].truth.live)

    def read(self, collection: str, record_id: int) -> Json:
        """Return the content of a live record, without the customer that is sent with an order."""
        with self._lock:
            return self.loaded(collection, record_id)[1]

    def entities(self, collection: str) -> list[Json]:
        """Return the contents of all live records of a small collection."""
        held = self.collections[collection]
        return [held.load(record) for record in held.truth.live.values()]

    def take_id(self, collection: str) -> int:
        return self.collections[collection].take_id()

    # --- making records

    def pack(self, entity: Json) -> bytes:
        return self.press.pack(orjson.dumps(entity))

    def record(self, entity: Json, **slots: Any) -> Record:
        """Return a record as sent; its sort values are taken from the entity."""
        return Record(
            entity["id"], entity.get("createdAt", ""), slots.pop("site", entity.get("site")),
            entity.get("externalId"), self.pack(entity), **slots,
        )  # fmt: skip

    def nameless(self, number: int, entity: Json) -> Record:
        """Return a record whose id is not sent: the API identifies it by codes."""
        return Record(number, "", None, None, self.pack(entity))

    def fill(self, collection: str, entities: Iterable[Json]) -> None:
        self.fill_records(collection, [self.record(e, site=site_of(e)) for e in entities])

    def fill_records(self, collection: str, records: list[Record]) -> None:
        """Add many records at once, while the account is seeded."""
        target = self.collections[collection]
        target.truth.fill(records)
        target.next_id = max([target.next_id, *(r.id + 1 for r in records)])


def site_of(entity: Json) -> str | None:
    if entity.get("sites"):
        return str(entity["sites"][0])
    return entity.get("site")
