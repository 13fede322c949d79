"""The format of histories: field names, shapes of values, and the stub of the subject."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
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
# Fields that the API computes itself: they change without an entry.
DERIVED = {
    "summ", "totalSumm", "purchaseSumm", "statusUpdatedAt", "prepaySum", "slug",
    "avgMarginSumm", "marginSumm", "averageSumm", "ordersCount", "costSumm", "cumulativeDiscount",
    "presumableSex", "markDatetime", "mgCustomers", "customerSubscriptions", "updatedAt",
    "bonusesCreditTotal", "bonusesChargeTotal",
}  # fmt: skip
KEYLESS = ("packs",)  # histories that name no API key: the clients' models of them have none
AGGREGATES = ("marginSumm", "totalSumm", "averageSumm", "ordersCount", "costSumm")


@dataclass(slots=True)
class Word:
    """One entry to be written: field, old and new value, and the stubs of its subject."""

    field: str
    old: Any
    new: Any
    about: Json = dataclasses.field(default_factory=dict)


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def shaped(value: Any, shape: str) -> Any:
    return value if value is None or shape == "plain" else {shape: value}


def merged(before: Json, changes: Json) -> Json:
    """Return `before` updated with `changes`; objects merge, None removes, the rest replaces."""
    after = dict(before)
    for name, value in changes.items():
        old = after.get(name)
        if value is None:
            after.pop(name, None)
        elif name in ("payments", "items"):
            after[name] = value
        elif isinstance(value, dict) and isinstance(old, dict | list):
            after[name] = merged(old if isinstance(old, dict) else {}, value) or old
        else:
            after[name] = value
    return after


def flat(entity: Json, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves by dotted path; a list is a leaf."""
    for name, value in entity.items():
        if isinstance(value, dict) and name != "time":
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def words(kind: str, before: Json, after: Json) -> Iterator[Word]:
    """Yield an entry for each plain field that differs; `kind` is "order", "customer"…"""
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
    """Yield one entry for each element added or removed: values are never lists."""
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
    if "order" in element:  # a link; how the API tells of one is not known
        return {"id": element["order"]["id"]}
    return {k: element[k] for k in ("id", "code") if k in element} or element.get("name")


def _named(path: str) -> str:
    parts = [snake(part) for part in path.split(".")]
    if parts[0] == "delivery" and len(parts) > 2:
        return f"delivery_{parts[1]}." + ".".join(parts[2:])
    return parts[0] + ("." + ".".join(parts[1:]) if len(parts) > 1 else "")


_ITEM = {"status": "code"} | dict.fromkeys(
    ("quantity", "initialPrice", "discountTotal", "purchasePrice", "vatRate"), "plain"
)
_PAYMENT = {"paidAt": "plain", "status": "code", "type": "code"} | dict.fromkeys(
    ("amount", "externalId", "comment"), "plain"
)


def item_words(before: list[Json], after: list[Json]) -> Iterator[Word]:
    """Yield entries of added, removed, changed items: `order_product`, `order_product.quantity`…"""
    old, new = ({item["id"]: item for item in items} for items in (before, after))
    yield from _part_words("order_product", "item", _ITEM, old, new, item_stub, ("id",))


def payment_words(before: Json, after: Json) -> Iterator[Word]:
    """Yield entries for added, removed or changed payments: `payments`, `payments.status`…"""
    value = ("id", "type")
    yield from _part_words("payments", "payment", _PAYMENT, before, after, payment_stub, value)


def _part_words(
    field: str, noun: str, shapes: dict[str, str], before: dict[Any, Json], after: dict[Any, Json],
    stub: Callable[[Json], Json], value: tuple[str, ...],
) -> Iterator[Word]:  # fmt: skip
    for key, part in after.items():
        about, was = {noun: stub(part)}, before.get(key)
        if was is None:
            yield Word(field, None, {name: part.get(name) for name in value}, about)
            continue
        for name, shape in shapes.items():
            old, new = was.get(name), part.get(name)
            if old != new:
                yield Word(f"{field}.{snake(name)}", shaped(old, shape), shaped(new, shape), about)
    for key, part in before.items():
        if key not in after:
            gone = {name: part.get(name) for name in value}
            yield Word(field, gone, None, {noun: stub(part)})


def item_stub(item: Json) -> Json:
    offer = item.get("offer") or {}
    stub: Json = {"id": item["id"]}
    if offer.get("id"):
        stub["offer"] = {k: offer[k] for k in ("id", "externalId", "xmlId") if k in offer}
    return stub


def payment_stub(payment: Json) -> Json:
    return {k: payment[k] for k in ("id", "type", "externalId") if k in payment}


def order_stub(order: Json) -> Json:
    names = ("id", "externalId", "managerId", "site", "status")
    return {k: order[k] for k in names if order.get(k) is not None}


def customer_stub(customer: Json) -> Json:
    return {k: customer[k] for k in ("id", "externalId", "site") if customer.get(k) is not None}
