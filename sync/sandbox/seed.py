"""Fills an account from its seed: the office, the people, then two years of orders and papers."""

from __future__ import annotations

from itertools import islice
from random import Random
from typing import TYPE_CHECKING

from sync.sandbox import office, papers, seed_orders, seed_people
from sync.sandbox.sums import NONE, aggregates

if TYPE_CHECKING:
    from sync.sandbox.account import Account

DAYS = 730.0


def populate(account: Account, *, orders: int, customers: int) -> None:
    """Two years up to now. The same seed and clock give the same bytes."""
    rng = Random(f"{account.seed}/{account.name}/seed")
    office.furnish(account, rng)
    firms = seed_people.firms(account, rng, min(max(customers // 100, min(customers // 25, 4)), 60))
    persons = seed_people.customers(account, rng, customers, days=DAYS + 60)
    seed_people.contacts(account, rng, firms, persons)
    seed_orders.orders(account, rng, orders, persons, days=DAYS)
    for person in [*persons, *firms]:
        person.update(aggregates(account.sums.get(person["id"], NONE)))
    account.fill("customers", persons)
    account.fill("customers-corporate", firms)
    placed = account.collections["orders"]
    some = [placed.load(r) for r in islice(placed.truth.live.values(), 3000)]
    papers.pile(account, rng, some, persons[:1500], firms)
