"""What it means that a record is not there: one judge, whoever asks. Decisions only, no I/O.

| told by | believed |
|---|---|
| history, or a 404 that names the survivor | at once: the CRM said so itself |
| a 404 of the method for one record | when that method answers for others, and the 404 comes |
|  | once more after the lateness bound |
| a list read to its end, whole or of one parent | at once, unless it is empty, holds what cannot |
|  | be read, or lacks more than half of twenty or more: those wait for `approve` |

But for history's own word, it is judged once the key was found, after the answer, to see what it
saw before.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import Enum

HALF_COUNTS_FROM = 20
"""A list this long does not lose more than half of itself unnoticed."""


class By(Enum):
    """What told that a record is not there."""

    HISTORY = "history"  # an entry that says deleted
    COMBINED = "combined"  # an entry, or a 404, that names the survivor
    SINGLE = "single"  # a 404 of the method for one record
    LIST = "list"  # a list that was read to its end: the whole, or one parent's
    NO_LIST = "no list"  # a 404 of a parent's list: it has none


_REASONS = {
    By.HISTORY: "history",
    By.COMBINED: "combined",
    By.SINGLE: "not_found",
    By.LIST: "absent",
    By.NO_LIST: "not_found",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of records that did not come.

    by          what told it
    absent, of  how many are missing together, of how many rows that were looked for
    together    how many with those missing before in the same pass, of all rows there are (of_all)
    answers     whether the method that lacks them has answered for others
    hidden      whether they may be of a site the key has lost
    seen        records the list showed; None where one record was asked for
    unusable    records of the list that could not be read: each may be the one that is missing
    approved    whether a person lets them be tombstoned
    asked_at    send moment of the request that lacked them
    first_at    send moment of the first that did, None for none before
    """

    by: By
    absent: int = 1
    of: int = 1
    together: int = 0
    of_all: int = 0
    answers: bool = True
    hidden: bool = False
    seen: int | None = None
    unusable: int = 0
    approved: bool = False
    asked_at: dt.datetime | None = None
    first_at: dt.datetime | None = None
    lateness_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Tombstone:
    """They are gone. `words`: why nobody was asked, where one might think they should be."""

    reason: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """Once more, not before a moment."""

    not_before: dt.datetime


@dataclass(frozen=True, slots=True)
class Withheld:
    """Their absence proves nothing. `approvable`: a person may say that it does."""

    words: str
    approvable: bool = False


Verdict = Tombstone | Ask | Withheld


def judge(found: Evidence) -> Verdict:
    """Whether records that did not come are gone."""
    if found.by in {By.HISTORY, By.COMBINED}:
        return Tombstone(_REASONS[found.by])
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
    return Tombstone(_REASONS[found.by])


def _of_list(found: Evidence) -> Verdict:
    if found.absent and not found.approved:
        if found.seen == 0:
            return Withheld("the list is empty", approvable=True)
        if found.unusable:
            return Withheld(f"{found.unusable} records of the list cannot be read", approvable=True)
        if found.hidden:
            return Withheld("some may be of sites the key has lost", approvable=True)
        if is_too_many(found.absent, of=found.of) or is_too_many(found.together, of=found.of_all):
            return Withheld("more than half of the list", approvable=True)
    words = ""
    if found.absent * 2 > found.of and not found.approved:
        words = f"more than half, but a list of fewer than {HALF_COUNTS_FROM} does not wait"
    return Tombstone(_REASONS[found.by], words)


def is_too_many(absent: int, *, of: int) -> bool:
    """Whether so many absent rows wait for a person."""
    return of >= HALF_COUNTS_FROM and absent * 2 > of
