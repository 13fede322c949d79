"""Notes, bonuses, stock, and any record of a kind that has no history."""

from __future__ import annotations

from typing import Any

import orjson

from sync.sandbox.dialect import merged
from sync.sandbox.handling import Handling
from sync.sandbox.php import Json, loose
from sync.sandbox.records import Record


class Others(Handling):
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

    def set_stock(self, offer_id: int, quantity: float, *, bump: bool = False) -> int:
        """Change what is in stock of an offer; the product's updatedAt moves only with `bump`."""
        with self.saving(silent=True) as save:
            offers, products = self.collections["offers"], self.collections["products"]
            offer = offers.load(self.must("offers", offer_id)) | {"quantity": quantity}
            site = offer["site"]
            before = self.must("products", offer["product"]["id"])
            product = products.load(before)
            for other in product["offers"]:
                if other["id"] == offer_id:
                    other["quantity"] = quantity
            product["quantity"] = loose(sum(o["quantity"] for o in product["offers"]))
            if bump:
                product["updatedAt"] = save.text
            save.put("offers", self.record(offer, site=site))
            save.put("products", self.record(product, site=before.site))
            return before.id

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

    # --- looking, for tests that hold the account

    def ids(self, collection: str) -> list[int]:
        """Ids of all live records, ascending."""
        with self.lock:
            return sorted(self.collections[collection].truth.live)

    def read(self, collection: str, record_id: int) -> Json:
        """A live record, without the customer an order is sent with."""
        with self.lock:
            return self.collections[collection].load(self.must(collection, record_id))

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
