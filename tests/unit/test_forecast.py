"""The time left: right within a few minutes of work, honest when nothing is known."""

from __future__ import annotations

import random

import pytest

from sync.forecast import GAP_SECONDS, Pace, Way, duration, paced, together

SAMPLE_SECONDS = 20.0
MILLION = {"orders": 10_300, "order_history": 80_200, "customers": 4_100, "small": 300}
"""Requests of a store with a million orders, as `plan` tells them."""


def simulated(seed: int) -> list[tuple[float, Way]]:
    """Load a million orders by a clock that is only a number; return what was told, and when.

    Lists go before the histories, customers begin after the orders. The budget gives 9.8 requests a
    second, less what feeds and re-reads take, which grows while the shop is open; answers are
    slower for an hour; a worker is away for ten minutes.
    """
    noise = random.Random(seed)
    left = dict(MILLION)
    said: list[tuple[float, Way]] = []
    pace: Pace | None = None
    clock = last = 0.0
    while any(left.values()):
        clock += SAMPLE_SECONDS
        if 5_000 <= clock < 5_600:
            continue
        feeds = 0.4 if clock < 3_600 else 0.9
        slow = 0.93 if 3_600 < clock < 7_200 else 1.0
        room = int((9.8 - feeds) * slow * noise.uniform(0.85, 1.15) * SAMPLE_SECONDS)
        for name in ("small", "orders", "customers", "order_history"):
            share = room if name == "order_history" else int(room * 0.9)
            if name == "customers" and left["orders"]:
                continue
            read = min(left[name], share)
            left[name] -= read
            room -= read
        done = {name: MILLION[name] - left[name] for name in MILLION}
        pace = paced(pace, pages=sum(done.values()), elapsed_seconds=clock - last)
        last = clock
        ways = [Way(done[name], MILLION[name]) for name in MILLION]
        said.append((clock, together(ways, per_second=pace.per_second)))
    return said


@pytest.mark.parametrize("seed", range(5))
def test_a_million_orders_end_when_it_was_said_from_the_tenth_minute_on(seed: int) -> None:
    """Within 15 %, or a minute where less is left; the break of a worker is not foreseen."""
    said = simulated(seed)
    end = said[-1][0]
    for at, way in said:
        if at < 600:
            continue
        away = 600 if at < 5_000 else 0
        really = end - at - away
        told = way.left_seconds
        assert told is not None
        assert abs(told - really) <= max(0.15 * really, 60), (at, told, really)


def test_the_share_only_grows_and_is_whole_at_the_end_alone() -> None:
    said = [way.share or 0 for _, way in simulated(1)]
    assert said == sorted(said)
    assert Way(999_999, 1_000_000).percent == "99 %"
    assert Way(5, 5).percent == "100 %"


def test_a_night_without_a_worker_changes_no_pace() -> None:
    before = Pace(1_000, 9.5, 600.0)
    after = paced(before, pages=1_040, elapsed_seconds=GAP_SECONDS + 1)
    assert (after.per_second, after.pages) == (9.5, 1_040)


def test_the_pace_of_late_counts_more_than_that_of_the_beginning() -> None:
    pace: Pace | None = None
    pages = 0
    for n in range(180):
        pages += 20 * (2 if n < 90 else 10)
        pace = paced(pace, pages=pages, elapsed_seconds=20)
    assert pace is not None
    assert pace.per_second == pytest.approx(10, rel=0.05)


def test_a_count_that_fell_begins_anew() -> None:
    assert paced(Pace(500, 3.0, 100), pages=4, elapsed_seconds=20) == Pace(4)


def test_nothing_known_is_nothing_said() -> None:
    assert Way(3, None).words == ""
    assert Way(3, 12).words == "25 %"
    assert together([Way(1, 10), Way(2, None)], per_second=1).total is None


@pytest.mark.parametrize(
    ("way", "words"),
    [
        (Way(620, 1000, 0.1545), "62 %, 41 min left"),
        (Way(10, 10, 1.0), "100 %, almost done"),
        (Way(0, 90_000, 10.0), "0 %, 2.5 h left"),
    ],
)
def test_a_load_is_one_line(way: Way, words: str) -> None:
    assert way.words == words


def test_a_clock_put_back_gives_no_negative_time() -> None:
    assert duration(-3) == "0 s"
