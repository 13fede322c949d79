"""Every read method: path -> what answers it and the scope it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sync.sandbox import singles
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


_MAPS = {
    "delivery-services": "deliveryServices", "delivery-types": "deliveryTypes",
    "order-methods": "orderMethods", "order-types": "orderTypes", "payment-statuses": "paymentStatuses",
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
