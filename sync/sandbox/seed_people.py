"""Seeding of customers and corporate customers, with their histories."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import orjson

from sync.sandbox import people, shop
from sync.sandbox.dialect import Word, customer_stub
from sync.sandbox.firms import main_of, part_words
from sync.sandbox.history import Entry
from sync.sandbox.php import Json
from sync.sandbox.records import Gone, Record

if TYPE_CHECKING:
    from sync.sandbox.account import Account

Draft = tuple[float, Entry]


def customers(
    account: Account, rng: Random, count: int, *, days: float
) -> tuple[list[Json], list[Draft]]:
    """Live customers as dicts; some more came and went, and only the history knows them."""
    now, awkward = account.clock.now(), account.shop.awkward
    collection = account.collections["customers"]
    times = sorted(shop.moment(rng, now, days) for _ in range(count + count // 50))
    drafts: list[Draft] = []
    live: list[Json] = []
    departed = set(rng.sample(range(len(times)), count // 50)) if count >= 50 else set()
    segments = [
        account.collections["segments"].load(r) for r in account.collections["segments"].truth.live.values()
    ]  # fmt: skip
    for n, at in enumerate(times):
        person = people.customer(
            rng, account.language, collection.take_id(), created=account.local(at),
            site=rng.choice(account.sites), manager=rng.choice(account.user_ids), awkward=awkward,
        )  # fmt: skip
        if segments and rng.random() < 0.4:
            person["segments"] = [rng.choice(segments)]
        blob = account.press.pack(orjson.dumps(person))
        drafts.append(
            (
                at,
                _entry(
                    account, at, person, "id", b"null", str(person["id"]).encode(), "created", blob
                ),
            )
        )
        if rng.random() < 0.25:
            later = at + rng.random() * (now - at)
            old, new = person["email"], f"new{person['id']}@example.com"
            person["email"] = new
            drafts.append(
                (
                    later,
                    _entry(
                        account,
                        later,
                        person,
                        "email",
                        orjson.dumps(old or None),
                        orjson.dumps(new),
                    ),
                )
            )
        if n in departed:
            later = at + rng.random() * (now - at)
            drafts.append(
                (
                    later + 1,
                    _entry(
                        account,
                        later + 1,
                        person,
                        "id",
                        str(person["id"]).encode(),
                        b"null",
                        "deleted",
                        blob,
                    ),
                )
            )
            collection.gone[person["id"]] = Gone("history", later, None, account.record(person))
        else:
            live.append(person)
    return live, drafts


def _entry(
    account: Account, at: float, person: Json, field: str, old: bytes, new: bytes,
    flag: str = "", whole: bytes | None = None,
) -> Entry:  # fmt: skip
    head = f'"{flag}":true,'.encode() if flag else b""
    body = head + b'"source":"code","field":"%b","oldValue":%b,"newValue":%b' % (
        field.encode(),
        old,
        new,
    )
    if whole is None:
        body += b',"customer":' + orjson.dumps(customer_stub(person))
    return Entry(
        0, at, account.local(at), person["id"], person["site"], account.press.pack(body), whole
    )


def firms(account: Account, rng: Random, count: int) -> list[Json]:
    """Corporate customers with an address and a company each."""
    made: list[Json] = []
    for _ in range(count):
        created = account.local(account.started + rng.random() * 50 * 86400)
        firm = account.new_firm(rng, created=created)
        made.append(firm)
    account.fill("customers-corporate", made)
    return made


def contacts(account: Account, rng: Random, made: list[Json], persons: list[Json]) -> list[Draft]:
    """Give every firm its parts, one contact among the customers, and the entries of all that."""
    drafts: list[Draft] = []
    rows: dict[str, list[Record]] = {"addresses": [], "companies": [], "contacts": []}
    for firm in made:
        at = account.started + rng.random() * 80 * 86400
        record = account.record(firm)
        blob = account.press.pack(orjson.dumps(firm))
        number = str(firm["id"]).encode()
        drafts.append((at, _entry(account, at, firm, "id", b"null", number, "created", blob)))
        parts = {
            "addresses": account.new_address(rng, firm),
            "companies": account.new_company(rng, firm, firm["createdAt"]),
        }
        if persons:
            person = persons[int(rng.random() * len(persons))]
            parts["contacts"] = account.new_contact(firm, person["id"]) | {
                "customer": customer_stub(person)
            }
            person["isContact"] = True
        for part, thing in parts.items():
            rows[part].append(account.part_record(part, record, thing))
            firm |= main_of(part, thing)
            drafts += [(at, _said(account, at, firm, word)) for word in part_words(part, thing)]
    for part, records in rows.items():
        account.fill_records(part, records)
    return drafts


def _said(account: Account, at: float, firm: Json, word: Word) -> Entry:
    body = {
        "source": "user", "user": {"id": account.user_ids[0]}, "field": word.field,
        "oldValue": word.old, "newValue": word.new, **word.about, "customer": customer_stub(firm),
    }  # fmt: skip
    packed = account.press.pack(orjson.dumps(body)[1:-1])
    return Entry(0, at, account.local(at), firm["id"], firm["site"], packed)
