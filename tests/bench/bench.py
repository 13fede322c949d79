"""`make bench`: one table, each row with its target, dlt in the same run on the same sandbox.

    python tests/bench/bench.py [NAME …]      names of measures (below), all without one

Ratios and counts, since machines are noisy. What is compared runs in one go on the same servers.
"""

from __future__ import annotations

import os
import platform
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sync.embedded import Servers, private
from tests.bench import cost, growth, limits, visible
from tests.bench.stage import Figure, records, table

MEASURES: dict[str, Callable[[Servers], list[Figure]]] = {
    "limit": limits.at_the_limit,
    "busy": limits.busy,
    "cost": cost.our_own_cost,
    "visible": visible.visible,
    "budget": limits.budget,
    "dispatch": growth.dispatch,
    "growth": lambda servers: growth.looks(servers) + growth.upserts(servers, records()),
}


def main() -> None:
    """Run the measures and print the table."""
    wanted = sys.argv[1:] or list(MEASURES)
    figures: list[Figure] = []
    with private(fast=False) as servers:
        for name in wanted:
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            try:
                found = MEASURES[name](servers)
            except Exception as error:  # the other measures are still worth having
                traceback.print_exc()
                found = [Figure(name, f"failed: {error}"[:200], "", good=False)]
            for figure in found:
                print(f"  {figure.measure}: {figure.found}", file=sys.stderr, flush=True)
            figures += found
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
          f"Python {platform.python_version()}\n")  # fmt: skip
    print(table(figures))


if __name__ == "__main__":
    main()
