"""The items of an order, as a write gives them."""

from __future__ import annotations

from typing import Any

from sync.sandbox.account import Account
from sync.sandbox.php import Json, loose
from sync.sandbox.shapes import (
    Reading,
    Shape,
    Wrong,
    code,
    every,
    flag,
    inside,
    moment,
    number,
    text,
    whole,
)

OFFER = Shape({**whole("id"), **text("externalId", "xmlId", "name")})
ITEM = Shape({
    **whole("id"), **number("initialPrice", "purchasePrice", "quantity", "discountManualAmount",
                            "discountManualPercent"),
    **text("productName", "comment", "vatRate", "externalId"), **flag("delete"),
    **moment("createdAt"), "status": code("product-statuses"), "offer": inside(OFFER),
    "priceType": inside(Shape({"code": code("price-types")})),
    "externalIds": every(Shape(text("code", "value"))),
    "properties": every(Shape(text("code", "name", "value"))),
})  # fmt: skip
_DISCOUNTS = ("discountManualAmount", "discountManualPercent")
UNNUMBERED = 0  # until the call is known to be accepted
_QUOTED = ("id", "externalId", "xmlId", "name", "article", "vatRate", "properties", "unit")


def read(reading: Reading, given: list[Json], held: list[Json]) -> list[Json]:
    """Return the items an order has after a write: those named by id change, others are new.

    What is not named is gone; so the official shop modules understand it, which always send all.
    """
    by_id = {item["id"]: item for item in held}
    by_external = {_external(item): item for item in held if _external(item)}
    found = []
    for n, form in enumerate(given):
        old = by_id.get(form.get("id") or 0) or by_external.get(_external(form) or "")
        if form.get("id") and old is None:
            reading.wrong(f"items[{n}].id", Wrong("Item not found.", lacks=True))
            continue
        if form.get("delete"):
            continue
        made = _changed(old, form) if old else _new(reading, f"items[{n}]", form)
        if made is not None:
            found.append(made)
    return found


def numbered(account: Account, items: list[Json]) -> list[Json]:
    """Return the items of an accepted write: new ones get their ids."""
    return [i if i["id"] else i | {"id": account.shop.item_id()} for i in items]


def _external(item: Json) -> str | None:
    values = [e.get("value") for e in item.get("externalIds") or []]
    return item.get("externalId") or next(iter(values), None)


def _new(reading: Reading, where: str, form: Json) -> Json | None:
    account = reading.call.account
    asked = form.get("offer") or {}
    by = next((n for n in ("id", "externalId", "xmlId") if asked.get(n)), None)
    offer = _offer(reading, by, asked[by]) if by else None
    name = form.get("productName") or asked.get("name")
    if offer is None and by and not name:
        said = f"Offer with {by}={asked[by]} not found."
        reading.wrong(f"{where}.offer.{by}", Wrong(said, lacks=True))
        return None
    if offer is None and not name:
        reading.wrong(where, Wrong("Set one of the following fields: offer, productName"))
        return None
    quoted: Json = {"displayName": name, "name": name}
    if offer is not None:
        quoted = {"displayName": offer["name"], **{k: offer[k] for k in _QUOTED if k in offer}}
    made: Json = {
        "markingCodes": [], "priceType": {"code": "base"},
        "initialPrice": offer["price"] if offer else 0, "discountTotal": 0,
        "vatRate": offer["vatRate"] if offer else "none",
        "createdAt": account.local(reading.call.now), "quantity": 1, "status": "new",
        "offer": quoted, "properties": [], "purchasePrice": offer["purchasePrice"] if offer else 0,
    }  # fmt: skip
    if offer is None:
        made["productName"] = name
    return {"id": UNNUMBERED, **_changed(made, form)}


def _offer(reading: Reading, by: str, value: Any) -> Json | None:
    held = reading.call.account.collections["offers"]
    for record in held.truth.live.values():
        if (by == "id" and record.id != value) or not reading.call.key.sees(record.site):
            continue
        offer = held.load(record)
        if offer.get(by) == value:
            return offer
    return None


def _changed(item: Json, form: Json) -> Json:
    """Return an item with what a form gives it; prices and discount follow."""
    plain = {k: v for k, v in form.items() if k not in ("id", "offer", "delete", "properties")}
    new = {k: v for k, v in {**item, **plain}.items() if v is not None}
    if form.get("properties"):
        new["properties"] = {p.get("code") or p["name"]: p for p in form["properties"]}
    if any(form.get(name) is not None for name in _DISCOUNTS):
        percent = new.get("discountManualPercent") or 0
        amount = new.get("discountManualAmount") or 0
        new["discountTotal"] = loose(amount + new["initialPrice"] * percent / 100)
    net = loose(new["initialPrice"] - new["discountTotal"])
    return new | {"prices": [{"price": net, "quantity": new["quantity"]}]}
