"""Staleness under the feeds' cadence, against looking at all of them evenly.

    python tests/bench/cadence_simulation.py

Stores have five feeds; activity is skewed (a Pareto law with 1.16: a fifth of the stores makes
four fifths of the changes). A change waits from its moment to the next look: with an interval t it
waits between 0 and t. Printed: mean and 95th percentile over changes, in seconds.
"""

from __future__ import annotations

import math
import random
from itertools import repeat

from sync.poll_intervals import FEED_SHARE, REQUESTS_PER_LOOK, cadences, egress_addresses

FEEDS_PER_STORE = 5
MEAN_CHANGES_PER_DAY = 400
REQUESTS_PER_SECOND = 10.0
FLOOR, CEILING = 15.0, 900.0


def rates(stores: int, seed: int = 7) -> list[float]:
    """Changes a second of every feed."""
    draw = random.Random(seed)
    weights = [draw.paretovariate(1.16) for _ in range(stores)]
    scale = MEAN_CHANGES_PER_DAY * stores / sum(weights) / 86_400 / FEEDS_PER_STORE
    return [weight * scale for weight in weights for _ in repeat(None, FEEDS_PER_STORE)]


def waits(
    changes: list[float], intervals: list[float], draws: int = 200_000
) -> tuple[float, float]:
    """Mean and 95th percentile of what a change waits until it is looked at."""
    draw = random.Random(1)
    feeds = draw.choices(range(len(changes)), weights=changes, k=draws)
    seen = sorted(draw.uniform(0, intervals[feed]) for feed in feeds)
    return math.fsum(seen) / draws, seen[int(draws * 0.95)]


def main() -> None:
    """Print the table of ops/docs/scaling.md."""
    print("| stores | addresses | even mean | even p95 | ours mean | ours p95 | idle feed waits |")
    print("|---|---|---|---|---|---|---|")
    for stores in (10, 100, 1_000, 10_000):
        changes = rates(stores)
        # As many addresses as keep the ceiling's promise.
        addresses = egress_addresses(
            len(changes), lag_seconds=CEILING, requests_per_second=REQUESTS_PER_SECOND
        )
        budget = REQUESTS_PER_SECOND * addresses
        even = max(FLOOR, len(changes) / (budget * FEED_SHARE / REQUESTS_PER_LOOK))
        ours = cadences(
            changes, requests_per_second=budget, floor_seconds=FLOOR, ceiling_seconds=CEILING
        ).intervals
        even_mean, even_p95 = waits(changes, [even] * len(changes))
        mean, p95 = waits(changes, list(ours))
        print(
            f"| {stores:,} | {addresses} | {even_mean:.0f} | {even_p95:.0f} | {mean:.0f} |"
            f" {p95:.0f} | {max(ours):.0f} |"
        )


if __name__ == "__main__":
    main()
