"""A record as it is sent. An order embeds its customer as that customer is now."""

from __future__ import annotations

import orjson

from sync.sandbox.account import Account
from sync.sandbox.dialect import AGGREGATES
from sync.sandbox.history import Entry
from sync.sandbox.ledger import SUBJECT
from sync.sandbox.php import Json
from sync.sandbox.records import Record


def sent(account: Account, collection: str, record: Record, now: float) -> bytes:
    """The record's bytes in a list or by GET."""
    blob = account.press.unpack(record.blob)
    if collection == "orders" and record.customer is not None:
        return with_people(account, blob, record.customer, record.contact, record.site, now)
    return blob


def with_people(
    account: Account, blob: bytes, customer: int, contact: int | None, site: str | None, now: float
) -> bytes:
    who = embedded(account, customer, site, now)
    if contact is None:
        return b'%b,"customer":%b}' % (blob[:-1], who)
    other = who if contact == customer else embedded(account, contact, site, now)
    return b'%b,"customer":%b,"contact":%b}' % (blob[:-1], who, other)


def embedded(account: Account, customer: int, site: str | None, now: float) -> bytes:
    """The customer inside an order; of one that is deleted only its id is left."""
    for name in ("customers", "customers-corporate"):
        record = account.collections[name].view(now).live.get(customer)
        if record is not None:
            return account.press.unpack(record.blob)
    return orjson.dumps({"type": "customer", "id": customer, "site": site})


def sent_entry(account: Account, history: str, entry: Entry, now: float) -> bytes:
    """A history entry; a `created` one carries the whole object as it was then."""
    body = account.press.unpack(entry.body)
    if entry.whole is not None:
        whole = account.press.unpack(entry.whole)
        if entry.customer is not None and history == "orders":
            whole = with_people(account, whole, entry.customer, entry.contact, entry.site, now)
        body = b'%b,"%b":%b' % (body, SUBJECT[history].encode(), whole)
    return b'{"id":%d,"createdAt":"%b",%b}' % (entry.id, entry.created_at.encode(), body)


def steady(entity: Json) -> Json:
    """A record without what changes unannounced: aggregates, and people inside orders."""
    kept = {k: v for k, v in entity.items() if k not in AGGREGATES or entity.get("type") is None}
    for name in ("customer", "contact"):
        if isinstance(kept.get(name), dict):
            inner = kept[name]
            kept[name] = {k: inner[k] for k in ("type", "id") if k in inner}
    return kept
