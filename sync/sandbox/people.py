"""Generator of customers: people and addresses, some with an awkward value."""

from __future__ import annotations

from random import Random

from sync.sandbox import names
from sync.sandbox.php import Json

_WEIGHTS: dict[str, tuple[tuple[str, int], ...]] = {"RU": (("RU", 78), ("EN", 14), ("ES", 8)),
    "ES": (("ES", 76), ("EN", 16), ("RU", 8)),
            "EN": (("EN", 70), ("ES", 20), ("RU", 10))}  # fmt: skip
_SHADOW = str.maketrans("áéíóúñüÁÉÍÓÚÑ ", "aeiounuAEIOUN_")


def tongue(rng: Random, language: str) -> str:
    """Return the language of a customer's name: mostly the account's, not always."""
    weights = _WEIGHTS[language]
    return rng.choices([kind for kind, _ in weights], [weight for _, weight in weights])[0]


def full_name(rng: Random, kind: str) -> tuple[str, str, str | None, str]:
    """Return first name, last name, patronymic, sex."""
    sex = rng.choice(("female", "male"))
    first, last = rng.choice(names.FIRST[kind][sex]), rng.choice(names.LAST[kind])
    if kind == "RU":
        if sex == "female":
            last = (
                last[:-2] + "ая"
                if last.endswith("ий")
                else (last[:-2] + "ая" if last.endswith("ой") else last + "а")
            )
        return first, last, rng.choice(names.PATRONYMICS[sex]), sex  # fmt: skip
    return first, last, None, sex


def address(rng: Random, kind: str, address_id: int) -> Json:
    city, region, city_id, region_id, _ = rng.choices(
        names.CITIES[kind], [c[4] for c in names.CITIES[kind]]
    )[0]
    street, house = rng.choice(names.STREETS[kind]), str(rng.randint(1, 140))
    found: Json = {
        "id": address_id, "index": str(rng.randint(100000, 699999)),
        "countryIso": {"RU": "RU", "ES": "ES"}.get(kind, "GB"),
        "region": region, "regionId": region_id, "city": city, "cityId": city_id, "street": street,
        "building": house,
    }  # fmt: skip
    if kind == "RU":
        found |= {"cityType": "г.", "streetType": "ул.", "text": f"ул. {street}, д. {house}"}
    else:
        found["text"] = f"{street}, {house}"
    if rng.random() < 0.3:
        found |= {"flat": str(rng.randint(1, 300)), "floor": rng.randint(1, 25)}
    return found


def customer(
    rng: Random, language: str, customer_id: int, *, created: str, site: str, manager: int,
    external: int, awkward: float,
) -> Json:  # fmt: skip
    """Return a customer in the API's field order, with aggregates of zero."""
    kind = tongue(rng, language)
    first, last, patronymic, sex = full_name(rng, kind)
    person: Json = {"type": "customer", "id": customer_id}
    if rng.random() < 0.85:
        person["externalId"] = f"c{external}"
    person |= {
        "isContact": False, "createdAt": created, "managerId": manager, "vip": rng.random() < 0.03,
        "bad": rng.random() < 0.01, "site": site, "contragent": {"contragentType": "individual"},
        "tags": [{"name": "vip", "color": "#3e89b6",
            "attached": True}] if rng.random() < 0.05 else [],
        "marginSumm": 0, "totalSumm": 0, "averageSumm": 0, "ordersCount": 0, "costSumm": 0,
        "customFields": {"loves_sale": True,
            "source_note": "летний каталог"} if rng.random() < 0.3 else [],
        "personalDiscount": 0, "cumulativeDiscount": 0,
        "address": address(rng, kind, customer_id + 10),
        "segments": [], "firstName": first, "lastName": last,
    }  # fmt: skip
    if patronymic:
        person["patronymic"] = patronymic
    if rng.random() < 0.5:
        person["sex"] = sex
    handle = f"{first}.{last}.{customer_id}".lower() if kind != "RU" else f"buyer{customer_id}"
    person |= {
        "presumableSex": sex,
        "email": f"{handle.translate(_SHADOW)}@example.com" if rng.random() < 0.9 else "",
        "phones": [{"number": f"+7900{customer_id:07d}"}] if rng.random() < 0.9 else [],
    }
    if rng.random() < 0.2:
        person["birthday"] = (
            f"{rng.randint(1950, 2005)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
        )
    if rng.random() < 0.1:
        person["source"] = {"source": "newsletter", "medium": "email", "campaign": "autumn"}
    if rng.random() < awkward:
        _twist(rng, person)
    return person


def _twist(rng: Random, person: Json) -> None:
    """Add something that is allowed but breaks naive readers."""
    match rng.randint(0, 5):
        case 0:
            person["birthday"] = "0000-00-00"
        case 1:
            person["firstName"] = person["firstName"] + "\x00"
        case 2:
            person["address"]["regionId"] = str(person["address"]["regionId"])
        case 3:
            person["lastName"] = ""
        case 4:
            person["customFields"] = {
                "loves_sale": "1",
                "size": 42.0,
                "nick": "😀 \u2028 'quoted\" \\",
            }
        case _:
            person["emailMarketingUnsubscribedAt"] = "0000-00-00 00:00:00"
