"""The way of a request to the server: jitter, late packets, stalls."""

from __future__ import annotations

from random import Random

from sync.sandbox.knobs import Knobs


def seconds_until_arrival(knobs: Knobs, *, sent_at: float, rng: Random) -> float:
    """Return the time on the way of a request sent at `sent_at` (monotonic seconds)."""
    low, high = knobs.jitter_ms
    on_the_way = rng.uniform(low, high) / 1000
    if rng.random() < knobs.late_share:
        on_the_way += knobs.late_ms / 1000
    if knobs.stall_every_seconds > 0:
        phase = (sent_at + on_the_way) % knobs.stall_every_seconds
        on_the_way += max(0.0, knobs.stall_ms / 1000 - phase)
    return on_the_way
