"""How soon a change is seen in SQL, and what a look costs when there is none."""

from __future__ import annotations

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from sync.embedded import Servers
from sync.embedded.process import wait_until
from sync.sandbox import spawn
from tests.bench.stage import ONLY, Figure, Stage, call

CHANGES = 20


def visible(servers: Servers) -> list[Figure]:
    """A change in the CRM seen in SQL; and the requests of a cycle in which nothing changes.

    Both intervals at once, each with its own CRM, workers and limit: all they do is wait.
    """
    with ThreadPoolExecutor() as pool:
        quick = pool.submit(_visible, servers, 1, target=2.5, gap=0.7)
        usual = pool.submit(_visible, servers, 15, target=17.0, gap=1.7)
        return quick.result() + usual.result()


def _visible(servers: Servers, seconds: int, *, target: float, gap: float) -> list[Figure]:
    stage = Stage(servers, f"bench_visible_{seconds}")
    with spawn(
        "--account", "bench:Europe/Moscow:300:100:benchkey", "--rate", "10",
        "--latency", "250,350", "--awkward", "0",
    ) as crm:  # fmt: skip
        stage.add_store(crm.url, crm.keys["bench"], only=ONLY)
        redis = f"{servers.redis_url.rpartition('/')[0]}/{seconds}"  # a queue of their own
        with stage.service(SYNC_FEED_SECONDS=str(seconds), SYNC_REDIS_URL=redis):
            complete = "SELECT count(*) = 2 FROM crm.coverage WHERE complete_as_of IS NOT NULL"
            wait_until(lambda: stage.one(complete), seconds=120, what="loaded")
            orders = stage.rows(
                "SELECT id FROM crm.orders WHERE deleted_at IS NULL ORDER BY id DESC LIMIT 99"
            )
            waits: list[float] = []
            threads = []
            for number in range(CHANGES):
                thread = threading.Thread(
                    target=_see, args=(crm.url, stage, orders[number][0], number, waits)
                )
                thread.start()
                threads.append(thread)
                threading.Event().wait(gap)
            for thread in threads:
                thread.join(60)
            p95 = statistics.quantiles(waits, n=20)[-1]
            seen = Figure(
                f"a change seen in SQL, p95 of {CHANGES}, SYNC_FEED_SECONDS={seconds}",
                f"{p95:.1f} s (median {statistics.median(waits):.1f})",
                f"≤ {target:g} s", "next full run", p95 <= target,
            )  # fmt: skip
            return [seen, _idle(crm.url, stage)] if seconds == 15 else [seen]


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
