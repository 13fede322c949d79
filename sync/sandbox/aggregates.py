"""The aggregates of a customer: computed from its orders, without history entries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from sync.sandbox.php import Json, loose
from sync.sandbox.records import Record
from sync.sandbox.reference import CANCELLED
from sync.sandbox.store import Store

Sums = tuple[int, int, int]
"""Number of orders, their total and their costs, in cents: integers, so that adding and subtracting
for days gives the same sum as counting anew."""

NONE: Sums = (0, 0, 0)
BUYERS = ("customers", "customers-corporate")  # they share one id space


class Puts(Protocol):
    """The part of a save that aggregates are written through."""

    def put(self, collection: str, record: Record) -> None: ...


class Aggregates:
    """The sums of all customers of an account."""

    def __init__(self, store: Store) -> None:
        self.sums: dict[int, Sums] = {}
        self.cancelled = set(CANCELLED)
        self._store = store

    def of(self, customer_id: int) -> Json:
        return rendered(self.sums.get(customer_id, NONE))

    def credit(self, customer_id: int, order: Json, sign: int) -> None:
        """Add (1) or subtract (-1) an order in a customer's sums; cancelled orders never count."""
        if order.get("status") in self.cancelled:
            return
        count, total, cost = self.sums.get(customer_id, NONE)
        self.sums[customer_id] = (
            count + sign,
            total + sign * _cents(order["totalSumm"]),
            cost + sign * _cents(order["purchaseSumm"]),
        )

    def refresh(self, save: Puts, customer_id: int) -> None:
        """Write the sums to the customer, if they changed."""
        for name, record in buyers(self._store, customer_id):
            person = self._store.collections[name].load(record)
            changed = person | self.of(customer_id)
            if changed != person:
                save.put(name, self._store.record(changed))

    def recount(self, save: Puts, *orders: tuple[Record, Json, int]) -> None:
        """Add or subtract orders by their sign, and write the sums of all customers concerned."""
        for record, order, sign in orders:
            if record.customer is not None:
                self.credit(record.customer, order, sign)
        for customer_id in sorted({r.customer for r, _, _ in orders if r.customer is not None}):
            self.refresh(save, customer_id)


def buyers(store: Store, customer_id: int) -> Iterator[tuple[str, Record]]:
    """Yield the live customer or corporate customer with an id, with its collection."""
    for name in BUYERS:
        record = store.collections[name].truth.live.get(customer_id)
        if record is not None:
            yield name, record


def rendered(sums: Sums) -> Json:
    """Return the aggregate fields of a customer."""
    count, total, cost = sums
    return {
        "marginSumm": loose((total - cost) / 100), "totalSumm": loose(total / 100),
        "averageSumm": loose(total / count / 100) if count else 0, "ordersCount": count,
        "costSumm": loose(cost / 100),
    }  # fmt: skip


def _cents(amount: object) -> int:
    """Return an amount of the API, number or text, in cents."""
    return round(float(str(amount)) * 100)
