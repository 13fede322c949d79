"""Packs: items of orders that are reserved in a warehouse."""

from __future__ import annotations

from random import Random
from typing import Any

from sync.sandbox.account import Account
from sync.sandbox.filters import among, dates, idle
from sync.sandbox.history_format import Word, flat, merged
from sync.sandbox.kind import Kind, Left, Seeding
from sync.sandbox.lists import FeedMethod, ListMethod
from sync.sandbox.php import Json
from sync.sandbox.records import Record
from sync.sandbox.singles import SingleMethod

FILTERS = {
    **among("invoiceNumber", "deliveryNoteNumber", orderId="item.order.id", stores="store",
            itemId="item.id", offerXmlId="item.offer.xmlId",
            offerExternalId="item.offer.externalId"),
    **dates(shipmentDate="shipmentDate"), **idle("orderExternalId"),
}  # fmt: skip


def create_pack(account: Account, order_id: int, **fields: Any) -> int:
    """Reserve the first item of an order in a warehouse."""
    with account.saving("user") as save:
        _, order = account.store.loaded("orders", order_id)
        record = _new(account, account.rng, order, **fields)
        pack = account.collections["packs"].load(record)
        word = Word("store", None, {"code": pack["store"]})
        save.came("packs", record, word, stub=_stored(pack))
        return record.id


def update_pack(account: Account, pack_id: int, **changes: Any) -> int:
    """Change a pack; its history has field names in camelCase and dates with a time."""
    with account.saving("user") as save:
        before, old = account.store.loaded("packs", pack_id)
        new = merged(old, changes)
        record = account.store.record(new, site=before.site)
        save.put("packs", record)
        was, now = dict(flat(old)), dict(flat(new))
        for name in dict.fromkeys([*was, *now]):
            if was.get(name) == now.get(name) or name.startswith("item."):
                continue
            word = Word(name, *(_value(name, v.get(name)) for v in (was, now)))
            save.say("packs", record, word, stub=_stored(new))
        return before.id


def delete_pack(account: Account, pack_id: int) -> int:
    with account.saving("user") as save:
        record, pack = account.store.loaded("packs", pack_id)
        stub = {"id": record.id, "item": pack["item"]}
        word = Word("store", {"code": pack["store"]}, None)
        save.went("packs", record, "history", word, stub=stub)
        return record.id


def _new(account: Account, rng: Random, order: Json, **fields: Any) -> Record:
    item = order["items"][0]
    pack: Json = {
        "id": account.store.take_id("packs"), "purchasePrice": item["purchasePrice"],
        "quantity": item["quantity"], "store": f"{order['site']}-store",
        "item": {"id": item["id"], "order": {"id": order["id"]},
                 "offer": {k: item["offer"][k] for k in ("id", "externalId", "xmlId")}},
    }  # fmt: skip
    if rng.random() < 0.5:
        pack |= {"shipmentDate": order["createdAt"][:10], "invoiceNumber": f"{order['id']:08d}"}
    return account.store.record(merged(pack, fields), site=order["site"])


def _stored(pack: Json) -> Json:
    """Return the pack as its history sends it: the store is an object."""
    return pack | {"store": {"code": pack["store"]}}


def _value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "store":
        return {"code": value}
    return f"{value} 00:00:00" if name == "shipmentDate" else value


# --- seeding


def of_order(seeding: Seeding, order: Json, die: float) -> Left:
    if die < 0.5:
        yield "packs", _new(seeding.account, seeding.rng, order)


def created(seeding: Seeding, record: Record, pack: Json) -> None:
    """Write the pack's `created` entry, dated yesterday."""
    store = {"code": pack["store"]}
    body: Json = {"created": True, "source": "user", "user": {"id": 1}, "field": "store",
                  "oldValue": None, "newValue": store, "pack": _stored(pack)}  # fmt: skip
    account = seeding.account
    account.writer.made("packs", record, body, at=account.clock.now() - 86400)


PACKS = Kind(
    "packs",
    scope="order_read",
    subject="pack",
    methods={
        "orders/packs": ListMethod("packs", "packs", FILTERS, order="id_desc"),
        "orders/packs/{id}": SingleMethod("packs", "pack"),
        "orders/packs/history": FeedMethod("packs", "packId"),
    },
    mutations=(create_pack, update_pack, delete_pack),
    after=("orders",),
    left_by={"orders": of_order},
    created=created,
)
