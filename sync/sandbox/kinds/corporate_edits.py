"""Changes of corporate customers, and of their addresses, companies and contacts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from sync.sandbox import names, people
from sync.sandbox.account import Account
from sync.sandbox.aggregates import NONE, rendered
from sync.sandbox.history_format import Word, customer_stub, merged, words
from sync.sandbox.kinds.order_edits import move_orders
from sync.sandbox.php import Json
from sync.sandbox.records import Record
from sync.sandbox.saves import Save

NAME = "customers-corporate"


@dataclass(frozen=True)
class Part:
    """Names of a part: in a history, in an entry's object, and as the customer's main part."""

    noun: str
    about: str
    main: str


PARTS = {
    "addresses": Part("address", "address", "mainAddress"),
    "companies": Part("company", "company", "mainCompany"),
    "contacts": Part("contact", "customerContact", "mainCustomerContact"),
}


def create_corporate(
    account: Account, *, contact: int | None = None, source: str = "user", **fields: Any
) -> int:
    """Create a corporate customer with one company, one address and, if given, one contact."""
    with account.saving(source) as save:
        firm = merged(new_corporate(account, account.rng, created=save.text), fields)
        found_corporate(account, save, firm)
        put_part(account, save, firm, "addresses", new_address(account, account.rng, firm))
        company = new_company(account, account.rng, firm, save.text)
        put_part(account, save, firm, "companies", company)
        if contact is not None:
            put_part(account, save, firm, "contacts", new_contact(account, firm, contact))
        return int(firm["id"])


def found_corporate(account: Account, save: Save, firm: Json) -> None:
    """Put a new corporate customer, with its `created` entry."""
    save.came(NAME, account.store.record(firm), Word("id", None, firm["id"]))


def update_corporate(
    account: Account, customer_id: int, *, source: str = "user", silent: bool = False,
    **changes: Any,
) -> int:  # fmt: skip
    with account.saving(source, silent=silent) as save:
        _, old = account.store.loaded(NAME, customer_id)
        new = merged(old, changes)
        record = account.store.record(new)
        save.put(NAME, record)
        for word in words("customer", old, new):
            save.say(NAME, record, word, stub=customer_stub(new))
        return record.id


def delete_corporate(account: Account, customer_id: int) -> int:
    """Delete a corporate customer with its addresses, companies and contacts."""
    with account.saving("user") as save:
        record = account.must(NAME, customer_id)
        save.went(NAME, record, "history", Word("id", record.id, None))
        for part in PARTS:
            for part_ in owned_by(account, part, record.id):
                save.drop(part, part_.id, "parent")
        return record.id


def merge_corporate(account: Account, into: int, sources: list[int]) -> int:
    """Merge corporate customers: as with customers, orders move, and parts with them."""
    with account.saving("user") as save:
        survivor, firm = account.store.loaded(NAME, into)
        kept, loud = customer_stub(firm), account.knobs.merge_writes_order_history
        for record in [account.must(NAME, s) for s in sources if int(s) != survivor.id]:
            about: Json = {"combinedTo": kept | {"type": "customer_corporate"}}
            word = Word("id", record.id, None, about)
            save.went(NAME, record, "combined", word, survivor=survivor.id)
            for part in PARTS:
                for part_ in owned_by(account, part, record.id):
                    thing = account.collections[part].load(part_) | {"isMain": False}
                    save.put(part, part_record(account, survivor, thing))
            move_orders(account, save, record.id, survivor, loud=loud)
        account.aggregates.refresh(save, survivor.id)
        return survivor.id


# --- parts


def add_address(account: Account, customer_id: int, **fields: Any) -> int:
    made = partial(new_address, account, account.rng)
    return _add(account, customer_id, "addresses", lambda firm, _: made(firm), fields)


def add_company(account: Account, customer_id: int, **fields: Any) -> int:
    made = partial(new_company, account, account.rng)
    return _add(account, customer_id, "companies", made, fields)


def add_contact(account: Account, customer_id: int, contact: int) -> int:
    return _add(
        account, customer_id, "contacts", lambda firm, _: new_contact(account, firm, contact), {}
    )


def _add(
    account: Account, customer_id: int, part: str, make: Callable[[Json, str], Json], fields: Json
) -> int:
    with account.saving("user") as save:
        _, firm = account.store.loaded(NAME, customer_id)
        made = merged(make(firm, save.text), {"isMain": False} | fields)
        return put_part(account, save, firm, part, made)


def update_part(
    account: Account, part: str, part_id: int, *, silent: bool = False, **changes: Any
) -> int:
    """Change an address, company or contact (`part` is the collection)."""
    with account.saving("user", silent=silent) as save:
        before, old = account.store.loaded(part, part_id)
        firm, whose = account.store.loaded(NAME, before.customer or 0)
        new = merged(old, changes)
        if new["isMain"] and not old["isMain"]:
            _step_down(account, save, firm, part)
        save.put(part, part_record(account, firm, new))
        about = {PARTS[part].about: {"id": before.id}}
        for word in words("part", old, new):
            said = Word(f"{PARTS[part].noun}.{word.field}", word.old, word.new, about)
            save.say(NAME, firm, said, stub=customer_stub(whose))
        if new["isMain"] and merged(whose, main_of(part, new)) != whose:
            update_corporate(account, firm.id, silent=silent, **main_of(part, new))
        return before.id


def remove_part(account: Account, part: str, part_id: int) -> int:
    """Remove an address, company or contact; the history's new value is null."""
    with account.saving("user") as save:
        before = account.must(part, part_id)
        firm, whose = account.store.loaded(NAME, before.customer or 0)
        save.drop(part, before.id, "history")
        word = Word(PARTS[part].noun, {"id": before.id}, None)
        save.say(NAME, firm, word, stub=customer_stub(whose))
        return before.id


def owned_by(account: Account, part: str, customer_id: int) -> list[Record]:
    live = account.collections[part].truth.live
    return [r for r in live.values() if r.customer == customer_id]


def put_part(account: Account, save: Save, firm: Json, part: str, made: Json) -> int:
    """Put a new part of a corporate customer; as the main one it takes the place of another."""
    record = account.must(NAME, firm["id"])
    if made["isMain"]:
        _step_down(account, save, record, part)
    save.put(part, part_record(account, record, made))
    for word in part_words(part, made):
        save.say(NAME, record, word, stub=customer_stub(firm))
    if made["isMain"]:
        firm |= main_of(part, made)
        save.put(NAME, account.store.record(firm))
    return int(made["id"])


def _step_down(account: Account, save: Save, firm: Record, part: str) -> None:
    for record in owned_by(account, part, firm.id):
        thing = account.collections[part].load(record)
        if thing["isMain"]:
            save.put(part, part_record(account, firm, thing | {"isMain": False}))


def part_record(account: Account, firm: Record, made: Json) -> Record:
    return account.store.record(made, site=firm.site, customer=firm.id)


def main_of(part: str, made: Json) -> Json:
    """Return the main address, company or contact, as the customer itself carries it."""
    if part == "contacts":
        said: Json = {"id": made["id"], "customer": made["customer"], "companies": []}
    else:
        said = {"id": made["id"], "name": made["name"]}
    return {PARTS[part].main: said}


def part_words(part: str, made: Json) -> list[Word]:
    """Return the entries for an added part: the part, and that it is the main one."""
    kind, value, about = PARTS[part], {"id": made["id"]}, made
    if part == "contacts":
        about = value | {"customer": {"id": made["customer"]["id"]}}
    else:
        value = value | {"name": made["name"]}
    said = [Word(kind.noun, None, value, {kind.about: about})]
    if made["isMain"]:
        said.append(Word(f"main_{kind.noun}", None, value))
    return said


# --- making


def new_corporate(account: Account, rng: Random, *, created: str) -> Json:
    firm_id = account.store.take_id("customers")
    return {
        "type": "customer_corporate", "id": firm_id, "externalId": f"corp{firm_id}",
        "nickName": rng.choice(names.COMPANIES[account.language]), "createdAt": created,
        "managerId": rng.choice(account.user_ids), "vip": False, "bad": False,
        "site": rng.choice(account.sites),
        "tags": [], **rendered(NONE), "customFields": [], "personalDiscount": 0,
        "cumulativeDiscount": 0,
    }  # fmt: skip


def new_address(account: Account, rng: Random, firm: Json) -> Json:
    tongue = people.tongue(rng, account.language)
    made = people.address(rng, tongue, account.store.take_id("addresses"))
    return made | {"name": f"Office {firm['id']}", "isMain": True}


def new_company(account: Account, rng: Random, firm: Json, created: str) -> Json:
    number = account.store.take_id("companies")
    whose = {k: firm[k] for k in ("site", "id", "externalId", "type") if k in firm}
    return {
        "isMain": True, "id": number, "customer": whose, "active": True,
        "name": firm["nickName"],
        "brand": rng.choice(names.BRANDS), "createdAt": created,
        "contragent": {"contragentType": "legal-entity", "legalName": firm["nickName"],
                       "INN": f"77{number:08d}", "KPP": "027043442", "BIK": "044525225"},
        **rendered(NONE), "customFields": [],
    }  # fmt: skip


def new_contact(account: Account, firm: Json, customer_id: int) -> Json:
    person = account.collections["customers"].truth.live.get(customer_id)
    who = {"id": customer_id, "site": person.site if person else firm["site"]}
    if person is not None and person.external is not None:
        who["externalId"] = person.external
    return {"isMain": True, "id": account.store.take_id("contacts"), "customer": who,
            "companies": []}  # fmt: skip
