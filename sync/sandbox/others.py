"""Packs, tasks, notes, bonuses, and any record of a kind that has no history."""

from __future__ import annotations

from random import Random
from typing import Any

import orjson

from sync.sandbox.dialect import Word, flat, merged, words
from sync.sandbox.firms import Firms
from sync.sandbox.php import Json, loose
from sync.sandbox.records import Record


class Others(Firms):
    """Mutations of everything that is neither customer nor order."""

    # --- kinds without a history: products, offers, costs, files, notes, users, segments…

    def create(self, collection: str, **fields: Any) -> int:
        """Add a record as its list would send it; `id` and `createdAt` are given if missing."""
        with self.saving(silent=True) as save:
            target = self.collections[collection]
            made: Json = {"id": target.take_id(), **fields}
            if "createdAt" in _sample(self, collection) and "createdAt" not in fields:
                made["createdAt"] = save.text
            target.next_id = max(target.next_id, made["id"] + 1)
            save.put(collection, self.record(made, site=_site(made)))
            return int(made["id"])

    def update(self, collection: str, record_id: int, **changes: Any) -> int:
        """Change a record; a product's `updatedAt` moves with it, as in the API."""
        with self.saving(silent=True) as save:
            before = self.must(collection, record_id)
            new = merged(self.collections[collection].load(before), changes)
            if collection == "products" and "updatedAt" not in changes:
                new["updatedAt"] = save.text
            record = Record(
                before.id, new.get("createdAt", before.created), new.get("site", before.site),
                new.get("externalId"), self.pack(new), before.customer, before.contact,
            )  # fmt: skip
            save.put(collection, record)
            return before.id

    def delete(self, collection: str, record_id: int) -> int:
        with self.saving(silent=True) as save:
            save.drop(collection, self.must(collection, record_id).id, "removed")
            return int(record_id)

    # --- packs

    def create_pack(self, order_id: int, **fields: Any) -> int:
        """Reserve the first item of an order in a warehouse."""
        with self.saving("user") as save:
            order = self.collections["orders"].load(self.must("orders", order_id))
            record = self.new_pack(self.rng, order, order["items"][0], **fields)
            save.put("packs", record)
            pack = self.collections["packs"].load(record)
            word = Word("store", None, {"code": pack["store"]})
            save.say("packs", record, word, stub=_stored(pack), flags={"created": True})
            return record.id

    def update_pack(self, pack_id: int, **changes: Any) -> int:
        """The history of packs words its fields in camelCase and its dates with a time."""
        with self.saving("user") as save:
            before = self.must("packs", pack_id)
            old = self.collections["packs"].load(before)
            new = merged(old, changes)
            record = self.record(new, site=before.site)
            save.put("packs", record)
            was, now = dict(flat(old)), dict(flat(new))
            for name in dict.fromkeys([*was, *now]):
                if was.get(name) == now.get(name) or name.startswith("item."):
                    continue
                values = [_pack_value(name, v.get(name)) for v in (was, now)]
                save.say("packs", record, Word(name, *values), stub=_stored(new))
            return before.id

    def delete_pack(self, pack_id: int) -> int:
        with self.saving("user") as save:
            record = self.must("packs", pack_id)
            pack = self.collections["packs"].load(record)
            save.drop("packs", record.id, "history")
            stub = {"id": record.id, "item": pack["item"]}
            word = Word("store", {"code": pack["store"]}, None)
            save.say("packs", record, word, stub=stub, flags={"deleted": True})
            return record.id

    def new_pack(self, rng: Random, order: Json, item: Json, **fields: Any) -> Record:
        pack: Json = {
            "id": self.collections["packs"].take_id(), "purchasePrice": item["purchasePrice"],
            "quantity": item["quantity"], "store": f"{order['site']}-store",
            "item": {"id": item["id"], "order": {"id": order["id"]},
                     "offer": {k: item["offer"][k] for k in ("id", "externalId", "xmlId")}},
        }  # fmt: skip
        if rng.random() < 0.5:
            pack |= {"shipmentDate": order["createdAt"][:10], "invoiceNumber": f"{order['id']:08d}"}
        return self.record(merged(pack, fields), site=order["site"])

    # --- tasks: their deletion is told by no history

    def create_task(self, **fields: Any) -> int:
        with self.saving("user") as save:
            task = merged(self.new_task(self.rng, created=save.text), fields)
            record = self.record(task, site=None)
            save.put("tasks", record)
            word = Word("id", None, record.id)
            save.say("tasks", record, word, stub=task, flags={"created": True})
            return record.id

    def update_task(self, task_id: int, **changes: Any) -> int:
        with self.saving("user") as save:
            old = self.collections["tasks"].load(self.must("tasks", task_id))
            new = merged(old, changes)
            if new.get("complete") and not old.get("complete"):
                new["completedAt"] = save.text
            record = self.record(new, site=None)
            save.put("tasks", record)
            for word in words("task", old, new):
                save.say("tasks", record, word, stub=new)
            return record.id

    def comment_task(self, task_id: int, text: str) -> int:
        with self.saving("user") as save:
            record = self.must("tasks", task_id)
            number = self.collections["task-comments"].take_id()
            made = {"id": number, "creator": self.user_ids[0], "text": text,
                    "createdAt": save.text, "updatedAt": save.text}  # fmt: skip
            save.put("task-comments", self.record(made, customer=record.id))
            word = Word("comment", None, {"id": number}, {"comment": {"id": number, "text": text}})
            save.say("tasks", record, word, stub=self.collections["tasks"].load(record))
            return number

    def delete_task(self, task_id: int) -> int:
        return self.delete("tasks", task_id)

    def new_task(self, rng: Random, *, created: str, order: Json | None = None) -> Json:
        task: Json = {
            "id": self.collections["tasks"].take_id(), "text": "Позвонить", "commentary": "",
            "datetime": created[:16], "createdAt": created, "complete": False,
            "creator": rng.choice(self.user_ids), "performer": rng.choice(self.user_ids),
            "performerType": "user",
        }  # fmt: skip
        if order is not None:
            task["order"] = order
        if rng.random() < 0.4:
            task |= {"complete": True, "completedAt": created}
        return task

    # --- notes and bonuses: no history either

    def create_note(self, customer_id: int, text: str) -> int:
        """A note on a customer or corporate customer."""
        firm = customer_id in self.collections["customers-corporate"].truth.live
        name = "corporate-notes" if firm else "customer-notes"
        with self.saving(silent=True) as save:
            whose = "customers-corporate" if firm else "customers"
            person = self.collections[whose].load(self.must(whose, customer_id))
            stub: Json = {k: person[k] for k in ("site", "id", "externalId", "type") if k in person}
            record = self.new_note(name, stub, text, save.text)
            save.put(name, record)
            return record.id

    def new_note(self, collection: str, whose: Json, text: str, created: str) -> Record:
        number = self.collections[collection].take_id()
        made = {"customer": whose, "managerId": self.user_ids[0], "id": number, "text": text,
                "createdAt": created}  # fmt: skip
        return self.record(made, site=whose.get("site"))

    def create_bonus(self, loyalty_account: int, amount: float, kind: str = "credit_manual") -> int:
        """Credit or charge bonuses: the balance changes, and only the operations tell."""
        with self.saving(silent=True) as save:
            before = self.must("loyalty-accounts", loyalty_account)
            held = self.collections["loyalty-accounts"].load(before)
            held["amount"] = loose(held["amount"] + amount)
            save.put("loyalty-accounts", self.record(held, site=before.site))
            record = self.new_operation(before.id, kind, amount, save.text)
            save.put("bonus-operations", record)
            return record.id

    def new_operation(self, loyalty_account: int, kind: str, amount: float, when: str) -> Record:
        """Operations have no id on the wire; the one here is only in the cursor."""
        made: Json = {"type": kind, "createdAt": when, "amount": amount}
        if kind.startswith("credit"):
            made["bonus"] = {"activationDate": when[:10]}
        made |= {"loyaltyAccount": {"id": loyalty_account}, "loyalty": {"id": 3}}
        number = self.collections["bonus-operations"].take_id()
        return Record(number, when, None, None, self.pack(made), customer=loyalty_account)

    # --- filling while the account is built

    def entities(self, collection: str) -> list[Json]:
        """All live records of a small collection."""
        held = self.collections[collection]
        return [held.load(record) for record in held.truth.live.values()]

    def nameless(self, number: int, entity: Json) -> Record:
        """A record whose id stays inside: the API knows it by codes."""
        return Record(number, "", None, None, self.press.pack(orjson.dumps(entity)))

    def fill(self, collection: str, entities: list[Json]) -> None:
        self.fill_records(collection, [self.record(e, site=_site(e)) for e in entities])

    def fill_records(self, collection: str, records: list[Record]) -> None:
        target = self.collections[collection]
        target.truth.fill(records)
        target.next_id = max([target.next_id, *(r.id + 1 for r in records)])


def _site(entity: Json) -> str | None:
    if entity.get("sites"):
        return str(entity["sites"][0])
    return entity.get("site")


def _sample(ledger: Others, collection: str) -> Json:
    live = ledger.collections[collection].truth.live
    return (
        ledger.collections[collection].load(next(iter(live.values())))
        if live
        else {"createdAt": ""}
    )


def _stored(pack: Json) -> Json:
    """In the history a pack's store is an object."""
    return pack | {"store": {"code": pack["store"]}}


def _pack_value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "store":
        return {"code": value}
    return f"{value} 00:00:00" if name == "shipmentDate" else value
