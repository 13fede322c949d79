"""The cost of a load that nothing limits: time, CPU, memory, WAL. Medians of three."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

from sync.embedded import Servers
from tests.bench.peer import run_dlt
from tests.bench.stage import HERE, ONLY, ORDERS, ROOT, Figure, Stage


def our_own_cost(servers: Servers) -> list[Figure]:
    """No limit, no latency, from the stub: throughput, CPU, memory, WAL, rebuild."""
    runs = [one_load(servers, f"bench_cost_{run}", ORDERS, "again", "rebuild") for run in range(3)]
    small = {what: statistics.median(run[what] for run in runs) for what in runs[0]}
    large = one_load(servers, "bench_large", 10 * ORDERS)
    rate = small["orders"] / small["seconds"]
    cpu = small["cpu_seconds"] / small["orders"] * 1000
    postgres = small["postgres_cpu_seconds"] / small["orders"] * 1000
    rebuilt = small["orders"] / small["rebuild_seconds"]
    dlt = one_load(servers, "bench_cost_dlt", ORDERS, "dlt")["dlt"]
    beside = f"dlt now: {dlt['rows'] / dlt['seconds']:,.0f}" if dlt else "540–1,590"
    return [
        Figure("no limit, no latency: orders a second with items and payments (stub)",
               f"{rate:,.0f}", "≥ 2,500", beside, rate >= 2500),
        Figure("worker CPU for 1,000 orders with children", f"{cpu:.2f} s", "≤ 0.30 s",
               "0.63–1.5 s", cpu <= 0.30),
        Figure("Postgres CPU for the same, all its processes", f"{postgres:.2f} s", "≤ 0.35 s", "–",
               postgres <= 0.35),
        Figure("peak memory of a worker process, 20,000 and 200,000 orders",
               f"{small['peak_mb']:.0f} and {large['peak_mb']:.0f} MB", "≤ 150 MB, flat",
               "340–1,400 MB", large["peak_mb"] <= 150),
        Figure("an unchanged re-walk: WAL per row; dead rows",
               f"{small['wal_per_row']:.0f} bytes; {small['dead_rows']}", "≤ 100 bytes; 0", "–",
               small["wal_per_row"] <= 100 and small["dead_rows"] == 0),
        Figure("rebuild of orders with children from raw", f"{rebuilt:,.0f} orders/s", "≥ 5,000",
               "–", rebuilt >= 5000),
    ]  # fmt: skip


def one_load(servers: Servers, name: str, orders: int, *words: str) -> dict[str, Any]:
    """One load from the stub, in a process of its own; `dlt` among the words: by it instead."""
    stage = Stage(servers, name)
    stub = subprocess.Popen(
        [sys.executable, str(HERE / "stub.py"), str(orders)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert stub.stdout is not None
        url = stub.stdout.readline().strip()
        stage.add_store(url, "benchkey", only=ONLY)
        if "dlt" in words:
            return {"dlt": run_dlt(url, "benchkey", stage)}
        done = subprocess.run(
            [sys.executable, str(HERE / "one_load.py"), url, "benchkey", *words],
            env=stage.environment(SYNC_RATE_LIMIT="1000", PYTHONPATH=str(ROOT)),
            stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found
    finally:
        stub.kill()
        stub.wait()
