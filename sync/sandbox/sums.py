"""The aggregates a customer carries: they follow its orders, and no history tells."""

from __future__ import annotations

from sync.sandbox.php import Json, loose
from sync.sandbox.reference import CANCELLED

Sums = tuple[int, int, int]
"""Orders, their totals and their costs, in cents: a sum that is added to and taken from for days
must come out the same, or it would change where no order did."""

NONE: Sums = (0, 0, 0)


def aggregates(sums: Sums) -> Json:
    """The numbers a customer carries about its orders."""
    count, total, cost = sums
    return {
        "marginSumm": loose((total - cost) / 100), "totalSumm": loose(total / 100),
        "averageSumm": loose(total / count / 100) if count else 0, "ordersCount": count,
        "costSumm": loose(cost / 100),
    }  # fmt: skip


def cents(amount: object) -> int:
    """A sum as the API writes it, which may be a text."""
    return round(float(str(amount)) * 100)


def counts(order: Json) -> bool:
    """Cancelled and returned orders do not count in a customer's aggregates."""
    return order.get("status") not in CANCELLED
