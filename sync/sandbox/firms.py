"""Corporate customers with their addresses, companies and contacts; one id space with customers."""

from __future__ import annotations

from random import Random
from typing import Any

from sync.sandbox import names, people
from sync.sandbox.dialect import Word, customer_stub, merged, words
from sync.sandbox.ledger import Save
from sync.sandbox.orders import Orders
from sync.sandbox.php import Json
from sync.sandbox.records import Record
from sync.sandbox.sums import NONE, aggregates

_HISTORY = "customers-corporate"


class Firms(Orders):
    """Mutations of /customers-corporate."""

    def create_corporate(
        self, *, contact: int | None = None, source: str = "user", **fields: Any
    ) -> int:
        """A corporate customer with one company, one address and, if given, one contact person."""
        with self.saving(source) as save:
            firm = merged(self.new_firm(self.rng, created=save.text), fields)
            record = self.record(firm)
            save.put(_HISTORY, record)
            word = Word("id", None, firm["id"])
            save.say(_HISTORY, record, word, flags={"created": True}, whole=record.blob)
            self._add_part(save, firm, "addresses", self.new_address(self.rng, firm))
            self._add_part(save, firm, "companies", self.new_company(self.rng, firm, save.text))
            if contact is not None:
                self._add_part(save, firm, "contacts", self.new_contact(firm, contact))
            return int(firm["id"])

    def update_corporate(
        self, customer_id: int, *, source: str = "user", silent: bool = False, **changes: Any
    ) -> int:
        with self.saving(source, silent=silent) as save:
            old = self.collections[_HISTORY].load(self.must(_HISTORY, customer_id))
            new = merged(old, changes)
            record = self.record(new)
            save.put(_HISTORY, record)
            for word in words("customer", old, new):
                save.say(_HISTORY, record, word, stub=customer_stub(new))
            return record.id

    def delete_corporate(self, customer_id: int) -> int:
        """Gone with its addresses, companies and contacts."""
        with self.saving("user") as save:
            record = self.must(_HISTORY, customer_id)
            save.drop(_HISTORY, record.id, "history")
            word = Word("id", record.id, None)
            save.say(_HISTORY, record, word, flags={"deleted": True}, whole=record.blob)
            for part in ("addresses", "companies", "contacts"):
                for owned in self.parts(part, record.id):
                    save.drop(part, owned.id, "parent")
            return record.id

    def merge_corporate(self, into: int, sources: list[int]) -> int:
        """Combine corporate customers: as with customers, orders move, and parts with them."""
        with self.saving("user") as save:
            survivor = self.must(_HISTORY, into)
            kept = customer_stub(self.collections[_HISTORY].load(survivor))
            for record in [self.must(_HISTORY, s) for s in sources if int(s) != survivor.id]:
                save.drop(_HISTORY, record.id, "combined", survivor.id)
                about: Json = {"combinedTo": kept | {"type": "customer_corporate"}}
                word = Word("id", record.id, None, about)
                save.say(_HISTORY, record, word, flags={"deleted": True}, whole=record.blob)
                for part in ("addresses", "companies", "contacts"):
                    for owned in self.parts(part, record.id):
                        thing = self.collections[part].load(owned) | {"isMain": False}
                        save.put(part, self.part_record(part, survivor, thing))
                self._move_orders(
                    save, record.id, survivor, loud=self.knobs.merge_writes_order_history
                )
            self.refresh_aggregates(save, survivor.id)
            return survivor.id

    def add_address(self, customer_id: int, **fields: Any) -> int:
        return self._add(customer_id, "addresses", fields)

    def add_company(self, customer_id: int, **fields: Any) -> int:
        return self._add(customer_id, "companies", fields)

    def add_contact(self, customer_id: int, contact: int) -> int:
        return self._add(customer_id, "contacts", {"contact": contact})

    def update_part(self, part: str, part_id: int, *, silent: bool = False, **changes: Any) -> int:
        """Change an address, company or contact (`part` is the collection)."""
        with self.saving("user", silent=silent) as save:
            before = self.must(part, part_id)
            firm = self.must(_HISTORY, before.customer or 0)
            old = self.collections[part].load(before)
            new = merged(old, changes)
            save.put(part, self.part_record(part, firm, new))
            noun = {"addresses": "address", "companies": "company", "contacts": "contact"}[part]
            stub = customer_stub(self.collections[_HISTORY].load(firm))
            about = {"customerContact" if noun == "contact" else noun: {"id": before.id}}
            for word in words("part", old, new):
                said = Word(f"{noun}.{word.field}", word.old, word.new, about)
                save.say(_HISTORY, firm, said, stub=stub)
            return before.id

    def remove_part(self, part: str, part_id: int) -> int:
        """Remove an address, company or contact; the history says the field became null."""
        with self.saving("user") as save:
            before = self.must(part, part_id)
            firm = self.must(_HISTORY, before.customer or 0)
            save.drop(part, before.id, "history")
            noun = {"addresses": "address", "companies": "company", "contacts": "contact"}[part]
            stub = customer_stub(self.collections[_HISTORY].load(firm))
            save.say(_HISTORY, firm, Word(noun, {"id": before.id}, None), stub=stub)
            return before.id

    def parts(self, part: str, customer_id: int) -> list[Record]:
        live = self.collections[part].truth.live
        return [r for r in live.values() if r.customer == customer_id]

    # --- making

    def _add(self, customer_id: int, part: str, fields: Json) -> int:
        with self.saving("user") as save:
            firm = self.collections[_HISTORY].load(self.must(_HISTORY, customer_id))
            made = {
                "addresses": lambda: self.new_address(self.rng, firm),
                "companies": lambda: self.new_company(self.rng, firm, save.text),
                "contacts": lambda: self.new_contact(firm, fields.pop("contact")),
            }[part]()
            return self._add_part(save, firm, part, merged(made, {"isMain": False} | fields))

    def _add_part(self, save: Save, firm: Json, part: str, made: Json) -> int:
        record = self.must(_HISTORY, firm["id"])
        save.put(part, self.part_record(part, record, made))
        for word in part_words(part, made):
            save.say(_HISTORY, record, word, stub=customer_stub(firm))
        if made["isMain"]:
            firm |= main_of(part, made)
            save.put(_HISTORY, self.record(firm))
        return int(made["id"])

    def part_record(self, part: str, firm: Record, made: Json) -> Record:
        return Record(made["id"], made.get("createdAt", ""), firm.site, made.get("externalId"),
                      self.pack(made), customer=firm.id)  # fmt: skip

    def new_firm(self, rng: Random, *, created: str) -> Json:
        firm_id = self.collections["customers"].take_id()
        return {
            "type": "customer_corporate", "id": firm_id, "externalId": f"corp{firm_id}",
            "nickName": rng.choice(names.COMPANIES[self.language]), "createdAt": created,
            "managerId": rng.choice(self.user_ids), "vip": False, "bad": False,
            "site": rng.choice(self.sites),
            "tags": [], **aggregates(NONE), "customFields": [], "personalDiscount": 0,
            "cumulativeDiscount": 0,
        }  # fmt: skip

    def new_address(self, rng: Random, firm: Json) -> Json:
        made = people.address(
            rng, people.tongue(rng, self.language), self.collections["addresses"].take_id()
        )
        return made | {"name": f"Office {firm['id']}", "isMain": True}  # fmt: skip

    def new_company(self, rng: Random, firm: Json, created: str) -> Json:
        number = self.collections["companies"].take_id()
        whose = {k: firm[k] for k in ("site", "id", "externalId", "type") if k in firm}
        return {
            "isMain": True, "id": number, "customer": whose, "active": True,
            "name": firm["nickName"],
            "brand": rng.choice(names.BRANDS), "createdAt": created,
            "contragent": {"contragentType": "legal-entity", "legalName": firm["nickName"],
                           "INN": f"77{number:08d}", "KPP": "027043442", "BIK": "044525225"},
            **aggregates(NONE), "customFields": [],
        }  # fmt: skip

    def new_contact(self, firm: Json, customer_id: int) -> Json:
        person = self.collections["customers"].truth.live.get(customer_id)
        who = {"id": customer_id, "site": person.site if person else firm["site"]}
        if person is not None and person.external is not None:
            who["externalId"] = person.external
        return {
            "isMain": True,
            "id": self.collections["contacts"].take_id(),
            "customer": who,
            "companies": [],
        }


def main_of(part: str, made: Json) -> Json:
    """What the corporate customer itself says of its main address, company or contact."""
    if part == "contacts":
        return {
            "mainCustomerContact": {"id": made["id"], "customer": made["customer"], "companies": []}
        }
    noun = "mainAddress" if part == "addresses" else "mainCompany"
    return {noun: {"id": made["id"], "name": made["name"]}}


def part_words(part: str, made: Json) -> list[Word]:
    """The entries of adding a part: itself, and that it is the main one."""
    if part == "contacts":
        value: Json = {"id": made["id"]}
        about = {"customerContact": {"id": made["id"], "customer": {"id": made["customer"]["id"]}}}
        noun = "contact"
    else:
        value = {"id": made["id"], "name": made["name"]}
        noun = "address" if part == "addresses" else "company"
        about = {noun: made}
    said = [Word(noun, None, value, about)]
    if made["isMain"]:
        said.append(Word(f"main_{noun}", None, value))
    return said
