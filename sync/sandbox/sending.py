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
    return with_people(account, blob, record, now) if collection == "orders" else blob


def with_people(account: Account, blob: bytes, about: Record | Entry, now: float) -> bytes:
    """An order with the customer and the contact it belongs to."""
    if about.customer is None:
        return blob
    who = embedded(account, about.customer, about.site, now)
    if about.contact is None:
        return b'%b,"customer":%b}' % (blob[:-1], who)
    other = who
    if about.contact != about.customer:
        other = embedded(account, about.contact, about.site, now)
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
        if history == "orders":
            whole = with_people(account, whole, entry, now)
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
