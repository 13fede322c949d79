"""Generator of what is there before the first customer: staff, segments, custom fields, clubs."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from sync.sandbox import people
from sync.sandbox.php import Json
from sync.sandbox.records import Record

if TYPE_CHECKING:
    from sync.sandbox.account import Account

_COLOURS = (("red", 10), ("green", 20), ("blue", 30))
# entity, code, type, dictionary
_CUSTOM_FIELDS = (
    ("order", "gift", "boolean", None),
    ("order", "score", "numeric", None),
    ("order", "colour", "dictionary", "colours"),
    ("order", "tags", "multiselect_dictionary", "colours"),
    ("order", "visit_day", "date", None),
    ("customer", "loves_sale", "boolean", None),
    ("customer", "source_note", "string", None),
    ("customer_corporate", "contract", "text", None),
)
_SEGMENTS = (
    ("rossiya", "Россия"), ("davnie", "Давние"), ("regulyarniy-klient", "Регулярный клиент"),
    ("sin-cancelaciones", "Sin cancelaciones"), ("big-spenders", "Big spenders"),
)  # fmt: skip


def furnish(account: Account, rng: Random) -> None:
    """Fill the collections that do not depend on customers or orders."""
    _staff(account, rng)
    when = account.local(account.started)
    account.fill(
        "segments",
        [
            {"id": n + 3, "code": code, "name": name, "createdAt": when, "isDynamic": n % 2 == 0,
             "customersCount": rng.randint(1, 900), "active": n != 1}
            for n, (code, name) in enumerate(_SEGMENTS)
        ],
    )  # fmt: skip
    _fields(account)
    _properties(account)
    account.fill(
        "loyalties",
        [
            {"levels": [{"type": "bonus_converting", "id": 17, "name": "Basic", "sum": 0,
                         "privilegeSize": 20, "privilegeSizePromo": 10}],
             "active": True, "blocked": False, "currency": account.currency, "id": 3,
             "name": "Club",
             "confirmSmsCharge": False, "confirmSmsRegistration": False, "createdAt": when,
             "activatedAt": when},
            {"levels": [], "active": False, "blocked": True, "currency": account.currency, "id": 4,
             "name": "Old club", "confirmSmsCharge": False, "confirmSmsRegistration": False,
             "createdAt": when, "blockedAt": when},
        ],
    )  # fmt: skip
    account.fill(
        "templates",
        [
            {"id": n, "externalId": n + 100, "mgChannelId": 1, "channel": {"id": 1, "name": "Bot"},
             "code": f"hello#{n}", "name": f"Hello {n}", "active": n != 2,
             "template": ["Hi, ", {"var": "name"}],
             "templateExample": ["Ana"], "namespace": "sandbox", "lang": "es",
             "category": "marketing",
             "header": {"text": {"parts": ["Hi"]}}, "footer": "bye", "buttons": [],
             "verificationStatus": "approved"}
            for n in (1, 2, 3)
        ],
    )  # fmt: skip


def _staff(account: Account, rng: Random) -> None:
    groups: list[Json] = [
        {"id": 26, "name": "Руководители" if account.language == "RU" else "Managers",
            "code": "director",
         "isManager": True, "isPosManager": False, "isDeliveryMen": False, "deliveryTypes": [],
         "breakdownOrderTypes": [], "breakdownSites": [], "breakdownOrderMethods": [],
         "grantedOrderTypes": [], "grantedSites": []},
        {"id": 27, "name": "Sales", "code": "sales", "isManager": True, "isPosManager": False,
         "isDeliveryMen": False, "deliveryTypes": ["courier"], "breakdownOrderTypes": [],
         "breakdownSites": [], "breakdownOrderMethods": [], "grantedOrderTypes": [],
         "grantedSites": []},
    ]  # fmt: skip
    account.fill("user-groups", groups)
    users: list[Json] = []
    for n in range(1, 8):
        first, last, _, _ = people.full_name(rng, people.tongue(rng, account.language))
        users.append(
            {"id": n, "createdAt": account.local(account.started + n * 86400 * 30),
                "active": n != 7,
             "email": f"user{n}@example.com", "firstName": first, "lastName": last,
             "phone": f"+7800000000{n}",
             "status": rng.choice(("free", "busy", "dinner", "break")), "online": n % 2 == 0,
             "isAdmin": n == 1, "isManager": n > 1, "groups": [groups[0 if n < 3 else 1]],
             "mgUserId": 300 + n}
        )  # fmt: skip
    account.fill("users", users)
    account.user_ids[:] = [u["id"] for u in users[:6]]


def _fields(account: Account) -> None:
    """Custom fields have no id: the API knows them by entity and code."""
    records = []
    for n, (entity, code, kind, dictionary) in enumerate(_CUSTOM_FIELDS, 1):
        field: Json = {
            "name": code.capitalize(), "code": code, "required": False, "inFilter": True,
            "inList": n % 2 == 0,
            "inGroupActions": False, "type": kind, "entity": entity, "ordering": 50,
            "displayArea": "customer",
            "viewMode": "editable",
        }  # fmt: skip
        if dictionary:
            field |= {"dictionary": dictionary, "default": "red", "defaultTyped": "red"}
        elif kind == "boolean":
            field |= {"default": "false", "defaultTyped": False}
        elif kind == "numeric":
            field |= {"default": 1, "defaultTyped": 1}
        records.append(account.nameless(n, field))
    account.fill_records("custom-fields", records)
    elements = [{"name": c.capitalize(), "code": c, "ordering": o} for c, o in _COLOURS]
    dictionaries: list[Json] = [
        {"name": "Colours", "code": "colours", "elements": elements},
        {"name": "Empty", "code": "empty", "elements": []},
    ]
    rows = [account.nameless(n, d) for n, d in enumerate(dictionaries, 1)]
    account.fill_records("dictionaries", rows)


def _properties(account: Account) -> None:
    """What offers carry as `properties`, and how many offers carry each value."""
    names = {"color": "Colour", "size": "Size"}
    roots = [{"id": 1, "name": "warehouseRoot"}]
    rows: list[Record] = []
    values: list[Record] = []
    counted: dict[tuple[str, str], int] = {}
    for record in account.collections["offers"].truth.live.values():
        offer = account.collections["offers"].load(record)
        for code, value in (offer["properties"] or {}).items():
            counted[code, value] = counted.get((code, value), 0) + 1
    described = {
        code: {"sites": account.sites, "groups": roots, "code": code, "name": name,
               "isNumeric": code == "size", "visible": True, "variative": True}
        for code, name in names.items()
    }  # fmt: skip
    for n, code in enumerate(described, 1):
        rows.append(account.nameless(n, described[code]))
    for n, (code, value) in enumerate(sorted(counted), 1):
        row = {
            "property": described[code],
            "value": value,
            "offersCount": counted[code, value],
        }
        values.append(account.nameless(n, row))
    account.fill_records("properties", rows)
    account.fill_records("property-values", values)
