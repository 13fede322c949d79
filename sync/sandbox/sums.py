"""The aggregates a customer carries: they follow its orders, and no history tells."""

from __future__ import annotations

from sync.sandbox.php import Json, loose
from sync.sandbox.reference import CANCELLED


def aggregates(count: int, total: float, cost: float) -> Json:
    """The numbers a customer carries about its orders."""
    return {
        "marginSumm": loose(total - cost), "totalSumm": loose(total),
        "averageSumm": loose(total / count) if count else 0, "ordersCount": count,
        "costSumm": loose(cost),
    }  # fmt: skip


def counts(order: Json) -> bool:
    """Cancelled and returned orders do not count in a customer's aggregates."""
    return order.get("status") not in CANCELLED
