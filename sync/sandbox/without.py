"""Writes of features that an account of the sandbox does not have.

They are answered as such an account answers, as far as is known: that these methods exist, and
what they take, is the official clients' word; the text of the refusal is not known, of any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sync.sandbox.calls import Call
from sync.sandbox.php import Refusal
from sync.sandbox.shapes import Done, Write


@dataclass(frozen=True)
class Without:
    """The refusal of a method that needs a feature."""

    feature: str

    def __call__(self, _call: Call, _value: Any) -> Done:
        raise Refusal(400, f"{self.feature} is not available in this account")


def _none(field: str | None, feature: str) -> Write:
    return Write(Without(feature), field or (), form=lambda _: {field: {}} if field else {})


_DELIVERY, _PAYMENT = "Delivery integration", "Payment integration"
_LOYALTY, _TELEPHONY = "Loyalty in orders", "Telephony integration"
# path below /api/v5/ -> the method, and the scope it needs (by the names of those to read)
WRITES: dict[str, tuple[Write, str | None]] = {
    "customer-interaction/{site}/cart/clear": (_none("cart", "Online cart"), "customer_write"),
    "customer-interaction/{site}/cart/set": (_none("cart", "Online cart"), "customer_write"),
    "delivery/calculate": (_none("order", _DELIVERY), "delivery_write"),
    "delivery/generic/{subcode}/tracking": (_none("statusUpdate", _DELIVERY), "delivery_write"),
    "delivery/shipments/create": (_none("deliveryShipment", _DELIVERY), "delivery_write"),
    "delivery/shipments/{id}/edit": (_none("deliveryShipment", _DELIVERY), "delivery_write"),
    "integration-modules/{code}/edit": (
        _none("integrationModule", "Registration of modules"),
        "integration_write",
    ),
    "integration-modules/{code}/update-scopes": (
        _none("requires", "Registration of modules"),
        "integration_write",
    ),
    "loyalty/calculate": (_none("order", _LOYALTY), "loyalty_write"),
    "notifications/send": (_none("notification", "Notification of users"), "user_write"),
    "orders/loyalty/apply": (_none("order", _LOYALTY), "order_write"),
    "orders/loyalty/cancel-bonus-operations": (_none("order", _LOYALTY), "order_write"),
    "orders/{id}/delivery/cancel": (_none(None, _DELIVERY), "order_write"),
    "payment/check": (_none("check", _PAYMENT), "integration_write"),
    "payment/create-invoice": (_none("createInvoice", _PAYMENT), "integration_write"),
    "payment/update-invoice": (_none("updateInvoice", _PAYMENT), "integration_write"),
    "payment/invoice/import": (_none("invoice", _PAYMENT), "integration_write"),
    "telephony/call/event": (_none("event", _TELEPHONY), None),
    "telephony/calls/upload": (_none("calls", _TELEPHONY), None),
    "verification/sms/confirm": (_none("verification", "Verification by SMS"), None),
    "web-analytics/sources/upload": (_none("sources", "Web analytics"), "customer_write"),
    "web-analytics/client-ids/upload": (_none("clientIds", "Web analytics"), "customer_write"),
    "web-analytics/visits/upload": (_none("visits", "Web analytics"), "customer_write"),
}
