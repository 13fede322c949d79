"""How soon a change is seen in SQL, and what a look costs when there is none."""

from __future__ import annotations

import statistics
import threading
import time

from sync.embedded import Servers
from sync.embedded.process import wait_until
from sync.sandbox import spawn
from tests.bench.stage import ONLY, Figure, Stage, call


def visible(servers: Servers) -> list[Figure]:
    """A change in the CRM seen in SQL; and the requests of a cycle in which nothing changes."""
    figures = []
    for seconds, target, changes, gap in ((1, 2.5, 20, 0.7), (15, 17.0, 20, 1.7)):
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
                    r[0]
                    for r in stage.rows(
                        "SELECT id FROM crm.orders WHERE deleted_at IS NULL ORDER BY id DESC"
                        " LIMIT 99"
                    )
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
