"""The aggregates a customer carries: they follow its orders, and no history tells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from sync.sandbox.php import Json, loose
from sync.sandbox.records import Record
from sync.sandbox.reference import CANCELLED
from sync.sandbox.store import Store

Sums = tuple[int, int, int]
"""Orders, their totals and their costs, in cents: a sum that is added to and taken from for days
must come out the same, or it would change where no order did."""

NONE: Sums = (0, 0, 0)
BUYERS = ("customers", "customers-corporate")  # one id space


class Puts(Protocol):
    """A save, as far as aggregates are written by it."""

    def put(self, collection: str, record: Record) -> None: ...


class Aggregates:
    """The sums of every customer of an account."""

    def __init__(self, store: Store) -> None:
        self.sums: dict[int, Sums] = {}
        self._store = store

    def of(self, customer_id: int) -> Json:
        return rendered(self.sums.get(customer_id, NONE))

    def credit(self, customer_id: int, order: Json, sign: int) -> None:
        """Count an order in (1) or out (-1) of a customer's sums; a cancelled one never counts."""
        if order.get("status") in CANCELLED:
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
        """Count orders in or out by their sign, and write the sums of all customers they name."""
        for record, order, sign in orders:
            if record.customer is not None:
                self.credit(record.customer, order, sign)
        for customer_id in sorted({r.customer for r, _, _ in orders if r.customer is not None}):
            self.refresh(save, customer_id)


def buyers(store: Store, customer_id: int) -> Iterator[tuple[str, Record]]:
    """The live customer or corporate customer of an id, with its collection."""
    for name in BUYERS:
        record = store.collections[name].truth.live.get(customer_id)
        if record is not None:
            yield name, record


def rendered(sums: Sums) -> Json:
    """The numbers a customer carries about its orders."""
    count, total, cost = sums
    return {
        "marginSumm": loose((total - cost) / 100), "totalSumm": loose(total / 100),
        "averageSumm": loose(total / count / 100) if count else 0, "ordersCount": count,
        "costSumm": loose(cost / 100),
    }  # fmt: skip


def _cents(amount: object) -> int:
    """A sum as the API writes it, which may be a text."""
    return round(float(str(amount)) * 100)
