"""Shipments: orders handed to a delivery service together."""

from __future__ import annotations

from sync.sandbox.filters import among, since, until
from sync.sandbox.kind import Kind, Left, Seeding
from sync.sandbox.lists import ListMethod
from sync.sandbox.php import Json
from sync.sandbox.shop import short
from sync.sandbox.singles import SingleMethod

FILTERS = {
    **since(dateFrom="date"), **until(dateTo="date"),
    **among("externalId", orderNumber="orders[].number", statuses="status",
            deliveryTypes="deliveryType", managers="managerId", stores="store"),
}  # fmt: skip


def of_order(seeding: Seeding, order: Json, die: float) -> Left:
    if not 0.6 < die < 0.7:
        return
    account, rng, site = seeding.account, seeding.rng, order["site"]
    shipment: Json = {
        "id": account.store.take_id("shipments"), "externalId": str(13_000_000 + order["id"]),
        "deliveryType": order["delivery"]["code"], "store": f"{site}-store",
        "managerId": rng.choice(account.user_ids),
        "status": rng.choice(("processing", "completed")),
        "date": order["createdAt"][:10], "time": {"from": "18:00", "to": "22:00"},
        "orders": [short(order)], "extraData": [],
    }  # fmt: skip
    yield "shipments", account.store.record(shipment, site=site)


SHIPMENTS = Kind(
    "shipments",
    scope="delivery_read",
    methods={
        "delivery/shipments": ListMethod(
            "shipments", "deliveryShipments", FILTERS, order="id_desc"
        ),
        "delivery/shipments/{id}": SingleMethod("shipments", "deliveryShipment"),
    },
    after=("files",),
    left_by={"orders": of_order},
)
