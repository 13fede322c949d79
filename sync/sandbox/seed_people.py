"""Seeding of customers and corporate customers, with their histories."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from sync.sandbox import people, shop
from sync.sandbox.dialect import Word, customer_stub
from sync.sandbox.firms import main_of, part_words
from sync.sandbox.php import Json
from sync.sandbox.records import Gone, Record
from sync.sandbox.scribe import Scribe

if TYPE_CHECKING:
    from sync.sandbox.account import Account

DAY = shop.DAY


def customers(account: Account, rng: Random, count: int, *, days: float) -> list[Json]:
    """Live customers, oldest first; some more came and went, and only the history knows them."""
    now, scribe = account.clock.now(), Scribe(account, "customers")
    collection, segments = account.collections["customers"], account.entities("segments")
    times = sorted(shop.moment(rng, now, days) for _ in range(count + count // 50))
    departed = set(rng.sample(range(len(times)), count // 50)) if count >= 50 else set()
    live: list[Json] = []
    for n, at in enumerate(times):
        site = rng.choice(account.sites)
        person = people.customer(
            rng, account.language, collection.take_id(), created=account.local(at), site=site,
            manager=rng.choice(account.user_ids), external=account.count(f"customer of {site}"),
            awkward=account.shop.awkward,
        )  # fmt: skip
        if rng.random() < 0.4:
            person["segments"] = [rng.choice(segments)]
        scribe.lifespan(at, person, "created", account.pack(person))
        if rng.random() < 0.25:
            old, new = person["email"] or None, f"new{person['id']}@example.com"
            person["email"] = new
            later = at + rng.random() * (now - at) / 2
            scribe.said(later, person, Word("email", old, new), "code")
        if n in departed:
            left = now - rng.random() * (now - at) / 2
            scribe.lifespan(left, person, "deleted", account.pack(person))
            collection.gone[person["id"]] = Gone("history", left, None, account.record(person))
        else:
            live.append(person)
    scribe.publish()
    return live


def firms(account: Account, rng: Random, count: int) -> list[Json]:
    """Corporate customers, each with an address and a company."""
    scribe = Scribe(account, "customers-corporate")
    rows: dict[str, list[Record]] = {"addresses": [], "companies": []}
    made: list[Json] = []
    for _ in range(count):
        at = account.started + rng.random() * 50 * DAY
        firm = account.new_firm(rng, created=account.local(at))
        record = account.record(firm)
        scribe.lifespan(at, firm, "created", record.blob)
        for part, thing in (
            ("addresses", account.new_address(rng, firm)),
            ("companies", account.new_company(rng, firm, firm["createdAt"])),
        ):
            rows[part].append(account.part_record(part, record, thing))
            firm |= main_of(part, thing)
            for word in part_words(part, thing):
                scribe.said(at, firm, word)
        made.append(firm)
    for part, records in rows.items():
        account.fill_records(part, records)
    account.fill("customers-corporate", made)
    scribe.publish()
    return made


def contacts(account: Account, rng: Random, made: list[Json], persons: list[Json]) -> None:
    """Give every firm a contact among the customers."""
    scribe = Scribe(account, "customers-corporate")
    rows: list[Record] = []
    for firm in made if persons else []:
        person = rng.choice(persons)
        person["isContact"] = True
        contact = account.new_contact(firm, person["id"]) | {"customer": customer_stub(person)}
        rows.append(account.part_record("contacts", account.record(firm), contact))
        firm.update(main_of("contacts", contact))
        for word in part_words("contacts", contact):
            scribe.said(account.started + 60 * DAY, firm, word)
    account.fill_records("contacts", rows)
    scribe.publish()
