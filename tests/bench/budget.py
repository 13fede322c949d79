"""The request budget under load, at a server that stamps arrivals: one JSON line.

    python tests/bench/budget.py REDIS_URL

Three processes of 16 threads for a minute against a limit of 10, and 14 askers of one store beside
one each of two others. The stamps are the server's own, taken as a request is read.
"""

from __future__ import annotations

import datetime as dt
import http.server
import json
import multiprocessing
import sys
import threading
import time
from collections import Counter
from typing import Any

import redis

from sync.crm import Account, CrmClient, Limiter, WorkClass
from sync.pipeline.asking import Asking

SECONDS, FAIR_SECONDS, LIMIT = 60, 40, 10


class Stamping(http.server.BaseHTTPRequestHandler):
    """Answers at once and remembers when each request of which store was read."""

    protocol_version = "HTTP/1.1"
    arrivals: list[tuple[float, str]] = []  # noqa: RUF012  one server, one list

    def do_GET(self) -> None:
        self.arrivals.append((time.monotonic(), self.headers["X-API-KEY"]))
        body = b'{"success":true}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def ask(url: str, redis_url: str, egress: str, store: int, threads: int, until: float) -> None:
    """Ask in `threads` threads until the moment comes."""
    limiter = Limiter(redis.Redis.from_url(redis_url), egress=egress, rate_limit=LIMIT)
    client = CrmClient(connections=threads)
    api = Asking(
        client, Account(url, f"store{store}"), store_id=store, limiter=limiter,
        draw=lambda: dt.datetime.now(dt.UTC),
    )  # fmt: skip

    def loop() -> None:
        while time.monotonic() < until:
            api.ask("orders", work=WorkClass.WALK)

    running = [threading.Thread(target=loop) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def busiest(moments: list[float]) -> int:
    """The most arrivals in any second."""
    first = most = 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - 1:
            first += 1
        most = max(most, last - first + 1)
    return most


def main() -> None:
    """Print the figures."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stamping)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url, redis_url = f"http://127.0.0.1:{server.server_port}", sys.argv[1]
    until = time.monotonic() + SECONDS
    processes = [
        multiprocessing.get_context("spawn").Process(
            target=ask, args=(url, redis_url, "load", 1, 16, until)
        )
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    moments = sorted(moment for moment, _ in Stamping.arrivals)
    steady = [m for m in moments if m <= until]
    use = (len(steady) - 1) / (steady[-1] - steady[0]) / LIMIT
    most = busiest(moments)
    Stamping.arrivals.clear()
    until = time.monotonic() + FAIR_SECONDS
    askers = [
        threading.Thread(target=ask, args=(url, redis_url, "fair", store, threads, until))
        for store, threads in ((1, 14), (2, 2), (3, 2))
    ]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    begun = min(m for m, _ in Stamping.arrivals) + 2
    served = Counter(key for m, key in Stamping.arrivals if begun < m <= until)
    total = sum(served.values())
    refused = sum(1 for i, m in enumerate(moments[LIMIT:]) if m - moments[i] < 1)
    print(json.dumps({"use": use, "busiest": most, "refused": refused,
                      "shares": [served[f"store{i}"] / total for i in (1, 2, 3)]}))  # fmt: skip


if __name__ == "__main__":
    main()
