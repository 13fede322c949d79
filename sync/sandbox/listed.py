"""The list methods, by path below /api/v5/: collection, key, order, filters, scope."""

from __future__ import annotations

from sync.sandbox import filter_tables as known
from sync.sandbox.calls import Call
from sync.sandbox.filters import among, anything, between, flag, text
from sync.sandbox.lists import LIMITS, ListMethod
from sync.sandbox.php import Json

OPERATIONS = {"createdAtFrom": between("createdAt")[0], "createdAtTo": between("createdAt")[1]}
ADDRESSES = {"name": text("name"), "city": text("city"), "region": text("region")}
CONTACTS = {"contactIds": among("customer.id"), "contactExternalIds": among("customer.externalId")}
MORE = (*LIMITS, 250)
CREATED = ("createdAtFrom", "createdAtTo")
FIRM = "customers-corporate"


def _stock(call: Call, offer: Json) -> Json:
    """An offer as /store/inventories sends it: rows by warehouse only with details=1."""
    names = ("id", "externalId", "xmlId", "site", "quantity", "purchasePrice")
    found: Json = {k: offer[k] for k in names if k in offer}
    if str(call.filter().get("details")) == "1":
        found["stores"] = [
            {"quantity": offer["quantity"], "purchasePrice": offer["purchasePrice"],
             "store": f"{offer['site']}-store"}
        ]  # fmt: skip
    return found


def _own_operation(_: Call, operation: Json) -> Json:
    """Of one account's operations, the account and programme are left out."""
    return {k: v for k, v in operation.items() if k not in ("loyaltyAccount", "loyalty")}


def _field(call: Call, field: Json) -> Json:
    """With filter[entity] the rows leave the entity out."""
    return {k: v for k, v in field.items() if k != "entity" or "entity" not in call.filter()}


LISTS: dict[str, tuple[ListMethod, str | None]] = {
    "orders": (ListMethod("orders", "orders", known.ORDERS, created=CREATED), "order_read"),
    "customers": (
        ListMethod("customers", "customers", known.CUSTOMERS, created=("dateFrom", "dateTo")),
        "customer_read",
    ),
    "customers-corporate": (
        ListMethod(FIRM, "customersCorporate", known.FIRMS, created=("dateFrom", "dateTo")),
        "customer_read",
    ),
    "customers-corporate/{id}/addresses": (
        ListMethod("addresses", "addresses", ADDRESSES, order="id_asc", parent=FIRM, external=True),
        "customer_read",
    ),
    "customers-corporate/{id}/companies": (
        ListMethod(
            "companies", "companies", {"externalIds": among("externalId")},
            order="id_asc", parent=FIRM, external=True,
        ),
        "customer_read",
    ),
    "customers-corporate/{id}/contacts": (
        ListMethod("contacts", "contacts", CONTACTS, order="id_asc", parent=FIRM, external=True),
        "customer_read",
    ),
    "customers/notes": (
        ListMethod("customer-notes", "notes", known.NOTES, order="id_asc", created=CREATED),
        "customer_read",
    ),
    "customers-corporate/notes": (
        ListMethod("corporate-notes", "notes", known.NOTES, order="id_asc", created=CREATED),
        "customer_read",
    ),
    "orders/packs": (ListMethod("packs", "packs", known.PACKS, order="id_desc"), "order_read"),
    "costs": (ListMethod("costs", "costs", known.COSTS, created=CREATED), "cost_read"),
    "files": (ListMethod("files", "files", known.FILES, created=CREATED), "file_read"),
    "delivery/shipments": (
        ListMethod("shipments", "deliveryShipments", known.SHIPMENTS, order="id_desc"),
        "delivery_read",
    ),
    "store/products": (ListMethod("products", "products", known.PRODUCTS, order="id_asc"),
        "store_read"),
    "store/offers": (ListMethod("offers", "offers", known.OFFERS, order="id_asc"), "store_read"),
    "store/inventories": (
        ListMethod("offers", "offers", known.INVENTORIES, limits=MORE, order="id_desc",
            shape=_stock),
        "store_read",
    ),
    "store/product-groups": (
        ListMethod("product-groups", "productGroup", known.GROUPS, order="oldest"),
        "store_read",
    ),
    "store/products/properties": (
        ListMethod("properties", "properties", known.PROPERTIES, order="oldest"),
        "store_read",
    ),
    "store/products/properties/values": (
        ListMethod("property-values", "productPropertyValues", known.VALUES, order="oldest"),
        "store_read",
    ),
    "loyalty/accounts": (
        ListMethod("loyalty-accounts", "loyaltyAccounts", known.ACCOUNTS, created=CREATED),
        "loyalty_read",
    ),
    "loyalty/loyalties": (
        ListMethod(
            "loyalties", "loyalties",
            {"active": flag("active"), "blocked": flag("blocked"), "sites": anything()},
            order="oldest",
        ),
        "loyalty_read",
    ),
    "loyalty/account/{id}/bonus/operations": (
        ListMethod(
            "bonus-operations", "bonusOperations", OPERATIONS,
            order="id_desc", parent="loyalty-accounts", shape=_own_operation,
        ),
        "loyalty_read",
    ),
    "segments": (ListMethod("segments", "segments", known.SEGMENTS, order="id_desc"),
        "segment_read"),
    "users": (ListMethod("users", "users", known.USERS, order="id_desc"), "user_read"),
    "user-groups": (ListMethod("user-groups", "groups", {}, order="id_desc"), "user_read"),
    "tasks": (ListMethod("tasks", "tasks", known.TASKS, order="id_desc", created=CREATED),
        "task_read"),
    "tasks/{id}/comments": (
        ListMethod("task-comments", "comments", {}, order="id_desc", parent="tasks"),
        "task_read",
    ),
    "custom-fields": (
        ListMethod("custom-fields", "customFields", known.FIELDS, limits=MORE, order="oldest",
            shape=_field),
        "custom_fields_read",
    ),
    "custom-fields/dictionaries": (
        ListMethod(
            "dictionaries", "customDictionaries", {"name": text("name"), "code": among("code")},
            limits=MORE, order="oldest",
        ),
        "custom_fields_read",
    ),
    "reference/mg-channels/templates": (
        ListMethod("templates", "templates", {}, order="oldest"),
        "reference_read",
    ),
}  # fmt: skip
