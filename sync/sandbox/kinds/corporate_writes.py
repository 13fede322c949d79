"""The API's writes of corporate customers and their parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sync.sandbox.account import Account
from sync.sandbox.aggregates import NONE, rendered
from sync.sandbox.calls import Call
from sync.sandbox.kinds.corporate_edits import (
    NAME,
    PARTS,
    found_corporate,
    merge_corporate,
    owned_by,
    put_part,
    update_corporate,
    update_part,
)
from sync.sandbox.kinds.customer_writes import ADDRESS, CONTRAGENT, SHARED, merging, tagged
from sync.sandbox.php import Json, Refusal
from sync.sandbox.records import Record
from sync.sandbox.shapes import (
    Done,
    Reading,
    Shape,
    custom_fields,
    editing,
    every,
    flag,
    inside,
    making,
    several,
    text,
)
from sync.sandbox.singles import find
from sync.sandbox.writes import Upload, claim, fixing, known

SHAPES = {
    "addresses": Shape({**text("name", "externalId"), **flag("isMain"), **ADDRESS.fields}),
    "companies": Shape(
        {**text("name", "brand", "externalId"), **flag("isMain", "active"),
         "contragent": inside(CONTRAGENT), **custom_fields("company")},
        needs=("name",),
    ),
    "contacts": Shape({**flag("isMain"), "customer": known("customers")}, needs=("customer",)),
}  # fmt: skip
GIVEN = {"addresses": "addresses", "companies": "companies", "customerContacts": "contacts"}
FIRM = Shape(
    {**SHARED, **custom_fields("customer_corporate"), **text("nickName"),
     **{name: every(SHAPES[part]) for name, part in GIVEN.items()}},
    needs=("nickName",),
)  # fmt: skip


def _make(reading: Reading, row: Any) -> Callable[[], int]:
    """Read a new corporate customer of the call's site, with its parts."""
    call, site = reading.call, reading.call.site()
    form = FIRM.read(reading, row)
    claim(reading, NAME, form, site)

    def save() -> int:
        account = call.account
        with account.saving("api") as save:
            firm = _new(account, site, form, when=save.text)
            found_corporate(account, save, firm)
            for name, part in GIVEN.items():
                given = form.get(name) or []
                for n, each in enumerate(given):
                    main = {"isMain": n == 0} if not any(e.get("isMain") for e in given) else {}
                    made = _new_part(account, firm, part, {**each, **main}, when=save.text)
                    put_part(account, save, firm, part, made)
            return int(firm["id"])

    return save


def _new(account: Account, site: str, form: Json, *, when: str) -> Json:
    made: Json = {
        "type": "customer_corporate", "id": account.store.take_id("customers"), "createdAt": when,
        "vip": False, "bad": False, "site": site, "tags": [], **rendered(NONE), "customFields": [],
        "personalDiscount": 0, "cumulativeDiscount": 0,
    }  # fmt: skip
    given = {k: v for k, v in form.items() if v is not None and k not in GIVEN}
    made |= tagged(made, given)
    return made | {"customFields": made["customFields"] or []}


def _new_part(account: Account, firm: Json, part: str, form: Json, *, when: str) -> Json:
    """Return an address, company or contact of what a form says."""
    made: Json = {"id": account.store.take_id(part), "isMain": False}
    if part == "companies":
        whose = {k: firm[k] for k in ("site", "id", "externalId", "type") if k in firm}
        made |= {"customer": whose, "active": True, "createdAt": when, **rendered(NONE),
                 "customFields": []}  # fmt: skip
    if part == "contacts":
        made["companies"] = []
    made |= _plain(form)
    if part == "companies":
        made["customFields"] = made["customFields"] or []
    if part == "addresses":
        made.setdefault("name", made.get("text") or made.get("city") or "")
    return made


def _plain(form: Json) -> Json:
    """Return a form with its contact as the API sends one."""
    plain = {k: v for k, v in form.items() if v is not None}
    person: Record | None = plain.get("customer")
    if person is not None:
        whose = {"id": person.id, "externalId": person.external, "site": person.site}
        plain["customer"] = {k: v for k, v in whose.items() if v is not None}
    return plain


def create(call: Call, value: Any) -> Done:
    reading = Reading(call, creating=True)
    save = _make(reading, value)
    reading.refuse("Customer")
    return Done({"id": save()})


def edit(call: Call, value: Any) -> Done:
    """Change what is given; its parts have methods of their own."""
    record = find(call, NAME, call.args[0], by_external=True)
    old = call.account.collections[NAME].load(record)
    reading = Reading(call)
    form = FIRM.read(reading, value)
    claim(reading, NAME, form, record.site, own=old)
    reading.refuse("Customer")
    changes = tagged(old, {k: v for k, v in form.items() if k not in GIVEN})
    return Done({"id": update_corporate(call.account, record.id, **changes)})


@dataclass(frozen=True)
class AddPart:
    """`…/{id}/addresses/create` and the like."""

    part: str

    def __call__(self, call: Call, value: Any) -> Done:
        record = find(call, NAME, call.args[0], by_external=True)
        reading = Reading(call, creating=True)
        form = SHAPES[self.part].read(reading, value)
        reading.refuse("Customer")
        with call.account.saving("api") as save:
            firm = call.account.collections[NAME].load(record)
            made = _new_part(call.account, firm, self.part, form, when=save.text)
            return Done({"id": put_part(call.account, save, firm, self.part, made)})


@dataclass(frozen=True)
class EditPart:
    """`…/addresses/{part}/edit` and the like: `by` is of the customer, `entityBy` of the part."""

    part: str

    def __call__(self, call: Call, value: Any) -> Done:
        firm = find(call, NAME, call.args[0], by_external=True)
        wanted, by = call.args[1], call.by(name="entityBy")
        held = call.account.collections[self.part]
        for record in owned_by(call.account, self.part, firm.id):
            thing = held.load(record)
            named = thing["customer"] if self.part == "contacts" and by == "externalId" else thing
            if str(named.get(by)) == wanted:
                reading = Reading(call)
                form = SHAPES[self.part].read(reading, value)
                reading.refuse("Customer")
                return Done({"id": update_part(call.account, self.part, record.id, **_plain(form))})
        raise Refusal(404, "Not found")


FIELDS = {"addresses": "address", "companies": "company", "contacts": "contact"}
WRITES = {
    f"{NAME}/create": making(create, "customerCorporate", FIRM),
    # The second name is what the Python client sends.
    f"{NAME}/{{id}}/edit": editing(edit, ("customerCorporate", "customersCorporate"), FIRM),
    f"{NAME}/upload": several(Upload("Customers", _make), "customersCorporate", FIRM),
    f"{NAME}/combine": merging(NAME, merge_corporate),
    f"{NAME}/fix-external-ids": fixing(NAME, "customersCorporate", update_corporate),
}
PART_WRITES = {
    part: {
        f"{NAME}/{{id}}/{part}/create": making(AddPart(part), FIELDS[part], SHAPES[part]),
        f"{NAME}/{{id}}/{part}/{{part}}/edit": editing(EditPart(part), FIELDS[part], SHAPES[part]),
    }
    for part in PARTS
}
