"""Bad company: a store's crawls beside accounts that hold what is shared."""

from __future__ import annotations

import time

from sync.embedded import Servers
from sync.embedded.process import wait_until
from sync.sandbox import spawn
from tests.bench.stage import Figure, Stage, call

DRIPPING = 4
OPEN = """
    SELECT count(*) FROM sync.crawl WHERE store_id = :id AND state IN ('pending', 'running')
"""
CRAWLS = "SELECT count(*) FROM sync.crawl WHERE store_id = :id"


def dripping(servers: Servers) -> list[Figure]:
    """A store's first load of everything, alone and beside four accounts whose answers come a byte
    every five seconds; one worker, 10 requests a second, 250–350 ms."""
    alone, crawls = _load(servers, "bench_alone", beside=0)
    beside, _ = _load(servers, "bench_dripping", beside=DRIPPING)
    return [
        Figure(
            f"a store's {crawls} crawls beside {DRIPPING} accounts that drip: × that alone",
            f"{beside / alone:.2f} × ({beside:.0f} s, alone {alone:.0f} s)", "≤ 1.5 ×",
            good=beside <= 1.5 * alone,
        )
    ]  # fmt: skip


def _load(servers: Servers, name: str, *, beside: int) -> tuple[float, int]:
    """The seconds of a store's first load, and the number of its crawls."""
    stage = Stage(servers, name)
    servers.valkey.flush()
    names = ["bench", *(f"drip{n}" for n in range(beside))]
    accounts = [word for each in names
                for word in ("--account", f"{each}:Europe/Moscow:300:100:key{each}")]  # fmt: skip
    with spawn(*accounts, "--rate", "10", "--latency", "250,350", "--awkward", "0") as crm:
        for each in names[1:]:
            stage.add_store(crm.url, crm.keys[each], name=each)
        call(crm.url, "/control/knobs", {"fault_share": {"drip": 1}, "fault_accounts": ["drip*"]})

        def is_dripping() -> bool:
            asked = call(crm.url, "/oracle/requests")["requests"]
            return {r["account"] for r in asked if r["fault"] == "drip"} == set(names[1:])

        with stage.service():
            wait_until(is_dripping, seconds=60, what="the accounts that drip are asked")
            began = time.monotonic()
            store = stage.add_store(crm.url, crm.keys["bench"], name="bench")
            wait_until(lambda: stage.one(OPEN, id=store) == 0, seconds=400, what="loaded")
            took = time.monotonic() - began
        return took, stage.one(CRAWLS, id=store)
