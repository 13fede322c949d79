"""`crm.coverage` judged from outside: what it claims, held against what was true when.

A claim says that a resource is complete as of a moment C. It is right when every record is here in
a state it has had since C: the one of C itself, or any later one up to the moment it is looked at.
So at C every live record is here, or is gone because it died later; and nothing is alive here that
was dead at C and stayed dead.

No tolerance is needed. C and the moments of the timeline are read from one clock, that of the host
that Postgres and the sandbox share. A change counts from a moment read inside the lock that every
answer waits for, so whoever asked after it was shown it (lists that lag and entries that come late
are what a claim has to allow for). And C is drawn before a request is sent, rounded down.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from sync.sandbox.history_format import AGGREGATES
from sync.sandbox.sending import steady
from tests.integration.faults.truth import storable

MISSING, GHOST, STALE, TOTALS = "missing", "ghost", "stale", "totals"
MIRRORED, CHILDREN, ENTRY = "mirrored", "children", "entry"
KINDS = (MISSING, GHOST, STALE, TOTALS, MIRRORED, CHILDREN, ENTRY)


@dataclass(frozen=True, slots=True)
class State:
    """What can be seen of a record: its content, and the sums that change unannounced."""

    content: bytes
    totals: bytes

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> State:
        """That of a record as sent, or as `raw` has it."""
        sums = {name: record[name] for name in AGGREGATES if "type" in record and name in record}
        return cls(plain(steady(dict(record))), plain(sums))

    @classmethod
    def told(cls, line: Mapping[str, Any]) -> State | None:
        """That of a line of the timeline; None: dead."""
        if line["content"] is None:
            return None
        return cls(plain(line["content"]), plain(line["totals"]))


def plain(value: Any) -> bytes:
    """JSON in one spelling, without what Postgres cannot hold."""
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    if b"\\u" in text:
        text = orjson.dumps(storable(value), option=orjson.OPT_SORT_KEYS)
    return text


@dataclass(slots=True)
class Past:
    """The versions of one record: from which moment on it was what."""

    moments: list[float] = field(default_factory=list)
    states: list[State | None] = field(default_factory=list)

    def add(self, at: float, state: State | None) -> None:
        self.moments.append(at)
        self.states.append(state)

    def since(self, moment: float, until: float) -> list[State | None]:
        """The state at a moment, None if it was not yet born, and all later ones up to another."""
        first = bisect_right(self.moments, moment)
        at_first = self.states[first - 1] if first else None
        return [at_first, *self.states[first : bisect_right(self.moments, until)]]


class Timeline:
    """The past of every record of a collection, as the oracle tells it."""

    def __init__(self) -> None:
        self.records: dict[int, Past] = {}
        self.told = 0

    def learn(self, lines: Iterable[Mapping[str, Any]]) -> None:
        for line in lines:
            self.told = line["n"]
            self.records.setdefault(line["id"], Past()).add(line["at"], State.told(line))


@dataclass(frozen=True, slots=True)
class Wrong:
    """A record about which a claim is wrong."""

    kind: str
    resource: str
    id: int
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.resource} {self.id} {self.detail}".rstrip()


def judge_records(
    resource: str,
    timeline: Timeline,
    rows: Mapping[int, State],
    *,
    complete_as_of: float,
    seen_at: float,
) -> list[Wrong]:
    """What is wrong with live rows, as they were `seen_at`, under a claim of an earlier moment."""
    found: list[Wrong] = []
    for key, past in timeline.records.items():
        allowed = past.since(complete_as_of, seen_at)
        lived = [state for state in allowed if state is not None]
        row = rows.get(key)
        if row is None:
            if len(lived) == len(allowed):
                found.append(Wrong(MISSING, resource, key))
        elif not lived:
            found.append(Wrong(GHOST, resource, key))
        elif all(state.content != row.content for state in lived):
            found.append(Wrong(STALE, resource, key, difference(lived[-1].content, row.content)))
        elif all(state.totals != row.totals for state in lived):
            found.append(Wrong(TOTALS, resource, key, difference(lived[-1].totals, row.totals)))
    found += [Wrong(GHOST, resource, key, "never lived") for key in rows.keys() - timeline.records]
    return found


def difference(true: bytes, here: bytes) -> str:
    """The first fields that differ, here and there."""
    sent, held = orjson.loads(true), orjson.loads(here)
    names = sorted(n for n in {*sent, *held} if sent.get(n) != held.get(n))
    return "; ".join(f"{n}: {held.get(n)!r:.60} for {sent.get(n)!r:.60}" for n in names[:3])


@dataclass(frozen=True, slots=True)
class Moment:
    """An entry of a history: when its save was, and when it was published."""

    owner: int
    at: float
    seen_at: float
    created_at: str


def judge_entries(
    resource: str,
    entries: Mapping[int, Moment],
    here: Mapping[int, str],
    *,
    complete_as_of: float,
) -> list[Wrong]:
    """Entries of saves up to the claim's moment that are not here, or are another's."""
    return [
        Wrong(ENTRY, resource, key, f"of {entry.owner}")
        for key, entry in entries.items()
        if entry.at <= complete_as_of and here.get(key) != entry.created_at
    ]


@dataclass
class Tally:
    """Wrong claims of many snapshots: one for each record and snapshot."""

    snapshots: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    ids: dict[str, set[int]] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        return self.kinds.total()

    def add(self, found: Iterable[Wrong], *, when: str, is_excused: bool = False) -> None:
        """Count what was wrong; ids are kept of what nothing excuses."""
        for wrong in found:
            self.kinds[wrong.kind] += 1
            if not is_excused:
                self.ids.setdefault(wrong.resource, set()).add(wrong.id)
            if len(self.examples) < 12 or self.kinds[wrong.kind] == 1:
                self.examples.append(f"{when}: {wrong}")
