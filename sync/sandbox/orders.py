"""Orders: create, change, re-date, move, delete, bring back; and what that does to customers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sync.sandbox import shop as generator
from sync.sandbox.customers import Customers
from sync.sandbox.dialect import Word, item_words, merged, order_stub, payment_words, words
from sync.sandbox.ledger import Save
from sync.sandbox.php import Json, Refusal
from sync.sandbox.records import Record
from sync.sandbox.shop import Shop


class Orders(Customers):
    """Mutations of /orders."""

    shop: Shop

    def create_order(
        self,
        *,
        customer: int | None = None,
        source: str = "api",
        silent: bool = False,
        **fields: Any,
    ) -> int:
        """A new order of `customer` (None: of anybody or nobody, 0: of nobody).

        Fields as the API names them override the generated ones.
        """
        with self.saving(source, silent=silent) as save:
            people = self.collections["customers"]
            if customer is None and people.truth.order and self.rng.random() > 0.05:
                customer = self.rng.choice(people.truth.order)[1]
            buyer = people.load(self.must("customers", customer)) if customer else None
            site = (
                buyer["site"]
                if buyer and buyer["site"] in self.sites
                else self.rng.choice(self.sites)
            )
            made = generator.order(
                self.rng, self.shop, self.collections["orders"].take_id(),
                at=save.now, site=fields.get("site") or site, buyer=buyer,
            )  # fmt: skip
            made = merged(made, fields)
            if "totalSumm" not in fields:
                generator.totals(made)
            self._add_order(save, made, customer or None, customer or None)
            return int(made["id"])

    def undelete_order(self, order_id: int, *, source: str = "user") -> int:
        """Create again, under its old id, an order that was deleted."""
        with self.saving(source) as save:
            gone = self.collections["orders"].gone.get(int(order_id))
            if gone is None or gone.last is None:
                raise Refusal(404, f"no deleted order {order_id}")
            last = gone.last
            self._add_order(
                save, self.collections["orders"].load(last), last.customer, last.contact
            )
            return int(order_id)

    def _add_order(self, save: Save, made: Json, customer: int | None, contact: int | None) -> None:
        record = self.record(made, customer=customer, contact=contact)
        save.put("orders", record)
        word = Word("status", None, {"code": made["status"]})
        save.say("orders", record, word, flags={"created": True}, whole=record.blob)
        if customer is not None:
            self.credit(customer, made, 1)
            self.refresh_aggregates(save, customer)

    def update_order(
        self,
        order_id: int,
        *,
        customer: int | None = None,
        source: str = "user",
        silent: bool = False,
        **changes: Any,
    ) -> int:
        """Change fields (objects merge, None removes, `items` and `payments` replace).

        `customer` gives the order to another customer, 0 to nobody; `silent` writes no history.
        """
        with self.saving(source, silent=silent) as save:
            before = self.must("orders", order_id)
            old = self.collections["orders"].load(before)
            new = merged(old, changes)
            if isinstance(new.get("payments"), list):
                new["payments"] = {str(p["id"]): p for p in new["payments"]}
            if new["status"] != old["status"]:
                new["statusUpdatedAt"] = save.text
            if ("items" in changes or "delivery" in changes) and "totalSumm" not in changes:
                generator.totals(new)
            owner = before.customer if customer is None else customer or None
            contact = before.contact if customer is None else owner
            record = self.record(new, customer=owner, contact=contact)
            save.put("orders", record)
            for word in self._order_words(before, record, old, new):
                save.say("orders", record, word, stub=order_stub(new))
            self._recount(save, (before, old), (record, new))
            return before.id

    def redate_order(self, order_id: int, created_at: str | None = None) -> int:
        """Change createdAt, to a day of the last two years when none is given."""
        at = self.clock.now() - self.rng.random() * 700 * 86400
        return self.update_order(order_id, source="api", createdAt=created_at or self.local(at))

    def move_order(self, order_id: int, site: str | None = None) -> int:
        """Move the order to another site."""
        others = [s for s in self.sites if s != self.must("orders", order_id).site]
        return self.update_order(order_id, site=site or self.rng.choice(others or self.sites))

    def reassign_order(self, order_id: int) -> int:
        """Give the order to another customer: neither customer's history tells."""
        live = self.collections["customers"].truth.live
        return self.update_order(order_id, customer=self.rng.choice(sorted(live)))

    def import_orders(
        self,
        count: int = 2000,
        *,
        commit_seconds: float = 0.0,
        orders: list[int] | None = None,
        **changes: Any,
    ) -> list[int]:
        """Edit many orders in one transaction, by default some at random; their ids.

        The ids of all their entries are allotted now; it is committed `commit_seconds` later, and
        until then nobody sees any of it, though larger ids of other saves are seen.
        """
        live = sorted(self.collections["orders"].truth.live)
        chosen = orders or sorted(self.rng.sample(live, min(count, len(live))))
        number = self.count("import")
        with self.saving_together("api", commit_seconds=commit_seconds):
            for order_id in chosen:
                note = {"managerComment": f"import {number}"}
                self.update_order(order_id, source="api", **(changes or note))
        return chosen

    def delete_order(self, order_id: int, *, source: str = "user") -> int:
        with self.saving(source) as save:
            record = self.must("orders", order_id)
            old = self.collections["orders"].load(record)
            save.drop("orders", record.id, "history")
            word = Word("id", record.id, None)
            save.say("orders", record, word, stub=order_stub(old), flags={"deleted": True})
            if record.customer is not None:
                self.credit(record.customer, old, -1)
                self.refresh_aggregates(save, record.customer)
            return record.id

    def merge_orders(self, into: int, sources: list[int]) -> int:
        """Combine orders: the sources are deleted, and their last entry names the survivor."""
        with self.saving("user") as save:
            survivor = self.must("orders", into)
            about = {"combinedTo": order_stub(self.collections["orders"].load(survivor))}
            for record in [self.must("orders", s) for s in sources if int(s) != survivor.id]:
                old = self.collections["orders"].load(record)
                save.drop("orders", record.id, "combined", survivor.id)
                word = Word("id", record.id, None, about)
                save.say("orders", record, word, stub=order_stub(old), flags={"deleted": True})
                if record.customer is not None:
                    self.credit(record.customer, old, -1)
                    self.refresh_aggregates(save, record.customer)
            return survivor.id

    def _order_words(self, before: Record, after: Record, old: Json, new: Json) -> Iterator[Word]:
        if before.customer != after.customer:
            yield Word("customer", self._customer_value(before), self._customer_value(after))
        yield from words("order", old, new)
        if old.get("totalSumm") != new.get("totalSumm"):
            yield Word("total_summ", old.get("totalSumm"), new.get("totalSumm"))
        yield from item_words(old.get("items") or [], new.get("items") or [])
        yield from payment_words(old.get("payments") or {}, new.get("payments") or {})

    def _customer_value(self, record: Record) -> Json | None:
        if record.customer is None:
            return None
        for name in ("customers", "customers-corporate"):
            person = self.collections[name].truth.live.get(record.customer)
            if person is not None:
                known = {"id": person.id, "externalId": person.external, "site": person.site}
                return {k: v for k, v in known.items() if v is not None}
        return {"id": record.customer}

    def _recount(self, save: Save, before: tuple[Record, Json], after: tuple[Record, Json]) -> None:
        touched: set[int] = set()
        for (record, order), sign in ((before, -1), (after, 1)):
            if record.customer is not None:
                self.credit(record.customer, order, sign)
                touched.add(record.customer)
        for customer_id in sorted(touched):
            self.refresh_aggregates(save, customer_id)

    def _move_orders(self, save: Save, source: int, survivor: Record, *, loud: bool) -> None:
        """Re-point a merged customer's orders; the API is not known to write this to history."""
        orders = self.collections["orders"]
        moved = [r for r in orders.truth.live.values() if source in (r.customer, r.contact)]
        for before in moved:
            order = orders.load(before)
            record = self.record(
                order,
                customer=survivor.id if before.customer == source else before.customer,
                contact=survivor.id if before.contact == source else before.contact,
            )
            save.put("orders", record)
            if before.customer == source:
                self.credit(source, order, -1)
                self.credit(survivor.id, order, 1)
            if loud:
                old = {"id": source}
                word = Word("customer", old, self._customer_value(record))
                save.say("orders", record, word, stub=order_stub(order))
