"""How often each feed is looked at, so that all of them fit the request budget. Pure.

One egress address sends 864,000 requests a day. With half of them for feeds, 65 feeds can be looked
at every 15 s; what several addresses send adds up. Beyond that intervals stretch, those of busy
feeds less than those of idle ones: mean staleness per change is least when intervals go with
1/√(changes per second) (minimise Σ rateᵢ·intervalᵢ/2 under Σ 1/intervalᵢ = budget).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

FEED_SHARE = 0.5
"""Of the budget that feeds may take while walks wait (crm/limiter keeps it, too)."""
REQUESTS_PER_LOOK = 1.15
"""An idle look is one request; busy ones read entries, records and the tail as well."""
_LEAST_RATE = 1 / 86_400
"""An idle feed is taken to change once a day: it must be looked at some time."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """Intervals in seconds, in the order of the rates given; `fits` when the ceiling held.

    `mean_seconds` is between two looks at a feed; above the ceiling when that does not fit.
    """

    intervals: tuple[float, ...]
    fits: bool
    mean_seconds: float


def cadences(
    changes_per_second: Sequence[float],
    *,
    requests_per_second: float,
    floor_seconds: float,
    ceiling_seconds: float,
) -> Cadence:
    """Intervals between floor and ceiling that spend at most the feeds' share of the budget.

    When even the ceiling costs more than the share, the ceiling is what is promised, and `fits`
    is False: another egress address is needed.
    """
    looks = requests_per_second * FEED_SHARE / REQUESTS_PER_LOOK
    weights = [1 / math.sqrt(max(rate, _LEAST_RATE)) for rate in changes_per_second]
    if len(weights) / floor_seconds <= looks:
        return Cadence((floor_seconds,) * len(weights), fits=True, mean_seconds=floor_seconds)
    if len(weights) / ceiling_seconds > looks:
        intervals = (ceiling_seconds,) * len(weights)
        return Cadence(intervals, fits=False, mean_seconds=len(weights) / looks)

    def spent(scale: float) -> float:
        return sum(
            1 / min(max(scale * weight, floor_seconds), ceiling_seconds) for weight in weights
        )

    # `spent` falls with the scale; at `low` every feed is at the floor, at `high` at the ceiling.
    low, high = floor_seconds / max(weights), ceiling_seconds / min(weights)
    for _ in range(60):
        middle = (low + high) / 2
        if spent(middle) > looks:
            low = middle
        else:
            high = middle
    found = tuple(min(max(high * weight, floor_seconds), ceiling_seconds) for weight in weights)
    return Cadence(found, fits=True, mean_seconds=math.fsum(found) / len(found))


def egress_addresses(feeds: int, *, lag_seconds: float, requests_per_second: float) -> int:
    """How many egress addresses look at `feeds` feeds every `lag_seconds`.

    `requests_per_second` is what one of them sends.
    """
    a_second = feeds / lag_seconds * REQUESTS_PER_LOOK
    return max(1, math.ceil(a_second / (requests_per_second * FEED_SHARE)))
