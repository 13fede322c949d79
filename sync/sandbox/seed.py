"""Fills an account from its seed: the office, the people, then two years of orders and papers."""

from __future__ import annotations

from itertools import islice
from random import Random
from typing import TYPE_CHECKING

from sync.sandbox import office, papers, seed_orders, seed_people
from sync.sandbox.history import Entry
from sync.sandbox.sums import aggregates

if TYPE_CHECKING:
    from sync.sandbox.account import Account

DAYS = 730.0


def populate(account: Account, *, orders: int, customers: int, awkward: float) -> None:
    """Two years up to now. The same seed and clock give the same bytes."""
    rng = Random(f"{account.seed}/{account.name}/seed")
    office.furnish(account, rng)
    firms = seed_people.firms(account, rng, min(customers // 25, 60))
    persons, drafts = seed_people.customers(account, rng, customers, days=DAYS + 60)
    publish(account, "customers", drafts)
    publish(account, "customers-corporate", seed_people.contacts(account, rng, firms, persons))
    publish(account, "orders", seed_orders.orders(account, rng, orders, persons, days=DAYS))
    for person in [*persons, *firms]:
        person |= aggregates(*account.sums.get(person["id"], (0, 0.0, 0.0)))
    account.fill("customers", persons)
    account.fill("customers-corporate", firms)
    placed = account.collections["orders"]
    some = [placed.load(r) for r in islice(placed.truth.live.values(), 3000)]
    papers.pile(account, rng, some, persons[:1500])
    for firm in firms:
        record = account.new_note("corporate-notes", {"id": firm["id"], "site": firm["site"],
                                  "type": "customer_corporate"}, "note",
                                  firm["createdAt"])  # fmt: skip
        account.fill_records("corporate-notes", [record])


def publish(account: Account, name: str, drafts: list[tuple[float, Entry]]) -> None:
    """Give the entries their ids in the order of time."""
    drafts.sort(key=lambda draft: draft[0])
    history = account.histories[name]
    for number, (_, entry) in enumerate(drafts, history.next_id):
        entry.id = number
        history.entries.append(entry)
    history.next_id += len(drafts)
