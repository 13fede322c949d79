"""The decision whether an absent record is deleted, for all callers. No I/O.

| evidence | deleted |
|---|---|
| history, or a 404 that names the survivor | at once: the CRM itself reports the deletion |
| a 404 of the method for one record | when the method answers for other records, and a second |
|  | request after the lateness bound gets a 404 too |
| a list read to its end, whole or of one parent | at once, unless it is empty, has unreadable |
|  | records, or lacks more than half of it: then `approve` decides (of a whole list from |
|  | three absent rows on, of one parent's list from twenty rows on) |

Except for the history's own word, records are judged only after a check behind the request found
that the key sees no less than before.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import Enum

HALF_COUNTS_FROM = 20
"""The number of rows of a parent's list, or of a window, from which an absence of more than half
needs a person's approval."""
FEW = 2
"""The most rows of a whole list that may vanish without a question, however few there were: small
dictionaries are edited like that. Nine of thirteen statuses are not."""


class By(Enum):
    """The source of the evidence that a record is absent."""

    HISTORY = "history"  # an entry that reports the deletion
    COMBINED = "combined"  # an entry, or a 404, that names the survivor
    SINGLE = "single"  # a 404 of the method for one record
    LIST = "list"  # a list that was read to its end: the whole list, or one parent's
    NO_LIST = "no list"  # a 404 of a parent's list: the parent has none


_REASONS = {
    By.HISTORY: "history",
    By.COMBINED: "combined",
    By.SINGLE: "not_found",
    By.LIST: "absent",
    By.NO_LIST: "not_found",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """The facts about absent records.

    by          the source of the evidence
    absent, of  the number of rows absent together, and of all rows that were expected
    together    the same number, with the rows absent earlier in the same pass, of all rows (of_all)
    answers     True when the method has answered for other records
    hidden      True when the records may be of a site that the key can no longer see
    seen        number of records in the list; None when a single record was requested
    is_whole    True when the list is all there is of the resource
    unusable    number of unreadable records in the list, each of which may be an absent one
    approved    True when a person approved the tombstones
    asked_at    send moment of the request without the records
    first_at    send moment of the first such request, None when there was none before
    """

    by: By
    absent: int = 1
    of: int = 1
    together: int = 0
    of_all: int = 0
    answers: bool = True
    hidden: bool = False
    seen: int | None = None
    is_whole: bool = False
    unusable: int = 0
    approved: bool = False
    asked_at: dt.datetime | None = None
    first_at: dt.datetime | None = None
    lateness_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Deleted:
    """The records are deleted. `words` explains why many rows did not need approval, else ""."""

    reason: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """The records must be requested once more, not before a moment."""

    not_before: dt.datetime


@dataclass(frozen=True, slots=True)
class Withheld:
    """The absence proves nothing. `approvable`: a person may approve the tombstones."""

    words: str
    approvable: bool = False


Verdict = Deleted | Ask | Withheld


def judge(found: Evidence) -> Verdict:
    """Decide whether absent records are deleted."""
    if found.by in {By.HISTORY, By.COMBINED}:
        return Deleted(_REASONS[found.by])
    if not found.answers:
        return Withheld("the method answers 404 for every record, so its 404 proves nothing")
    if found.by is By.SINGLE:
        return _of_single(found)
    return _of_list(found)


def _of_single(found: Evidence) -> Verdict:
    if found.hidden:
        return Withheld("it may be of a site the key has lost")
    assert found.asked_at is not None
    first = found.asked_at if found.first_at is None else found.first_at
    again = first + dt.timedelta(seconds=found.lateness_seconds)
    if found.first_at is None or found.asked_at < again:
        return Ask(again)
    return Deleted(_REASONS[found.by])


def _of_list(found: Evidence) -> Verdict:
    if found.absent and not found.approved:
        if found.seen == 0:
            return Withheld("the list is empty", approvable=True)
        if found.unusable:
            return Withheld(f"{found.unusable} records of the list cannot be read", approvable=True)
        if found.hidden:
            return Withheld("some may be of sites the key has lost", approvable=True)
        if found.is_whole and found.absent > FEW and found.absent * 2 > found.of:
            return Withheld("more than half of the list", approvable=True)
        if is_too_many(found.absent, of=found.of) or is_too_many(found.together, of=found.of_all):
            return Withheld("more than half of the list", approvable=True)
    words = ""
    if found.absent * 2 > found.of and not found.approved:
        words = f"more than half, but a list of fewer than {HALF_COUNTS_FROM} does not wait"
        if found.is_whole:
            words = f"more than half, but no more than {FEW} rows, which do not wait"
    return Deleted(_REASONS[found.by], words)


def is_too_many(absent: int, *, of: int) -> bool:
    """Tell whether so many absent rows need a person's approval."""
    return of >= HALF_COUNTS_FROM and absent * 2 > of
