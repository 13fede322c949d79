"""Orders as a shop's account sends them: Cyrillic, one to four positions, nested offers.

About 3 kB of UTF-8 each: 2.5 positions on average with their offer, its unit and properties,
their prices; eight objects of the order itself; custom fields; amounts with kopecks; moments that
rarely occur twice. With `copies` the customer and the contact stand in it whole, as in an answer of
a real account: 5.7 kB.
"""

from __future__ import annotations

import random
from itertools import count
from typing import Any

COUNT = 200
_FIRST = ("Анастасия", "Дмитрий", "Екатерина", "Владимир", "Мария", "Александр", "Ольга", "Пётр")
_LAST = ("Вознесенская", "Кузнецов", "Соловьёва", "Щербаков", "Белоусова", "Жуковский", "Ёлкина")
_MIDDLE = ("Сергеевна", "Николаевич", "Владимировна", "Андреевич", "Павловна", "Игоревич")
_STREETS = ("Большая Никитская", "Проспект Мира", "Набережная реки Фонтанки", "Ленинградское ш.")
_CITIES = (("Москва", "Москва город"), ("Санкт-Петербург", "Ленинградская область"),
           ("Ростов-на-Дону", "Ростовская область"))  # fmt: skip
_GOODS = (
    "Куртка утеплённая",
    "Кроссовки беговые",
    "Рюкзак городской",
    "Термос стальной",
    "Футболка",
)
_COLOURS = ("синий", "тёмно-зелёный", "чёрный", "бордовый")


def orders(*, copies: bool = False, seed: int = 7) -> list[dict[str, Any]]:
    """Return `COUNT` orders, the same ones for the same seed."""
    draw = random.Random(seed)
    items = count(1)
    return [_order(draw, number + 1, items, copies=copies) for number in range(COUNT)]


def _money(draw: random.Random, most: int) -> float:
    return draw.randrange(100, most * 100) / 100


def _moment(draw: random.Random) -> str:
    return f"2026-{draw.randint(1, 9):02}-{draw.randint(1, 28):02} {draw.randint(0, 23):02}:15:42"


def _item(draw: random.Random, number: int) -> dict[str, Any]:
    price, quantity = _money(draw, 9_000), draw.randint(1, 3)
    colour, size = draw.choice(_COLOURS), str(draw.randint(36, 48))
    name = f"{draw.choice(_GOODS)} ({colour}, {size})"
    return {
        "id": number,
        "priceType": {"code": "base"},
        "initialPrice": price,
        "discountTotal": _money(draw, 100),
        "prices": [{"price": price, "quantity": quantity}],
        "vatRate": "none",
        "createdAt": _moment(draw),
        "quantity": quantity,
        "status": "new",
        "offer": {
            "id": draw.randrange(90_000),
            "externalId": f"{draw.randrange(9_000)}#{size}",
            "name": name,
            "article": f"A-{number:05}",
            "properties": {"color": colour, "size": size},
            "unit": {"code": "pc", "name": "Штука", "sym": "шт."},
        },
        "properties": [],
        "purchasePrice": _money(draw, 4_000),
    }


def _order(draw: random.Random, number: int, items: count[int], *, copies: bool) -> dict[str, Any]:
    first, last, middle = draw.choice(_FIRST), draw.choice(_LAST), draw.choice(_MIDDLE)
    city, region = draw.choice(_CITIES)
    made = _moment(draw)
    person: dict[str, Any] = {"type": "customer", "id": draw.randrange(50_000), "site": "main"}
    address = {
        "index": str(draw.randrange(100_000, 400_000)),
        "countryIso": "RU",
        "region": region,
        "regionId": draw.randrange(90),
        "city": city,
        "cityId": draw.randrange(5_000),
        "street": draw.choice(_STREETS),
        "building": str(draw.randint(1, 90)),
        "flat": str(draw.randint(1, 300)),
        "text": f"{draw.choice(_STREETS)}, подъезд {draw.randint(1, 9)}",
    }
    if copies:
        person |= _copy(draw, first, last, address)
    total = _money(draw, 40_000)
    return {
        "slug": number,
        "bonusesCreditTotal": 0,
        "bonusesChargeTotal": 0,
        "id": number,
        "number": f"{number}A",
        "externalId": f"shop-{number}",
        "orderType": "eshop-individual",
        "orderMethod": "shopping-cart",
        "privilegeType": "none",
        "countryIso": "RU",
        "createdAt": made,
        "statusUpdatedAt": _moment(draw),
        "summ": total,
        "currency": "RUB",
        "totalSumm": total,
        "prepaySum": 0,
        "purchaseSumm": _money(draw, 20_000),
        "markDatetime": made,
        "lastName": last,
        "firstName": first,
        "patronymic": middle,
        "phone": f"+79{draw.randrange(10**9):09}",
        "email": f"buyer{number}@example.com",
        "call": False,
        "expired": False,
        "managerId": draw.randrange(40),
        "customerComment": "Позвоните за час до доставки, домофон не работает",
        "customer": person,
        "contact": person,
        "contragent": {"contragentType": "individual"},
        "delivery": {
            "code": "courier",
            "cost": _money(draw, 900),
            "netCost": 0,
            "address": address,
            "service": {"name": "Курьер", "code": "courier", "active": True},
            "date": made[:10],
            "time": {"from": "10:00", "to": "18:00"},
        },
        "source": {"source": "google", "medium": "cpc", "campaign": "осень"},
        "site": "main",
        "status": draw.choice(("complete", "assembling", "new", "cancel-other")),
        "items": [_item(draw, next(items)) for _ in range(draw.randint(1, 4))],
        "payments": {
            str(number): {
                "id": number, "status": "paid", "type": "bank-card", "amount": total,
                "paidAt": made,
            }
        },
        "fromApi": False,
        "weight": 1700,
        "shipmentStore": "main-store",
        "shipped": True,
        "fullPaidAt": made,
        "customFields": {"gift_wrap": True, "bonus_card": f"{draw.randrange(10**8)}",
                         "note": "перезвонить вечером"},
    }  # fmt: skip


def _copy(draw: random.Random, first: str, last: str, address: dict[str, Any]) -> dict[str, Any]:
    names = ("Постоянные", "Из городов-миллионников", "Недавние", "Без отмен")
    return {
        "externalId": f"c{draw.randrange(900)}",
        "isContact": False,
        "createdAt": _moment(draw),
        "managerId": 1,
        "vip": False,
        "bad": False,
        "contragent": {"contragentType": "individual"},
        "tags": [],
        "marginSumm": _money(draw, 90_000),
        "totalSumm": _money(draw, 90_000),
        "averageSumm": _money(draw, 9_000),
        "ordersCount": 11,
        "costSumm": _money(draw, 9_000),
        "customFields": [],
        "personalDiscount": 0,
        "cumulativeDiscount": 0,
        "address": address,
        "segments": [
            {"id": n, "code": f"segment-{n}", "name": name, "createdAt": _moment(draw),
             "isDynamic": True, "customersCount": draw.randrange(900), "active": True}
            for n, name in enumerate(names)
        ],
        "firstName": first,
        "lastName": last,
        "sex": "male",
        "email": "buyer@example.com",
        "phones": [{"number": f"+79{draw.randrange(10**9):09}"}],
        "birthday": "1992-09-16",
    }  # fmt: skip
