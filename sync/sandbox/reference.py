"""The dictionaries of an account, in its language: statuses, deliveries, payments, sites…

They are kept as code -> entry; the method decides whether one is sent as a map or as a list
(service.py).
"""

from __future__ import annotations

from typing import Any

from sync.sandbox.php import Json

# Each with its group and its name in Russian, Spanish and English.
STATUSES = (
    ("new", "new", ("Новый", "Nuevo", "New")),
    ("availability-confirmed", "approval", ("Наличие подтверждено", "Disponible", "Available")),
    ("client-confirmed", "approval", ("Согласовано с клиентом", "Confirmado", "Confirmed")),
    ("send-to-assembling", "assembling", ("Передано в комплектацию", "A montaje", "To assembly")),
    ("assembling", "assembling", ("Комплектуется", "En montaje", "Assembling")),
    ("assembling-complete", "assembling", ("Укомплектован", "Montado", "Assembled")),
    ("send-to-delivery", "delivery", ("Передан в доставку", "A envío", "To delivery")),
    ("delivering", "delivery", ("Доставляется", "En camino", "Delivering")),
    ("complete", "complete", ("Выполнен", "Completado", "Complete")),
    ("no-call", "cancel", ("Недозвон", "No contesta", "No answer")),
    ("no-product", "cancel", ("Нет в наличии", "Sin existencias", "Out of stock")),
    ("cancel-other", "cancel", ("Отменен", "Cancelado", "Cancelled")),
    ("returned", "cancel", ("Возврат", "Devuelto", "Returned")),
)
GROUPS = (
    ("new", ("Новый", "Nuevo", "New"), False),
    ("approval", ("Согласование", "Aprobación", "Approval"), True),
    ("assembling", ("Комплектация", "Montaje", "Assembly"), True),
    ("delivery", ("Доставка", "Envío", "Delivery"), True),
    ("complete", ("Выполнен", "Completado", "Complete"), False),
    ("cancel", ("Отменен", "Cancelado", "Cancelled"), False),
)
CANCELLED = {code for code, group, _ in STATUSES if group == "cancel"}
DELIVERIES = (
    ("courier", ("Курьером", "Mensajero", "Courier"), 4.0),
    ("16", ("Почта России", "Correos", "Post"), 5.0),
    ("self-delivery", ("Самовывоз", "Recogida", "Pick-up"), 0.0),
)
PAYMENTS = (
    ("cash", ("Наличные", "Efectivo", "Cash")),
    ("bank-card", ("Банковская карта", "Tarjeta", "Card")),
    ("12", ("Безналичный расчет", "Transferencia", "Bank transfer")),
)
ITEM_STATUSES = ("new", "confirming", "ready-for-assembly", "sold", "canceled", "4")
METHODS = ("shopping-cart", "phone", "one-click", "messenger", "2")
TYPES = ("eshop-individual", "eshop-legal")


def entry(code: str, name: str, **more: Any) -> Json:
    return {"name": name, "code": code, "active": True, **more}


def references(
    language: str, currency: str, country: str, sites: list[str], when: str
) -> dict[str, dict[str, Json]]:
    """Return all dictionaries by method name. `when` is the date their entries were made."""
    i = {"RU": 0, "ES": 1}.get(language, 2)
    pays = [code for code, _ in PAYMENTS]
    by_code: dict[str, list[Json]] = {
        "statuses": [
            entry(code, names[i], ordering=10 * (n + 1), group=group)
            for n, (code, group, names) in enumerate(STATUSES)
        ],
        "status-groups": [
            entry(
                code,
                names[i],
                ordering=10 * (n + 1),
                process=process,
                statuses=[s for s, group, _ in STATUSES if group == code],
            )
            for n, (code, names, process) in enumerate(GROUPS)
        ],
        "delivery-types": [
            {
                "isDynamicCostCalculation": False, "isAutoCostCalculation": False,
                "isAutoNetCostCalculation": False, "isCostDependsOnRegionAndWeightAndSum": False,
                "isCostDependsOnDateTime": False, "currency": currency, "name": names[i],
                "code": code,
                "active": True, "defaultCost": cost, "defaultNetCost": 0, "paymentTypes": pays,
                "deliveryServices": ["avia", "1"] if code == "16" else [], "defaultForCrm": n == 0,
                "deliveryPaymentTypes": [{"code": "cash", "cod": True}, {"code": "12",
                    "cod": False}],
                "sites": [],
            }
            for n, (code, names, cost) in enumerate(DELIVERIES)
        ],
        "delivery-services": [entry("avia", "Avia"), entry("1",
            "Единая ставка" if not i else "Fija")],
        "payment-types": [
            entry(
                code, names[i], defaultForCrm=n == 0, defaultForApi=False, description="",
                deliveryTypes=[d for d, _, _ in DELIVERIES], paymentStatuses=["not-paid", "paid"],
            )
            for n, (code, names) in enumerate(PAYMENTS)
        ],
        "payment-statuses": [
            entry("not-paid", ("Не оплачен", "Sin pagar", "Not paid")[i], defaultForCrm=True,
                  defaultForApi=True, paymentComplete=False, ordering=10, paymentTypes=pays),
            entry("paid", ("Оплачен", "Pagado", "Paid")[i], defaultForCrm=False,
                  defaultForApi=False, paymentComplete=True, ordering=20, paymentTypes=pays),
            entry("returned", ("Возвращён", "Devuelto", "Refunded")[i], defaultForCrm=False,
                  defaultForApi=False, paymentComplete=False, ordering=30, paymentTypes=[]),
        ],
        "order-methods": [
            entry(m, m, defaultForCrm=m == "phone", defaultForApi=m == "shopping-cart",
                isFromPos=False)
            for m in METHODS
        ],
        "order-types": [
            entry(t, t, defaultForCrm=t == TYPES[0], defaultForApi=False,
                ordering=990) for t in TYPES
        ],
        "product-statuses": [
            {"code": code, "ordering": 10 * (n + 1), "active": True, "createdAt": when,
             "cancelStatus": code == "canceled", "name": code}
            for n, code in enumerate(ITEM_STATUSES)
        ],
        "units": [
            {"code": "pc", "name": "Штука" if not i else "Piece", "sym": "шт." if not i else "pc",
             "default": True, "active": True},
            {"code": "6", "name": "Метр" if not i else "Metre", "sym": "м" if not i else "m",
             "default": False, "active": True},
        ],
        "sites": [_site(n, code, currency, country, when) for n, code in enumerate(sites)],
    }  # fmt: skip
    by_code |= _listed(i, currency, country, sites)
    return {name: {e["code"]: e for e in entries} for name, entries in by_code.items()}


def _site(n: int, code: str, currency: str, country: str, when: str) -> Json:
    return {
        "id": 100 + n, "name": code.capitalize(), "url": f"https://{code}.example.com",
        "code": code,
        "defaultForCrm": n == 0, "ymlUrl": f"https://{code}.example.com/yml", "loadFromYml": True,
        "catalogUpdatedAt": when, "catalogLoadingAt": when, "countryIso": country,
        "currency": currency,
        "contragent": _legal_entity(country), "ordering": 10 * (n + 1), "isDemo": False,
        "isCatalogMainSite": n == 0, "catalogId": str(n + 1),
    }  # fmt: skip


def _legal_entity(country: str) -> Json:
    return {
        "contragentType": "legal-entity", "legalName": "Sandbox Trade", "INN": "7700000000",
        "code": "main-entity", "countryIso": country, "certificateDate": "2020-01-01",
        "vatRate": "20.00",
    }  # fmt: skip


def _listed(i: int, currency: str, country: str, sites: list[str]) -> dict[str, list[Json]]:
    """Return the dictionaries sent as lists. Couriers and channels have ids there, no codes."""
    return {
        "cost-groups": [
            {"code": "product-cost", "name": ("Товары", "Productos", "Goods")[i], "ordering": 10,
             "active": True, "color": "#ffd298"},
            {"code": "advertising", "name": ("Реклама", "Publicidad", "Advertising")[i],
                "ordering": 20,
             "active": True, "color": "#98d2ff"},
        ],
        "cost-items": [
            {"code": "products-purchase-price", "name": ("Закупка", "Compra", "Purchase")[i],
             "group": "product-cost", "ordering": 990, "active": True, "appliesToOrders": True,
             "type": "var", "appliesToUsers": False},
            {"code": "ads", "name": ("Контекст", "Anuncios", "Ads")[i], "group": "advertising",
             "ordering": 990, "active": True, "appliesToOrders": False, "type": "const",
             "appliesToUsers": False},
        ],
        "couriers": [
            {"code": "1", "id": 1, "firstName": "Leo", "lastName": "Rivers", "active": True,
             "phone": {"number": "+10000000001"}},
            {"code": "2", "id": 2, "firstName": "Вера", "lastName": "Снегова", "active": False},
        ],
        "currencies": [
            {"id": 1, "code": currency, "isBase": True, "isAutoConvert": False},
            {"id": 2, "code": "USD" if currency != "USD" else "EUR", "isBase": False,
             "isAutoConvert": True, "autoConvertExtraPercent": 10, "manualConvertNominal": 1,
             "manualConvertValue": 1.5},
        ],
        "legal-entities": [_legal_entity(country)],
        "mg-channels": [
            {"code": "1", "id": 1, "externalId": 100, "type": "telegram", "active": True,
                "name": "Bot",
             "allowedSendByPhone": False},
            {"code": "6", "id": 6, "externalId": 3, "type": "viber", "active": False,
                "name": "Old bot"},
        ],
        "price-types": [
            {"id": 1, "code": "base", "name": "Base", "active": True, "default": True, "geo": [],
             "groups": [], "ordering": 10, "currency": currency, "promo": False},
            {"id": 7, "code": "wholesale", "name": "Wholesale", "active": True, "default": False,
             "geo": [{"country": country, "regionId": "", "region": "All", "cityId": "",
                 "city": "All"}],
             "groups": [], "ordering": 500, "filterExpression": "order.quantity >= 10",
             "promo": True},
        ],
        "stores": [
            {"code": f"{site}-store", "name": f"{site} store", "type": "store-type-warehouse",
             "inventoryType": "integer", "active": True, "externalId": f"wh-{n}",
             "address": {"countryIso": country, "city": "Москва" if country == "RU" else "Madrid",
                         "coordinates": {"latitude": 51.660781, "longitude": 39.200269}},
             "phone": {"number": "+10000000000"},
             "workTime": {day: [] for day in ("mo", "tu", "we", "th", "fr", "sa", "su")}}
            for n, site in enumerate(sites)
        ],
        "countries": [{"code": code} for code in ("RU", "ES", "MX", "US", "KZ", country)],
    }  # fmt: skip
