"""Packs: items of orders that are reserved in a warehouse."""

from __future__ import annotations

from random import Random
from typing import Any

from sync.sandbox.account import Account
from sync.sandbox.calls import Call
from sync.sandbox.filters import among, dates, idle
from sync.sandbox.history_format import Word, flat, merged
from sync.sandbox.kind import Kind, Left, Seeding
from sync.sandbox.lists import FeedMethod, ListMethod
from sync.sandbox.php import Json, Refusal
from sync.sandbox.records import Record
from sync.sandbox.saves import Save
from sync.sandbox.shapes import (
    Check,
    Done,
    Reading,
    Shape,
    Write,
    Wrong,
    as_whole,
    checked,
    code,
    day,
    editing,
    making,
    number,
    text,
)
from sync.sandbox.singles import SingleMethod, find
from sync.sandbox.writes import id_of

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
        return _put(account, save, _new(account, account.rng, order, **fields))


def _put(account: Account, save: Save, record: Record) -> int:
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
    some: Json = {"store": f"{order['site']}-store"}
    if rng.random() < 0.5:
        some |= {"shipmentDate": order["createdAt"][:10], "invoiceNumber": f"{order['id']:08d}"}
    return _of_item(account, order, order["items"][0], **(some | fields))


def _of_item(account: Account, order: Json, item: Json, **fields: Any) -> Record:
    """Return a new pack of an item of an order."""
    offer = {k: item["offer"][k] for k in ("id", "externalId", "xmlId") if k in item["offer"]}
    pack: Json = {
        "id": account.store.take_id("packs"),
        "purchasePrice": item["purchasePrice"],
        "quantity": item["quantity"],
        "store": None,
        "item": {"id": item["id"], "order": {"id": order["id"]}, "offer": offer},
    }
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


# --- writes


def _item(reading: Reading, _where: str, value: Any) -> tuple[Json, Json]:
    """Read the id of an item: the order that holds it, and the item."""
    wanted, held = as_whole(value), reading.call.account.collections["orders"]
    needle = b'"id":%d,' % wanted
    for record in held.truth.live.values():
        if reading.call.key.sees(record.site) and needle in held.bytes_of(record):
            order = held.load(record)
            for item in order["items"]:
                if item["id"] == wanted:
                    return order, item
    raise Wrong(f"Item with id={wanted} not found.", lacks=True)


def _some_item(account: Account) -> int:
    orders = (account.read("orders", i) for i in account.ids("orders"))
    return next(int(order["items"][0]["id"]) for order in orders if order["items"])


PACK = Shape(
    {
        **number("purchasePrice", "quantity"), **text("invoiceNumber", "deliveryNoteNumber"),
        **day("shipmentDate"), "store": code("stores"), "itemId": Check(_item, _some_item),
    },
    needs=("itemId", "store", "quantity"),
)  # fmt: skip


def create(call: Call, value: Any) -> Done:
    form = checked(call, PACK, value, "Pack", makes=True)
    order, item = form.pop("itemId")
    plain = {k: v for k, v in form.items() if v is not None}
    with call.account.saving("api") as save:
        record = _of_item(call.account, order, item, **plain)
        return Done({"id": _put(call.account, save, record)})


def edit(call: Call, value: Any) -> Done:
    record = find(call, "packs", call.args[0], by_external=False)
    form = checked(call, PACK, value, "Pack", makes=False)
    form.pop("itemId", None)  # whether a pack may go to another item is not known
    return Done({"id": update_pack(call.account, record.id, **form)})


def delete(call: Call, _: Any) -> Done:
    record = call.account.collections["packs"].truth.live.get(id_of(call))
    if record is None or not call.key.sees(record.site):
        raise Refusal(400, "Pack not found")  # status and text of the Go client's test
    delete_pack(call.account, record.id)
    return Done()


PACKS = Kind(
    "packs",
    scope="order_read",
    subject="pack",
    methods={
        "orders/packs": ListMethod("packs", "packs", FILTERS, order="id_desc"),
        "orders/packs/{id}": SingleMethod("packs", "pack"),
        "orders/packs/history": FeedMethod("packs", "packId"),
    },
    writes={
        "orders/packs/create": making(create, "pack", PACK),
        "orders/packs/{id}/edit": editing(edit, "pack", PACK),
        "orders/packs/{id}/delete": Write(delete),
    },
    mutations=(create_pack, update_pack, delete_pack),
    after=("orders",),
    left_by={"orders": of_order},
    created=created,
)
