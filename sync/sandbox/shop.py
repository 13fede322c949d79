"""Generator of orders: goods, time, buyer, and the steps of the order afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from sync.sandbox import names
from sync.sandbox.catalogue import Article
from sync.sandbox.php import Json, loose
from sync.sandbox.reference import METHODS

DAY = 86400.0
DAYS = 730.0  # age of the oldest orders
_GOOD = ("availability-confirmed", "client-confirmed", "send-to-assembling", "assembling",
         "assembling-complete", "send-to-delivery", "delivering", "complete")  # fmt: skip
_BAD = ("no-call", "no-product", "cancel-other")
# Share of a year's orders by month: a quiet summer, a loud end of year.
SEASON = (0.8, 0.9, 1.0, 0.9, 0.9, 0.8, 0.7, 0.8, 1.0, 1.1, 1.5, 1.7)


@dataclass
class Shop:
    """Goods and people that orders are made from; `item_id` and `payment_id` count up."""

    language: str
    currency: str
    country: str
    sites: list[str]
    managers: list[int]
    articles: dict[str, list[Article]]
    local: Callable[[float], str]
    item_id: Callable[[], int]
    payment_id: Callable[[], int]
    awkward: float
    external: Callable[[str], int]  # externalIds count per site, so sites repeat them
    dictionary: list[str] = field(default_factory=lambda: ["red", "green", "blue"])


@dataclass
class Step:
    """One later save of an order: its time, its author, its changes."""

    at: float
    source: str
    status: str | None = None
    paid: bool = False
    manager: int | None = None


def moment(rng: Random, now: float, days: float) -> float:
    """Return a creation time in the last `days`, more often in the season and by day."""
    while True:
        at = now - rng.random() * days * DAY
        month = int((at % (365.25 * DAY)) / (30.44 * DAY)) % 12
        hour = (at / 3600) % 24
        if rng.random() * 1.7 < SEASON[month] * (1.0 if 6 < hour < 20 else 0.3):
            return at


def items(rng: Random, shop: Shop, site: str, created: str) -> list[Json]:
    """Return one to four items; goods in season are preferred."""
    shelf = shop.articles[site]
    month = int(created[5:7])
    found: list[Json] = []
    for _ in range(rng.choices((1, 2, 3, 4), (58, 26, 11, 5))[0]):
        article = rng.choice(shelf)
        if article.months and month not in article.months:
            article = rng.choice(shelf)
        quantity: float = rng.choices((1, 2, 3), (85, 11, 4))[0]
        discount = loose(article.price * 0.1) if rng.random() < 0.2 else 0
        net = loose(article.price - discount)
        line: Json = {
            "markingCodes": [], "id": shop.item_id(), "priceType": {"code": "base"},
            "initialPrice": article.price, "discountTotal": discount,
            "prices": [{"price": net, "quantity": quantity}], "vatRate": article.offer["vatRate"],
            "createdAt": created, "quantity": quantity, "status": "new", "offer": article.offer,
            "properties": [], "purchasePrice": article.cost,
        }  # fmt: skip
        if article.offer["properties"] and rng.random() < 0.5:
            size = article.offer["properties"]["size"]
            line["properties"] = {"size": {"code": "size", "name": "Size", "value": size}}
        if discount:
            line["discounts"] = [{"type": "manual_product", "amount": discount}]
        found.append(line)
    return found


def totals(order: Json) -> None:
    """Recompute the sums from items, the order's own discount and delivery."""
    lines = order["items"]
    goods = sum(i["initialPrice"] * i["quantity"] for i in lines)
    paid = sum((i["initialPrice"] - i["discountTotal"]) * i["quantity"] for i in lines)
    paid -= paid * (order.get("discountManualPercent") or 0) / 100
    paid -= order.get("discountManualAmount") or 0
    order["summ"] = loose(goods)
    cost = (order.get("delivery") or {}).get("cost") or 0
    order["totalSumm"] = loose(paid + float(cost))
    order["purchaseSumm"] = loose(sum(i["purchasePrice"] * i["quantity"] for i in lines))


def order(
    rng: Random, shop: Shop, order_id: int, *, at: float, site: str, buyer: Json | None
) -> Json:
    """Return a new order in the API's field order; its customer is embedded when it is sent."""
    created = shop.local(at)
    who = buyer or {}
    lines = items(rng, shop, site, created)
    delivery = rng.choices(("courier", "16", "self-delivery"), (5, 3, 2))[0]
    cost = (
        0
        if delivery == "self-delivery"
        else loose(rng.choice((4, 5, 6.5)) * names.RATES[shop.currency])
    )
    made: Json = {
        "slug": order_id, "bonusesCreditTotal": 0, "bonusesChargeTotal": 0, "id": order_id,
        "number": f"{order_id}{'C' if rng.random() < 0.4 else 'A'}",
    }  # fmt: skip
    if rng.random() < 0.8:
        made["externalId"] = str(100000 + shop.external(site))
    made |= {
        "orderType": "eshop-individual",
        "orderMethod": METHODS[rng.choices(range(5), (60, 18, 10, 9, 3))[0]],
        "privilegeType": "none",
        "countryIso": shop.country, "createdAt": created, "statusUpdatedAt": created, "summ": 0,
        "currency": shop.currency, "totalSumm": 0, "prepaySum": 0, "purchaseSumm": 0,
        "markDatetime": created,
    }  # fmt: skip
    for name in ("lastName", "firstName", "patronymic", "email"):
        if who.get(name):
            made[name] = who[name]
    if who.get("phones"):
        made["phone"] = who["phones"][0]["number"]
    made |= {"call": rng.random() < 0.1, "expired": False}
    if rng.random() < 0.12:
        made["customerComment"] = rng.choice(names.COMMENTS[shop.language])
    if rng.random() < 0.7:
        made["managerId"] = rng.choice(shop.managers)
    made["contragent"] = {
        "contragentType": "legal-entity" if made["orderType"] == "eshop-legal" else "individual"
    }
    home = who.get("address") or {}
    made["delivery"] = {
        "code": delivery, "cost": cost, "netCost": 0,
        "address": {k: v for k, v in home.items() if k not in ("cityType", "streetType", "id")},
    }  # fmt: skip
    if delivery == "16":
        made["delivery"]["service"] = {"name": "Avia", "code": "avia", "active": True}
    if delivery == "courier" and rng.random() < 0.5:
        made["delivery"] |= {
            "date": shop.local(at + 2 * DAY)[:10],
            "time": {"from": "10:00", "to": "18:00"},
        }
    made |= {"site": site, "status": "new"}
    if rng.random() < 0.15:
        made["source"] = {
            "source": "google",
            "medium": "cpc",
            "campaign": f"c{rng.randint(1, 9)}",
            "keyword": "zapatillas",
        }
    made["items"] = lines
    totals(made)
    made["payments"] = {}
    if rng.random() < 0.9:
        kind = rng.choices(("bank-card", "cash", "12"), (6, 3, 1))[0]
        payment_id = shop.payment_id()
        made["payments"] = {
            str(payment_id): {
                "id": payment_id, "status": "not-paid", "type": kind, "amount": made["totalSumm"],
            }
        }  # fmt: skip
    made |= {
        "fromApi": rng.random() < 0.6, "weight": loose(rng.randint(1, 40) * 100.0), "length": 0,
        "width": 0, "height": 0, "shipmentStore": f"{site}-store", "shipped": False,
        "customFields": custom(rng, shop) if rng.random() < 0.4 else [],
    }  # fmt: skip
    if rng.random() < shop.awkward:
        _twist(rng, made)
    return made


def short(order: Json) -> Json:
    """Return an order as other records refer to it."""
    return {k: order[k] for k in ("id", "number", "externalId") if k in order}


def custom(rng: Random, shop: Shop) -> Json:
    return {
        "gift": rng.random() < 0.5, "score": rng.choice((0, 3.5, 7)),
        "colour": rng.choice(shop.dictionary),
        "tags": rng.sample(shop.dictionary, 2), "visit_day": shop.local(rng.random() * 1e9)[:10],
    }  # fmt: skip


def steps(rng: Random, shop: Shop, *, at: float, now: float, has_manager: bool) -> list[Step]:
    """Return the steps of an order until now: confirmed, packed, delivered, cancelled, returned."""
    fate = rng.random()
    path = list(_GOOD) if fate < 0.80 else [*_GOOD[: rng.randint(0, 2)], rng.choice(_BAD)]
    if 0.76 < fate < 0.80:
        path.append("returned")
    skip = rng.random()
    if skip > 0.15:  # most shops do not set every status
        rare = ("send-to-assembling", "assembling-complete", "send-to-delivery")
        path = [s for s in path if s not in rare]
    if skip > 0.5:
        path = [s for s in path if s not in ("availability-confirmed", "assembling")]
    paid = rng.random() < 0.3
    found: list[Step] = []
    if not has_manager:
        found.append(Step(at + rng.uniform(60, 3600), "code", manager=rng.choice(shop.managers)))
    moment = at
    for status in path:
        moment += rng.expovariate(1 / (0.9 * DAY)) + 30
        found.append(Step(moment, rng.choice(("user", "user", "api", "rule")), status=status))
        if not paid and status in ("client-confirmed", "delivering") and rng.random() < 0.6:
            paid = True
            found.append(Step(moment + rng.uniform(1, 900), "user", paid=True))
            moment += 900
    return sorted((s for s in found if s.at < now), key=lambda s: s.at)


def _twist(rng: Random, made: Json) -> None:
    """Add something that is allowed but breaks naive readers."""
    match rng.randint(0, 7):
        case 0:
            made["delivery"]["date"] = "0000-00-00"
        case 1:
            made["markDatetime"] = "0000-00-00 00:00:00"
        case 2:
            made["customerComment"] = "NUL \x00 inside, tab\t, line\u2028end"
        case 3:
            made["delivery"]["cost"] = str(made["delivery"]["cost"])
        case 4:
            made["totalSumm"] = float(int(made["totalSumm"]))
        case 5:
            made["statusComment"] = ""
        case 6:
            made["delivery"]["address"] = {"countryIso": "", "text": "ntncncn"}
        case _:
            made["weight"] = int(made["weight"])
            made["number"] = "0" + made["number"]
