"""How soon a change is in SQL when the account calls, and how many requests that saves.

One store is measured: real workers, a real status page, the sandbox's own trigger. A hundred and a
thousand are simulated, with the decisions of the service itself: when feeds are looked at
(poll_intervals.py), which nudges are acted on (Coalesced), ten requests a second for all.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import re
import socket
import statistics
import subprocess
import tempfile
import threading
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import count, repeat

import sqlalchemy as sa

from sync.embedded import Servers
from sync.embedded.process import wait_until
from sync.poll_intervals import cadences
from sync.sandbox import spawn
from sync.state.nudges import digest
from sync.web.nudges import BUDGET_SHARE, Coalesced
from tests.bench.stage import CELERY, ONLY, ROOT, Figure, Stage, call
from tests.bench.visible import _see

CHANGES, FLOODED, INTERVAL = 30, 8, 60.0
SIMULATED = ((1, 60.0), (100, 300.0), (1_000, 3_600.0))
"""Stores, and the seconds between two looks that need no nudge: longer ones save requests, and
what is not called by a trigger, and what crm.coverage claims, is that much older."""
SECRET = "bench-secret-of-a-store"
FALSE_SECONDS, FALSE_CLIENTS = 10.0, 4
PEERS = "the interval"


def nudged(servers: Servers) -> list[Figure]:
    """Changes one by one, each told by a trigger; then the same under a thousand false calls."""
    return [*_measured(servers), *(_row(stores, interval) for stores, interval in SIMULATED)]


# --- one store, measured


def _measured(servers: Servers) -> list[Figure]:
    stage = Stage(servers, "bench_nudged")
    port = _free_port()
    redis = f"{servers.redis_url.rpartition('/')[0]}/7"
    with spawn(
        "--account", "bench:Europe/Moscow:300:100:benchkey", "--rate", "10",
        "--latency", "60,250", "--awkward", "0",
        "--trigger", f"bench=http://127.0.0.1:{port}/nudge/{SECRET}",
    ) as crm:  # fmt: skip
        store = stage.add_store(crm.url, crm.keys["bench"], only=ONLY)
        with stage.engine.begin() as connection:
            for sql in (
                "INSERT INTO sync.nudge (store_id, digest) VALUES (:store, :digest)",
                "UPDATE sync.store SET least_lateness_seconds = 1 WHERE id = :store",
            ):
                connection.execute(sa.text(sql), {"store": store, "digest": digest(SECRET)})
        with stage.service(SYNC_FEED_SECONDS="1", SYNC_REDIS_URL=redis):
            complete = "SELECT count(*) = 2 FROM crm.coverage WHERE complete_as_of IS NOT NULL"
            wait_until(lambda: stage.one(complete), seconds=120, what="loaded")
        with stage.engine.begin() as connection:
            connection.execute(sa.text("UPDATE sync.feed SET every_seconds = :s"), {"s": INTERVAL})
        environment = {"SYNC_FEED_SECONDS": f"{INTERVAL:g}", "SYNC_REDIS_URL": redis}
        with stage.service(**environment), _page(stage, port, environment):
            wait_until(lambda: _answers(port), seconds=60, what="the page answers")
            idle = (
                "SELECT min(due_at) > now() + interval '20 s' FROM sync.lane WHERE enabled"
                " AND lane = 'feed' AND NOT EXISTS (SELECT FROM sync.reread AS r"
                " WHERE r.resource = 'orders')"
            )
            wait_until(lambda: bool(stage.one(idle)), seconds=120, what="feeds are idle")
            orders = [row[0] for row in stage.rows("SELECT id FROM crm.orders LIMIT 99")]
            quiet: list[float] = []
            for number in range(CHANGES):
                _see(crm.url, stage, orders[number], number, quiet)
                threading.Event().wait(1.1)  # nudges within a second are one
            # What true ones told is read once more at the next look: no doing of false ones.
            settled = "SELECT count(*) = 0 FROM sync.feed WHERE tail_id <> head_id"
            wait_until(lambda: stage.one(settled), seconds=180, what="all is read twice")
            wait_until(lambda: bool(stage.one(idle)), seconds=120, what="feeds are idle again")
            call(crm.url, "/control/reset_log", {})
            kept = "SELECT n.*, l.due_at FROM sync.nudge AS n JOIN sync.lane AS l USING (store_id)"
            before, counted = stage.rows(f"{kept} ORDER BY l.resource, l.lane"), _refused(port)
            with _flood(port) as sent:
                threading.Event().wait(FALSE_SECONDS)
            a_second = sum(sent) / FALSE_SECONDS
            counted = _refused(port) - counted
            asked = len(call(crm.url, "/oracle/requests")["requests"])
            unchanged = stage.rows(f"{kept} ORDER BY l.resource, l.lane") == before
            flooded: list[float] = []
            with _flood(port):
                for number in range(CHANGES, CHANGES + FLOODED):
                    _see(crm.url, stage, orders[number], number, flooded)
                    threading.Event().wait(1.1)
    p50, p95, p99 = _quantiles(quiet)
    return [
        Figure(
            f"a change in SQL with a nudge, interval {INTERVAL:g} s, {CHANGES} changes",
            f"p50 {p50:.2f} s, p95 {p95:.2f} s, p99 {p99:.2f} s",
            "p50 < 1 s, p95 < 2 s", PEERS, p50 < 1 and p95 < 2,
        ),
        Figure(
            "false nudges a second, and what they cause",
            f"{a_second:,.0f}; {sum(sent) - counted:g} of them not counted, {asked} requests to the"
            f" CRM in {FALSE_SECONDS:g} s, no row changed: {unchanged}; "
            f"a true one meanwhile: p50 {statistics.median(flooded):.2f} s",
            "≥ 1,000, all counted, nothing else", "–",
            a_second >= 1_000 and counted == sum(sent) and unchanged and asked == 0,
        ),
    ]  # fmt: skip


def _quantiles(waits: list[float]) -> tuple[float, float, float]:
    found = statistics.quantiles(waits, n=100, method="inclusive")
    return statistics.median(waits), found[94], found[98]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _refused(port: int) -> int:
    """Return the counter of false nudges."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text: str = answer.read().decode()
    [count] = re.findall(r"^mirror_nudges_refused_total (\S+)$", text, re.MULTILINE)
    return int(float(count))


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def _page(stage: Stage, port: int, environment: dict[str, str]) -> Iterator[None]:
    """A real status page, ended at the end."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*CELERY, "mirror", "web", "--port", str(port)],
            env=stage.environment(**environment), cwd=ROOT, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


@contextlib.contextmanager
def _flood(port: int) -> Iterator[list[int]]:
    """Clients that nudge with wrong secrets as fast as they are answered; yields their counts."""
    sent, stop = [0] * FALSE_CLIENTS, threading.Event()

    def go_on(mine: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while not stop.is_set():
            connection.request("POST", f"/nudge/wrong{mine}{sent[mine]}", "order=1")
            connection.getresponse().read()
            sent[mine] += 1
        connection.close()

    threads = [threading.Thread(target=go_on, args=(mine,)) for mine in range(FALSE_CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield sent
    finally:
        stop.set()
        for thread in threads:
            thread.join()


# --- many stores, simulated

HOURS, FEEDS = 2.0, 5
CHANGES_A_DAY = 40.0
"""The mean of a store, in orders; a Pareto law makes a fifth of the stores do four fifths."""
REQUESTS_A_SECOND, USUAL, CEILING = 10.0, 15.0, 900.0
ANSWER = (0.06, 0.25)
COMMIT, HURRY, BEAT = 0.05, 0.1, 1.0
"""Seconds: a commit; from a nudge to the worker that acts; between two looks of beat for what is
due, which a nudge does not wait for."""


def _row(stores: int, interval: float) -> Figure:
    plain = Simulation(stores, interval=USUAL, nudges=False).run()
    called = Simulation(stores, interval=interval, nudges=True).run()
    (a, b, c), (p50, p95, p99) = _quantiles(plain.waits), _quantiles(called.waits)
    saved = 1 - called.requests / plain.requests
    return Figure(
        f"{stores:,} store{'s' if stores > 1 else ''}, simulated: a change in SQL with nudges, "
        f"interval {interval:,.0f} s",
        f"p50 {p50:.2f} s, p95 {p95:.2f} s, p99 {p99:.2f} s; "
        f"{called.requests / HOURS:,.0f} requests an hour",
        "p50 < 1 s, p95 < 2 s" if stores == 1 else "",
        f"without, {USUAL:g} s or as the budget allows: p50 {a:.1f} s, p95 {b:.1f} s, p99 {c:.1f} s"
        f"; {plain.requests / HOURS:,.0f} requests an hour ({saved:.0%} saved)",
        p50 < 1 and p95 < 2 if stores == 1 else None,
    )


class Simulation:
    """Feeds of many stores behind one address, event by event on a made-up clock."""

    def __init__(self, stores: int, *, interval: float, nudges: bool) -> None:
        self._draw = random.Random(7)
        self._nudges = nudges
        self._end = HOURS * 3_600 * (1 if stores > 1 else 50)  # one store changes rarely
        self._hours = self._end / 3_600
        rates = self._rates(stores)
        self._every = cadences(
            rates, requests_per_second=REQUESTS_A_SECOND, floor_seconds=interval,
            ceiling_seconds=max(CEILING, interval),
        ).intervals  # fmt: skip
        self._coalesced = Coalesced(REQUESTS_A_SECOND * BUDGET_SHARE)
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        self._waiting: dict[int, list[float]] = defaultdict(list)
        self._at_work: dict[int, bool] = {}
        self._free_at = self._turn_at = 0.0
        self._sent = 0
        self.waits: list[float] = []
        for feed, every in enumerate(self._every):
            self._at(self._draw.uniform(0, every), lambda now, feed=feed: self._poll(now, feed))
            if rates[feed]:
                self._next_change(0.0, feed, rates[feed])

    def run(self) -> Simulation:
        """Let the time pass."""
        while self._events and self._events[0][0] < self._end:
            now, _, event = heappop(self._events)
            event(now)
        return self

    @property
    def requests(self) -> float:
        """Requests of as many hours as are told of."""
        return self._sent / self._hours * HOURS

    def _rates(self, stores: int) -> list[float]:
        """Changes a second: all of a store's in the first of its feeds, that of orders."""
        weights = [self._draw.paretovariate(1.16) for _ in range(stores)]
        scale = CHANGES_A_DAY * stores / sum(weights) / 86_400
        return [rate for w in weights for rate in (w * scale, *repeat(0.0, FEEDS - 1))]

    def _at(self, moment: float, event: Callable[[float], None]) -> None:
        heappush(self._events, (moment, next(self._order), event))

    def _next_change(self, now: float, feed: int, rate: float) -> None:
        def change(moment: float) -> None:
            self._waiting[feed].append(moment)
            if self._nudges:
                self._coalesced.add(feed, {"orders": ()})
                self._turn(moment)
            self._next_change(moment, feed, rate)

        self._at(now + self._draw.expovariate(rate), change)

    def _turn(self, now: float) -> None:
        """Act on the nudges that have their turn, and come back when others have."""
        for feed, _, _ in self._coalesced.take(now):
            self._at(now + HURRY, lambda moment, feed=feed: self._look(moment, feed))
        wait = self._coalesced.wait_seconds(now)
        if wait is not None and self._turn_at <= now:
            self._turn_at = now + max(wait, 0.001)
            self._at(self._turn_at, self._turn)

    def _poll(self, now: float, feed: int) -> None:
        self._at(now + self._draw.uniform(0, BEAT), lambda moment: self._look(moment, feed))
        self._at(now + self._every[feed], lambda moment: self._poll(moment, feed))

    def _look(self, now: float, feed: int) -> None:
        """Read a feed: its page, and its records where it tells of some."""
        if feed in self._at_work:
            self._at_work[feed] = True  # looked at again when it ends
            return
        self._at_work[feed] = False
        answered = self._answered(now)
        told = self._waiting.pop(feed, [])
        self._at(answered, lambda moment: self._read(moment, feed, told))

    def _read(self, now: float, feed: int, told: list[float]) -> None:
        end = (self._answered(now) if told else now) + COMMIT
        self.waits += [end - moment for moment in told]

        def ended(moment: float) -> None:
            if self._at_work.pop(feed):
                self._look(moment, feed)

        self._at(end, ended)

    def _answered(self, now: float) -> float:
        """Send a request in the next free slot; return when it is answered."""
        sent = max(now, self._free_at)
        self._free_at = sent + 1 / REQUESTS_A_SECOND
        self._sent += 1
        return sent + self._draw.uniform(*ANSWER)
