"""`POST /nudge/SECRET`: an account's trigger says that something changed.

Whoever asks gets the same empty answer, whether the secret is one or not. A true nudge makes the
store's feeds due, at most once a second a store; all that come within that second are one. A false
one costs a hash and a look into a table in memory, and changes a counter.

A trigger's parameters are a form. `order` and `customer` are looked at, each an id or several with
commas between; anything else is ignored, and so is a value that is no id.
"""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from kombu.exceptions import OperationalError
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from sync.database.engine import attempts, reading
from sync.errors import SyncError
from sync.state import nudges
from sync.telemetry import log, told
from sync.work.services import Services

MOST_BYTES = 4_096
MOST_IDS = 20
"""The most records that one nudge names."""
EVERY_SECONDS = 1.0
"""The shortest time between two looks at the feeds of a store because of nudges."""
BUDGET_SHARE = 0.5
"""The share of the request budget that one web process spends on nudges, all stores together. What
is over waits for its turn or for its interval, as everything does without nudges."""
REQUESTS = 3
"""The charge for one history that is looked at sooner: its page, and the records it is about.
A look that finds nothing takes one, and one that finds many changes takes more: they would have
been read anyway."""
KNOWN_SECONDS = 2.0
"""The time after which a secret that was just made is taken."""
_FIELDS = {"order": "orders", "customer": "customers"}

Named = dict[str, set[int]]
_AWAY = (SyncError, SQLAlchemyError)


@dataclass
class Coalesced:
    """Nudges that wait, as one for each store; times are seconds of one steady clock.

    `a_second` is the number of requests allowed each second, all stores together, as far as they
    can be told beforehand: `REQUESTS` for each history. What a turn takes beyond it is saved later.
    """

    a_second: float
    _waiting: dict[int, Named] = field(default_factory=dict)
    _came: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    _looked: dict[int, float] = field(default_factory=dict)
    _allowed: float = 1.0
    _at: float = -math.inf

    def add(self, store: int, named: Mapping[str, Iterable[int]]) -> None:
        """Add a nudge to those of its store that wait."""
        waiting = self._waiting.setdefault(store, {})
        self._came[store] += 1
        for resource, ids in named.items():
            waiting.setdefault(resource, set()).update(ids)

    def take(self, now: float) -> list[tuple[int, Named, int]]:
        """Return what is to be acted on now: store, records named, and how many nudges that was."""
        if self._at > -math.inf:
            self._allowed += max(now - self._at, 0.0) * self.a_second
        self._allowed = min(self._allowed, max(self.a_second, 1.0))
        self._at = now
        found = []
        for store in [each for each in self._waiting if self._due(each) <= now]:
            if self._allowed < 1:
                break
            named = self._waiting.pop(store)
            self._allowed -= REQUESTS * len(nudges.feeds_of(named))
            self._looked[store] = now
            found.append((store, named, self._came.pop(store)))
        if len(self._looked) > 10_000:
            self._looked = {s: at for s, at in self._looked.items() if at > now - EVERY_SECONDS}
        return found

    def wait_seconds(self, now: float) -> float | None:
        """Return how long nothing is due; None while nothing waits."""
        if not self._waiting:
            return None
        due = min(self._due(store) for store in self._waiting)
        needed = max(1 - self._allowed, 0.0) / self.a_second
        return max(due - now, needed, 0.0)

    def _due(self, store: int) -> float:
        return self._looked.get(store, -math.inf) + EVERY_SECONDS


class Nudges:
    """Takes nudges for the stores of one web process, and acts on them in a thread of its own."""

    def __init__(
        self,
        services: Services,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        hurry: Callable[[], None] | None = None,
    ) -> None:
        self._services, self._monotonic = services, monotonic
        self._hurry = hurry or _dispatch
        self._coalesced = Coalesced(services.settings.rate_limit * BUDGET_SHARE)
        self._known: dict[bytes, int] = {}
        self._known_until = -math.inf
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None

    def take(self, secret: str, form: Mapping[str, list[str]]) -> bool:
        """Take a nudge; tell whether its secret is one. Never waits for a server for long."""
        store = self._store_of(nudges.digest(secret))
        if store is None:
            self._services.nudges_refused += 1
            return False
        with self._news:
            self._coalesced.add(store, named_in(form))
            if self._thread is None:
                self._thread = threading.Thread(target=self._go_on, name="nudges", daemon=True)
                self._thread.start()
            self._news.notify()
        return True

    def _store_of(self, digest: bytes) -> int | None:
        """Return the store of a secret's hash. Comparing hashes tells nothing about the secret."""
        with self._lock:
            now = self._monotonic()
            is_turn = now >= self._known_until
            if is_turn:  # one asks, and nobody waits for it
                self._known_until = now + KNOWN_SECONDS
        if is_turn:
            with suppress(*_AWAY), reading(self._services.engine) as connection:
                self._known = nudges.known(connection)
        return self._known.get(digest)

    def _go_on(self) -> None:
        while True:
            with self._news:
                wait = self._coalesced.wait_seconds(self._monotonic())
                if wait is None or wait > 0:
                    self._news.wait(wait)
                due = self._coalesced.take(self._monotonic())
            if due:
                self.act(due)

    def act(self, due: Iterable[tuple[int, Named, int]]) -> None:
        """Make the feeds due that nudges are about, and have the work dispatched at once."""
        try:
            for attempt in attempts(self._services.engine):
                with attempt as connection:
                    hastened = [
                        nudges.hasten(connection, store, named=named, came=came)
                        for store, named, came in sorted(due, key=lambda each: each[0])
                    ]
        except _AWAY as error:
            log().warning("nudges lost", reason=told(error))  # the feeds' interval finds it anyway
            return
        if any(hastened):
            self._hurry()


def _dispatch() -> None:
    """Have a worker claim what is due, without waiting for beat's next second."""
    from sync.worker.celery import app

    with suppress(OperationalError, SyncError):
        app.send_task("sync.dispatch", queue="feeds", ignore_result=True)


def named_in(form: Mapping[str, list[str]]) -> Named:
    """Return the ids that a form names, by resource; {"": …} when it names none."""
    found: Named = {}
    for name, resource in _FIELDS.items():
        for text in ",".join(form.get(name, [])).split(","):
            number = text.strip()
            if number.isascii() and number.isdigit() and len(number) < 19 and int(number):
                found.setdefault(resource, set()).add(int(number))
        if name in form:
            found.setdefault(resource, set())
    for ids in found.values():
        while len(ids) > MOST_IDS:
            ids.pop()
    return found or {"": set()}


def endpoint(services: Services) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint that answers a nudge with nothing, whoever asked."""
    taker = Nudges(services)

    async def nudge(request: Request) -> Response:
        form = await _form_of(request)
        if form is not None:
            await run_in_threadpool(taker.take, request.path_params["secret"], form)
        return Response(status_code=204)

    return nudge


async def _form_of(request: Request) -> Mapping[str, list[str]] | None:
    """Return the fields of the form; None when it is longer than any trigger's."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                return None
    except ClientDisconnect:
        return None
    try:
        return parse_qs(body.decode("ascii", "replace"), max_num_fields=50)
    except ValueError:
        return {}
