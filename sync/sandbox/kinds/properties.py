"""Properties of offers and their values, with the number of offers that carry each value."""

from __future__ import annotations

from sync.sandbox.filters import among, flag, idle, text
from sync.sandbox.kind import Kind, Seeding
from sync.sandbox.lists import ListMethod
from sync.sandbox.php import Json

FILTERS = {
    **text("name"), **among("code", sites="sites[]", groups="groups[].id"),
    **flag("visible", "variative"), **idle("catalogs"),
}  # fmt: skip
VALUE_FILTERS = {
    **text(propertyName="property.name"),
    **among(propertyCode="property.code", groups="property.groups[].id"),
}  # fmt: skip


def seed(seeding: Seeding) -> None:
    account, store = seeding.account, seeding.account.store
    counted: dict[tuple[str, str], int] = {}
    for offer in account.entities("offers"):
        for pair in (offer["properties"] or {}).items():
            counted[pair] = counted.get(pair, 0) + 1
    described: dict[str, Json] = {
        code: {"sites": account.sites, "groups": [{"id": 1, "name": "warehouseRoot"}],
               "code": code, "name": name, "isNumeric": code == "size", "visible": True,
               "variative": True}
        for code, name in (("color", "Colour"), ("size", "Size"))
    }  # fmt: skip
    values = [
        {"property": described[code], "value": value, "offersCount": counted[code, value]}
        for code, value in sorted(counted)
    ]
    for name, rows in (("properties", list(described.values())), ("property-values", values)):
        store.fill_records(name, [store.nameless(n, row) for n, row in enumerate(rows, 1)])


PROPERTIES = Kind(
    "properties",
    scope="store_read",
    methods={
        "store/products/properties": ListMethod("properties", "properties", FILTERS, order="oldest")
    },
    after=("products",),
    seed=seed,
)
VALUES = Kind(
    "property-values",
    scope="store_read",
    methods={
        "store/products/properties/values": ListMethod(
            "property-values", "productPropertyValues", VALUE_FILTERS, order="oldest"
        )
    },
)
