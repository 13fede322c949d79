"""What the API's limit leaves: a load at it, a load of a busy store, the budget shared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass
from typing import Any

from sync.embedded import Servers
from sync.embedded.process import wait_until
from sync.sandbox import Spawned, spawn
from sync.sandbox.sending import steady
from tests.bench.peer import run_dlt
from tests.bench.stage import HERE, ONLY, ORDERS, ROOT, Figure, Stage, call


@dataclass(frozen=True)
class Load:
    """A load of orders as the sandbox saw it; times in seconds, `limit` the least possible one."""

    rows: int
    took: float
    limit: float
    sent: int
    refused: int
    used: float
    busiest: int


def loaded(servers: Servers, name: str, crm: Spawned) -> Load:
    """Load the orders of the account `bench` by a worker and a beat, until they are proven."""
    stage = Stage(servers, name)
    stage.add_store(crm.url, crm.keys["bench"], only=ONLY)
    with stage.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE sync.lane SET enabled = false"
            " WHERE resource = 'order_history' AND lane = 'walk'"
        )
    with stage.service():
        proven = "SELECT complete_as_of IS NOT NULL FROM crm.coverage WHERE resource = 'orders'"
        wait_until(lambda: stage.one(proven), seconds=180, what="the load is proven")
    log = call(crm.url, "/oracle/requests")
    sent = [
        r
        for r in log["requests"]
        # Pages of the walk, the first of which may come without its number. Records that are read
        # again by id are not the load's.
        if r["path"].endswith("/orders")
        and r["params"].get("limit") == "100"
        and "ids" not in r["params"].get("filter", {})
    ]
    first = min(r["time"] for r in sent)
    last = float(stage.one("SELECT extract(epoch FROM max(first_seen_at)) FROM crm.orders"))
    rows = stage.one("SELECT count(*) FROM crm.orders WHERE deleted_at IS NULL")
    within = [r for r in log["requests"] if first <= r["time"] <= last]
    took = last - first
    return Load(
        rows, took, rows / 100 / 10, log["count"], log["refused"], len(within) / took / 10,
        log["busiest_second"],
    )  # fmt: skip


def at_the_limit(servers: Servers) -> list[Figure]:
    """20,000 orders at 10 requests a second and 250–350 ms, by a worker and a beat, and by dlt."""
    with spawn(
        "--account", f"bench:Europe/Moscow:{ORDERS}:6000:benchkey", "--rate", "10",
        "--latency", "250,350", "--awkward", "0",
    ) as crm:  # fmt: skip
        load = loaded(servers, "bench_limit", crm)
        stage = Stage(servers, "bench_limit_dlt")
        call(crm.url, "/control/reset_log", {})
        dlt = run_dlt(crm.url, crm.keys["bench"], stage)
        peers = "dlt not installed here"
        dlt_use = "–"
        if dlt:
            log_dlt = call(crm.url, "/oracle/requests")
            peers = f"dlt now: {dlt['seconds'] / load.limit:.2f}, {log_dlt['refused']} refused"
            share = log_dlt["count"] / dlt["seconds"] / 10
            dlt_use = f"dlt now: {share:.0%}; {log_dlt['busiest_second']}"
        ratio = load.took / load.limit
        return [
            Figure(
                f"{load.rows:,} orders at 10/s, 250–350 ms: first send to last commit ÷ the limit's"
                f" {load.limit:.0f} s",
                f"{ratio:.3f}, refused {load.refused}", "≤ 1.08, refused 0", peers,
                ratio <= 1.08 and load.refused == 0,
            ),
            Figure(
                "share of the budget used while loading; busiest sliding second",
                f"{load.used:.1%}; {load.busiest}", "≥ 96 %; ≤ 10", dlt_use,
                load.used >= 0.96 and load.busiest <= 10,
            ),
        ]  # fmt: skip


def busy(servers: Servers) -> list[Figure]:
    """20 changes a second for a minute, from the load's start: what a mirror lacks at its end."""
    figures = []
    stage = Stage(servers, "bench_busy")
    with spawn(
        "--account", f"bench:Europe/Moscow:{ORDERS}:6000:benchkey", "--rate", "10",
        "--latency", "250,350", "--awkward", "0",
    ) as crm:  # fmt: skip
        url = crm.url
        both = (*ONLY, "customers", "customer_history")
        stage.add_store(url, crm.keys["bench"], only=both)
        with stage.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE sync.lane SET enabled = false"
                " WHERE resource LIKE '%%history' AND lane = 'walk'"
            )
        call(url, "/control/churn/start", {"per_second": 20})
        stop = threading.Timer(60, call, (url, "/control/churn/stop", {}))
        began = time.time()
        stop.start()
        with stage.service():
            stop.join()
            quiet = time.time()
            exact = (
                "SELECT count(*) = 2 FROM crm.coverage WHERE resource IN ('orders', 'customers')"
                " AND complete_as_of > to_timestamp(:quiet)"
            )
            wait_until(
                lambda: stage.one(exact, quiet=quiet), seconds=400, what="complete after the quiet"
            )
            took = time.time() - began
        ours = stage.rows("SELECT id, raw FROM crm.orders WHERE deleted_at IS NULL")
        found = _compare(url, {row[0]: row[1] for row in ours})
        call(url, "/control/churn/start", {"per_second": 20})
        stop = threading.Timer(60, call, (url, "/control/churn/stop", {}))
        stop.start()
        dlt = run_dlt(url, crm.keys["bench"], stage)
        stop.join()
        theirs = "about 300, 150, 450"
        if dlt:
            rows = stage.rows("SELECT id, status, total_summ FROM dlt_bench.orders")
            theirs = "dlt now: {}, {}, {}".format(*_compare_few(url, rows))
        figures.append(
            Figure("20 changes a second for 60 s while 20,000 orders load: missing, ghosts, stale",
                   "{}, {}, {}".format(*found) + f" (proven {took:.0f} s after the start)",
                   "0, 0, 0", theirs, found == (0, 0, 0))
        )  # fmt: skip
    return figures


def _truth(url: str) -> dict[int, Any]:
    where = f"{url}/oracle/bench/orders?steady=1"
    with urllib.request.urlopen(where, timeout=120) as answer:  # noqa: S310  the sandbox
        return {record["id"]: record for record in map(json.loads, answer.read().splitlines())}


def _compare(url: str, rows: dict[int, Any]) -> tuple[int, int, int]:
    """Rows missing, alive though deleted, and stale, against the oracle (the steady parts)."""
    truth = _truth(url)
    stale = [i for i in truth if i in rows and _clean(steady(rows[i])) != _clean(truth[i])]
    return len(set(truth) - set(rows)), len(set(rows) - set(truth)), len(stale)


def _compare_few(url: str, rows: list[Any]) -> tuple[int, int, int]:
    """The same by status and total alone, which flatters."""
    truth = _truth(url)
    found = {row[0]: (row[1], float(row[2] or 0)) for row in rows}
    stale = [
        i
        for i, record in truth.items()
        if i in found and found[i] != (record.get("status"), float(record.get("totalSumm") or 0))
    ]
    return len(set(truth) - set(found)), len(set(found) - set(truth)), len(stale)


def _clean(record: Any) -> Any:
    """NUL characters are U+FFFD in Postgres."""
    return json.loads(json.dumps(record).replace("\\u0000", "\\ufffd"))


def budget(servers: Servers) -> list[Figure]:
    """Three processes of 16 threads for a minute; fourteen askers beside one each of two others."""
    found = json.loads(
        subprocess.run(
            [sys.executable, str(HERE / "budget.py"), servers.redis_url],
            stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        ).stdout.strip().splitlines()[-1]
    )  # fmt: skip
    shares = " / ".join(f"{share:.0%}" for share in found["shares"])
    return [
        Figure("14 workers of a big store beside one each of two small ones: shares", shares,
               "33 % ± 3 each", "–", all(abs(s - 1 / 3) <= 0.03 for s in found["shares"])),
        Figure("3 processes × 16 threads, 60 s: refused; use",
               f"{found['refused']}; {found['use']:.1%} (busiest second {found['busiest']})",
               "0; ≥ 96 %", "–", found["refused"] == 0 and found["use"] >= 0.96),
    ]  # fmt: skip
