"""Generator of goods: groups, products, offers, prices, properties, warehouses' stock."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from sync.sandbox import names
from sync.sandbox.php import Json, loose


@dataclass
class Article:
    """An offer as orders quote it, ready to be embedded."""

    offer: Json
    price: float
    cost: float
    months: tuple[int, ...]
    site: str


def unit(language: str) -> Json:
    ru = language == "RU"
    return {"code": "pc", "name": "Штука" if ru else "Piece", "sym": "шт." if ru else "pc"}


def groups(language: str, site: str) -> list[Json]:
    """Return a root group with the groups of goods below it; the caller gives the ids."""
    found = list(dict.fromkeys(group for group, *_ in names.GOODS[language]))
    return [{"site": site, "name": g, "externalId": f"g-{n}", "active": True, "lvl": 1}
            for n, g in enumerate(found, 1)]  # fmt: skip


def product(rng: Random, language: str, currency: str, number: int, *, site: str) -> Json:
    """Return a product with its offers; seeding fills in ids and groups."""
    group, noun, euros, months = names.GOODS[language][number % len(names.GOODS[language])]
    price = loose(euros * names.RATES[currency] * rng.uniform(0.7, 1.5))
    brand = rng.choice(names.BRANDS)
    title = f"{noun} {brand} {number}"
    article = f"{brand[:2].upper()}-{number:05d}"
    sized = number % 3 != 0
    offers: list[Json] = []
    for n in range(rng.randint(2, 4) if sized else 1):
        colour = rng.choice(names.COLOURS[language])
        size = str(rng.choice((38, 39, 40, 41, 42))) if sized else None
        properties: Json = {"color": colour, "size": size} if sized else {}
        offers.append(
            {
                "name": title + (f" ({colour}, {size})" if sized else ""), "price": price,
                "images": [f"https://{site}.example.com/i/{number}.jpg"],
                "externalId": f"{number}#{n}",
                "xmlId": f"{number}#{n}", "article": article,
                "prices": [{"priceType": "base", "price": price, "ordering": 991,
                    "currency": currency}],
                "purchasePrice": loose(price * rng.uniform(0.4, 0.65)),
                "vatRate": rng.choice(("none", "20.00", "10.00")), "properties": properties or [],
                "quantity": float(rng.randint(0, 300)), "weight": float(rng.randint(1, 20) * 100),
                "active": True, "unit": unit(language), "site": site,
            }
        )  # fmt: skip
    return {
        "minPrice": price, "maxPrice": price, "article": article, "type": "product", "name": title,
        "url": f"https://{site}.example.com/p/{number}", "imageUrl": f"https://{site}.example.com/i/{number}.jpg",
        "description": f"{title}. {group}.", "popular": number % 11 == 0, "stock": False,
        "novelty": number % 7 == 0,
        "recommended": False, "groups": [], "externalId": str(number), "manufacturer": brand,
        "offers": offers,
        "active": number % 17 != 0, "quantity": loose(sum(o["quantity"] for o in offers)),
        "markable": False,
        "_group": group, "_months": months,
    }  # fmt: skip


def article_of(offer: Json, months: tuple[int, ...], site: str) -> Article:
    quoted: Json = {
        "displayName": offer["name"], "id": offer["id"], "externalId": offer["externalId"],
        "xmlId": offer["xmlId"], "name": offer["name"], "article": offer["article"],
        "vatRate": offer["vatRate"], "properties": offer["properties"], "unit": offer["unit"],
    }  # fmt: skip
    return Article(quoted, offer["price"], offer["purchasePrice"], months, site)
