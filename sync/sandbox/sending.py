"""Records as they are sent. An order embeds its customer as that customer is now."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from sync.sandbox.account import Account
from sync.sandbox.aggregates import BUYERS
from sync.sandbox.calls import Call
from sync.sandbox.history import Entry, is_chosen
from sync.sandbox.knobs import SHAPES, Knobs
from sync.sandbox.php import Refusal
from sync.sandbox.records import Record
from sync.sandbox.timeline import PADDING, steady

_OTHERS, _OWN = b'"apiKey":{"current":false}', b'"apiKey":{"current":true}'
__all__ = [
    "answered",
    "answered_entry",
    "embedded",
    "lines",
    "sent",
    "sent_entry",
    "steady",
    "with_people",
]


def answered(call: Call, collection: str, record: Record) -> bytes:
    """Return the record's bytes in an answer; a record of the knob `poison` fails the answer."""
    if record.id in call.account.knobs.poison.get(collection, ()):
        raise Refusal(500, "Internal Server Error")
    return sent(call.account, collection, record, call.now)


def sent(account: Account, collection: str, record: Record, now: float) -> bytes:
    """Return the record's bytes as a list or GET sends them."""
    blob = account.store.press.unpack(record.blob)
    if collection == "orders":
        blob = with_people(account, blob, record, now)
    size = account.knobs.huge.get(collection, {}).get(record.id)
    return blob if size is None else b'%b,"%b":"%b"}' % (blob[:-1], PADDING.encode(), b"x" * size)


def lines(account: Account, collection: str, now: float, *, only_steady: bool) -> Iterator[bytes]:
    """Yield all live records as their list sends them when nothing lags, newest first."""
    truth = account.collections[collection].truth
    for _, record_id in reversed(list(truth.order)):
        record = truth.live.get(record_id)
        if record is None:
            continue
        blob = sent(account, collection, record, now)
        yield orjson.dumps(steady(orjson.loads(blob))) if only_steady else blob


def with_people(account: Account, blob: bytes, about: Record | Entry, now: float) -> bytes:
    """Return an order with its customer and its contact embedded."""
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
    """Return the customer inside an order; a deleted customer is an id alone."""
    for name in BUYERS:
        record = account.collections[name].view(now).live.get(customer)
        if record is not None:
            return account.store.press.unpack(record.blob)
    return orjson.dumps({"type": "customer", "id": customer, "site": site})


def sent_entry(
    account: Account, history: str, entry: Entry, now: float, *, key: str | None = None
) -> bytes:
    """Return a history entry; a `created` one carries the whole object as it was then.

    `key` is the reader's: what it wrote itself is `current`.
    """
    body = account.store.press.unpack(entry.body)
    if entry.key is not None and entry.key == key:
        body = body.replace(_OTHERS, _OWN, 1)
    if entry.whole is not None:
        whole = account.store.press.unpack(entry.whole)
        if history == "orders":
            whole = with_people(account, whole, entry, now)
        body = b'%b,"%b":%b' % (body, account.histories[history].subject.encode(), whole)
    return b'{"id":%d,"createdAt":"%b",%b}' % (entry.id, entry.created_at.encode(), body)


def answered_entry(call: Call, history: str, entry: Entry) -> bytes:
    """Return a history entry in an answer; a knob gives some entries an unreadable subject."""
    sent_as = sent_entry(call.account, history, entry, call.now, key=call.key.value)
    shape = _shape(call.account.knobs, history, entry.id)
    if shape is None:
        return sent_as
    body = orjson.loads(sent_as)
    key = call.account.histories[history].subject
    body[key] = [] if shape == "list" else body[key] | {"id": str(body[key]["id"])}
    return orjson.dumps(body)


def _shape(knobs: Knobs, history: str, entry_id: int) -> str | None:
    named = knobs.unreadable_entries.get(history, {}).get(entry_id)
    if named is None and is_chosen(entry_id, knobs.unreadable_entry_share):
        return SHAPES[entry_id % len(SHAPES)]
    return named
