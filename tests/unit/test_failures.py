"""What follows a failure, as a table: one odd answer changes nothing for long."""

from __future__ import annotations

import pytest

from sync.errors import (
    AccessChanged,
    BadRequest,
    HtmlAnswer,
    LeaseLost,
    MissingScope,
    NoSuchAccount,
    OverLimit,
    Refused,
    SyncError,
    TryLater,
    Unavailable,
    UnexpectedData,
    WrongKey,
)
from sync.state.lanes import Odd
from sync.work.failures import (
    DAY_SECONDS,
    MAINTENANCE_SECONDS,
    ODD_SECONDS,
    ODD_TIMES,
    PAUSE_SECONDS,
    Next,
    after_failure,
)
from sync.work.per_parent.parents import WITHOUT_PARENTS_SECONDS, WithoutParents

GIVEN_BACK = Next(is_failure=False)
UNAVAILABLE = Next(DAY_SECONDS, unavailable=True)
PARKED = Next(parked=True)
ODD = {
    MissingScope("no scope"): UNAVAILABLE,
    Unavailable("404"): UNAVAILABLE,
    UnexpectedData("success: false"): PARKED,
    NoSuchAccount("a page of maintenance"): Next(
        MAINTENANCE_SECONDS, stopped_for=MAINTENANCE_SECONDS
    ),
}


@pytest.mark.parametrize(
    ("error", "then"),
    [
        (LeaseLost("taken over"), GIVEN_BACK),
        (TryLater("cut"), Next(1.0)),
        (HtmlAnswer("a page"), Next(1.0)),
        (Refused(405, "no"), Next(1.0)),
        (OverLimit("503", after=30.0), Next(30.0)),
        (TryLater("come tomorrow", after=DAY_SECONDS), Next(PAUSE_SECONDS)),
        (WithoutParents("off"), Next(WITHOUT_PARENTS_SECONDS, unavailable=True)),
        (WrongKey("refused"), Next(DAY_SECONDS, stopped_for=DAY_SECONDS)),
        (AccessChanged("fewer sites"), Next(DAY_SECONDS, stopped_for=DAY_SECONDS)),
        (BadRequest("no such thing"), PARKED),
    ],
)
def test_what_follows_the_first_time(error: SyncError, then: Next) -> None:
    assert after_failure(error, attempts=1) == then


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 1), (2, 2), (5, 16), (7, 60), (99, 60)])
def test_failures_in_a_row_are_further_and_further_apart(attempts: int, seconds: float) -> None:
    assert after_failure(TryLater("cut"), attempts=attempts) == Next(seconds)


@pytest.mark.parametrize("error", ODD, ids=lambda error: type(error).__name__)
def test_an_odd_answer_is_believed_after_it_came_several_times_over_minutes(
    error: SyncError,
) -> None:
    """Whatever else the lane did meanwhile: `attempts` is 1 all along."""
    kind = type(error).__name__
    odd: Odd | None = None
    waited = 0.0
    pauses = []
    for times in range(1, ODD_TIMES):
        then = after_failure(error, attempts=1, odd=odd, jitter=0.0)
        assert then == Next(then.again_in, odd=kind)
        pauses.append(then.again_in)
        waited += then.again_in
        odd = Odd(kind, times, waited)
    assert pauses == [7.5, 30.0, 120.0]
    assert waited >= ODD_SECONDS
    assert after_failure(error, attempts=1, odd=odd) == ODD[error]


def test_often_is_not_enough_and_long_is_not_either() -> None:
    """`retry` may ask ten times in a second; a lane may have been off between two answers."""
    for seen in (Odd("Unavailable", 10, 1.0), Odd("Unavailable", 1, 9_999.0)):
        assert after_failure(Unavailable("404"), attempts=1, odd=seen).odd == "Unavailable"


def test_another_kind_of_odd_answer_begins_anew() -> None:
    seen = Odd("Unavailable", ODD_TIMES, ODD_SECONDS)
    then = after_failure(UnexpectedData("success: false"), attempts=9, odd=seen)
    assert then == Next(10.0, odd="UnexpectedData")


def test_a_process_that_ends_leaves_no_failure_behind() -> None:
    assert after_failure(TryLater("interrupted"), attempts=3, is_stopping=True) == GIVEN_BACK
    assert after_failure(WrongKey("refused"), attempts=3, is_stopping=True).is_failure
