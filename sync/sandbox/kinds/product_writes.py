"""The API's writes of goods: stock, prices, products and groups. No history tells of them."""

from __future__ import annotations

from typing import Any

from sync.sandbox.account import Account
from sync.sandbox.calls import Call
from sync.sandbox.kinds.product_edits import change_offer
from sync.sandbox.php import Json, Refusal
from sync.sandbox.records import Record
from sync.sandbox.shapes import (
    FORMAT,
    Done,
    Reading,
    Shape,
    checked,
    code,
    editing,
    every,
    flag,
    making,
    number,
    several,
    text,
    whole,
)
from sync.sandbox.singles import find
from sync.sandbox.writes import MOST, listed

NAMED = {**whole("id"), **text("externalId", "xmlId", "site")}
BY = ("id", "externalId", "xmlId")
STOCK = Shape(
    {**NAMED, "stores": every(Shape(
        {"code": code("stores"), **number("available", "purchasePrice")}, needs=("code",)))},
    needs=("stores",), one_of=BY,
)  # fmt: skip
PRICES = Shape(
    {**NAMED, "prices": every(Shape(
        {"code": code("price-types"), **number("price"), **flag("remove")}, needs=("code",)))},
    needs=("prices",), one_of=BY,
)  # fmt: skip
INVENTORY_MOST = 250  # rows in an upload of stock, as its list takes; what is said to more: unknown
PRODUCT = {
    **text("name", "article", "url", "description", "manufacturer", "externalId"),
    **flag("active", "popular", "stock", "novelty", "recommended", "markable"),
    "groups": every(Shape({**whole("id"), **text("externalId")})),
}  # fmt: skip
GROUP = Shape(
    {**text("name", "description", "externalId", "site", "parentExternalId"), **flag("active"),
     **whole("parentId")},
    needs=("name",),
)  # fmt: skip


def _rows(call: Call, value: Any, shape: Shape, noun: str, *, makes: bool) -> list[Json]:
    reading = Reading(call, creating=makes)
    found = [
        shape.read(reading, row, f"[{n}]")
        for n, row in enumerate(listed(value, most=INVENTORY_MOST if noun == "Offer" else MOST))
    ]
    reading.refuse(noun)
    return found


def _offer(call: Call, row: Json) -> Record | None:
    """Return the offer that a row names, of its own site or of the call's."""
    by = next(name for name in BY if row.get(name) not in (None, ""))
    site = row.get("site") or call.params.get("site")
    if by == "externalId" and not site:
        site = call.site()
    held = call.account.collections["offers"]
    for record in held.truth.live.values():
        if not call.key.sees(record.site) or (site and record.site != site):
            continue
        if held.load(record).get(by) == row[by]:
            return record
    return None


def upload_stock(call: Call, value: Any) -> Done:
    """Set what is available in each warehouse; offers that there are not are sent back."""
    rows = _rows(call, value, STOCK, "Offer", makes=True)
    found = [(row, _offer(call, row)) for row in rows]
    with call.account.saving("api") as save:
        for row, record in found:
            stores = row["stores"] if record is not None else []
            changes: Json = {"quantity": float(sum(s.get("available") or 0 for s in stores))}
            bought = [s["purchasePrice"] for s in stores if s.get("purchasePrice") is not None]
            if bought:
                changes["purchasePrice"] = bought[0]
            if record is not None:
                change_offer(call.account, save, record.id, changes, bump=False)
    return _processed(found)


def upload_prices(call: Call, value: Any) -> Done:
    """Set or remove prices by their type; that of the type `base` is the offer's own."""
    rows = _rows(call, value, PRICES, "Offer", makes=True)
    found = [(row, _offer(call, row)) for row in rows]
    with call.account.saving("api") as save:
        for row, record in found:
            if record is not None:
                offer = call.account.collections["offers"].load(record)
                changes = _priced(call.account, offer, row["prices"])
                change_offer(call.account, save, record.id, changes, bump=True)
    return _processed(found)


def _priced(account: Account, offer: Json, given: list[Json]) -> Json:
    prices = {p["priceType"]: p for p in offer["prices"]}
    for each in given:
        kind = each["code"]
        if each.get("remove") or each.get("price") is None:
            prices.pop(kind, None)
            continue
        base: Json = {"priceType": kind, "ordering": 991, "currency": account.currency}
        prices[kind] = {**prices.get(kind, base), "price": each["price"]}
    own = prices.get("base", {}).get("price")
    return {"prices": list(prices.values())} | ({} if own is None else {"price": own})


def _processed(found: list[tuple[Json, Record | None]]) -> Done:
    lost = [{k: row[k] for k in BY if k in row} for row, record in found if record is None]
    return Done({"processedOffersCount": len(found) - len(lost), "notFoundOffers": lost})


# --- products and groups


def _groups(reading: Reading, row: Json, where: str) -> None:
    """Replace the groups of a row by those of the account."""
    known = reading.call.account.entities("product-groups")
    for n, group in enumerate(row.get("groups") or []):
        match = [
            g
            for g in known
            if g["id"] == group.get("id")
            or (group.get("externalId") and g.get("externalId") == group["externalId"])
        ]
        if not match:
            reading.lacks.setdefault(f"{where}.groups[{n}]", "Group not found.")
            continue
        row["groups"][n] = {k: match[0][k] for k in ("id", "externalId") if k in match[0]}


def create_products(call: Call, value: Any) -> Done:
    """Make products in the catalogue of a site; their offers come with a catalogue, not here."""
    catalogues = dict(enumerate(call.account.sites, 1))
    shape = Shape({**PRODUCT, **whole("catalogId")}, needs=("name", "catalogId"))
    reading, rows = Reading(call, creating=True), []
    for n, row in enumerate(listed(value, most=MOST)):
        read = shape.read(reading, row, f"[{n}]")
        _groups(reading, read, f"[{n}]")
        if read.get("catalogId") not in (None, *catalogues):
            reading.lacks.setdefault(f"[{n}].catalogId", "Catalog not found.")
        rows.append(read)
    reading.refuse("Product")
    made: list[int] = []
    with call.account.saving("api") as save:
        for row in rows:
            given = {k: v for k, v in row.items() if v is not None}
            product: Json = {
                "id": call.account.store.take_id("products"), "type": "product", "popular": False,
                "stock": False, "novelty": False, "recommended": False, "groups": [], "offers": [],
                "active": True, "quantity": 0, "markable": False, "updatedAt": save.text, **given,
            }  # fmt: skip
            site = catalogues[product["catalogId"]]
            save.put("products", call.account.store.record(product, site=site))
            made.append(product["id"])
    return Done({"processedProductsCount": len(made), "addedProducts": made})


def edit_products(call: Call, value: Any) -> Done:
    """Change products by id or externalId; those that there are not are sent back."""
    shape = Shape({**NAMED, **PRODUCT}, one_of=("id", "externalId"))
    reading, rows = Reading(call), []
    for n, row in enumerate(listed(value, most=MOST)):
        rows.append(shape.read(reading, row, f"[{n}]"))
        _groups(reading, rows[-1], f"[{n}]")
    reading.refuse("Product")
    held, lost = call.account.collections["products"], []
    with call.account.saving("api") as save:
        for row in rows:
            by = "id" if row.get("id") else "externalId"
            match = [
                r for r in held.truth.live.values()
                if str(r.id if by == "id" else r.external) == str(row[by]) and call.key.sees(r.site)
                and row.get("site") in (None, r.site)
            ]  # fmt: skip
            if not match:
                lost.append({k: row[k] for k in ("id", "externalId", "site") if k in row})
                continue
            changes = {k: v for k, v in row.items() if k not in ("id", "site", "xmlId")}
            product = {**held.load(match[0]), **changes, "updatedAt": save.text}
            kept = {k: v for k, v in product.items() if v is not None}
            save.put("products", call.account.store.record(kept, site=match[0].site))
    return Done({"processedProductsCount": len(rows) - len(lost), "notFoundProducts": lost})


def _parent(call: Call, form: Json, site: str) -> Json:
    """Return the group above: the named one, or the root of the site."""
    groups = [g for g in call.account.entities("product-groups") if g["site"] == site]
    for group in groups:
        named = form.get("parentId") or form.get("parentExternalId")
        own = group["id"] if form.get("parentId") else group.get("externalId")
        if (own == named) if named else group["lvl"] == 0:
            return group
    raise Refusal(400, "ProductGroup is not loaded", errors={"parentId": "Group not found."})


def create_group(call: Call, value: Any) -> Done:
    form = checked(call, GROUP, value, "ProductGroup", makes=True)
    site = form.get("site") or call.site()
    if site not in call.sites():
        raise Refusal(400, FORMAT, errors={"site": f"Site with code={site} not found."})
    above = _parent(call, form, site)
    plain = {k: v for k, v in form.items() if v is not None and not k.startswith("parent")}
    group: Json = {
        "parentId": above["id"], "id": call.account.store.take_id("product-groups"),
        "active": True, "lvl": above["lvl"] + 1, **plain, "site": site,
    }  # fmt: skip
    with call.account.saving("api") as save:
        save.put("product-groups", call.account.store.record(group))
    return Done({"id": group["id"]})


def edit_group(call: Call, value: Any) -> Done:
    record = find(call, "product-groups", call.args[0], by_external=True)
    form = checked(call, GROUP, value, "ProductGroup", makes=False)
    old = call.account.collections["product-groups"].load(record)
    changes = {k: v for k, v in form.items() if k != "site" and not k.startswith("parent")}
    if form.get("parentId") or form.get("parentExternalId"):
        above = _parent(call, form, old["site"])
        changes |= {"parentId": above["id"], "lvl": above["lvl"] + 1}
    kept = {k: v for k, v in {**old, **changes}.items() if v is not None}
    with call.account.saving("api") as save:
        save.put("product-groups", call.account.store.record(kept))
    return Done({"id": record.id})


OFFER_WRITES = {
    "store/inventories/upload": several(upload_stock, "offers", STOCK),
    "store/prices/upload": several(upload_prices, "prices", PRICES),
}
PRODUCT_WRITES = {
    "store/products/batch/create": several(
        create_products, "products", Shape({**PRODUCT, **whole("catalogId")}, ("name", "catalogId"))
    ),
    "store/products/batch/edit": several(
        edit_products, "products", Shape({**NAMED, **PRODUCT}, one_of=("id",))
    ),
}
GROUP_WRITES = {
    "store/product-groups/create": making(create_group, "productGroup", GROUP),
    "store/product-groups/{id}/edit": editing(edit_group, "productGroup", GROUP),
}
