"""Packs, which are stock reserved for order items, and the history of their changes.

Packs have no creation day and so no filter by it. The list is read whole and proven by repeated
passes.
"""

from sync.declare import (
    BOOLEAN,
    CODE,
    DATE,
    DATETIME,
    ID,
    JSON,
    MONEY,
    QUANTITY,
    TEXT,
    Field,
    FullRefresh,
    HistoryFeed,
    PageNumbers,
    Resource,
    SinceId,
)

PACKS = Resource(
    name="packs",
    singular="pack",
    path="/api/v5/orders/packs",
    answer_key="packs",
    listing=PageNumbers(),
    changes=HistoryFeed("pack_history"),
    single="/api/v5/orders/packs/{id}",
    single_key="pack",
    scope="order_read",
    note="Packs: stock set aside for order items",
    fields=(
        Field("id", ID, "id", "RetailCRM's id"),
        Field("item_id", ID, "item.id", "joins crm.order_items.id"),
        Field("item_order_id", ID, "item.order.id", "joins crm.orders.id"),
        Field("item_offer_id", ID, "item.offer.id", "joins crm.offers.id"),
        Field("item_offer_external_id", TEXT, "item.offer.externalId", "offer's id in the shop"),
        Field("item_offer_xml_id", TEXT, "item.offer.xmlId", "offer's id in the stock system"),
        Field("store", CODE, "store", "warehouse; joins crm.warehouses.code"),
        Field("quantity", QUANTITY, "quantity", "quantity in units"),
        Field("purchase_price", MONEY, "purchasePrice", "purchase price, a unit"),
        Field("shipment_date", DATE, "shipmentDate", "shipment day"),
        Field("invoice_number", TEXT, "invoiceNumber", "invoice"),
        Field("delivery_note_number", TEXT, "deliveryNoteNumber", "delivery note"),
        Field("unit_code", CODE, "unit.code", "unit code"),
        Field("unit_name", TEXT, "unit.name", "unit"),
        Field("unit_sym", TEXT, "unit.sym", "unit's sign"),
    ),
    raw_only=(
        ("item", "a copy of the order item"),
        ("itemId", "a word of the write API, the same as item.id"),
    ),
)

PACK_HISTORY = Resource(
    name="pack_history",
    singular="pack_history_entry",
    path="/api/v5/orders/packs/history",
    answer_key="history",
    listing=SinceId(subject="pack", target="packs"),
    changes=FullRefresh(every_seconds=15),
    scope="order_read",
    note="Changes of packs, one entry per changed field; entries never change",
    fields=(
        Field("id", ID, "id", "entry id, ascending"),
        Field("created_at", DATETIME, "createdAt", "when the change was made"),
        Field("created", BOOLEAN, "created", "true on the entry that made the pack"),
        Field("deleted", BOOLEAN, "deleted", "true on the entry that deleted it"),
        Field("source", CODE, "source", "who made it: user, api, code, rule"),
        Field("user_id", ID, "user.id", "user who made it"),
        Field("field", CODE, "field", "changed field, in the history's own names"),
        Field("old_value", JSON, "oldValue", "before: null, scalar, or object with id or code"),
        Field("new_value", JSON, "newValue", "after: null, scalar, or object with id or code"),
        Field("pack_id", ID, "pack.id", "joins crm.packs.id"),
        Field("pack_store_code", CODE, "pack.store.code", "warehouse at that time"),
        Field("pack_quantity", QUANTITY, "pack.quantity", "quantity at that time"),
        Field("pack_purchase_price", MONEY, "pack.purchasePrice", "purchase price at that time"),
        Field("pack_item_id", ID, "pack.item.id", "joins crm.order_items.id"),
        Field("pack_item_order_id", ID, "pack.item.order.id", "joins crm.orders.id"),
        Field("pack_item_offer_id", ID, "pack.item.offer.id", "joins crm.offers.id"),
        Field(
            "pack_item_offer_external_id",
            TEXT,
            "pack.item.offer.externalId",
            "offer's id in the shop",
        ),
        Field(
            "pack_item_offer_xml_id",
            TEXT,
            "pack.item.offer.xmlId",
            "offer's id in the stock system",
        ),
    ),
    raw_only=(("pack", "the pack as of the change; reduced where it was deleted"),),
)
