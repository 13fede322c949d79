"""Costs, and the dictionaries with their names.

Costs have no history, and the CRM's users edit and delete them, so the list is read again four
times a day. The dictionaries need one request each and are read hourly.
"""

from sync.declare import (
    BOOLEAN,
    CODE,
    DATE,
    DATETIME,
    ID,
    INTEGER,
    MONEY,
    TEXT,
    Child,
    DateWindows,
    Field,
    FullRefresh,
    Resource,
    SinglePage,
)

HOURLY = FullRefresh(every_seconds=3600)

COST_GROUPS = Resource(
    name="cost_groups",
    singular="cost_group",
    path="/api/v5/reference/cost-groups",
    answer_key="costGroups",
    listing=SinglePage(),
    changes=HOURLY,
    key="code",
    scope="reference_read",
    note="Groups of cost items",
    fields=(
        Field("code", CODE, "code", "code cost items refer to"),
        Field("name", TEXT, "name", "name"),
        Field("ordering", INTEGER, "ordering", "place in lists"),
        Field("active", BOOLEAN, "active", "in use"),
        Field("color", CODE, "color", "colour, #rrggbb"),
    ),
)

COST_ITEMS = Resource(
    name="cost_items",
    singular="cost_item",
    path="/api/v5/reference/cost-items",
    answer_key="costItems",
    listing=SinglePage(),
    changes=HOURLY,
    key="code",
    scope="reference_read",
    note="What costs are for",
    fields=(
        Field("code", CODE, "code", "code costs refer to"),
        Field("name", TEXT, "name", "name"),
        Field("group", CODE, "group", "joins crm.cost_groups.code"),
        Field("ordering", INTEGER, "ordering", "place in lists"),
        Field("active", BOOLEAN, "active", "in use"),
        Field("applies_to_orders", BOOLEAN, "appliesToOrders", "costs of orders"),
        Field("applies_to_users", BOOLEAN, "appliesToUsers", "costs of users"),
        Field("type", CODE, "type", "const or var"),
        Field("source_source", TEXT, "source.source", "utm_source"),
        Field("source_medium", TEXT, "source.medium", "utm_medium"),
        Field("source_campaign", TEXT, "source.campaign", "utm_campaign"),
        Field("source_keyword", TEXT, "source.keyword", "utm_term"),
        Field("source_content", TEXT, "source.content", "utm_content"),
    ),
)

COSTS = Resource(
    name="costs",
    singular="cost",
    path="/api/v5/costs",
    answer_key="costs",
    listing=DateWindows("createdAtFrom", "createdAtTo"),
    changes=FullRefresh(every_seconds=21_600),
    single="/api/v5/costs/{id}",
    single_key="cost",
    scope="cost_read",
    note="Costs of orders, campaigns and users",
    fields=(
        Field("id", ID, "id", "RetailCRM's id"),
        Field("date_from", DATE, "dateFrom", "first day it is for"),
        Field("date_to", DATE, "dateTo", "last day it is for"),
        Field("summ", MONEY, "summ", "amount"),
        Field("cost_item", CODE, "costItem", "joins crm.cost_items.code"),
        Field("comment", TEXT, "comment", "comment"),
        Field("created_at", DATETIME, "createdAt", "when it was entered"),
        Field("created_by", ID, "createdBy", "user who entered it"),
        Field("user_id", ID, "userId", "user it is for"),
        Field("order_id", ID, "order.id", "joins crm.orders.id", is_indexed=True),
        Field("order_number", TEXT, "order.number", "order's number"),
        Field("order_external_id", TEXT, "order.externalId", "order's id in the shop"),
        Field("source_source", TEXT, "source.source", "utm_source"),
        Field("source_medium", TEXT, "source.medium", "utm_medium"),
        Field("source_campaign", TEXT, "source.campaign", "utm_campaign"),
        Field("source_keyword", TEXT, "source.keyword", "utm_term"),
        Field("source_content", TEXT, "source.content", "utm_content"),
    ),
    children=(
        Child(
            name="cost_sites",
            path="sites",
            note="Sites a cost is for",
            fields=(Field("site_code", CODE, "", "joins crm.sites.code"),),
        ),
    ),
)
