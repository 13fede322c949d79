"""Adds, changes and removes records of any kind without a history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sync.sandbox.account import Account
from sync.sandbox.history_format import merged
from sync.sandbox.php import Json
from sync.sandbox.records import Record
from sync.sandbox.store import site_of


def create(account: Account, /, collection: str, **fields: Any) -> int:
    """Add a record as its list would send it; `id` and `createdAt` are given if missing."""
    with account.saving(silent=True) as save:
        target = account.collections[collection]
        made: Json = {"id": target.take_id(), **fields}
        live = target.truth.live
        dated = not live or "createdAt" in target.load(next(iter(live.values())))
        if dated and "createdAt" not in fields:
            made["createdAt"] = save.text
        target.next_id = max(target.next_id, made["id"] + 1)
        save.put(collection, account.store.record(made, site=site_of(made)))
        return int(made["id"])


def update(account: Account, /, collection: str, record_id: int, **changes: Any) -> int:
    """Change a record; a product's `updatedAt` moves with it, as in the API."""
    with account.saving(silent=True) as save:
        before, old = account.store.loaded(collection, record_id)
        new = merged(old, changes)
        if collection == "products" and "updatedAt" not in changes:
            new["updatedAt"] = save.text
        record = Record(
            before.id, new.get("createdAt", before.created), new.get("site", before.site),
            new.get("externalId"), account.store.pack(new), before.customer, before.contact,
        )  # fmt: skip
        save.put(collection, record)
        return before.id


def delete(account: Account, /, collection: str, record_id: int) -> int:
    """Remove a record: no history tells."""
    with account.saving(silent=True) as save:
        save.drop(collection, account.must(collection, record_id).id, "removed")
        return int(record_id)


MUTATIONS: tuple[Callable[..., Any], ...] = (create, update, delete)
