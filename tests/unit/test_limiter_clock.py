"""What is known of Redis's clock from the calls around it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.crm import Bucket, bucket_of
from sync.crm.budget.redis_clock import RedisClock

OFFSET = 1000.0  # monotonic minus Redis's, the truth below
MS = st.floats(0, 0.2)


@given(st.lists(st.tuples(MS, MS), min_size=1, max_size=50))
def test_the_truth_is_always_inside_and_the_quickest_way_counts(
    calls: list[tuple[float, float]],
) -> None:
    """A call takes `there` and `back`, and its thread may have been woken late."""
    clock = RedisClock()
    now = 50.0
    for there, back in calls:
        now += 0.1
        bracket, ahead = clock.observe(now + OFFSET - there, now, now + OFFSET + back)
        assert not ahead
        assert bracket.least <= OFFSET + 1e-9
        assert bracket.most >= OFFSET - 1e-9
    recent = calls[-40:]  # 4 of the last 5 to 10 seconds
    assert bracket.most - OFFSET <= min(back for _, back in recent) + 1e-9
    assert OFFSET - bracket.least <= min(there for there, _ in recent) + 1e-9


@given(st.floats(0.03, 1e6))
def test_a_clock_that_ran_ahead_is_seen_at_the_next_call(jump: float) -> None:
    clock = RedisClock()
    clock.observe(1000.0, 5.0, 1000.002)
    bracket, ahead = clock.observe(1001.0, 6.0 + jump, 1001.002)
    assert ahead
    assert bracket.most == pytest.approx(1001.002 - 6.0 - jump)
    assert clock.observe(1002.0, 7.0 + jump, 1002.002)[1] is False


def test_a_clock_that_went_back_is_no_alarm_but_forgets_what_was_known() -> None:
    """Redis sees that one itself, and grants nothing for a while."""
    clock = RedisClock()
    clock.observe(1000.0, 100.0, 1000.002)
    bracket, ahead = clock.observe(1001.0, 41.0, 1001.002)
    assert not ahead
    assert bracket.least == 960.0
    assert bracket.most == pytest.approx(960.002)


def test_a_slow_call_is_no_jump() -> None:
    clock = RedisClock()
    clock.observe(1000.0, 5.0, 1000.002)
    bracket, ahead = clock.observe(1001.0, 9.0, 1005.0)
    assert not ahead
    assert bracket.most == pytest.approx(995.002)


@pytest.mark.parametrize(
    ("path", "bucket"),
    [
        ("telephony/manager", Bucket.TELEPHONY),
        ("/api/v5/telephony/manager", Bucket.TELEPHONY),
        ("orders", Bucket.DEFAULT),
        ("/api/v5/orders/history", Bucket.DEFAULT),
        ("/api/credentials", Bucket.DEFAULT),
        ("telephony-like", Bucket.DEFAULT),
    ],
)
def test_telephony_has_a_limit_of_its_own(path: str, bucket: Bucket) -> None:
    assert bucket_of(path) is bucket
