"""Shipments handed to carriers.

Shipments have no history, and their states change over some days. The only filter is by shipment
day, which may itself change, so the list is read whole, every three hours.
"""

from sync.declare import (
    BOOLEAN,
    CODE,
    DATE,
    ID,
    MAP,
    TEXT,
    Child,
    Field,
    FullRefresh,
    PageNumbers,
    Resource,
)

DELIVERY_SHIPMENTS = Resource(
    name="delivery_shipments",
    singular="delivery_shipment",
    path="/api/v5/delivery/shipments",
    answer_key="deliveryShipments",
    listing=PageNumbers(),
    changes=FullRefresh(every_seconds=10_800),
    single="/api/v5/delivery/shipments/{id}",
    single_key="deliveryShipment",
    note="Shipments handed to carriers",
    fields=(
        Field("id", ID, "id", "RetailCRM's id"),
        Field("external_id", TEXT, "externalId", "id at the carrier"),
        Field("integration_code", CODE, "integrationCode", "integration module"),
        Field("delivery_type", CODE, "deliveryType", "joins crm.delivery_types.code"),
        Field("store", CODE, "store", "warehouse; joins crm.warehouses.code"),
        Field("manager_id", ID, "managerId", "responsible user"),
        Field("status", CODE, "status", "status"),
        Field("date", DATE, "date", "shipment day"),
        Field("time_from", TEXT, "time.from", "from, H:i"),
        Field("time_to", TEXT, "time.to", "to, H:i"),
        Field("time_custom", TEXT, "time.custom", "time in words"),
        Field("lunch_time_from", TEXT, "lunchTime.from", "lunch from, H:i"),
        Field("lunch_time_to", TEXT, "lunchTime.to", "lunch to, H:i"),
        Field("lunch_time_custom", TEXT, "lunchTime.custom", "lunch in words"),
        Field("comment", TEXT, "comment", "comment"),
        Field("extra_data", MAP, "extraData", "the carrier's own data as sent"),
    ),
    children=(
        Child(
            name="delivery_shipment_orders",
            path="orders",
            key="id",
            note="Orders of a shipment",
            fields=(
                Field("id", ID, "id", "joins crm.orders.id"),
                Field("external_id", TEXT, "externalId", "order's id in the shop"),
                Field("number", TEXT, "number", "order's number"),
                Field("apply_round", BOOLEAN, "applyRound", "whether the total is rounded"),
            ),
        ),
    ),
)
