"""Feeds share half of the budget; busy ones are looked at more often than idle ones."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.poll_intervals import FEED_SHARE, REQUESTS_PER_LOOK, cadences, egress_addresses

LOOKS = 10 * FEED_SHARE / REQUESTS_PER_LOOK


def intervals(rates: list[float], floor: float = 15, ceiling: float = 900) -> tuple[float, ...]:
    return cadences(
        rates, requests_per_second=10, floor_seconds=floor, ceiling_seconds=ceiling
    ).intervals


def test_few_feeds_are_looked_at_as_often_as_asked_for() -> None:
    """SYNC_FEED_SECONDS is the floor: nothing stretches while the budget has room."""
    assert intervals([0.0] * 60) == (15,) * 60


def test_what_several_addresses_send_adds_up() -> None:
    """Twice the budget, half the intervals; the mean is told, also where the ceiling breaks."""

    def mean(feeds: int, *, addresses: int) -> float:
        return cadences(
            [1e-4] * feeds,
            requests_per_second=10 * addresses,
            floor_seconds=15,
            ceiling_seconds=900,
        ).mean_seconds

    assert mean(10, addresses=1) == 15
    assert mean(500, addresses=1) == pytest.approx(500 / LOOKS)
    assert mean(500, addresses=2) == pytest.approx(250 / LOOKS)
    assert mean(10_000, addresses=1) == pytest.approx(10_000 / LOOKS)


def test_busy_feeds_come_before_idle_ones() -> None:
    """Beyond what fits, an interval goes with one over the root of the rate of changes."""
    found = intervals([4e-4, 2e-4] + [1e-4] * 500)
    assert 15 < found[0] < found[1] < found[2]
    assert found[2] == pytest.approx(found[0] * 2, rel=1e-6)


def test_the_ceiling_is_a_promise_and_a_broken_one_is_said() -> None:
    """SYNC_FEED_MAX_SECONDS holds for every feed; what does not fit says so."""
    found = cadences([0.0] * 10_000, requests_per_second=10, floor_seconds=15, ceiling_seconds=900)
    assert set(found.intervals) == {900}
    assert not found.fits


@given(st.lists(st.floats(0, 10), min_size=74, max_size=600))
def test_the_feeds_share_is_never_exceeded_and_no_bound_broken(rates: list[float]) -> None:
    """Whatever the rates: within floor and ceiling, and at most half of the budget."""
    found = intervals(rates)
    assert all(15 <= seconds <= 900 for seconds in found)
    assert math.fsum(1 / seconds for seconds in found) <= LOOKS * 1.001


def test_a_wished_lag_names_the_addresses_it_needs() -> None:
    """65 feeds fit one address at 15 s; the 500 of a hundred stores need eight."""
    assert egress_addresses(65, lag_seconds=15, requests_per_second=10) == 1
    assert egress_addresses(500, lag_seconds=15, requests_per_second=10) == 8
