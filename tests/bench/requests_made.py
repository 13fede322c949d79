"""Requests made ÷ the fewest that could have brought the rows, by cause, for whole accounts.

    python tests/bench/requests_made.py DAY ORDERS     SYNC_* as a worker has them: loads the one
                                                       store there is, and prints its requests as
                                                       one JSON line; from DAY on it has ORDERS

The fewest are the pages of each list, one for each dictionary, one for each parent. The causes are
told from which module sent the request, so nothing in the service knows of this count.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import math
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import sqlalchemy as sa

from sync import telemetry
from sync.declare import Resource, SinglePage
from sync.embedded import Servers
from sync.resources import RESOURCES
from sync.sandbox import spawn
from sync.work import dispatching
from sync.work.services import Services, services
from sync.work.session import Session
from sync.work.slices import work
from tests.bench.stage import HERE, ROOT, Figure, Stage, call

PLACES = 16
MOST_SECONDS = 900
CAUSES = {
    "access.py": "refusal",
    "missing.py": "re-read",
    "plan.py": "plan",
    "counts.py": "proof",
    "walk.py": "page",
    "bookmark.py": "bookmark",
    "tail.py": "tail",
    "late.py": "tail",
    "reread.py": "re-read",
    "follow.py": "feed",
    "cursor.py": "page",
    "parent.py": "page",
}
"""The module nearest to the request, of those that say why it was sent."""


def accounts(servers: Servers) -> list[Figure]:
    """A store of 20,000 orders, and a small one with every resource."""
    main = ("orders", "order_history", "customers", "customer_history")
    return [
        _figure(servers, "bench_requests", "bench:Europe/Moscow:20000:6000:benchkey", main, 1.15),
        _figure(servers, "bench_small", "bench:Europe/Moscow:3600:1200:benchkey", (), 1.5),
    ]


def _figure(
    servers: Servers, name: str, account: str, only: tuple[str, ...], target: float
) -> Figure:
    found = load(servers, name, account, only)
    made, fewest = sum(found["causes"].values()), found["fewest"]
    causes = dict(found["causes"])
    pages = causes.pop("page", 0)
    causes["read twice"] = pages - fewest
    told = ", ".join(f"{cause} {n}" for cause, n in sorted(causes.items(), key=lambda c: -c[1]))
    what = "orders, customers, histories" if only else f"{found['resources']} resources"
    return Figure(
        f"{found['orders']:,} orders, {what}: requests until all is proven ÷ the fewest"
        f" ({fewest:,}); the last month was here after",
        f"{made / fewest:.3f}; {found['month_seconds']:.0f} s of {found['seconds']:.0f} ({told})",
        f"≤ {target}; 60 s", "–", made / fewest <= target and found["month_seconds"] <= 60,
    )  # fmt: skip


def load(servers: Servers, name: str, account: str, only: tuple[str, ...]) -> dict[str, Any]:
    """Load an account in a process of its own; return its requests by cause."""
    stage = Stage(servers, name)
    with spawn(
        "--account", account, "--rate", "10", "--latency", "100,200", "--awkward", "0"
    ) as crm:
        stage.add_store(crm.url, crm.keys["bench"], only=only)
        day = (dt.datetime.now(dt.UTC) - dt.timedelta(days=30)).date().isoformat()
        recent = call(
            crm.url, f"/api/v5/orders?limit=20&filter[createdAtFrom]={day}", key=crm.keys["bench"]
        )["pagination"]["totalCount"]
        done = subprocess.run(
            [sys.executable, str(HERE / "requests_made.py"), day, str(recent)],
            env=stage.environment(PYTHONPATH=str(ROOT)),
            stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT,
        )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def cause_of(frame: FrameType | None) -> str:
    """The reason for a request, from the functions that led to it."""
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.parent.name in {"work", "windows", "feed", "whole_list", "per_parent"}:
            name, function = path.name, frame.f_code.co_name
            if name == "sweep.py":
                in_probe = function == "<lambda>" and frame.f_back is not None
                is_page = any(f in _functions(frame) for f in ("fetch", "_read_once"))
                return "page" if is_page or not in_probe else "probe"
            if name == "backlog.py":
                return "page" if "_walk" in frame.f_code.co_qualname else "plan"
            if name in CAUSES:
                return CAUSES[name]
        frame = frame.f_back
    return "other"


def _functions(frame: FrameType | None) -> set[str]:
    found = set()
    while frame is not None:
        found.add(frame.f_code.co_name)
        frame = frame.f_back
    return found


def main() -> None:
    """Load what there is to load; print the requests by cause."""
    telemetry.configure("console", level=logging.WARNING)
    causes: Counter[str] = Counter()
    methods: dict[str, Counter[str]] = {}
    lock = threading.Lock()
    ask = Session.ask

    def counted(self: Session, path: str, *given: Any, **named: Any) -> Any:
        cause = cause_of(sys._getframe(1))
        with lock:
            causes[cause] += 1
            methods.setdefault(cause, Counter())[path] += 1
        return ask(self, path, *given, **named)

    Session.ask = counted  # type: ignore[method-assign]
    made = services()
    began = time.monotonic()
    month = 0.0
    with ThreadPoolExecutor(PLACES) as pool:
        while time.monotonic() - began < MOST_SECONDS:
            for claim in dispatching.claim(made):
                pool.submit(work, claim, made)
            left, recent = _state(made, sys.argv[1])
            has_month = recent >= int(sys.argv[2])
            month = month or (time.monotonic() - began if has_month else 0.0)
            if not left:
                break
            time.sleep(0.5)
        seconds = time.monotonic() - began
        with lock:
            told = {cause: dict(n.most_common(5)) for cause, n in methods.items()}
            total = dict(causes)
        made.stop.set()
    with made.engine.begin() as connection:
        chosen = _selected(connection)
        fewest = {each.name: _fewest(connection, each) for each in chosen}
        orders = connection.execute(sa.text("SELECT count(*) FROM crm.orders")).scalar_one()
    print(json.dumps(told, indent=1), file=sys.stderr)
    print(f"not complete: {left}", file=sys.stderr)
    print(
        json.dumps(
            {
                "causes": total, "fewest": sum(fewest.values()), "resources": len(chosen),
                "orders": orders, "seconds": seconds, "month_seconds": month or math.inf,
                "by_resource": fewest,
            }
        )
    )  # fmt: skip


def _state(made: Services, day: str) -> tuple[list[str], int]:
    """What is not proven yet, and how many orders are here of those created from a day on."""
    with made.engine.begin() as connection:
        left = connection.execute(
            sa.text(
                "SELECT resource FROM crm.coverage WHERE complete_as_of IS NULL"
                " AND state NOT IN ('disabled', 'unavailable')"
            )
        ).scalars()
        recent = connection.execute(
            sa.text("SELECT count(*) FROM crm.orders WHERE created_on >= :day"), {"day": day}
        ).scalar_one()
        return list(left), recent


def _selected(connection: sa.Connection) -> list[Resource]:
    names = connection.execute(
        sa.text("SELECT resource FROM crm.coverage WHERE state <> 'disabled'")
    ).scalars()
    return [RESOURCES[name] for name in names]


def _fewest(connection: sa.Connection, resource: Resource) -> int:
    """The fewest requests that bring a resource's rows."""
    if resource.parent is not None:
        parent = resource.parent
        parents = connection.exec_driver_sql(
            f'SELECT count(DISTINCT "{parent.by}") FROM crm.{parent.resource}'
            " WHERE deleted_at IS NULL"
        ).scalar_one()
        more = connection.exec_driver_sql(
            f"SELECT coalesce(sum(n / {resource.page_size}), 0)::bigint FROM"
            f' (SELECT count(*) - 1 AS n FROM crm.{resource.name} GROUP BY "{parent.column}")'
        ).scalar_one()
        return int(parents + more)
    if isinstance(resource.listing, SinglePage):
        return 1
    rows = connection.exec_driver_sql(f"SELECT count(*) FROM crm.{resource.name}").scalar_one()
    return max(1, math.ceil(rows / resource.page_size))


if __name__ == "__main__":
    main()
