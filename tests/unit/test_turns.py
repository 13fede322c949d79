"""Every month of an account has its turn, for ever the same one."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from sync.crawl import Days, months_of_turn

dates = st.dates(dt.date(2015, 1, 1), dt.date(2035, 12, 31))


def holds(days: Days, day: dt.date) -> bool:
    return (days.first is None or days.first <= day) and (days.last is None or day <= days.last)


@given(dates, dates, dates)
def test_each_day_is_compared_by_exactly_one_turn(
    one: dt.date, other: dt.date, day: dt.date
) -> None:
    """Thirty turns tile the line: days older and newer than the account included."""
    oldest, newest = min(one, other), max(one, other)
    found = [
        months
        for turn in range(30)
        for months in months_of_turn(turn, oldest=oldest, newest=newest, turns=30)
        if holds(months, day)
    ]
    assert len(found) == 1


def test_a_month_keeps_its_turn_while_the_account_grows() -> None:
    """What was compared last night is not compared tonight because a month went by."""
    for turn in range(30):
        before = months_of_turn(
            turn, oldest=dt.date(2023, 5, 9), newest=dt.date(2026, 3, 1), turns=30
        )
        after = months_of_turn(
            turn, oldest=dt.date(2023, 5, 9), newest=dt.date(2026, 4, 1), turns=30
        )
        assert {d.first for d in before} <= {d.first for d in after}
