"""`make bench`: one table, each row with its target, dlt in the same run on the same sandbox.

    python tests/bench/bench.py [NAME …]      names of measures (below), all without one

Ratios and counts, since machines are noisy. What is compared runs in one go on the same servers;
what takes the whole machine runs alone.
"""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sync.embedded import Servers, private
from tests.bench import (
    analysts,
    company,
    cost,
    exporting,
    growth,
    limits,
    networks,
    nudged,
    partitioned,
    parts,
    requests_made,
    returning,
    visible,
)
from tests.bench.stage import Figure, records, table

Measure = Callable[[Servers], list[Figure]]


def together(servers: Servers, *measures: Measure) -> list[Figure]:
    """Measures that wait for a limit and leave the machine idle, side by side."""
    with ThreadPoolExecutor() as pool:
        return [f for found in pool.map(lambda m: attempt(m, servers), measures) for f in found]


def attempt(measure: Measure, servers: Servers) -> list[Figure]:
    """A measure's figures; when it fails the others are still worth having."""
    try:
        return measure(servers)
    except Exception as error:
        traceback.print_exc()
        return [Figure(measure.__name__, f"failed: {error}"[:200], "", good=False)]


MEASURES: dict[str, Measure] = {
    "limit": limits.at_the_limit,
    "networks": networks.networks,
    "loads": networks.loads,
    "busy": limits.busy,
    "cost": cost.our_own_cost,
    "parts": parts.parts,
    "returning": returning.returning,
    "requests": requests_made.accounts,
    "waiting": lambda servers: together(servers, visible.visible, limits.budget),
    "nudged": nudged.nudged,
    "company": company.dripping,
    "analysts": analysts.analysts,
    "partitioned": partitioned.partitioned,
    "export": exporting.exporting,
    "dispatch": growth.dispatch,
    "housekeeping": growth.housekeeping,
    "growth": lambda servers: growth.looks(servers) + growth.upserts(servers, records()),
}


def main() -> None:
    """Run the measures and print the table."""
    wanted = sys.argv[1:] or list(MEASURES)
    figures: list[Figure] = []
    began = time.monotonic()
    with private(fast=False) as servers:
        for name in wanted:
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            found = attempt(MEASURES[name], servers)
            for figure in found:
                print(f"  {figure.measure}: {figure.found}", file=sys.stderr, flush=True)
            figures += found
    minutes = (time.monotonic() - began) / 60
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
          f"Python {platform.python_version()}; {minutes:.1f} minutes\n")  # fmt: skip
    print(table(figures))


if __name__ == "__main__":
    main()
