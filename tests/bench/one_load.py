"""Load the orders of one store in this process and print what it cost, as one JSON line.

    python tests/bench/one_load.py URL KEY [again] [rebuild]      SYNC_* as a worker has them

A process of its own, so that its CPU time and peak memory are the load's alone. Without a limiter:
what is measured is our own cost.
"""

from __future__ import annotations

import json
import logging
import os
import re
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from sync import telemetry
from sync.state import crawls, stores
from sync.state.lanes import Claim
from sync.work.services import Services, services
from sync.work.slices import work


@dataclass(frozen=True)
class Cost:
    """What a crawl took: seconds, CPU seconds of this process, and of the Postgres server."""

    seconds: float
    cpu: float
    postgres_cpu: float


def one(made: Services, store_id: int) -> Cost:
    """The cost of the orders' walk lane, until it has counted all.

    What follows is their seal: a wait, which costs nothing, for the feed to be clear past the
    count. It is followed here until that is so, outside the figures.
    """
    server = _postmaster(made)
    began, cpu, theirs = time.perf_counter(), time.process_time(), _cpu_of_all(server)
    while (phase := _phase(made)) not in (None, "seal"):
        work(Claim(store_id, "orders", "walk"), made)
    found = Cost(
        time.perf_counter() - began, time.process_time() - cpu, _cpu_of_all(server) - theirs
    )
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


def _postmaster(made: Services) -> int:
    """The pid of the Postgres server, which runs on this machine."""
    with made.engine.begin() as connection:
        file = connection.exec_driver_sql("SELECT pg_read_file('postmaster.pid')").scalar_one()
    return int(file.split()[0])


def _cpu_of_all(server: int) -> float:
    """The CPU seconds of a Postgres server and of all its processes, also of those that ended."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        pid, parent = int(stat.parent.name), int(words[1])
        if pid == server:
            ticks += sum(map(int, words[11:15]))
        elif parent == server:
            ticks += sum(map(int, words[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


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
    cost = one(made, store_id)
    with made.engine.begin() as connection:
        rows = connection.execute(
            sa.text("SELECT count(*) FROM crm.orders WHERE deleted_at IS NULL")
        ).scalar_one()
    found = {
        "orders": rows,
        "seconds": cost.seconds,
        "cpu_seconds": cost.cpu,
        "postgres_cpu_seconds": cost.postgres_cpu,
        "peak_mb": peak_mb(),
    }
    if "again" in sys.argv:
        with made.engine.begin() as connection:
            crawls.queue_crawl(connection, store_id, "orders", kind="backfill")
            before = connection.execute(sa.text("SELECT pg_current_wal_insert_lsn()")).scalar()
        found["again_seconds"] = one(made, store_id).seconds
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
        found["rebuild_seconds"] = one(made, store_id).seconds
    print(json.dumps(found))


if __name__ == "__main__":
    main()
