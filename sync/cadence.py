"""The polling intervals of feeds, chosen so that all feeds fit the request budget. No I/O.

One egress address sends 864,000 requests a day. With half of them for feeds, 65 feeds can be polled
every 15 s; several addresses add up. With more feeds the intervals grow, for busy feeds less than
for idle ones: the mean staleness per change is least when intervals are proportional to
1/√(changes per second) (minimise Σ rateᵢ·intervalᵢ/2 under Σ 1/intervalᵢ = budget).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

FEED_SHARE = 0.5
"""The share of the budget that feeds may use while walks wait (crm/limiter enforces it too)."""
REQUESTS_PER_LOOK = 1.15
"""The mean requests per poll: one for an idle feed; busy feeds need more, for records and tail."""
_LEAST_RATE = 1 / 86_400
"""The rate assumed for an idle feed, one change a day, so that its interval stays finite."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """Intervals in seconds, in the order of the given rates; `fits` when the budget is enough.

    `mean_seconds` is the mean time between two polls, above the ceiling when `fits` is False.
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
    """Return intervals between floor and ceiling that use at most the feeds' share of the budget.

    When even the ceiling needs more than the share, all intervals are the ceiling and `fits` is
    False: another egress address is needed.
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
    """Return the number of egress addresses needed to poll `feeds` feeds every `lag_seconds`.

    `requests_per_second` is the rate of one address.
    """
    a_second = feeds / lag_seconds * REQUESTS_PER_LOOK
    return max(1, math.ceil(a_second / (requests_per_second * FEED_SHARE)))
