"""What was true when: every version of the records that a mirror is judged by.

A moment is the sandbox's clock, which is the host's unless a test moved it, and never the CRM's own
(`clock_offset_seconds`). A save counts from its commit: from then on GET by id, and a list that
does not lag, show it. Requests and saves take one lock and a save's moment is read inside it, so
that whatever was asked after a moment was answered with all that was true at it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import orjson

from sync.sandbox.dialect import AGGREGATES
from sync.sandbox.php import Json
from sync.sandbox.records import Record

if TYPE_CHECKING:
    from sync.sandbox.ledger import Ledger

PADDING = "padding"
KEPT = ("orders", "customers", "customers-corporate", "packs", "tasks")


@dataclass(frozen=True, slots=True)
class Version:
    """What a record is from a moment on; `record` None: it is dead."""

    at: float
    id: int
    record: Record | None
    of_firm: bool = False  # an order's customer is a corporate one


@dataclass(slots=True)
class Timeline:
    """The versions of an account's records in the order they were made, since `began`."""

    began: float
    versions: dict[str, list[Version]] = field(default_factory=dict)

    @classmethod
    def of(cls, ledger: Ledger, now: float) -> Timeline:
        """One that begins with what is there."""
        made = cls(now)
        for name in KEPT:
            live = ledger.collections[name].truth.live.values()
            made.versions[name] = [made.version(ledger, now, r.id, r) for r in live]
        return made

    def note(
        self, ledger: Ledger, collection: str, record_id: int, record: Record | None, *, at: float
    ) -> None:
        if collection in self.versions:
            self.versions[collection].append(self.version(ledger, at, record_id, record))

    def version(self, ledger: Ledger, at: float, record_id: int, record: Record | None) -> Version:
        firms = ledger.collections["customers-corporate"].truth.live
        return Version(at, record_id, record, record is not None and record.customer in firms)

    def lines(self, ledger: Ledger, collection: str, since: int) -> Iterator[bytes]:
        """The versions after the first `since`, one JSON a line; each says its number."""
        upto = len(self.versions[collection])
        told = islice(self.versions[collection], since, upto)
        for number, version in enumerate(told, since + 1):
            line: Json = {"n": number, "at": version.at, "id": version.id, "content": None}
            if version.record is not None:
                entity = orjson.loads(ledger.press.unpack(version.record.blob))
                if collection == "orders":
                    entity |= _people(version.record, of_firm=version.of_firm)
                line["content"] = steady(entity)
                line["totals"] = {n: entity[n] for n in AGGREGATES if "type" in entity}
            yield orjson.dumps(line)


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
