"""The API's writes of customers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sync.sandbox.account import Account
from sync.sandbox.aggregates import NONE, rendered
from sync.sandbox.calls import Call
from sync.sandbox.forms import structure
from sync.sandbox.kinds.customer_edits import add_customer, merge_customers, update_customer
from sync.sandbox.php import Json, Refusal
from sync.sandbox.shapes import (
    BLANK,
    FORMAT,
    Done,
    Reading,
    Shape,
    Write,
    custom_fields,
    day,
    editing,
    every,
    flag,
    inside,
    lists,
    making,
    moment,
    number,
    only,
    several,
    text,
    user,
    whole,
)
from sync.sandbox.singles import find
from sync.sandbox.writes import Upload, claim, fixing, listed, named

ADDRESS = Shape({
    **text("index", "countryIso", "region", "city", "cityType", "street", "streetType", "building",
           "flat", "house", "housing", "metro", "notes", "text"),
    **whole("regionId", "cityId", "streetId", "floor", "block"),
})  # fmt: skip
CONTRAGENT = Shape({
    "contragentType": only("individual", "legal-entity", "enterpreneur"),
    **text("legalName", "legalAddress", "INN", "OKPO", "KPP", "OGRN", "OGRNIP", "BIK", "bank",
           "certificateNumber", "bankAddress", "corrAccount", "bankAccount"),
    **day("certificateDate"),
})  # fmt: skip
SOURCE = Shape(text("source", "medium", "campaign", "keyword", "content"))
SHARED = {
    **text("externalId", "discountCardNumber", "firstClientId", "lastClientId"),
    **flag("vip", "bad"), **number("personalDiscount"), **moment("createdAt"),
    **lists("addTags", "removeTags"),
    "managerId": user(), "source": inside(SOURCE),
}  # fmt: skip
CUSTOMER = Shape({
    **SHARED, **custom_fields("customer"),
    **text("browserId", "firstName", "lastName", "patronymic", "email", "photoUrl"),
    **flag("isContact"), **day("birthday"),
    "sex": only("male", "female"), "address": inside(ADDRESS), "contragent": inside(CONTRAGENT),
    "phones": every(Shape(text("number"), needs=("number",))),
})  # fmt: skip
SUBSCRIPTION = Shape(
    {**text("channel", "subscription"), **flag("active"), **whole("messageId")},
    needs=("channel", "active"),
)


def new_customer(account: Account, site: str, form: Json, *, when: str) -> Json:
    """Return a customer of what a form says; the rest is what a new one has."""
    customer_id = account.store.take_id("customers")
    made: Json = {
        "type": "customer", "id": customer_id, "isContact": False, "createdAt": when, "vip": False,
        "bad": False, "site": site, "contragent": {"contragentType": "individual"}, "tags": [],
        **rendered(NONE), "customFields": [], "personalDiscount": 0, "cumulativeDiscount": 0,
        "segments": [], "phones": [],
    }  # fmt: skip
    given = {k: v for k, v in form.items() if v is not None}
    made |= tagged(made, given)
    made["customFields"] = made["customFields"] or []
    if "address" in made:
        made["address"] = {"id": customer_id + 10, **made["address"]}
    return made


def tagged(person: Json, form: Json) -> Json:
    """Return the changes of a form, with `addTags` and `removeTags` made into tags."""
    changes = {k: v for k, v in form.items() if k not in ("addTags", "removeTags")}
    add, remove = form.get("addTags") or [], form.get("removeTags") or []
    if add or remove:
        kept = [t for t in person.get("tags") or [] if t.get("name") not in (*add, *remove)]
        changes["tags"] = [*kept, *({"name": str(name), "attached": True} for name in add)]
    return changes


def _make(reading: Reading, row: Any) -> Callable[[], int]:
    """Read a new customer of the call's site."""
    call, site = reading.call, reading.call.site()
    form = CUSTOMER.read(reading, row)
    claim(reading, "customers", form, site)

    def save() -> int:
        with call.account.saving("api") as save:
            person = new_customer(call.account, site, form, when=save.text)
            add_customer(call.account, save, person)
            return int(person["id"])

    return save


def create(call: Call, value: Any) -> Done:
    reading = Reading(call, creating=True)
    save = _make(reading, value)
    reading.refuse("Customer")
    return Done({"id": save()})


def edit(call: Call, value: Any) -> Done:
    """Change what is given; null takes a field away, as far as is known."""
    record = find(call, "customers", call.args[0], by_external=True)
    old = call.account.collections["customers"].load(record)
    reading = Reading(call)
    form = CUSTOMER.read(reading, value)
    claim(reading, "customers", form, record.site, own=old)
    reading.refuse("Customer")
    changes = tagged(old, form)
    if changes.get("address") and "id" not in (old.get("address") or {}):
        changes["address"] = {"id": record.id + 10, **changes["address"]}
    return Done({"id": update_customer(call.account, record.id, **changes)})


def merging(collection: str, merge: Callable[[Account, int, list[int]], int]) -> Write:
    """Return `…/combine`: `customers` go into `resultCustomer`.

    The API does it in the background; here it is done when the answer comes.
    """

    def combine(call: Call, result: Any) -> Done:
        rows = listed(structure(call.params, "customers"))
        if not rows:
            raise Refusal(400, FORMAT, errors={"customers": BLANK})
        into = named(call, "resultCustomer", result, collection)
        sources = [named(call, f"customers[{n}]", row, collection) for n, row in enumerate(rows)]
        if any(source.id == into.id for source in sources):
            raise Refusal(400, FORMAT, errors={"resultCustomer": "It is among the customers."})
        merge(call.account, into.id, [source.id for source in sources])
        return Done()

    def form(account: Account) -> Json:
        into, source = account.ids(collection)[:2]
        return {"resultCustomer": {"id": into}, "customers": [{"id": source}]}

    return Write(combine, "resultCustomer", form=form)


def subscribe(call: Call, rows: Any) -> Done:
    """Switch subscriptions of a customer, by channel and, if named, by subscription."""
    record = find(call, "customers", call.args[0], by_external=True)
    _, person = call.account.store.loaded("customers", record.id)
    reading = Reading(call, creating=True)
    wanted = [SUBSCRIPTION.read(reading, row, f"[{n}]") for n, row in enumerate(listed(rows))]
    reading.refuse("Subscriptions")
    held = list(person.get("customerSubscriptions") or [])
    when = call.account.local(call.now)
    for each in wanted:
        code = each.get("subscription") or each["channel"]
        same = [s for s in held if s["subscription"]["code"] == code]
        named = {"channel": each["channel"], "code": code, "name": code, "active": True}
        held = [s for s in held if s not in same]
        held.append({"subscription": named, "subscribed": each["active"], "changedAt": when})
    update_customer(call.account, record.id, customerSubscriptions=held)
    return Done()


WRITES = {
    "customers/create": making(create, "customer", CUSTOMER),
    "customers/{id}/edit": editing(edit, "customer", CUSTOMER),
    "customers/upload": several(Upload("Customers", _make), "customers", CUSTOMER),
    "customers/combine": merging("customers", merge_customers),
    "customers/fix-external-ids": fixing("customers", "customers", update_customer),
    "customers/{id}/subscriptions": several(subscribe, "subscriptions", SUBSCRIPTION),
}
