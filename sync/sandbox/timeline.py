"""What was true when: every version of the records that a mirror is judged by.

A moment is the sandbox's clock, which is the host's unless a test moved it, and never the CRM's own
(`clock_offset_seconds`). A save counts from its commit: from then on GET by id, and a list that
does not lag, show it. Requests and saves take one lock and a save's moment is read inside it, so
that whatever was asked after a moment was answered with all that was true at it.
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
    """What a record is from a moment on; `record` None: it is dead."""

    at: float
    id: int
    record: Record | None
    of_firm: bool = False  # an order's customer is a corporate one


class Past:
    """The versions of an account's records in the order they were made, since `began`."""

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
        """The versions after the first `since`, one JSON a line; each says its number."""
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
    """The past of an account, kept while the knob `timeline` is on."""

    def __init__(self, store: Store, names: Iterable[str], knobs: Knobs) -> None:
        self._store, self.names, self._knobs = store, list(names), knobs
        self.past: Past | None = None

    def kept(self, now: float) -> Past | None:
        """The past, begun or forgotten as the knob says."""
        if not self._knobs.timeline:
            self.past = None
        elif self.past is None:
            self.past = Past(self._store, self.names, now)
        return self.past


def _people(order: Record, *, of_firm: bool) -> Json:
    """Whom an order belongs to, as `steady` leaves it of what is sent."""
    found: Json = {}
    if order.customer is not None:
        kind = "customer_corporate" if of_firm else "customer"
        found["customer"] = {"type": kind, "id": order.customer}
    if order.contact is not None:
        same = order.contact == order.customer
        found["contact"] = found["customer"] if same else {"type": "customer", "id": order.contact}
    return found


def steady(entity: Json) -> Json:
    """A record without what changes unannounced: aggregates, and people inside orders.

    Nor with the padding of the knob `huge`.
    """
    kept = {k: v for k, v in entity.items() if k not in AGGREGATES or entity.get("type") is None}
    kept.pop(PADDING, None)
    for name in ("customer", "contact"):
        if isinstance(kept.get(name), dict):
            inner = kept[name]
            kept[name] = {k: inner[k] for k in ("type", "id") if k in inner}
    return kept
