"""The budget on networks as they are, at limits lower than told, and in bad company."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sync.embedded import Servers
from sync.sandbox import Spawned, spawn
from tests.bench.limits import loaded
from tests.bench.stage import HERE, ROOT, Figure, call

SECONDS = 130
TAUGHT = 200
NETWORKS: dict[str, dict[str, Any]] = {
    "nothing arrives for 400 ms every 20 s, then all": {"stall_every_seconds": 20, "stall_ms": 400},
    "each request 0–120 ms late": {"jitter_ms": [0, 120]},
    "1 % of the requests 200 ms late": {"late_share": 0.01, "late_ms": 200},
}


def networks(servers: Servers) -> list[Figure]:
    """Eight threads of one store for two minutes at each network; limits; bad company."""
    alone: list[Callable[[], list[Figure]]] = [
        lambda name=name: [_at_network(servers, name)]  # type: ignore[misc]
        for name in ("clean", *NETWORKS)
    ]
    alone.append(lambda: [_lower_limit(servers)])
    alone += [lambda n=n: [_bad_company(servers, n)] for n in (2, 8, 20)]  # type: ignore[misc]
    with ThreadPoolExecutor(3) as pool:  # more at once would be late to send for want of CPU
        return [figure for figures in pool.map(lambda run: run(), alone) for figure in figures]


def loads(servers: Servers) -> list[Figure]:
    """20,000 orders loaded by a worker and a beat at each network."""
    figures = []
    for number, (name, knobs) in enumerate(NETWORKS.items()):
        with _crm("--orders=20000", knobs=knobs) as crm:
            load = loaded(servers, f"bench_network_{number}", crm)
        figures.append(
            Figure(
                f"20,000 orders, {name}: first send to last commit ÷ {load.limit:.0f} s",
                f"{load.took / load.limit:.3f}, refused {load.refused} of {load.sent},"
                f" used {load.used:.1%}",
                "≤ 1.2", good=load.took / load.limit <= 1.2,
            )
        )  # fmt: skip
    return figures


def _crm(*more: str, rate: int = 10, knobs: dict[str, Any] | None = None) -> Spawned:
    orders = next((word.split("=")[1] for word in more if word.startswith("--orders")), "100")
    return spawn(
        "--account", f"bench:Europe/Moscow:{orders}:{int(orders) // 3}:benchkey",
        "--account", "down:Europe/Moscow:20:10:downkey",
        "--rate", str(rate), "--latency", "250,350", "--awkward", "0",
        "--knobs", json.dumps(knobs or {}),
    )  # fmt: skip


def _asking(servers: Servers, crm: Spawned, egress: str, key: str, *numbers: int) -> Any:
    """Start askers of `numbers`: first store, stores, threads each, seconds."""
    return subprocess.Popen(
        [sys.executable, str(HERE / "asking.py"), crm.url, crm.keys[key], servers.redis_url,
         egress, *map(str, numbers)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def _asked(crm: Spawned) -> tuple[dict[str, Any], float, float, float]:
    """The log; requests a second; the refused share, of all and of those after the first 200."""
    log = call(crm.url, "/oracle/requests?account=bench")
    sent = log["requests"]
    refused = [request["status"] == 503 for request in sent]
    seconds = sent[-1]["time"] - sent[0]["time"]
    later = refused[TAUGHT:]
    return (
        log, (len(sent) - 1) / seconds, sum(refused) / len(refused), sum(later) / len(later)
    )  # fmt: skip


def _at_network(servers: Servers, name: str) -> Figure:
    with _crm(knobs=NETWORKS.get(name)) as crm:
        _asking(servers, crm, f"network-{name[:1]}", "bench", 1, 1, 8, SECONDS).wait()
        log, rate, refused, later = _asked(crm)
    clean = name == "clean"
    target = (
        "0; ≥ 96 %; 10" if clean else "≤ 2 %, then ≤ 1 %; ≥ 90 %"
    )  # fmt: skip
    good = (
        refused == 0 and rate >= 9.6 and log["busiest_second"] <= 10
        if clean
        else refused <= 0.02 and later <= 0.01 and rate >= 9
    )
    return Figure(
        f"{name}: {log['count']} requests, refused (after {TAUGHT}); use; busiest second",
        f"{refused:.2%} ({later:.2%}); {rate / 10:.1%}; {log['busiest_second']}",
        target, good=good,
    )  # fmt: skip


def _lower_limit(servers: Servers) -> Figure:
    with _crm(rate=5) as crm:
        _asking(servers, crm, "lower", "bench", 1, 1, 8, SECONDS).wait()
        log, rate, refused, later = _asked(crm)
    return Figure(
        f"a limit that is really 5: {log['count']} requests, refused (after {TAUGHT}); use of 5",
        f"{refused:.2%} ({later:.2%}); {rate / 5:.1%}", "≥ 90 %", good=rate >= 4.5,
    )  # fmt: skip


def _bad_company(servers: Servers, failing: int) -> Figure:
    with _crm(knobs={"fault_share": {"503": 1}, "fault_accounts": ["down"]}) as crm:
        egress = f"company-{failing}"
        running = [
            _asking(servers, crm, egress, "bench", 1, 1, 6, 60),
            _asking(servers, crm, egress, "down", 2, failing, 6, 60),
        ]
        for process in running:
            process.wait()
        _, rate, refused, _ = _asked(crm)
    return Figure(
        f"beside {failing} stores that answer 503: a healthy store's requests a second; refused",
        f"{rate:.2f}; {refused:.2%}", "≥ 9", good=rate >= 9,
    )  # fmt: skip
