"""An export of a million orders with all that belongs to them, and a run after some changed."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

from sync.embedded import Servers
from tests.bench import analysts
from tests.bench.stage import CELERY, ROOT, Figure, Stage

SECONDS, MEGABYTES = 120.0, 300.0
CHANGED = 100


def exporting(servers: Servers) -> list[Figure]:
    """Build what analysts ask, and export it by the command, in a process of its own."""
    stage = Stage(servers, "bench_export")
    store = analysts.mirror(stage)
    analysts.multiply(stage, store)
    with tempfile.TemporaryDirectory() as folder:
        whole, cpu, peak = run(stage, folder)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.parquet"))
        rows = stage.one(
            "SELECT sum(reltuples)::bigint FROM pg_class"
            " WHERE relnamespace = 'crm'::regnamespace AND relkind = 'r'"
        )
        with stage.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE crm.orders SET change_no = (SELECT sync.change_no())"
                f" WHERE id IN (SELECT id FROM crm.orders ORDER BY id DESC LIMIT {CHANGED})"
            )
        later, _, _ = run(stage, folder)
    return [
        Figure(
            f"export of a million orders ({rows / 1e6:.1f} million rows, {size / 1e6:,.0f} MB)",
            f"{whole:.0f} s, {cpu:.0f} s of CPU beside Postgres's",
            f"≤ {SECONDS:.0f} s",
            good=whole <= SECONDS,
        ),
        Figure(
            "its peak memory", f"{peak:.0f} MB", f"≤ {MEGABYTES:.0f} MB", good=peak <= MEGABYTES
        ),
        Figure(f"the next run, after {CHANGED} orders changed", f"{later:.1f} s", ""),
    ]


def run(stage: Stage, folder: str) -> tuple[float, float, float]:
    """One run of the command: seconds, its CPU seconds, its peak memory in megabytes."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [*CELERY, "mirror", "export", "demo", "--to", folder],
        env=stage.environment(), cwd=ROOT, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
