"""Dictionaries of orders: statuses, types, methods. Read whole every hour, as all dictionaries."""

from sync.declare import (
    BOOLEAN,
    CODE,
    DATETIME,
    INTEGER,
    TEXT,
    Child,
    Field,
    FullRefresh,
    Resource,
    Shape,
    SinglePage,
)

HOURLY = FullRefresh(every_seconds=3600)

STATUSES = Resource(
    name="statuses",
    singular="status",
    path="/api/v5/reference/statuses",
    answer_key="statuses",
    listing=SinglePage(),
    changes=HOURLY,
    shape=Shape.MAP,
    key="code",
    scope="reference_read",
    note="Statuses of orders",
    fields=(
        Field("code", CODE, "code", "code orders refer to"),
        Field("name", TEXT, "name", "name"),
        Field("group", CODE, "group", "joins crm.status_groups.code"),
        Field("active", BOOLEAN, "active", "in use"),
        Field("ordering", INTEGER, "ordering", "place in lists"),
    ),
)

STATUS_GROUPS = Resource(
    name="status_groups",
    singular="status_group",
    path="/api/v5/reference/status-groups",
    answer_key="statusGroups",
    listing=SinglePage(),
    changes=HOURLY,
    shape=Shape.MAP,
    key="code",
    scope="reference_read",
    note="Groups of order statuses",
    fields=(
        Field("code", CODE, "code", "code statuses refer to"),
        Field("name", TEXT, "name", "name"),
        Field("active", BOOLEAN, "active", "in use"),
        Field("ordering", INTEGER, "ordering", "place in lists"),
        Field("process", BOOLEAN, "process", "orders in it are being worked on"),
    ),
    children=(
        Child(
            name="status_group_statuses",
            path="statuses",
            note="Statuses of a group, in its order",
            fields=(Field("status_code", CODE, "", "joins crm.statuses.code"),),
        ),
    ),
)

PRODUCT_STATUSES = Resource(
    name="product_statuses",
    singular="product_status",
    path="/api/v5/reference/product-statuses",
    answer_key="productStatuses",
    listing=SinglePage(),
    changes=HOURLY,
    shape=Shape.MAP,
    key="code",
    scope="reference_read",
    note="Statuses of order items",
    fields=(
        Field("code", CODE, "code", "code order items refer to"),
        Field("name", TEXT, "name", "name"),
        Field("active", BOOLEAN, "active", "in use"),
        Field("ordering", INTEGER, "ordering", "place in lists"),
        Field("created_at", DATETIME, "createdAt", "when it was made"),
        Field("cancel_status", BOOLEAN, "cancelStatus", "the item counts as cancelled"),
        Field(
            "order_status_by_product_status",
            CODE,
            "orderStatusByProductStatus",
            "status an order gets when all items have it",
        ),
        Field(
            "order_status_for_product_status",
            CODE,
            "orderStatusForProductStatus",
            "status of an order that gives it to its items",
        ),
    ),
)

ORDER_TYPES = Resource(
    name="order_types",
    singular="order_type",
    path="/api/v5/reference/order-types",
    answer_key="orderTypes",
    listing=SinglePage(),
    changes=HOURLY,
    shape=Shape.MAP,
    key="code",
    scope="reference_read",
    note="Types of orders",
    fields=(
        Field("code", CODE, "code", "code orders refer to"),
        Field("name", TEXT, "name", "name"),
        Field("active", BOOLEAN, "active", "in use"),
        Field("ordering", INTEGER, "ordering", "place in lists"),
        Field("default_for_crm", BOOLEAN, "defaultForCrm", "default in the CRM"),
        Field("default_for_api", BOOLEAN, "defaultForApi", "default for the API"),
    ),
)

ORDER_METHODS = Resource(
    name="order_methods",
    singular="order_method",
    path="/api/v5/reference/order-methods",
    answer_key="orderMethods",
    listing=SinglePage(),
    changes=HOURLY,
    shape=Shape.MAP,
    key="code",
    scope="reference_read",
    note="Ways orders arrive",
    fields=(
        Field("code", CODE, "code", "code orders refer to"),
        Field("name", TEXT, "name", "name"),
        Field("active", BOOLEAN, "active", "in use"),
        Field("default_for_crm", BOOLEAN, "defaultForCrm", "default in the CRM"),
        Field("default_for_api", BOOLEAN, "defaultForApi", "default for the API"),
        Field("is_from_pos", BOOLEAN, "isFromPos", "orders come from a point of sale"),
    ),
)
