"""The control law of the request budget: networks and limits as they are, in simulated time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import redis

from tests.integration.limiter_simulation import (
    MS,
    SECOND,
    START,
    Network,
    Simulation,
    busiest_second,
    crowd,
)

SEEDS = range(3)
REQUESTS = 1_200
TAUGHT = 200


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@dataclass(frozen=True)
class Seen:
    """What the server saw: shares of refused requests, and requests a second."""

    refused: float
    refused_later: float
    rate: float
    busiest: int


def run(
    server: redis.Redis,
    seed: int,
    reaches: Callable[[random.Random, int], int] = lambda _, sent_at: sent_at,
    *,
    limit: int = 10,
    neighbour: int = 0,
) -> Seen:
    """One store's eight threads, answers of 250 to 350 ms."""
    server.flushdb()
    draw = random.Random(seed)
    network = Network(lambda _: limit, lambda sent_at: reaches(draw, sent_at))
    simulation = Simulation(server, network)
    if neighbour:
        gap = SECOND // neighbour
        simulation.neighbour(lambda: round(gap * draw.uniform(0.7, 1.3)))
    simulation.add(*crowd(8, 1, latency=lambda: draw.randrange(250 * MS, 350 * MS)))
    simulation.run_requests(REQUESTS)
    seen = simulation.arrivals
    later = seen[TAUGHT:]
    return Seen(
        refused=sum(a.refused for a in seen) / len(seen),
        refused_later=sum(a.refused for a in later) / len(later),
        rate=(len(seen) - 1) / (seen[-1].at - seen[0].at) * SECOND,
        busiest=busiest_second(seen),
    )


def held(_: random.Random, sent_at: int) -> int:
    """Nothing arrives for 400 ms every 20 s, then all at once."""
    phase = (sent_at - START) % (20 * SECOND)
    return sent_at + max(0, phase - 19_600 * MS and 20 * SECOND - phase) * (phase >= 19_600 * MS)


def jitter(draw: random.Random, sent_at: int) -> int:
    return sent_at + draw.randrange(120 * MS)


def lossy(draw: random.Random, sent_at: int) -> int:
    return sent_at + (200 * MS if draw.random() < 0.01 else 0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("reaches", "least"), [(jitter, 9.0), (held, 9.4), (lossy, 9.5)], ids=["jitter", "held", "loss"]
)
def test_a_network_that_delays_costs_a_few_per_cent(
    server: redis.Redis, reaches: Callable[[random.Random, int], int], least: float, seed: int
) -> None:
    """Two per cent are refused at most while it is learned, one per cent afterwards."""
    seen = run(server, seed, reaches)
    assert seen.refused <= 0.02
    assert seen.refused_later <= 0.01
    assert seen.rate >= least


@pytest.mark.parametrize("seed", SEEDS)
def test_a_clean_network_is_never_refused_and_used_up(server: redis.Redis, seed: int) -> None:
    seen = run(server, seed)
    assert (seen.refused, seen.busiest) == (0, 10)
    assert seen.rate >= 9.75


@pytest.mark.parametrize("limit", [5, 7, 9])
def test_a_limit_that_is_lower_than_told_is_found_and_used(server: redis.Redis, limit: int) -> None:
    seen = run(server, 1, limit=limit)
    assert seen.refused <= 0.02
    assert seen.refused_later <= 0.01
    assert seen.rate >= 0.9 * limit


def test_a_neighbour_keeps_its_part_of_the_address(server: redis.Redis) -> None:
    """It takes 3 of 10 a second, some seconds 4; what it leaves is used."""
    seen = run(server, 1, neighbour=3)
    assert seen.refused_later <= 0.025
    assert 0.85 * 7 <= seen.rate <= 7
