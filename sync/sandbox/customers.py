"""Customers: create, change, delete, merge; the aggregates that follow their orders."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from sync.sandbox import people
from sync.sandbox.dialect import Word, customer_stub, merged, words
from sync.sandbox.ledger import Ledger, Save
from sync.sandbox.php import Json, Refusal
from sync.sandbox.records import Record
from sync.sandbox.sums import NONE, aggregates, cents, counts


class Customers(Ledger):
    """Mutations of /customers. Each is a save of its own and writes history as the API does."""

    def create_customer(self, *, source: str = "user", silent: bool = False, **fields: Any) -> int:
        """A new customer; fields as the API names them override the generated ones."""
        with self.saving(source, silent=silent) as save:
            site = fields.get("site") or self.rng.choice(self.sites)
            person = people.customer(
                self.rng, self.language, self.collections["customers"].take_id(), created=save.text,
                site=site, manager=self.rng.choice(self.user_ids),
                external=self.count(f"customer of {site}"), awkward=0,
            )  # fmt: skip
            self._add_customer(save, merged(person, fields))
            return int(person["id"])

    def undelete_customer(self, customer_id: int, *, source: str = "user") -> int:
        """Create again, under its old id, a customer that was deleted or merged away."""
        with self.saving(source) as save:
            gone = self.collections["customers"].gone.get(int(customer_id))
            if gone is None or gone.last is None:
                raise Refusal(404, f"no deleted customer {customer_id}")
            self._add_customer(save, self.collections["customers"].load(gone.last))
            return int(customer_id)

    def _add_customer(self, save: Save, person: Json) -> None:
        person |= aggregates(self.sums.get(person["id"], NONE))
        record = self.record(person)
        save.put("customers", record)
        save.say(
            "customers", record, Word("id", None, person["id"]),
            flags={"created": True}, whole=record.blob,
        )  # fmt: skip

    def update_customer(
        self, customer_id: int, *, source: str = "user", silent: bool = False, **changes: Any
    ) -> int:
        """Change fields (objects merge, None removes); silent: without history."""
        with self.saving(source, silent=silent) as save:
            before = self.must("customers", customer_id)
            old = self.collections["customers"].load(before)
            new = merged(old, changes)
            record = self.record(new)
            save.put("customers", record)
            stub = customer_stub(new)
            for word in words("customer", old, new):
                if word.field.startswith("address."):
                    word.about["address"] = {"id": new["address"]["id"], "isMain": True}
                save.say("customers", record, word, stub=stub)
            return before.id

    def delete_customer(self, customer_id: int, *, source: str = "user") -> int:
        """Its orders keep naming it by id; its data is gone."""
        with self.saving(source) as save:
            self._remove_customer(save, self.must("customers", customer_id), "history")
            return int(customer_id)

    def merge_customers(
        self, into: int, sources: list[int], *, write_order_history: bool | None = None
    ) -> int:
        """Combine: the sources are deleted with combinedTo, their orders move to the survivor."""
        loud = (
            self.knobs.merge_writes_order_history
            if write_order_history is None
            else write_order_history
        )
        with self.saving("user") as save:
            survivor = self.must("customers", into)
            removed = [self.must("customers", s) for s in sources if int(s) != survivor.id]
            for source in removed:
                self._remove_customer(save, source, "combined", survivor)
            for source in removed:
                self._move_orders(save, source.id, survivor, loud=loud)
            self.refresh_aggregates(save, survivor.id)
            return survivor.id

    def merge_chain(self, length: int = 3) -> list[int]:
        """Merges one after the other, each survivor the next source; the last one lives on."""
        live = self.collections["customers"].truth.live
        chain = self.rng.sample(sorted(live), min(length, len(live) - 1) + 1)
        for source, into in pairwise(chain):
            self.merge_customers(into, [source])
        return chain

    def _remove_customer(
        self, save: Save, record: Record, reason: str, survivor: Record | None = None
    ) -> None:
        save.drop("customers", record.id, reason, survivor.id if survivor else None)
        about: Json = {}
        if survivor is not None:
            about["combinedTo"] = customer_stub(self.collections["customers"].load(survivor)) | {
                "type": "customer"
            }
        save.say(
            "customers", record, Word("id", record.id, None, about),
            flags={"deleted": True}, whole=record.blob,
        )  # fmt: skip

    def _move_orders(self, save: Save, source: int, survivor: Record, *, loud: bool) -> None:
        raise NotImplementedError

    # --- aggregates: they change with the orders, and no history tells

    def credit(self, customer_id: int, order: Json, sign: int) -> None:
        """Count an order in (1) or out (-1) of a customer's sums."""
        if not counts(order):
            return
        count, total, cost = self.sums.get(customer_id, NONE)
        self.sums[customer_id] = (
            count + sign,
            total + sign * cents(order["totalSumm"]),
            cost + sign * cents(order["purchaseSumm"]),
        )

    def refresh_aggregates(self, save: Save, customer_id: int) -> None:
        for name in ("customers", "customers-corporate"):
            before = self.collections[name].truth.live.get(customer_id)
            if before is not None:
                person = self.collections[name].load(before)
                changed = person | aggregates(self.sums.get(customer_id, NONE))
                if changed != person:
                    save.put(name, self.record(changed))
