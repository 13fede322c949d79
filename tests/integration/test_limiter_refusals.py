"""What refusals say of a store and of the address: outages, bad company, limits that change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, pairwise

import pytest
import redis

from sync.crm.budget.slot import Priority
from tests.integration.limiter_simulation import (
    MS,
    SECOND,
    Asker,
    Network,
    Simulation,
    busiest_second,
    crowd,
    until,
)

FULL = 9.8
STORES = (1, 2, 3, 4, 5)


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def simulation(server: redis.Redis) -> Simulation:
    return Simulation(server)


def always(_: int) -> bool:
    return True


def between(begin: int, end: int) -> Callable[[int], bool]:
    return lambda arrived_at: begin <= arrived_at < end


def rate(simulation: Simulation, store: int, micros: int) -> float:
    """Served requests a second of a store, lately."""
    served = [a for a in simulation.since(micros) if a.store == store and not a.refused]
    return len(served) / micros * SECOND


def moments(simulation: Simulation, store: int) -> list[int]:
    return [a.at for a in simulation.arrivals if a.store == store]


# One store


@pytest.mark.parametrize("failing", [2, 8, 20])
def test_stores_that_refuse_everything_leave_a_healthy_one_nine_in_ten(
    simulation: Simulation, failing: int
) -> None:
    """Counted from the first second; what they say is no reason to slow down."""
    simulation.add(*crowd(6, 1))
    for store in range(2, 2 + failing):
        simulation.add(*crowd(6, store, refused=always))
    simulation.run(60 * SECOND)
    assert rate(simulation, 1, 60 * SECOND) >= 9
    assert simulation.report().pace == pytest.approx(FULL)
    probes = [a for a in simulation.since(30 * SECOND) if a.store != 1]
    assert len(probes) <= 9  # one in four seconds, however many stores there are


def test_a_store_that_refuses_is_asked_by_one_request_at_a_time(simulation: Simulation) -> None:
    """After 1, 2 and then 4 seconds, when nobody else needs the slots."""
    simulation.add(*crowd(6, 1, refused=always, latency=300 * MS))
    simulation.run(40 * SECOND)
    later = [at for at in moments(simulation, 1) if at > moments(simulation, 1)[0] + 900 * MS]
    pauses = [(after - before) / SECOND for before, after in pairwise(later)]
    assert pauses[:2] == [pytest.approx(2.3, abs=0.4), pytest.approx(4.3, abs=0.4)]
    assert all(4 <= pause <= 5 for pause in pauses[2:])
    assert simulation.report().frozen_seconds > 0


@pytest.mark.parametrize("seconds", [2, 60])
def test_a_store_is_back_within_seconds_of_its_outage(simulation: Simulation, seconds: int) -> None:
    """At its full part, since an outage says nothing of the address."""
    begin = simulation.clock + 20 * SECOND
    end = begin + seconds * SECOND
    simulation.add(*crowd(6, 1, refused=between(begin, end)), *crowd(6, 2))
    simulation.run(end - simulation.clock)
    if seconds > 10:
        assert rate(simulation, 2, 10 * SECOND) >= 9
    simulation.run(6 * SECOND)
    assert rate(simulation, 1, SECOND) >= 4
    assert simulation.report().pace >= 0.98 * FULL
    assert simulation.report().paused_seconds == {}


def test_all_stores_are_back_within_seconds_of_an_outage_of_all(simulation: Simulation) -> None:
    begin = simulation.clock + 20 * SECOND
    end = begin + 60 * SECOND
    for store in STORES:
        simulation.add(*crowd(4, store, refused=between(begin, end)))
    simulation.run(end - simulation.clock)
    assert simulation.report().pace == pytest.approx(FULL)
    simulation.run(6 * SECOND)
    assert all(rate(simulation, store, 2 * SECOND) >= 1 for store in STORES)
    simulation.run(10 * SECOND)
    assert simulation.use() >= 0.96


def test_a_lone_refusal_costs_a_hair(simulation: Simulation) -> None:
    """That request goes again a second later; its store and the others go on meanwhile."""
    begin = simulation.clock + 20 * SECOND
    turns = count()
    chance = lambda at: at >= begin and next(turns) == 0  # noqa: E731
    simulation.add(*crowd(6, 1, refused=chance), *crowd(6, 2))
    simulation.run(30 * SECOND)
    assert sum(simulation.refusals.values()) == 1
    assert 0.99 * FULL < simulation.report().pace < FULL
    assert simulation.use() >= 0.96
    gaps = [b - a for a, b in pairwise(moments(simulation, 1))]
    assert max(gaps) < 450 * MS
    simulation.run(60 * SECOND)
    assert simulation.report().pace == pytest.approx(FULL)


def test_retry_after_is_honoured(simulation: Simulation) -> None:
    begin = simulation.clock
    askers = crowd(4, 1, refused=until(begin + SECOND), retry_after=30 * SECOND)
    simulation.add(*askers, *crowd(6, 2))
    simulation.run(60 * SECOND)
    quiet = max(later - earlier for earlier, later in pairwise(moments(simulation, 1)))
    assert quiet >= 30 * SECOND
    assert moments(simulation, 1)[-1] - begin <= 62 * SECOND


def test_answers_to_one_burst_count_as_one_refusal(simulation: Simulation) -> None:
    """What was on its way when the pause began says nothing new."""
    begin = simulation.clock
    simulation.add(*crowd(9, 1, latency=900 * MS, refused=until(begin + 900 * MS)))
    simulation.run(4 * SECOND)
    assert simulation.refusals[1] >= 8
    assert simulation.report().paused_seconds == {}
    assert simulation.report().pace >= 0.95 * FULL


def test_a_pause_written_before_the_clock_was_set_back_is_forgotten(
    simulation: Simulation,
) -> None:
    simulation.add(*crowd(3, 1, refused=until(simulation.clock + 10 * SECOND), asks=3))
    simulation.run(10 * SECOND)
    simulation.clock -= 3600 * SECOND
    simulation.add(Asker(1, asks=20))
    simulation.run(8 * SECOND)
    assert len([a for a in simulation.arrivals if not a.refused]) == 20


# The address


def test_the_limit_of_an_address_is_found_among_its_stores(server: redis.Redis) -> None:
    """Each of five stores is refused and served by turns: the limit is 5, and nobody pauses."""
    simulation = Simulation(server, Network(lambda _: 5))
    for store in STORES:
        simulation.add(*crowd(4, store, latency=300 * MS))
    simulation.run(60 * SECOND)
    assert 4.5 <= simulation.report().pace <= 5
    for store in STORES:
        assert rate(simulation, store, 30 * SECOND) == pytest.approx(0.96, abs=0.15)


def test_what_was_sent_before_the_last_change_is_not_counted(server: redis.Redis) -> None:
    """Slow answers to a pace that was given up already would halve the next one, too."""
    simulation = Simulation(server, Network(lambda _: 5))
    simulation.add(*crowd(20, 1, latency=1500 * MS))
    paces = []
    for _ in range(120):
        simulation.run(SECOND // 2)
        paces.append(simulation.report().pace)
    assert min(paces) >= 4.4
    assert paces[-1] <= 5


def test_a_limit_that_rises_is_used_within_minutes(server: redis.Redis) -> None:
    """The pace grows the faster the longer nothing was refused."""
    rises_at = 0
    network = Network(lambda at: 5 if at < rises_at else 10)
    simulation = Simulation(server, network)
    rises_at = simulation.clock + 60 * SECOND
    simulation.add(*crowd(8, 1, latency=300 * MS))
    simulation.run(60 * SECOND)
    assert simulation.report().pace < 5
    simulation.run(240 * SECOND)
    assert simulation.report().pace == pytest.approx(FULL)
    assert busiest_second(simulation.since(10 * SECOND)) <= 10


def test_the_pace_never_falls_below_one_a_second(simulation: Simulation) -> None:
    """Refusals that do not depend on the pace: every second request, of all stores."""
    turns = count()
    simulation.add(*crowd(6, 1, refused=lambda _: next(turns) % 2 == 0))
    paces = []
    for _ in range(120):
        simulation.run(SECOND)
        paces.append(simulation.report().pace)
    assert 1 <= min(paces) < 2
    assert len(simulation.since(20 * SECOND)) >= 10


def test_a_refused_feed_is_counted_as_refused(simulation: Simulation) -> None:
    simulation.add(Asker(3, Priority.FEED, refused=always, asks=1), *crowd(3, 1))
    simulation.run(5 * SECOND)
    assert simulation.report().usage[3, Priority.FEED].refused == 1
