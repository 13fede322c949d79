"""Fills an account with data derived from a seed: two years up to now, kind by kind."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from random import Random

from sync.sandbox.account import Account
from sync.sandbox.kind import Kind, Seeding
from sync.sandbox.php import Json
from sync.sandbox.records import Record

SAMPLE_ORDERS, SAMPLE_CUSTOMERS = 3000, 1500  # related records are made of so many


def populate(
    account: Account, kinds: Iterable[Kind], *, orders: int, customers: int, products: int
) -> None:
    """Fill the account; the same seed and clock give the same bytes."""
    rng = Random(f"{account.seed}/{account.name}/seed")
    seeding = Seeding(account, rng, orders, customers, products)
    turns = in_turn(kinds)
    for kind in turns:
        if kind.seed is not None:
            kind.seed(seeding)
    for person in [*seeding.persons, *seeding.firms]:
        person.update(account.aggregates.of(person["id"]))
    account.store.fill("customers", seeding.persons)
    account.store.fill("customers-corporate", seeding.firms)
    for name, records in _left_behind(seeding, turns).items():
        account.store.fill_records(name, records)
    for kind in turns:
        if kind.created is not None:
            for record in account.collections[kind.name].truth.live.values():
                kind.created(seeding, record, account.collections[kind.name].load(record))


def in_turn(kinds: Iterable[Kind]) -> list[Kind]:
    """Return the kinds in seeding order: each after the kinds it names."""
    known = {kind.name: kind for kind in kinds}
    turns: dict[str, Kind] = {}

    def take(kind: Kind) -> None:
        for name in kind.after:
            take(known[name])
        turns.setdefault(kind.name, kind)

    for kind in known.values():
        take(kind)
    return list(turns.values())


def _left_behind(seeding: Seeding, turns: list[Kind]) -> dict[str, list[Record]]:
    """Make packs, tasks, notes, costs, files, bonuses: one for every few orders or customers."""
    placed = seeding.account.collections["orders"]
    some = islice(placed.truth.live.values(), SAMPLE_ORDERS)
    owners: dict[str, Iterable[Json]] = {
        "orders": map(placed.load, some),
        "customers": seeding.persons[:SAMPLE_CUSTOMERS],
        "customers-corporate": seeding.firms,
    }
    rows: dict[str, list[Record]] = {}
    for whose, entities in owners.items():
        for seeding.number, entity in enumerate(entities):
            die = seeding.rng.random()
            for leaving in [kind.left_by[whose] for kind in turns if whose in kind.left_by]:
                for name, record in leaving(seeding, entity, die):
                    rows.setdefault(name, []).append(record)
    return rows
