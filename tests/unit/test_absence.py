"""The judge of absence, as a table: evidence and what follows from it."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest

from sync.deletion import Ask, By, Deleted, Evidence, Verdict, Withheld, judge

NOON = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(seconds=60)

SINGLE = Evidence(By.SINGLE, asked_at=NOON, lateness_seconds=60)
AGAIN = dataclasses.replace(SINGLE, first_at=NOON - MINUTE)
LIST = Evidence(By.LIST, absent=3, of=100, seen=97)
WHOLE = dataclasses.replace(LIST, is_whole=True)
NO_LIST = Evidence(By.NO_LIST, absent=3, of=3)


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        (Evidence(By.HISTORY), Deleted("history")),
        (Evidence(By.COMBINED), Deleted("combined")),
        # The CRM's own word, whatever its methods answer.
        (Evidence(By.HISTORY, answers=False), Deleted("history")),
        (Evidence(By.COMBINED, answers=False, hidden=True), Deleted("combined")),
        (SINGLE, Ask(NOON + MINUTE)),
        (dataclasses.replace(AGAIN, first_at=NOON - MINUTE / 2), Ask(NOON + MINUTE / 2)),
        (AGAIN, Deleted("not_found")),
        (dataclasses.replace(AGAIN, answers=False), Withheld("404 for every record")),
        (dataclasses.replace(AGAIN, hidden=True), Withheld("a site the key has lost")),
        # A person approves what a list lacks, not a 404.
        (dataclasses.replace(AGAIN, hidden=True, approved=True), Withheld("a site the key")),
        (LIST, Deleted("absent")),
        (dataclasses.replace(LIST, absent=0, seen=100), Deleted("absent")),
        (dataclasses.replace(LIST, unusable=1), Withheld("1 records", approvable=True)),
        (dataclasses.replace(LIST, hidden=True), Withheld("lost", approvable=True)),
        (dataclasses.replace(LIST, absent=50, seen=50), Deleted("absent")),
        (dataclasses.replace(LIST, absent=51, seen=49), Withheld("half", approvable=True)),
        (dataclasses.replace(LIST, absent=51, approved=True), Deleted("absent")),
        # With what the same pass found missing before: many small lists are one large one.
        (dataclasses.replace(LIST, together=150, of_all=300), Deleted("absent")),
        (dataclasses.replace(LIST, together=151, of_all=300), Withheld("half", approvable=True)),
        # A whole list is judged however short it is: nine of thirteen statuses are a question.
        (dataclasses.replace(WHOLE, absent=9, of=13, seen=4), Withheld("half", approvable=True)),
        (dataclasses.replace(WHOLE, absent=3, of=4, seen=1), Withheld("half", approvable=True)),
        (dataclasses.replace(WHOLE, absent=9, of=13, approved=True), Deleted("absent")),
        (dataclasses.replace(WHOLE, absent=2, of=3, seen=1), Deleted("absent", "no more than 2")),
        (dataclasses.replace(WHOLE, absent=6, of=13, seen=7), Deleted("absent")),
        (dataclasses.replace(LIST, absent=12, of=19, seen=7), Deleted("absent", "fewer than 20")),
        (dataclasses.replace(LIST, absent=5, of=5, seen=0), Withheld("empty", approvable=True)),
        (dataclasses.replace(LIST, absent=0, of=0, seen=0), Deleted("absent")),
        (
            dataclasses.replace(LIST, absent=99, seen=0, unusable=2, hidden=True, approved=True),
            Deleted("absent"),
        ),
        (NO_LIST, Deleted("not_found", "fewer than 20")),
        (dataclasses.replace(NO_LIST, answers=False), Withheld("404 for every record")),
        (dataclasses.replace(NO_LIST, absent=30, of=30), Withheld("half", approvable=True)),
    ],
)
def test_what_absence_means(evidence: Evidence, verdict: Verdict) -> None:
    """The words need only hold what is written here."""
    told = judge(evidence)
    if isinstance(verdict, Ask) or isinstance(told, Ask):
        assert told == verdict
        return
    assert verdict.words in told.words
    assert dataclasses.replace(told, words=verdict.words) == verdict
    assert bool(told.words) == bool(verdict.words)
