"""Carts and favourites of customers: optional, one request per customer and kind.

For 100,000 customers one pass takes three hours of the whole request budget, so both are off by
default and read once a day. A customer has one cart in a site, so a cart's id is the customer's id.
"""

from sync.declare import (
    CODE,
    DATETIME,
    DATETIME_OFFSET,
    ID,
    JSON,
    MONEY,
    QUANTITY,
    TEXT,
    Child,
    Field,
    FullRefresh,
    Parent,
    Resource,
    Shape,
    SinglePage,
    SurrogateKey,
)

DAILY = FullRefresh(every_seconds=86_400)

CARTS = Resource(
    name="carts",
    singular="cart",
    path="/api/v5/customer-interaction/{site}/cart/{id}",
    answer_key="cart",
    listing=SinglePage(),
    changes=DAILY,
    shape=Shape.SINGLE,
    parent=Parent("customers", "id"),
    params=(("by", "id"),),
    optional=True,
    note="Carts of customers",
    fields=(
        Field("id", ID, "", "customer's id; joins crm.customers.id"),
        Field("external_id", TEXT, "externalId", "cart's id in the shop"),
        Field("currency", CODE, "currency", "ISO 4217 currency"),
        Field("dropped_at", DATETIME_OFFSET, "droppedAt", "when it was left"),
        Field("cleared_at", DATETIME_OFFSET, "clearedAt", "when it was emptied"),
        Field("link", TEXT, "link", "link to it in the shop"),
        Field("customer_id", ID, "customer.id", "customer"),
        Field("customer_external_id", TEXT, "customer.externalId", "customer's id in the shop"),
        Field("customer_browser_id", TEXT, "customer.browserId", "customer's web collector id"),
        Field("customer_site", CODE, "customer.site", "customer's site"),
        Field(
            "customer_ga_client_id",
            TEXT,
            "customer.gaClientId",
            "customer's web analytics client id",
        ),
        Field("order_id", ID, "order.id", "order it became; joins crm.orders.id"),
        Field("order_external_id", TEXT, "order.externalId", "order's id in the shop"),
        Field("order_number", TEXT, "order.number", "order's number"),
    ),
    children=(
        Child(
            name="cart_items",
            path="items",
            note="Positions of carts",
            fields=(
                Field("id", ID, "id", "position id, unique in the cart"),
                Field("offer_id", ID, "offer.id", "joins crm.offers.id"),
                Field("offer_external_id", TEXT, "offer.externalId", "offer's id in the shop"),
                Field("offer_xml_id", TEXT, "offer.xmlId", "offer's id in the stock system"),
                Field("offer_name", TEXT, "offer.name", "offer's name"),
                Field("offer", JSON, "offer", "the offer as sent"),
                Field("quantity", QUANTITY, "quantity", "quantity"),
                Field("price", MONEY, "price", "price, a unit"),
            ),
        ),
    ),
)

FAVORITES = Resource(
    name="favorites",
    singular="favorite",
    path="/api/v5/customer-interaction/{site}/favorites/{id}",
    answer_key="favorites",
    listing=SinglePage(),
    changes=DAILY,
    made=SurrogateKey(("customer_id", "offer_id")),
    parent=Parent("customers", "customer_id"),
    params=(("by", "id"),),
    optional=True,
    note="Offers customers marked as favourites",
    fields=(
        Field("id", CODE, "", "customer/offer"),
        Field("customer_id", ID, "", "joins crm.customers.id"),
        Field("offer_id", ID, "offer.id", "joins crm.offers.id"),
        Field("offer_external_id", TEXT, "offer.externalId", "offer's id in the shop"),
        Field("offer_xml_id", TEXT, "offer.xmlId", "offer's id in the stock system"),
        Field("created_at", DATETIME, "createdAt", "when it was marked"),
    ),
    raw_only=(("offer", "a copy of the offer"),),
)
