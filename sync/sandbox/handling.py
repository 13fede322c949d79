"""Packs (items reserved in a warehouse) and tasks, with their histories."""

from __future__ import annotations

from random import Random
from typing import Any

from sync.sandbox.dialect import Word, flat, merged, words
from sync.sandbox.firms import Firms
from sync.sandbox.php import Json
from sync.sandbox.records import Record


class Handling(Firms):
    """Mutations of /orders/packs and /tasks."""

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
        with self.saving(silent=True) as save:
            save.drop("tasks", self.must("tasks", task_id).id, "removed")
            return int(task_id)

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


def _stored(pack: Json) -> Json:
    """In the history a pack's store is an object."""
    return pack | {"store": {"code": pack["store"]}}


def _pack_value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "store":
        return {"code": value}
    return f"{value} 00:00:00" if name == "shipmentDate" else value
