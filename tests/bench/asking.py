"""Threads of some stores that ask as fast as the limiter lets them, in a process of their own.

python tests/bench/asking.py URL KEY REDIS_URL EGRESS FIRST_STORE STORES THREADS SECONDS
"""

from __future__ import annotations

import datetime as dt
import logging
import sys
import threading
import time

import redis

from sync import telemetry
from sync.crm import Account, CrmClient, Limiter, Priority
from sync.errors import TryLater
from sync.work.session import Session

AGAIN_SECONDS = 0.2
"""The pause of a thread whose request failed; a lane would wait a second and more."""


def main() -> None:
    """Ask until the time is over."""
    telemetry.configure("console", level=logging.WARNING)
    url, key, redis_url, egress, *numbers = sys.argv[1:]
    first, stores, threads, seconds = map(int, numbers)
    until = time.monotonic() + seconds
    limiter = Limiter(redis.Redis.from_url(redis_url), egress=egress)
    client = CrmClient(connections=stores * threads)

    def loop(api: Session) -> None:
        while time.monotonic() < until:
            try:
                api.ask("orders", {"limit": 20, "page": 1}, priority=Priority.WALK)
            except TryLater:
                time.sleep(AGAIN_SECONDS)

    running = []
    for store in range(first, first + stores):
        api = Session(
            client, Account(url, key), store_id=store, limiter=limiter,
            draw=lambda: dt.datetime.now(dt.UTC),
        )  # fmt: skip
        running += [threading.Thread(target=loop, args=(api,), daemon=True) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(max(0.0, until - time.monotonic()))


if __name__ == "__main__":
    main()
