"""The sandbox's network: when a request arrives at the server."""

from __future__ import annotations

from random import Random

from sync.sandbox.knobs import Knobs
from sync.sandbox.network import seconds_until_arrival


def ways(knobs: Knobs, *, number: int = 2_000) -> list[float]:
    draw = Random(7)
    return [seconds_until_arrival(knobs, sent_at=0.1 * n, rng=draw) for n in range(number)]


def test_without_knobs_a_request_arrives_when_it_is_sent() -> None:
    """A sandbox is a clean network unless it is told otherwise."""
    assert set(ways(Knobs())) == {0.0}


def test_jitter_is_between_its_bounds() -> None:
    """Every request is late by its own part of the range."""
    seen = ways(Knobs(jitter_ms=(20, 120)))
    assert 0.020 <= min(seen) < 0.025
    assert 0.115 < max(seen) <= 0.120


def test_a_share_of_the_requests_is_late() -> None:
    """One in a hundred, by 200 ms."""
    seen = ways(Knobs(late_share=0.01, late_ms=200))
    assert set(seen) == {0.0, 0.2}
    assert 10 <= sum(each > 0 for each in seen) <= 30


def test_a_stall_delivers_all_it_held_at_its_end() -> None:
    """Nothing arrives for 400 ms every 20 s."""
    knobs = Knobs(stall_ms=400, stall_every_seconds=20)
    for sent_at in (40.0, 40.1, 40.399):
        way = seconds_until_arrival(knobs, sent_at=sent_at, rng=Random(7))
        assert round(sent_at + way, 6) == 40.4
    assert seconds_until_arrival(knobs, sent_at=40.401, rng=Random(7)) == 0.0
