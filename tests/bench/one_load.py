"""Load the orders of one store in this process and print what it cost, as one JSON line.

    python tests/bench/one_load.py URL KEY [again] [rebuild]      SYNC_* as a worker has them

A process of its own, so that its CPU time and peak memory are the load's alone. Without a limiter:
what is measured is our own cost.
"""

from __future__ import annotations

import json
import logging
import re
import resource
import sys
import time
from pathlib import Path

import sqlalchemy as sa

from sync import telemetry
from sync.state import crawls, stores
from sync.state.lanes import Claim
from sync.work.services import Services, services
from sync.work.slices import work


def one(made: Services, store_id: int) -> tuple[float, float]:
    """Seconds and CPU seconds of the orders' walk lane, until it has counted all.

    What follows is their seal: a wait, which costs nothing, for the feed to be clear past the
    count. It is followed here until that is so, outside the figures.
    """
    began, cpu = time.perf_counter(), time.process_time()
    while (phase := _phase(made)) not in (None, "seal"):
        work(Claim(store_id, "orders", "walk"), made)
    found = time.perf_counter() - began, time.process_time() - cpu
    while phase is not None:
        work(Claim(store_id, "order_history", "feed"), made)
        work(Claim(store_id, "orders", "walk"), made)
        phase = _phase(made)
    return found


def _phase(made: Services) -> str | None:
    """What the orders' crawl is at; None when there is none left."""
    with made.engine.begin() as connection:
        phase: str | None = connection.execute(
            sa.text("SELECT phase FROM sync.crawl WHERE state IN ('pending', 'running')"
                    " AND resource = 'orders' ORDER BY id LIMIT 1")
        ).scalar()  # fmt: skip
    return phase


def peak_mb() -> float:
    """The most this program had in memory; `ru_maxrss` would count the one it was forked from."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]
    except OSError:  # no Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print the figures."""
    telemetry.configure("console", level=logging.WARNING)
    made = services()
    made.__dict__["limiter"] = None
    with made.engine.begin() as connection:
        store_id, name = connection.execute(sa.text("SELECT id, name FROM sync.store")).one()
        stores.set_least_lateness(connection, name, seconds=0.1)
    seconds, cpu = one(made, store_id)
    with made.engine.begin() as connection:
        rows = connection.execute(
            sa.text("SELECT count(*) FROM crm.orders WHERE deleted_at IS NULL")
        ).scalar_one()
    found = {
        "orders": rows,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "peak_mb": peak_mb(),
    }
    if "again" in sys.argv:
        with made.engine.begin() as connection:
            crawls.queue_crawl(connection, store_id, "orders", kind="backfill")
            before = connection.execute(sa.text("SELECT pg_current_wal_insert_lsn()")).scalar()
        found["again_seconds"], _ = one(made, store_id)
        with made.engine.begin() as connection:
            wal = connection.execute(
                sa.text("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), CAST(:w AS pg_lsn))"),
                {"w": before},
            ).scalar_one()
            found["wal_per_row"] = float(wal) / rows
            found["dead_rows"] = connection.execute(
                sa.text("SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables"
                        " WHERE schemaname = 'crm'")
            ).scalar_one()  # fmt: skip
    if "rebuild" in sys.argv:
        with made.engine.begin() as connection:
            connection.execute(sa.text("UPDATE crm.orders SET content_hash = ''"))
            crawls.queue_crawl(connection, store_id, "orders", kind="rebuild")
        found["rebuild_seconds"], _ = one(made, store_id)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
