"""The API's writes of orders, their payments and links."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from sync.sandbox import shop
from sync.sandbox.account import Account
from sync.sandbox.aggregates import BUYERS
from sync.sandbox.calls import Call
from sync.sandbox.forms import structure
from sync.sandbox.kinds import order_items as lines
from sync.sandbox.kinds.customer_edits import add_customer
from sync.sandbox.kinds.customer_writes import ADDRESS, CONTRAGENT, SOURCE, new_customer
from sync.sandbox.kinds.order_edits import acting, merge_orders, place, update_order
from sync.sandbox.php import Json, Refusal, loose
from sync.sandbox.records import Record
from sync.sandbox.sending import sent
from sync.sandbox.shapes import (
    FORMAT,
    Done,
    Reading,
    Shape,
    Write,
    code,
    custom_fields,
    day,
    editing,
    every,
    flag,
    inside,
    making,
    moment,
    number,
    several,
    text,
    user,
    whole,
)
from sync.sandbox.singles import find
from sync.sandbox.writes import Upload, claim, fixing, known, named

PAYMENT = {
    **text("externalId", "comment"), **number("amount"), **moment("paidAt"),
    "type": code("payment-types"), "status": code("payment-statuses"),
}  # fmt: skip
DELIVERY = Shape({
    **text("vatRate"), **number("cost", "netCost"), **day("date"), "address": inside(ADDRESS),
    "code": code("delivery-types"), "time": inside(Shape(text("from", "to", "custom"))),
    "service": inside(Shape({"code": code("delivery-services"), **text("name")})),
})  # fmt: skip
ORDER = Shape({
    **text("number", "externalId", "countryIso", "lastName", "firstName", "patronymic", "phone",
           "additionalPhone", "email", "customerComment", "managerComment", "statusComment"),
    **number("weight", "discountManualAmount", "discountManualPercent"),
    **whole("length", "width", "height", "mark"), **flag("call", "expired", "shipped"),
    **moment("createdAt"), **day("shipmentDate"), **custom_fields("order"),
    "status": code("statuses"), "orderType": code("order-types"),
    "orderMethod": code("order-methods"), "shipmentStore": code("stores"), "managerId": user(),
    "contragent": inside(CONTRAGENT), "source": inside(SOURCE), "delivery": inside(DELIVERY),
    "items": every(lines.ITEM), "payments": every(Shape(PAYMENT, needs=("type",))),
    "customer": known(*BUYERS), "contact": known("customers"),
    "company": known("companies"),
})  # fmt: skip
BY = ("id", "externalId", "number")
FOR_ORDER = Shape({**PAYMENT, "order": known("orders", by=BY)}, needs=("order", "type"))
LINKED = Shape({
    **text("comment"), "orders": every(Shape({"order": known("orders", by=BY)}, needs=("order",))),
})  # fmt: skip


# --- orders


def make(reading: Reading, row: Any) -> Callable[[], int]:
    """Read a new order of the call's site; its customer is found, or made of what is given."""
    call, site = reading.call, reading.call.site()
    form = ORDER.read(reading, row)
    claim(reading, "orders", form, site)
    form["items"] = lines.read(reading, form.get("items") or [], [])
    account = call.account

    def save() -> int:
        with account.saving("api") as save:
            order = _new(account, site, form, when=save.text)
            buyer: Record | None = form.get("customer")
            buyer = buyer or _identified(account, site, form, when=save.text)
            contact: Record | None = form.get("contact")
            owner = None if buyer is None else buyer.id
            acts = acting(account, owner) if contact is None else contact.id
            place(account, save, order, owner, acts)
            return int(order["id"])

    return save


def _new(account: Account, site: str, form: Json, *, when: str) -> Json:
    """Return an order of what a form says; the rest is what a new one has."""
    order_id = account.store.take_id("orders")
    plain = {k: v for k, v in form.items() if v is not None and k not in _APART}
    made: Json = {
        "slug": order_id, "bonusesCreditTotal": 0, "bonusesChargeTotal": 0, "id": order_id,
        "number": f"{order_id}A", "orderType": _usual(account, "order-types"),
        "orderMethod": _usual(account, "order-methods"), "privilegeType": "none",
        "countryIso": account.country, "createdAt": when, "statusUpdatedAt": when, "summ": 0,
        "currency": account.currency, "totalSumm": 0, "prepaySum": 0, "purchaseSumm": 0,
        "markDatetime": when, "call": False, "expired": False,
        "contragent": {"contragentType": "individual"}, "delivery": {"cost": 0, "netCost": 0},
        "site": site, "status": "new", "items": [], "payments": {}, "fromApi": True,
        "weight": 0, "length": 0, "width": 0, "height": 0, "shipped": False, "customFields": [],
    }  # fmt: skip
    made |= plain
    made["items"] = lines.numbered(account, form["items"])
    made["delivery"] = {"cost": 0, "netCost": 0, **made["delivery"]}
    made["customFields"] = made["customFields"] or []
    if form.get("company") is not None:
        made["company"] = account.collections["companies"].load(form["company"])
    shop.totals(made)
    for payment in form.get("payments") or []:
        new = _new_payment(account, payment, made)
        made["payments"][str(new["id"])] = new
    return made | paid(account, made, when=when)


_APART = ("customer", "contact", "company", "payments")


def _usual(account: Account, dictionary: str) -> str:
    """Return the code that a dictionary marks as the API's own, or the CRM's."""
    entries = account.references[dictionary]
    marked = [c for m in ("defaultForApi", "defaultForCrm") for c, e in entries.items() if e.get(m)]
    return next(iter(marked or entries))


def _identified(account: Account, site: str, form: Json, *, when: str) -> Record | None:
    """Return the customer an order without one belongs to: of the same phone or e-mail, or a new.

    That the CRM looks for one, and makes one, is how its shops behave; by what exactly is not
    known.
    """
    people = account.collections["customers"]
    phone, email = form.get("phone"), form.get("email")
    for needle in filter(None, (phone, email)):
        text_of = orjson.dumps(needle)
        for record in people.truth.live.values():
            if record.site == site and text_of in people.bytes_of(record):
                person = people.load(record)
                if email == person.get("email") or phone in _numbers(person):
                    return record
    who = {n: form[n] for n in ("firstName", "lastName", "patronymic", "email") if form.get(n)}
    if not who and not phone:
        return None
    phones = [{"number": phone}] if phone else []
    with account.saving("api") as save:
        person = new_customer(account, site, {**who, "phones": phones}, when=when)
        add_customer(account, save, person)
    return account.must("customers", person["id"])


def _numbers(person: Json) -> list[str]:
    return [p["number"] for p in person.get("phones") or []]


def _told(call: Call, order_id: int) -> Json:
    """Return the order as GET sends it."""
    record = call.account.must("orders", order_id)
    order: Json = orjson.loads(sent(call.account, "orders", record, call.now))
    return order


def create(call: Call, value: Any) -> Done:
    reading = Reading(call, creating=True)
    save = make(reading, value)
    reading.refuse("Order")
    order_id = save()
    return Done({"id": order_id, "order": _told(call, order_id)})


def edit(call: Call, value: Any) -> Done:
    """Change what is given. Items are all that the order has from now on; payments are apart.

    null takes a field away, as far as is known.
    """
    record = find(call, "orders", call.args[0], by_external=True)
    old = call.account.collections["orders"].load(record)
    reading = Reading(call)
    form = ORDER.read(reading, value)
    claim(reading, "orders", form, record.site, own=old)
    changes = {k: v for k, v in form.items() if k not in _APART}
    if "items" in changes:
        changes["items"] = lines.read(reading, changes["items"] or [], old["items"])
    reading.refuse("Order")
    people: Json = {k: form[k].id for k in ("customer", "contact") if form.get(k) is not None}
    if "items" in changes:
        changes["items"] = lines.numbered(call.account, changes["items"])
    if form.get("company") is not None:
        changes["company"] = call.account.collections["companies"].load(form["company"])
    update_order(call.account, record.id, source="api", **people, **changes)
    return Done({"id": record.id, "order": _told(call, record.id)})


def combine(call: Call, value: Any) -> Done:
    """Merge `order` into `resultOrder`; of whose items the result keeps, `technique` decides."""
    technique = call.params.get("technique", "ours")
    if technique not in ("ours", "summ", "theirs"):
        said = "The value you selected is not a valid choice."
        raise Refusal(400, "Errors in the input parameters", errors={"technique": said})
    source = named(call, "order", value, "orders")
    into = named(call, "resultOrder", structure(call.params, "resultOrder"), "orders")
    if source.id == into.id:
        raise Refusal(400, FORMAT, errors={"resultOrder": "It is the order itself."})
    held = call.account.collections["orders"]
    theirs, ours = held.load(source)["items"], held.load(into)["items"]
    items = {"ours": ours, "theirs": theirs, "summ": [*ours, *theirs]}[technique]
    merge_orders(call.account, into.id, [source.id])
    if items != ours:
        update_order(call.account, into.id, source="api", items=items)
    return Done({"errors": []})


def link(call: Call, value: Any) -> Done:
    """Link two orders or more; each of them names the others."""
    reading = Reading(call, creating=True)
    rows = value.get("orders") if isinstance(value, dict) else None
    form = LINKED.read(reading, {"orders": [{"order": row} for row in rows or []]})
    if len(rows or []) < 2:
        said = "This collection should contain 2 elements or more."
        raise Refusal(400, FORMAT, errors={"orders": said})
    reading.refuse("Link")
    comment, when = str(value.get("comment") or ""), call.account.local(call.now)
    linked = {row["order"].id: row["order"] for row in form["orders"]}
    held = call.account.collections["orders"]
    for record in linked.values():
        order = held.load(record)
        others = [
            {"order": shop.short(held.load(o)), "createdAt": when, "comment": comment}
            for o in linked.values() if o.id != record.id
        ]  # fmt: skip
        links = [*(order.get("links") or []), *others]
        update_order(call.account, record.id, source="api", links=links)
    return Done()


# --- payments


def paid(account: Account, order: Json, *, when: str) -> Json:
    """Return what the paid payments make of an order: its prepayment, and when it was whole."""
    complete = {c for c, e in account.references["payment-statuses"].items()
                if e.get("paymentComplete")}  # fmt: skip
    total = sum(p.get("amount") or 0 for p in order["payments"].values()
                if p.get("status") in complete)  # fmt: skip
    is_full = total > 0 and total >= float(order["totalSumm"])
    full = {"fullPaidAt": order.get("fullPaidAt") or when} if is_full else {}
    return {"prepaySum": loose(total), **full}


def _new_payment(account: Account, form: Json, order: Json) -> Json:
    """Return a payment; without an amount it is the order's total, as far as is known."""
    made: Json = {"id": account.shop.payment_id(), "status": _usual(account, "payment-statuses"),
                  "amount": order["totalSumm"]}  # fmt: skip
    return made | {k: v for k, v in form.items() if v is not None and k != "order"}


def _save_payments(call: Call, record: Record, order: Json, payments: Json) -> None:
    after = paid(call.account, order | {"payments": payments}, when=call.account.local(call.now))
    after.setdefault("fullPaidAt", None)
    update_order(call.account, record.id, source="api", payments=payments, **after)


def create_payment(call: Call, value: Any) -> Done:
    reading = Reading(call, creating=True)
    form = FOR_ORDER.read(reading, value)
    reading.refuse("Payment")
    record: Record = form["order"]
    order = call.account.collections["orders"].load(record)
    made = _new_payment(call.account, form, order)
    _save_payments(call, record, order, {**(order["payments"] or {}), str(made["id"]): made})
    return Done({"id": made["id"]})


def _payment(call: Call, by: str) -> tuple[Record, Json, Json]:
    """Return the order of the payment in the path, and both their contents."""
    wanted = call.args[0]
    if by == "externalId":
        site, needle = call.site(), b'"externalId":' + orjson.dumps(wanted)
    else:
        site, needle = None, b'"id":%b' % wanted.encode()
    held = call.account.collections["orders"]
    for record in held.truth.live.values():
        if not call.key.sees(record.site) or (site is not None and record.site != site):
            continue
        if needle in held.bytes_of(record):
            order = held.load(record)
            for payment in (order["payments"] or {}).values():
                if str(payment.get(by)) == wanted:
                    return record, order, payment
    raise Refusal(404, "Payment not found")


def edit_payment(call: Call, value: Any) -> Done:
    """Change a payment, named by its id unless by=externalId (which of them is not known)."""
    record, order, payment = _payment(call, call.by("id"))
    reading = Reading(call)
    form = Shape(PAYMENT).read(reading, value)
    reading.refuse("Payment")
    new = {k: v for k, v in {**payment, **form}.items() if v is not None}
    _save_payments(call, record, order, {**order["payments"], str(payment["id"]): new})
    return Done({"id": payment["id"]})


def delete_payment(call: Call, _: Any) -> Done:
    record, order, payment = _payment(call, "id")
    kept = {k: v for k, v in order["payments"].items() if v["id"] != payment["id"]}
    _save_payments(call, record, order, kept)
    return Done()


def _uploaded(call: Call, ids: list[int]) -> Json:
    return {"orders": [_told(call, order_id) for order_id in ids]}


def _pair(account: Account) -> Json:
    first, second = account.ids("orders")[:2]
    return {"order": {"id": first}, "resultOrder": {"id": second}}


def _link(account: Account) -> Json:
    return {"link": {"orders": [{"id": i} for i in account.ids("orders")[:2]]}}


WRITES = {
    "orders/create": making(create, "order", ORDER),
    "orders/{id}/edit": editing(edit, "order", ORDER),
    "orders/upload": several(Upload("Orders", make, tail=_uploaded), "orders", ORDER),
    "orders/combine": Write(combine, "order", form=_pair),
    "orders/fix-external-ids": fixing("orders", "orders", update_order),
    "orders/links/create": Write(link, "link", 201, _link),
    "orders/payments/create": making(create_payment, "payment", FOR_ORDER),
    "orders/payments/{id}/edit": editing(edit_payment, "payment", Shape(PAYMENT)),
    "orders/payments/{id}/delete": Write(delete_payment),
}
