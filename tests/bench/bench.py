"""`make bench`: one table, each row with its target, dlt in the same run on the same sandbox.

    python tests/bench/bench.py [NAME …]      names of measures (below), all without one

Ratios and counts, since machines are noisy. What is compared runs in one go on the same servers.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sync.embedded import Servers, private
from sync.embedded.process import wait_until
from sync.sandbox import spawn
from sync.sandbox.sending import steady
from tests.bench import growth
from tests.bench.stage import ROOT, Figure, Stage, call, table

HERE = Path(__file__).resolve().parent
ORDERS = 20_000
ONLY = ("orders", "order_history")
DLT = ROOT / ".data" / "bench-dlt"


def dlt_python() -> Path | None:
    """dlt in a venv of its own, made once; None where it cannot be had."""
    python = DLT / "bin" / "python"
    if not python.exists():
        made = subprocess.run([sys.executable, "-m", "venv", str(DLT)], check=False)
        if made.returncode == 0:
            subprocess.run(
                [str(python), "-m", "pip", "install", "-q", "dlt[postgres]==1.31.0"], check=False
            )
    tried = subprocess.run([str(python), "-c", "import dlt"], check=False, capture_output=True)
    return python if tried.returncode == 0 else None


def run_dlt(url: str, key: str, stage: Stage) -> dict[str, Any] | None:
    """One dlt load of the orders, or None."""
    python = dlt_python()
    if python is None:
        return None
    database = stage.url.replace("postgresql+psycopg://", "postgresql://")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {
        "DLT_DATA_DIR": tempfile.mkdtemp(), "RUNTIME__DLTHUB_TELEMETRY": "false",
        "EXTRACT__WORKERS": "10", "NORMALIZE__WORKERS": "2", "LOAD__WORKERS": "4",
    }  # fmt: skip
    done = subprocess.run(
        [str(python), str(HERE / "with_dlt.py"), url, key, database],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def at_the_limit(servers: Servers) -> list[Figure]:
    """20,000 orders at 10 requests a second and 250–350 ms, by a worker and a beat, and by dlt."""
    stage = Stage(servers, "bench_limit")
    with spawn(
        "--account", f"bench:Europe/Moscow:{ORDERS}:6000:benchkey", "--rate", "10",
        "--latency", "250,350", "--awkward", "0",
    ) as crm:  # fmt: skip
        stage.add_store(crm.url, crm.keys["bench"], only=ONLY)
        stage.rows("SELECT 1")
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
            if r["path"].endswith("/orders") and r["params"].get("limit") == "100"
        ]
        first = min(r["time"] for r in sent)
        last = stage.one("SELECT extract(epoch FROM max(first_seen_at)) FROM crm.orders")
        rows = stage.one("SELECT count(*) FROM crm.orders WHERE deleted_at IS NULL")
        within = [r for r in log["requests"] if first <= r["time"] <= float(last)]
        took = float(last) - first
        limit = rows / 100 / 10
        used = len(within) / took / 10
        call(crm.url, "/control/reset_log", {})
        dlt = run_dlt(crm.url, crm.keys["bench"], stage)
        peers = "dlt not installed here"
        dlt_use = "–"
        if dlt:
            log_dlt = call(crm.url, "/oracle/requests")
            peers = f"dlt now: {dlt['seconds'] / limit:.2f}, {log_dlt['refused']} refused"
            share = log_dlt["count"] / dlt["seconds"] / 10
            dlt_use = f"dlt now: {share:.0%}; {log_dlt['busiest_second']}"
        return [
            Figure(
                f"{rows:,} orders at 10/s, 250–350 ms: first send to last commit ÷ the limit's"
                f" {limit:.0f} s",
                f"{took / limit:.3f}, refused {log['refused']}", "≤ 1.08, refused 0",
                peers, took / limit <= 1.08 and log["refused"] == 0,
            ),
            Figure(
                "share of the budget used while loading; busiest sliding second",
                f"{used:.1%}; {log['busiest_second']}", "≥ 96 %; ≤ 10", dlt_use,
                used >= 0.96 and log["busiest_second"] <= 10,
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


def records(count: int = 200) -> str:
    """Some orders as the sandbox sends them, in a file."""
    from sync.sandbox import Sandbox

    sandbox = Sandbox(seed=7)
    sandbox.account("bench", orders=count, customers=80, awkward=0)
    path = Path(tempfile.mkstemp(suffix=".jsonl")[1])
    path.write_bytes(b"\n".join(json.dumps(r).encode() for r in sandbox.truth("bench", "orders")))
    return str(path)


def one_load(servers: Servers, name: str, orders: int, *words: str) -> dict[str, Any]:
    """One load in a process of its own from the stub."""
    stage = Stage(servers, name)
    stub = subprocess.Popen(
        [sys.executable, str(HERE / "stub.py"), records(), str(orders)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert stub.stdout is not None
        url = stub.stdout.readline().strip()
        stage.add_store(url, "benchkey", only=ONLY)
        done = subprocess.run(
            [sys.executable, str(HERE / "one_load.py"), url, "benchkey", *words],
            env=stage.environment(SYNC_RATE_LIMIT="1000", PYTHONPATH=str(ROOT)),
            stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        if "dlt" in words:
            found["dlt"] = run_dlt(url, "benchkey", stage)
        return found
    finally:
        stub.kill()
        stub.wait()


def our_own_cost(servers: Servers) -> list[Figure]:
    """No limit, no latency, from the stub: throughput, CPU, memory, WAL, rebuild."""
    small = one_load(servers, "bench_cost", ORDERS, "again", "rebuild", "dlt")
    large = one_load(servers, "bench_large", 10 * ORDERS)
    rate = small["orders"] / small["seconds"]
    cpu = small["cpu_seconds"] / small["orders"] * 1000
    rebuilt = small["orders"] / small["rebuild_seconds"]
    dlt = small.get("dlt")
    beside = f"dlt now: {dlt['rows'] / dlt['seconds']:,.0f}" if dlt else "540–1,590"
    return [
        Figure("no limit, no latency: orders a second with items and payments (stub)",
               f"{rate:,.0f}", "≥ 2,500", beside, rate >= 2500),
        Figure("worker CPU for 1,000 orders with children", f"{cpu:.2f} s", "≤ 0.30 s",
               "0.63–1.5 s", cpu <= 0.30),
        Figure("peak memory of a worker process, 20,000 and 200,000 orders",
               f"{small['peak_mb']:.0f} and {large['peak_mb']:.0f} MB", "≤ 150 MB, flat",
               "340–1,400 MB", large["peak_mb"] <= 150),
        Figure("an unchanged re-walk: WAL per row; dead rows",
               f"{small['wal_per_row']:.0f} bytes; {small['dead_rows']}", "≤ 100 bytes; 0", "–",
               small["wal_per_row"] <= 100 and small["dead_rows"] == 0),
        Figure("rebuild of orders with children from raw", f"{rebuilt:,.0f} orders/s", "≥ 5,000",
               "–", rebuilt >= 5000),
    ]  # fmt: skip


def visible(servers: Servers) -> list[Figure]:
    """A change in the CRM seen in SQL; and the requests of a cycle in which nothing changes."""
    figures = []
    for seconds, target, changes, gap in ((1, 2.5, 20, 0.7), (15, 17.0, 20, 2.9)):
        stage = Stage(servers, f"bench_visible_{seconds}")
        with spawn(
            "--account", "bench:Europe/Moscow:300:100:benchkey", "--rate", "10",
            "--latency", "250,350", "--awkward", "0",
        ) as crm:  # fmt: skip
            stage.add_store(crm.url, crm.keys["bench"], only=ONLY)
            with stage.service(SYNC_FEED_SECONDS=str(seconds)):
                complete = "SELECT count(*) = 2 FROM crm.coverage WHERE complete_as_of IS NOT NULL"
                wait_until(lambda: stage.one(complete), seconds=120, what="loaded")  # noqa: B023
                ids = [
                    r[0] for r in stage.rows("SELECT id FROM crm.orders ORDER BY id DESC LIMIT 99")
                ]
                waits: list[float] = []
                threads = []
                for number in range(changes):
                    thread = threading.Thread(
                        target=_see, args=(crm.url, stage, ids[number], number, waits)
                    )
                    thread.start()
                    threads.append(thread)
                    threading.Event().wait(gap)
                for thread in threads:
                    thread.join(60)
                p95 = statistics.quantiles(waits, n=20)[-1]
                figures.append(
                    Figure(f"a change seen in SQL, p95 of {changes}, SYNC_FEED_SECONDS={seconds}",
                           f"{p95:.1f} s (median {statistics.median(waits):.1f})",
                           f"≤ {target:g} s", "next full run", p95 <= target)
                )  # fmt: skip
                if seconds == 15:
                    figures.append(_idle(crm.url, stage))
    return figures


def _see(url: str, stage: Stage, order: int, number: int, waits: list[float]) -> None:
    note = f"bench {number}"
    began = time.monotonic()
    call(url, "/control/bench/update_order", {"order_id": order, "managerComment": note})
    sql = "SELECT manager_comment = :note FROM crm.orders WHERE id = :id"
    wait_until(lambda: bool(stage.one(sql, note=note, id=order)), seconds=60, what="seen")
    waits.append(time.monotonic() - began)


def _idle(url: str, stage: Stage) -> Figure:
    """Requests of two feed intervals once both tails have passed."""
    tail = "SELECT count(*) = 1 FROM sync.feed WHERE tail_id = head_id"
    wait_until(lambda: stage.one(tail), seconds=120, what="tails have passed")
    heads = "SELECT count(*) FROM sync.feed WHERE head_at > now() - interval '2 seconds'"
    wait_until(lambda: stage.one(heads) == 0, seconds=60, what="the look before is over")
    call(url, "/control/reset_log", {})
    looks = 0
    for _ in range(2):
        wait_until(lambda: stage.one(heads) == 1, seconds=60, what="a look")
        wait_until(lambda: stage.one(heads) == 0, seconds=60, what="the look is over")
        looks += 1
    log = call(url, "/oracle/requests")
    asked = [r for r in log["requests"] if "history" in r["path"]]
    other = [r["path"] for r in log["requests"] if "history" not in r["path"]]
    each = len(log["requests"]) / looks
    return Figure("an unchanged store, one cycle of its one feed: requests",
                  f"{each:g} ({len(asked)} looks, {len(other)} others)", "1 per feed",
                  "every page again (200)", each <= 1.01)  # fmt: skip


def dispatch(servers: Servers) -> list[Figure]:
    """10,000 stores × 60 resources, 600 due: the claim, and the same among 600 lanes in all."""
    from sync.mirror import lease

    stage = Stage(servers, "bench_dispatch")
    claims = []
    for stores in (10, 10_000):
        with stage.engine.begin() as connection:
            connection.exec_driver_sql("TRUNCATE sync.lane")
            connection.exec_driver_sql(
                "INSERT INTO sync.lane (store_id, resource, lane, due_at) SELECT s, 'r' || r,"
                " CASE WHEN r < 6 THEN 'feed' ELSE 'walk' END, now() + interval '1 hour'"
                f" FROM generate_series(1, {stores}) AS s, generate_series(1, 60) AS r"
            )
            connection.exec_driver_sql(
                "UPDATE sync.lane SET due_at = now() - interval '1 second'"
                " WHERE (store_id, resource) IN (SELECT store_id, resource FROM sync.lane"
                " ORDER BY random() LIMIT 600)"
            )
        with stage.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE sync.lane")
        began = time.perf_counter()
        with stage.engine.begin() as connection:
            found = lease.claim_due(connection, lane="feed", at_most=600)
            found += lease.claim_due(connection, lane="walk", at_most=600)
        claims.append((time.perf_counter() - began) * 1000)
        assert len(found) == 600, len(found)
    return [
        Figure("dispatch, 10,000 stores × 60 resources, 600 due: the claim",
               f"{claims[1]:.0f} ms ({claims[1] / claims[0]:.1f} × that of 10 stores)", "≤ 100 ms",
               "–", claims[1] <= 100)
    ]  # fmt: skip


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


MEASURES: dict[str, Callable[[Servers], list[Figure]]] = {
    "limit": at_the_limit,
    "busy": busy,
    "cost": our_own_cost,
    "visible": visible,
    "budget": budget,
    "dispatch": dispatch,
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
