"""How a history words a change: field names, value shapes, the stub beside them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sync.sandbox.php import Json

# path in the entity -> (field of the history, shape of its value)
_ORDER = {
    "status": ("status", "code"),
    "orderType": ("order_type", "code"),
    "orderMethod": ("order_method", "code"),
    "site": ("site", "code"),
    "managerId": ("manager", "id"),
    "shipmentStore": ("shipment_store", "code"),
    "countryIso": ("country", "plain"),
    "delivery.cost": ("delivery_cost", "plain"),
    "delivery.netCost": ("delivery_net_cost", "plain"),
    "delivery.code": ("delivery_type", "code"),
    "delivery.date": ("delivery_date", "plain"),
    "delivery.time": ("delivery_time", "plain"),
    "delivery.service.code": ("delivery_service", "code"),
    "privilegeType": ("privilege_type", "code"),
}
_CUSTOMER = {
    "managerId": ("manager", "id"),
    "site": ("site", "code"),
    "mainAddress.id": ("main_address", "id"),
    "mainCompany.id": ("main_company", "id"),
    "mainCustomerContact.id": ("main_contact", "id"),
}
_NAMES: dict[str, dict[str, tuple[str, str]]] = {"order": _ORDER, "customer": _CUSTOMER}
# What the API computes itself: it changes without an entry of its own.
DERIVED = {
    "summ", "totalSumm", "purchaseSumm", "statusUpdatedAt", "prepaySum", "slug",
    "avgMarginSumm", "marginSumm", "averageSumm", "ordersCount", "costSumm", "cumulativeDiscount",
    "presumableSex", "markDatetime", "mgCustomers", "customerSubscriptions", "updatedAt",
    "bonusesCreditTotal", "bonusesChargeTotal",
}  # fmt: skip
AGGREGATES = ("marginSumm", "totalSumm", "averageSumm", "ordersCount", "costSumm")


@dataclass(slots=True)
class Word:
    """One entry to be written: field, old and new value, and the stubs of what it is about."""

    field: str
    old: Any
    new: Any
    about: Json = dataclasses.field(default_factory=dict)


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def shaped(value: Any, shape: str) -> Any:
    return value if value is None or shape == "plain" else {shape: value}


def merged(before: Json, changes: Json) -> Json:
    """`before` with `changes` laid over it; objects merge, None removes, all else replaces."""
    after = dict(before)
    for name, value in changes.items():
        old = after.get(name)
        if value is None:
            after.pop(name, None)
        elif name in ("payments", "items"):
            after[name] = value
        elif isinstance(value, dict) and isinstance(old, dict | list):
            after[name] = merged(old if isinstance(old, dict) else {}, value)
        else:
            after[name] = value
    return after


def flat(entity: Json, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by dotted path; a list is a leaf."""
    for name, value in entity.items():
        if isinstance(value, dict) and name != "time":
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def words(kind: str, before: Json, after: Json) -> Iterator[Word]:
    """The plain fields that differ, as the history of `kind` ("order", "customer"…) words them."""
    skipped = ("items", "payments", "customer", "contact", "company")
    old = dict(flat({k: v for k, v in before.items() if k not in skipped}))
    new = dict(flat({k: v for k, v in after.items() if k not in skipped}))
    names = _NAMES.get(kind, {})
    for path in [*old, *(p for p in new if p not in old)]:
        was, now = old.get(path), new.get(path)
        root, _, rest = path.partition(".")
        if was == now or root in DERIVED:
            continue
        if root == "customFields":
            if rest:
                yield Word(f"custom_{rest}", was, now)
            continue
        if root == "totalSumm" and kind != "order":
            continue
        if isinstance(was, list) or isinstance(now, list):
            yield from _list_words(_named(path), was or [], now or [])
            continue
        name, shape = names.get(path, (_named(path), "plain"))
        yield Word(name, shaped(was, shape), shaped(now, shape))


def _list_words(name: str, was: list[Any], now: list[Any]) -> Iterator[Word]:
    """One entry per element that went or came: values are never lists."""
    for element in was:
        if element not in now:
            yield Word(name, _element(element), None)
    for element in now:
        if element not in was:
            yield Word(name, None, _element(element))


def _element(element: Any) -> Any:
    if not isinstance(element, dict):
        return element
    if "number" in element:
        return element["number"]
    return {k: element[k] for k in ("id", "code") if k in element} or element.get("name")


def _named(path: str) -> str:
    parts = [snake(part) for part in path.split(".")]
    if parts[0] == "delivery" and len(parts) > 2:
        return f"delivery_{parts[1]}." + ".".join(parts[2:])
    return parts[0] + ("." + ".".join(parts[1:]) if len(parts) > 1 else "")


def item_words(before: list[Json], after: list[Json]) -> Iterator[Word]:
    """Items that came, went or changed: `order_product`, `order_product.quantity`…"""
    old = {item["id"]: item for item in before}
    new = {item["id"]: item for item in after}
    for item_id, item in new.items():
        about = {"item": item_stub(item)}
        if item_id not in old:
            yield Word("order_product", None, {"id": item_id}, about)
            continue
        was = old[item_id]
        if was.get("status") != item.get("status"):
            yield Word(
                "order_product.status",
                shaped(was.get("status"), "code"),
                shaped(item.get("status"), "code"),
                about,
            )
        for name in ("quantity", "initialPrice", "discountTotal", "purchasePrice", "vatRate"):
            if was.get(name) != item.get(name):
                yield Word(f"order_product.{snake(name)}", was.get(name), item.get(name), about)
    for item_id, item in old.items():
        if item_id not in new:
            yield Word("order_product", {"id": item_id}, None, {"item": item_stub(item)})


def item_stub(item: Json) -> Json:
    offer = item.get("offer") or {}
    stub: Json = {"id": item["id"]}
    if offer.get("id"):
        stub["offer"] = {k: offer[k] for k in ("id", "externalId", "xmlId") if k in offer}
    return stub


def payment_words(before: Json, after: Json) -> Iterator[Word]:
    for payment_id, payment in after.items():
        about = {"payment": payment_stub(payment)}
        was = before.get(payment_id)
        if was is None:
            new = {"id": payment["id"], "type": payment.get("type")}
            yield Word("payments", None, new, about)
            continue
        for name, shape in (("paidAt", "plain"), ("status", "code"), ("type", "code"),
                            ("amount", "plain"), ("externalId", "plain"),
                            ("comment", "plain")):  # fmt: skip
            if was.get(name) != payment.get(name):
                yield Word(
                    f"payments.{snake(name)}",
                    shaped(was.get(name), shape),
                    shaped(payment.get(name), shape),
                    about,
                )
    for payment_id, payment in before.items():
        if payment_id not in after:
            old = {"id": payment["id"], "type": payment.get("type")}
            yield Word("payments", old, None, {"payment": payment_stub(payment)})


def payment_stub(payment: Json) -> Json:
    return {k: payment[k] for k in ("id", "type", "externalId") if k in payment}


def order_stub(order: Json) -> Json:
    names = ("id", "externalId", "managerId", "site", "status")
    return {k: order[k] for k in names if order.get(k) is not None}


def customer_stub(customer: Json) -> Json:
    return {k: customer[k] for k in ("id", "externalId", "site") if customer.get(k) is not None}
