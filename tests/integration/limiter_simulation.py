"""Askers of the request budget in simulated time: the real scripts on a real valkey.

Nothing sleeps: an asker that is told "in x ms" is put x ms further on the simulation's clock, so
a minute of traffic takes a second and every run is the same. The server is independent of the
budget: it counts arrivals in a sliding second, its own way.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

import redis

from sync.crm.budget.answer_times import AnswerTimes
from sync.crm.budget.redis_state import Ask, Budget, Reply, Report
from sync.crm.budget.slot import Bucket, Priority, Slot

START = 1_700_000_000_000_000  # microseconds
MS = 1_000
SECOND = 1_000_000
LIMIT = 10


def never(_: int) -> bool:
    return False


def at_once() -> int:
    return 0


@dataclass
class Asker:
    """A thread: asks, sends in its slot, is answered `latency` later, asks again."""

    store: int
    priority: Priority = Priority.WALK
    latency: int | Callable[[], int] = 50 * MS
    late: Callable[[], int] = at_once  # how late it wakes, drawn every time
    late_to_send: Callable[[], int] = at_once  # and how much later for a slot
    transit: Callable[[], int] = at_once  # from its send to the server
    refused: Callable[[int], bool] = never  # by the moment it arrives
    retry_after: int = -1
    asks: int = 1_000_000
    asked_at: int = 0
    missed: Slot | None = None

    def answer_time(self) -> int:
        return self.latency if isinstance(self.latency, int) else self.latency()


@dataclass(frozen=True)
class Arrival:
    at: int
    store: int
    priority: Priority
    waited: int
    refused: bool


@dataclass
class Network:
    """The way to the server, and the server's limit: `served` arrivals of any second.

    `reaches` maps the moment of sending to that of arriving. `limit` may change with time.
    """

    limit: Callable[[int], int] = lambda _: 1_000_000
    reaches: Callable[[int], int] = lambda sent_at: sent_at
    served: deque[int] = field(default_factory=deque)

    def grants(self, at: int) -> bool:
        while self.served and at - self.served[0] >= SECOND:
            self.served.popleft()
        if len(self.served) >= self.limit(at):
            return False
        self.served.append(at)
        return True


@dataclass
class Simulation:
    """Runs askers against the scripts. `arrivals` is what the server saw."""

    server: redis.Redis
    network: Network = field(default_factory=Network)
    limit: int = LIMIT
    clock: int = START
    arrivals: list[Arrival] = field(default_factory=list)
    refusals: Counter[int] = field(default_factory=Counter)
    calls: int = 0
    _times: dict[int, AnswerTimes] = field(default_factory=dict)
    _events: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self.budget = Budget(
            self.server,
            egress="test",
            limits={Bucket.DEFAULT: float(self.limit), Bucket.TELEPHONY: 40.0},
            redis_now=lambda: self.clock,
        )
        self.budget.reserve(Ask(99, Bucket.DEFAULT, Priority.WALK))  # the budget begins
        self.clock += 2 * SECOND

    def add(self, *askers: Asker) -> None:
        for asker in askers:
            asker.asked_at = self.clock
            self._at(self.clock, self._ask, asker)

    def run(self, micros: int) -> None:
        end = self.clock + micros
        while self._events and self._events[0][0] <= end:
            moment, _, what = heapq.heappop(self._events)
            self.clock = max(self.clock, moment)
            what()
        self.clock = end

    def run_requests(self, number: int) -> None:
        """Run until so many requests have arrived."""
        while len(self.arrivals) < number:
            self.run(SECOND // 10)

    def since(self, micros: int) -> list[Arrival]:
        return [arrival for arrival in self.arrivals if arrival.at >= self.clock - micros]

    def share(self, **attributes: object) -> float:
        """Of the last ten seconds' arrivals."""
        among = self.since(10 * SECOND)
        hits = [a for a in among if all(getattr(a, k) == v for k, v in attributes.items())]
        return len(hits) / len(among)

    def use(self) -> float:
        """Of the limit, in the last ten seconds."""
        return len(self.since(10 * SECOND)) / 10 / self.limit

    def report(self) -> Report:
        return self.budget.report(Bucket.DEFAULT)

    def neighbour(self, gap: Callable[[], int]) -> None:
        """Let another program on the same address send, at such distances."""
        self.network.grants(self.clock)
        self._at(self.clock + gap(), self.neighbour, gap)

    def _at(self, moment: int, what: Callable[..., None], *args: object) -> None:
        heapq.heappush(self._events, (moment, next(self._order), lambda: what(*args)))

    def _ask(self, asker: Asker) -> None:
        self.calls += 1
        ask = Ask(asker.store, Bucket.DEFAULT, asker.priority, missed=asker.missed)
        asker.missed = None
        reply = self.budget.reserve(ask)
        wakes_at = self.clock + reply.micros + asker.late()
        if not reply.granted:
            self._at(wakes_at, self._ask, asker)
            return
        slot = slot_of(asker.store, asker.priority, reply)
        wakes_at += asker.late_to_send()
        self._at(wakes_at, self._send, asker, slot)

    def _send(self, asker: Asker, slot: Slot) -> None:
        late = self.clock - slot.at
        if late > 50 * MS:
            asker.missed = slot
            self._ask(asker)
            return
        if late > 3 * MS:
            self.budget.tell(slot, "sent", late)
        arrives_at = self.network.reaches(self.clock + asker.transit())
        self._at(arrives_at, self._arrive, asker, slot, self.clock - asker.asked_at)

    def _arrive(self, asker: Asker, slot: Slot, waited: int) -> None:
        refused = asker.refused(self.clock) or not self.network.grants(self.clock)
        arrival = Arrival(self.clock, asker.store, asker.priority, waited, refused)
        self.arrivals.append(arrival)
        self._at(self.clock + asker.answer_time(), self._answered, asker, slot, refused)

    def _answered(self, asker: Asker, slot: Slot, refused: bool) -> None:
        again_at = self.clock
        if refused:
            self.refusals[asker.store] += 1
            if self.budget.tell(slot, "refused", asker.retry_after):
                again_at = max(again_at, slot.at + 1050 * MS)
        else:
            self._served(slot)
        asker.asks -= 1
        if asker.asks > 0:
            asker.asked_at = again_at
            self._at(again_at, self._ask, asker)

    def _served(self, slot: Slot) -> None:
        """As Limiter.served."""
        times = self._times.setdefault(slot.store, AnswerTimes())
        lag = times.observe((self.clock - slot.at) / SECOND)
        if lag is not None and lag.is_unusual:
            self.budget.tell(slot, "delayed", round(lag.seconds * SECOND))
        elif lag is not None and lag.seconds < slot.network_seconds:
            self.budget.tell(slot, "served", round(lag.seconds * SECOND))
        else:
            self.budget.tell(slot, "served", -1)


def slot_of(store: int, priority: Priority, reply: Reply) -> Slot:
    return Slot(
        store=store,
        bucket=Bucket.DEFAULT,
        priority=priority,
        number=reply.number,
        epoch=reply.epoch,
        at=reply.now + reply.micros,
        moment=0.0,
        earliest=0.0,
        waited_seconds=0.0,
        network_seconds=reply.network_micros / 1e6,
    )


def busiest_second(arrivals: list[Arrival]) -> int:
    moments = sorted(arrival.at for arrival in arrivals)
    best = first = 0
    for index, moment in enumerate(moments):
        while moment - moments[first] >= SECOND:
            first += 1
        best = max(best, index - first + 1)
    return best


def crowd(
    number: int, store: int, priority: Priority = Priority.WALK, **more: object
) -> list[Asker]:
    return [Asker(store, priority, **more) for _ in range(number)]  # type: ignore[arg-type]


def until(moment: int) -> Callable[[int], bool]:
    return lambda arrived_at: arrived_at < moment
