"""The request budget's rules: many askers in simulated time, the real scripts on a real valkey."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from itertools import count, pairwise

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.crm.budget.redis_state import Ask
from sync.crm.budget.slot import Bucket, Priority
from tests.integration.limiter_simulation import (
    LIMIT,
    MS,
    SECOND,
    Asker,
    Simulation,
    busiest_second,
    crowd,
    slot_of,
    until,
)


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def simulation(server: redis.Redis) -> Simulation:
    return Simulation(server)


# The limit


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32), flushes=st.integers(0, 3), outage=st.booleans())
def test_no_second_at_the_server_ever_holds_more_than_the_limit(
    server: redis.Redis, seed: int, flushes: int, outage: bool
) -> None:
    """Whoever wakes late (to 80 ms), whatever way takes longer (to 15 ms), Redis losing all."""
    server.flushdb()
    simulation = Simulation(server)
    draw = random.Random(seed)

    def late() -> int:
        return draw.choice((0, draw.randrange(3 * MS), draw.randrange(80 * MS)))

    begin = simulation.clock
    down = range(begin + 5 * SECOND, begin + 6 * SECOND) if outage else range(0)
    for store in range(draw.randrange(1, 6)):
        for priority in Priority:
            simulation.add(
                *crowd(
                    draw.randrange(0, 6),
                    store,
                    priority,
                    latency=draw.randrange(5 * MS, 900 * MS),
                    late=late,
                    transit=lambda: draw.randrange(15 * MS),
                    refused=lambda arrived_at: arrived_at in down,
                )
            )
    for _ in range(flushes + 1):
        simulation.run(draw.randrange(2 * SECOND, 4 * SECOND))
        assert busiest_second(simulation.arrivals) <= LIMIT
        server.flushdb()


def test_a_late_sender_moves_the_slot_ten_later(simulation: Simulation) -> None:
    """50 ms late and ten on time would be 11 within a second, were it not reported."""
    moments: dict[int, int] = {}
    late_number = None
    while len(moments) < 40:
        reply = simulation.budget.reserve(Ask(1, Bucket.DEFAULT, Priority.WALK))
        simulation.clock += reply.micros
        if not reply.granted:
            continue
        moments[reply.number] = simulation.clock
        if len(moments) == 15:
            late_number = reply.number
            simulation.clock += 49 * MS
            slot = slot_of(1, Priority.WALK, reply)
            simulation.budget.tell(slot, "sent", 49 * MS)
    assert late_number is not None
    assert moments[late_number + 10] - (moments[late_number] + 49 * MS) >= SECOND + 18 * MS
    assert moments[late_number + 20] - moments[late_number] < 2 * SECOND + 90 * MS
    assert (simulation.report().late, simulation.report().overdue) == (1, 0)


def test_the_budget_is_used_up_also_when_threads_wake_late(simulation: Simulation) -> None:
    """One in four wakes up to 40 ms late: its slot's place waits, the others go on."""
    draw = random.Random(1)
    late = lambda: draw.randrange(40 * MS) if draw.random() < 0.25 else 0  # noqa: E731
    simulation.add(*crowd(24, 1, late=late), *crowd(24, 2, late=late))
    simulation.run(20 * SECOND)
    assert busiest_second(simulation.arrivals) <= LIMIT
    assert simulation.use() >= 0.96


def test_requests_are_paced_evenly_and_idleness_saves_nothing_up(simulation: Simulation) -> None:
    """Burst 1: after a minute of silence the first slots are as far apart as ever."""
    simulation.run(60 * SECOND)
    simulation.add(*crowd(20, 1))
    simulation.run(5 * SECOND)
    moments = [arrival.at for arrival in simulation.arrivals]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert min(gaps) >= 100 * MS
    assert max(gaps) <= 104 * MS


# Fairness


def test_stores_get_equal_shares_whatever_their_number_of_askers(simulation: Simulation) -> None:
    simulation.add(*crowd(14, 1), Asker(2), Asker(3))
    simulation.run(12 * SECOND)
    for store in (1, 2, 3):
        assert simulation.share(store=store) == pytest.approx(1 / 3, abs=0.05)
    assert simulation.use() >= 0.96


@pytest.mark.parametrize("latency", [150, 300])
def test_two_asks_outstanding_are_enough_for_a_fair_share(
    simulation: Simulation, latency: int
) -> None:
    """While one is on its way the other holds the store's place."""
    askers = [*crowd(14, 1), *crowd(2, 2), *crowd(2, 3)]
    for asker in askers:
        asker.latency = latency * MS
    simulation.add(*askers)
    simulation.run(12 * SECOND)
    for store in (1, 2, 3):
        assert simulation.share(store=store) == pytest.approx(1 / 3, abs=0.05)


def test_the_poll_of_an_idle_store_goes_next(simulation: Simulation) -> None:
    """It waits for the slots already granted, 300 ms, and for none of the hundred askers."""
    simulation.add(*(asker for store in range(1, 11) for asker in crowd(10, store)))
    simulation.run(5 * SECOND)
    for _ in range(5):
        simulation.add(Asker(50, Priority.FEED, asks=1))
        simulation.run(3 * SECOND)
    polls = [arrival for arrival in simulation.arrivals if arrival.store == 50]
    assert len(polls) == 5
    assert max(poll.waited for poll in polls) <= 410 * MS


def test_an_idle_stores_share_goes_to_the_others(simulation: Simulation) -> None:
    simulation.add(*crowd(10, 1), *crowd(10, 2, asks=2))
    simulation.run(20 * SECOND)
    assert simulation.share(store=1) == 1
    assert simulation.use() >= 0.96


def test_a_store_served_more_than_its_share_is_not_starved_for_it(simulation: Simulation) -> None:
    """What it took of moments nobody else used is no debt: three requests at most are given back.

    Store 2's one slow asker always has work, and for half a minute less than its share of it.
    """
    simulation.add(*crowd(10, 1), Asker(2, latency=600 * MS))
    simulation.run(30 * SECOND)
    assert simulation.share(store=1) > 0.8
    simulation.add(*crowd(10, 2))
    simulation.run(2 * SECOND)
    served = Counter(arrival.store for arrival in simulation.since(2 * SECOND))
    assert served[1] >= 7


def test_feeds_take_at_most_half_while_walks_wait(simulation: Simulation) -> None:
    """All stores' feeds together; store 9 alone walks."""
    feeds = [Asker(store, Priority.FEED) for store in range(1, 9)]
    simulation.add(*feeds, *crowd(6, 9))
    simulation.run(15 * SECOND)
    assert simulation.share(priority=Priority.FEED) == pytest.approx(0.5, abs=0.02)
    served = Counter(a.store for a in simulation.since(10 * SECOND) if a.store != 9)
    assert min(served.values()) >= 5


def test_feeds_take_everything_when_no_walk_waits(simulation: Simulation) -> None:
    simulation.add(*(Asker(store, Priority.FEED) for store in range(20)))
    simulation.run(12 * SECOND)
    assert simulation.use() >= 0.96


def test_every_class_of_a_store_has_its_share(simulation: Simulation) -> None:
    simulation.add(*(asker for priority in Priority for asker in crowd(4, 1, priority)))
    simulation.run(15 * SECOND)
    for priority, share in zip(Priority, (0.4, 0.2, 0.3, 0.1), strict=True):
        assert simulation.share(priority=priority) == pytest.approx(share, abs=0.03)


def test_waiting_askers_do_not_herd(simulation: Simulation) -> None:
    """A thousand waiting stores ask about once in 0.8 s each, not at every slot."""
    simulation.add(*(Asker(store) for store in range(1000)))
    simulation.run(2 * SECOND)
    before = simulation.calls
    simulation.run(4 * SECOND)
    assert simulation.calls - before <= 1000 * 4 / 0.8 * 1.1
    assert len(simulation.since(4 * SECOND)) >= 39
    served = Counter(arrival.store for arrival in simulation.arrivals)
    assert max(served.values()) == 1  # nobody twice before everybody once


# What is lost


def test_a_crashed_thread_loses_its_slot_and_nothing_else(simulation: Simulation) -> None:
    simulation.add(*crowd(10, 1))
    simulation.run(5 * SECOND)
    for _ in range(3):  # granted to threads that never come back
        while not simulation.budget.reserve(Ask(1, Bucket.DEFAULT, Priority.WALK)).granted:
            simulation.run(20 * MS)
    simulation.run(10 * SECOND)
    assert simulation.use() >= 0.94


def test_a_missed_slot_is_not_charged_to_its_store(simulation: Simulation) -> None:
    """Store 1 misses every third slot; of those that are used both have half."""
    turns = count()
    late = lambda: 60 * MS if next(turns) % 3 == 0 else 0  # noqa: E731
    simulation.add(*crowd(8, 1, late_to_send=late), *crowd(8, 2))
    simulation.run(15 * SECOND)
    assert simulation.share(store=1) == pytest.approx(0.5, abs=0.05)
    assert simulation.report().lost >= 20


@pytest.mark.parametrize(
    "loss",
    ["flushed", "clock back", "clock back a little", "slot beyond the horizon", "other Redis"],
)
def test_nothing_is_granted_until_old_sleepers_have_sent(
    simulation: Simulation, server: redis.Redis, loss: str
) -> None:
    """Whoever holds a slot of the lost state may send for 300 + 50 ms more."""
    simulation.add(*crowd(10, 1, asks=40))
    simulation.run(3 * SECOND)
    pace = "sync:limit:{test:default}:pace"
    if loss == "flushed":
        server.flushdb()
    elif loss == "clock back":
        simulation.clock -= 3600 * SECOND
    elif loss == "clock back a little":
        simulation.clock -= 100 * MS
    elif loss == "slot beyond the horizon":
        server.hset(pace, "g", str(simulation.clock + 10 * SECOND))
    else:
        server.script_flush()
    at = simulation.clock
    first = None
    while first is None:
        reply = simulation.budget.reserve(Ask(2, Bucket.DEFAULT, Priority.FEED))
        first = simulation.clock + reply.micros if reply.granted else None
        simulation.clock += 5 * MS
    assert 350 * MS <= first - at <= 700 * MS


# Introspection


def test_the_report_counts_by_store_and_class(simulation: Simulation) -> None:
    begin = simulation.clock
    simulation.add(*crowd(3, 1), *crowd(3, 2, Priority.FEED))
    simulation.add(Asker(3, Priority.REFRESH, refused=until(begin + 600 * SECOND), asks=1))
    simulation.run(80 * SECOND)
    report = simulation.report()
    counted = Counter((a.store, a.priority) for a in simulation.arrivals)
    assert {key: usage.granted for key, usage in report.usage.items()} == pytest.approx(
        counted, abs=4  # granted, not yet sent
    )  # fmt: skip
    assert report.usage[3, Priority.REFRESH].refused == 1
    assert report.usage[1, Priority.WALK].waited_ms > 0
    assert report.used_last_minute == pytest.approx(0.98, abs=0.01)
    assert report.used_last_hour == pytest.approx(0.98 * 80 / 3600, abs=0.005)
    assert report.stores_with_work == 2
    assert set(report.paused_seconds) == set()
