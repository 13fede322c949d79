"""The past of an account: every version of the records a mirror is compared with.

Moments are of the sandbox's clock, which is the host's unless a test moved it; never of the CRM's
own clock (`clock_offset_seconds`). A save counts from its commit: from then on GET by id shows it,
and so do lists that do not lag. Requests and saves take one lock, and a save's moment is read
while holding it. So a request sent after a moment is answered with all that was true then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import orjson

from sync.sandbox.history_format import AGGREGATES
from sync.sandbox.knobs import Knobs
from sync.sandbox.php import Json
from sync.sandbox.records import Record
from sync.sandbox.store import Store

PADDING = "padding"


@dataclass(frozen=True, slots=True)
class Version:
    """A state of a record from a moment on; `record` None: it is deleted."""

    at: float
    id: int
    record: Record | None
    of_firm: bool = False  # an order's customer is a corporate customer


class Past:
    """The versions of an account's records since `began`, in the order they were made."""

    def __init__(self, store: Store, kept: Iterable[str], began: float) -> None:
        self.began, self._store = began, store
        self.versions: dict[str, list[Version]] = {}
        for name in kept:
            live = store.collections[name].truth.live.values()
            self.versions[name] = [self._version(began, r.id, r) for r in live]

    def note(self, collection: str, record_id: int, record: Record | None, *, at: float) -> None:
        if collection in self.versions:
            self.versions[collection].append(self._version(at, record_id, record))

    def _version(self, at: float, record_id: int, record: Record | None) -> Version:
        firms = self._store.collections["customers-corporate"].truth.live
        return Version(at, record_id, record, record is not None and record.customer in firms)

    def lines(self, collection: str, since: int) -> Iterator[bytes]:
        """Yield the versions after the first `since`, one JSON a line, each with its number."""
        upto = len(self.versions[collection])
        told = islice(self.versions[collection], since, upto)
        for number, version in enumerate(told, since + 1):
            line: Json = {"n": number, "at": version.at, "id": version.id, "content": None}
            if version.record is not None:
                entity = self._store.collections[collection].load(version.record)
                if collection == "orders":
                    entity |= _people(version.record, of_firm=version.of_firm)
                line["content"] = steady(entity)
                line["totals"] = {n: entity[n] for n in AGGREGATES if "type" in entity}
            yield orjson.dumps(line)


class Timeline:
    """The past of an account, recorded while the knob `timeline` is on."""

    def __init__(self, store: Store, names: Iterable[str], knobs: Knobs) -> None:
        self._store, self.names, self._knobs = store, list(names), knobs
        self.past: Past | None = None

    def kept(self, now: float) -> Past | None:
        """Return the past; start or drop it when the knob was turned."""
        if not self._knobs.timeline:
            self.past = None
        elif self.past is None:
            self.past = Past(self._store, self.names, now)
        return self.past


def _people(order: Record, *, of_firm: bool) -> Json:
    """Return the customer and contact of an order, reduced to what `steady` leaves of them."""
    found: Json = {}
    if order.customer is not None:
        kind = "customer_corporate" if of_firm else "customer"
        found["customer"] = {"type": kind, "id": order.customer}
    if order.contact is not None:
        same = order.contact == order.customer
        found["contact"] = found["customer"] if same else {"type": "customer", "id": order.contact}
    return found


def steady(entity: Json) -> Json:
    """Return a record without what changes unannounced: aggregates, and people inside orders.

    The padding of the knob `huge` is left out too.
    """
    kept = {k: v for k, v in entity.items() if k not in AGGREGATES or entity.get("type") is None}
    kept.pop(PADDING, None)
    for name in ("customer", "contact"):
        if isinstance(kept.get(name), dict):
            inner = kept[name]
            kept[name] = {k: inner[k] for k in ("type", "id") if k in inner}
    return kept
