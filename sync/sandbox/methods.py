"""Every read method: path -> what answers it and the scope it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sync.sandbox import extras, singles
from sync.sandbox.calls import Call
from sync.sandbox.feeds import FeedMethod
from sync.sandbox.listed import LISTS
from sync.sandbox.singles import ReferenceMethod, SingleMethod

Answer = Callable[[Call], bytes]


@dataclass(frozen=True)
class Method:
    """How a path is answered. `scope` None: any key that works."""

    answer: Answer
    scope: str | None = None

    @property
    def kind(self) -> bytes:
        """Content type: everything is JSON but the downloads."""
        return (
            b"application/pdf" if isinstance(self.answer, extras.Download) else b"application/json"
        )


_MAPS = {
    "delivery-services": "deliveryServices", "delivery-types": "deliveryTypes",
    "order-methods": "orderMethods", "order-types": "orderTypes",
    "payment-statuses": "paymentStatuses",
    "payment-types": "paymentTypes", "product-statuses": "productStatuses", "sites": "sites",
    "status-groups": "statusGroups", "statuses": "statuses", "units": "units",
}  # fmt: skip
_ROWS = {
    "cost-groups": "costGroups", "cost-items": "costItems", "countries": "countriesIso",
    "couriers": "couriers", "currencies": "currencies", "legal-entities": "legalEntities",
    "mg-channels": "mgChannels", "price-types": "priceTypes", "stores": "stores",
}  # fmt: skip
_OURS = ("couriers", "mg-channels")  # the API knows them by id, not by code

METHODS: dict[str, Method] = {
    "/api/api-versions": Method(singles.api_versions),
    "/api/credentials": Method(singles.credentials),
    "/api/system-info": Method(singles.system_info),
    "/api/v5/settings": Method(singles.settings),
    "/api/v5/orders/history": Method(
        FeedMethod("orders", "orderId", "orderExternalId"), "order_read"
    ),
    "/api/v5/customers/history": Method(
        FeedMethod("customers", "customerId", "customerExternalId"), "customer_read"
    ),
    "/api/v5/orders/statuses": Method(singles.order_statuses, "order_read"),
    "/api/v5/orders/{id}": Method(SingleMethod("orders", "order", by_external=True), "order_read"),
    "/api/v5/customers/{id}": Method(
        SingleMethod("customers", "customer", by_external=True), "customer_read"
    ),
}

SINGLES: dict[str, tuple[Answer, str | None]] = {
    "customers-corporate/{id}": (
        SingleMethod("customers-corporate", "customerCorporate", by_external=True),
        "customer_read"),
    "orders/packs/{id}": (SingleMethod("packs", "pack"), "order_read"),
    "orders/{id}/plates/{plate}/print": (extras.Download("orders", by_external=True), "order_read"),
    "costs/{id}": (SingleMethod("costs", "cost"), "cost_read"),
    "files/{id}": (SingleMethod("files", "file"), "file_read"),
    "files/{id}/download": (extras.Download("files"), "file_read"),
    "delivery/shipments/{id}": (SingleMethod("shipments", "deliveryShipment"), "delivery_read"),
    "tasks/{id}": (SingleMethod("tasks", "task"), "task_read"),
    "users/{id}": (SingleMethod("users", "user"), "user_read"),
    "custom-fields/dictionaries/{code}": (
        singles.CodedMethod("dictionaries", "customDictionary", ("code",)), "custom_fields_read"),
    "custom-fields/{entity}/{code}": (
        singles.CodedMethod("custom-fields", "customField", ("entity", "code")),
        "custom_fields_read"),
    "loyalty/account/{id}": (SingleMethod("loyalty-accounts", "loyaltyAccount"), "loyalty_read"),
    "loyalty/account/{id}/bonus/{status}/details": (extras.bonus_details, "loyalty_read"),
    "loyalty/bonus/operations": (extras.bonus_operations, "loyalty_read"),
    "loyalty/loyalties/{id}": (extras.loyalty, "loyalty_read"),
    "customer-interaction/{site}/cart/{customer}": (extras.cart, "customer_read"),
    "customer-interaction/{site}/favorites/{customer}": (extras.favorites, "customer_read"),
    "integration-modules/{code}": (extras.integration_module, "integration_read"),
    "payment/invoice/{uuid}": (extras.nothing_here, None),
    "features/check": (extras.features, None),
    "telephony/manager": (extras.manager_by_phone, None),
    "verification/sms/{check}/status": (extras.sms_status, None),
    "statistic/update": (extras.recalculate, "analytics_write"),
    "customers-corporate/history": (
        FeedMethod("customers-corporate", "customerId", "customerExternalId"), "customer_read"),
    "orders/packs/history": (FeedMethod("packs", "packId"), "order_read"),
    "tasks/history": (FeedMethod("tasks", "taskId"), "task_read"),
}  # fmt: skip
METHODS |= {f"/api/v5/{path}": Method(method, scope) for path, (method, scope) in SINGLES.items()}
METHODS |= {f"/api/v5/{path}": Method(method, scope) for path, (method, scope) in LISTS.items()}
METHODS |= {
    f"/api/v5/reference/{name}": Method(
        ReferenceMethod(name, key, keyed=name in _MAPS, strip=name in _OURS), "reference_read"
    )
    for name, key in (_MAPS | _ROWS).items()
}


def _patterns() -> dict[int, list[tuple[list[str], str]]]:
    found: dict[int, list[tuple[list[str], str]]] = {}
    for path in METHODS:
        if "{" in path:
            parts = path.split("/")
            found.setdefault(len(parts), []).append((parts, path))
    return found


_PATTERNS = _patterns()


def find(path: str) -> tuple[Method, tuple[str, ...]] | None:
    """The method of a path and the variable parts; None: unknown path."""
    exact = METHODS.get(path)
    if exact is not None and "{" not in path:
        return exact, ()
    parts = path.split("/")
    for pattern, name in _PATTERNS.get(len(parts), ()):
        if all(p == q or p.startswith("{") for p, q in zip(pattern, parts, strict=True)):
            args = tuple(q for p, q in zip(pattern, parts, strict=True) if p.startswith("{"))
            return METHODS[name], args
    return None
