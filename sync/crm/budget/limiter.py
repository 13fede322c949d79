"""The request budget: at most 10 requests in any second from one address, all workers together.

A worker asks Redis for a *slot*, the moment at which it may send one request, sleeps until then
and sends. `reserve.lua` decides in one call; this module handles clocks, waiting and errors.

**Why the limit holds at the server.** Redis keeps of the last N slots (N is the limit, 10) the
latest moment at which each may have arrived, and grants a slot at the earliest 1 s + 18 ms after
the N-th latest of them. So at most N - 1 of the earlier slots can arrive in the second before a
slot's own arrival, whatever their order, and no second holds more than N. The 18 ms cover what
Redis cannot see:

    a request sent too little after its slot to be reported   ≤  3 ms  (_SILENT_SECONDS)
    a slower way to the server for one slot than for another  ≤ 15 ms

Even pacing at 98 % puts slot n+N 1020.4 ms after slot n. So the distance delays nothing while
requests are on time, and a late slot's successor catches up by 2.4 ms a second. A worker that sends
more than 3 ms late reports it at once (`sent`), and the slot's moment moves. The report is in time,
because slot n+N is granted at the earliest 1018 - 300 = 718 ms after slot n's moment. Without the
report, ten requests on time could follow one that is 50 ms late: 11 within 1020 - 50 = 970 ms. A
worker that wakes more than 50 ms late gives the slot up and asks again.

Other slots keep their moments, and a delay is caught up with gaps of at least 0.9 of the even gap.
So use stays near 98 % even when many workers wake late.

**What the network does** is seen in the answers (answer_times.py). A request arrived before its
answer came, by at least the time that the quickest answers take. If an answer is unusually late,
the network may have held the request, and its slot's moment moves to the last at which it can have
arrived. With answers after 250 to 350 ms, a request held for 200 ms is known 450 to 550 ms after
its slot: in time. So single delays are refused nothing and cost their own length in one of N slots.

What no answer shows is learned from refusals. This is the **slow memory** of the address: the pace.
A pace below 98 % of N slots adds a part for the network to each slot's moment: 9.05 a second is ten
slots in 1018 + 84 ms. An answer quicker than that part says when the request had arrived, and sets
the slot's moment to it. At 8.82 and below it is nine slots in a second, at 4.9 five, and so on.

- A refusal takes 15 % of the refused share of the last 40 requests from the pace: the first takes
  15 % of 1/40, 9.8 becomes 9.76; the sixth within 40 takes 2.25 %. So seven refusals find a jitter
  of 0 to 120 ms, which bears about 9.1 a second.
- When 10 of the last 20 to 40 requests were refused, the limit is elsewhere: at the served share of
  the pace that was tried. With a limit of 5, 9.8 a second are served and refused in equal parts; at
  the tenth refusal the pace becomes 4.9. Reports of slots before that moment are not counted.
- After 150 requests served without a refusal the pace grows, by 0.4 % until the 300th, 3.2 % until
  the 450th, 73 % until the 1,000th: with the third power. So about six in a thousand are refused
  on a network whose jitter is felt, none on a clean one; and a limit that was halved and is whole
  again is used after three minutes.

The **quick memory** is of the store: its refusals since it was last served.

- A lone refusal is chance. That request goes again a second later, and nothing else waits.
- A third refusal in a row, or the first of a store that was not served in the last minute, pauses
  the store for 1, 2, then 4 s, or for Retry-After. After a pause one request probes it. The first
  that is served ends it all, so a store alone is back within 4 s of its outage.
- While other stores have work, all failing stores together probe once in 4 s: a pause lasts 4 s for
  each of them. So they take 2.5 % of the address, whether they are two or two hundred.

A refusal counts against the address when its store is served a later request, with all refusals
before it that came within a second. So a store that is down says nothing of the address: any limit
serves something in a second. And while all stores are down the pace stays what it was.

**Clocks.** Slots are moments of Redis's clock. Its difference to our clock is known as an interval
no wider than the quickest call of the last seconds (redis_clock.py). We send at the late end of the
interval, so never before the slot. We count lateness from the early end, so never too little.

**Lost state.** When the state is missing, Redis is new (it does not know our script), or a clock
jumped back or ahead, slots already granted may still be sent for 300 + 50 ms, at least 0.9 gaps
apart. So the last slots are made up with the latest moments those can have. The pace is kept when
it is there. A thread that dies loses only its slot. When Redis cannot be reached, no worker sends.

**Fairness** (reserve.lua) is start-time fair queueing. A store's tag counts the requests served to
it. The store with the least tag among the stores with work is next and may take a slot up to 300 ms
ahead; the other stores take slots that would be left unused, 20 to 60 ms ahead. Virtual time is the
least tag: a store that returns begins just before it, and no store leads it by more than 3. Inside
a store the classes queue the same way with weights 4:2:3:1. While other work waits in any store,
feeds are not next once they lead that work by one request. A caller that is not next is told when
to ask again, so a few callers are there for each slot, and a thousand waiting stores ask 1,250
times a second, not 10,000.

Measured with Python 3.11 and valkey 9.1 on two cores: a call costs 41 us in valkey with one store
and 53 us with 10,000; 120 us including the round trip. A request costs two: its slot and its
outcome. 3 processes of 16 threads use 98.0 % of 10, 40 and 100 a second, and every ten slots take
at least 1015 ms on arrival. The figures of networks and limits are simulated with these scripts in
tests/integration/test_limiter_networks.py and test_limiter_refusals.py.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from threading import Lock
from typing import Protocol

import redis

from sync.crm.budget.answer_times import AnswerTimes
from sync.crm.budget.redis_clock import RedisClock
from sync.crm.budget.redis_state import Ask, Budget, Reply, Report
from sync.crm.budget.slot import Bucket, Priority, Slot
from sync.errors import TryLater

_LATE_SECONDS = 0.050  # as LATE in budget.lua
_SILENT_SECONDS = 0.003
_AGAIN_SECONDS = 1.05  # a second at the server, with the way there and 18 ms
_MOST_A_SECOND = 1000  # RING in budget.lua holds a second of slots


class Stop(Protocol):
    """A flag that ends a wait early, for example a threading.Event."""

    def is_set(self) -> bool: ...
    def wait(self, timeout: float | None = None) -> bool: ...


class Clock(Protocol):
    """A monotonic clock in seconds that can also sleep."""

    def monotonic(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: TID251  the one place: everything else is given a Clock


class Limiter:
    """The budget of one egress address, shared by the threads of a process. Create it after a fork.

    `egress` names the address in Redis. The rates are the API's limits in requests per second.
    `server` needs a socket timeout: a call that hangs would block its thread.
    `redis_now` replaces Redis's clock in tests; it returns microseconds.
    """

    def __init__(
        self,
        server: redis.Redis,
        *,
        egress: str,
        rate_limit: float = 10.0,
        telephony_rate_limit: float = 40.0,
        clock: Clock | None = None,
        redis_now: Callable[[], int] | None = None,
    ) -> None:
        limits = {Bucket.DEFAULT: rate_limit, Bucket.TELEPHONY: telephony_rate_limit}
        for limit in limits.values():
            if not 0 < limit <= _MOST_A_SECOND:
                raise ValueError(f"a limit of {limit} a second is not within 0 to {_MOST_A_SECOND}")
        self._clock = clock or SystemClock()
        self._budget = Budget(server, egress=egress, limits=limits, redis_now=redis_now)
        self._redis_clock = RedisClock()
        self._lock = Lock()
        self._answers: dict[int, AnswerTimes] = {}

    def reserve(
        self,
        *,
        store: int,
        bucket: Bucket,
        priority: Priority,
        give_up_after: float,
        stop: Stop | None = None,
        missed: Slot | None = None,
    ) -> Slot:
        """Wait for a slot at most 300 ms ahead. TryLater after `give_up_after` seconds or `stop`.

        `missed` is a slot this caller was granted but could not use; the store gets it credited.
        """
        began = before = self._clock.monotonic()
        doubtful = False
        while True:
            if stop is not None and stop.is_set():
                raise TryLater("stopped while waiting for a slot of the request budget")
            ask = Ask(store, bucket, priority, before - began, missed, doubtful)
            reply = self._budget.reserve(ask)
            after = self._clock.monotonic()
            bracket, doubtful = self._redis_clock.observe(before, reply.now / 1e6, after)
            missed = None
            if reply.granted and not doubtful:
                at = reply.now + reply.micros
                moment = at / 1e6 + bracket.most
                return Slot(
                    store=store,
                    bucket=bucket,
                    priority=priority,
                    number=reply.number,
                    epoch=reply.epoch,
                    at=at,
                    moment=moment,
                    earliest=at / 1e6 + bracket.least,
                    waited_seconds=moment - began,
                    network_seconds=reply.network_micros / 1e6,
                )
            if not doubtful:
                self._until_next(reply, left=give_up_after - (after - began), stop=stop)
            before = self._clock.monotonic()

    def _until_next(self, reply: Reply, *, left: float, stop: Stop | None) -> None:
        """Sleep until the time to ask again; TryLater when that is beyond `left` seconds."""
        seconds = reply.micros / 1e6
        if reply.paused and seconds > left:
            raise TryLater("the store is paused after the API refused it", after=seconds)
        if left < 0.001:
            raise TryLater("no slot of the request budget came in time", after=seconds)
        self.pause(min(seconds, left), stop=stop)

    def wait(self, slot: Slot) -> bool:
        """Sleep until the slot's moment; False when woken over 50 ms late: give the slot up."""
        left = slot.moment - self._clock.monotonic()
        if left > 0:
            self._clock.sleep(left)
        return self._clock.monotonic() - slot.moment <= _LATE_SECONDS

    def lateness(self, slot: Slot) -> float:
        """Return the seconds since the slot's moment, never too few."""
        return self._clock.monotonic() - slot.earliest

    def sent(self, slot: Slot, late_seconds: float) -> None:
        """Report, right after sending, how late the request was; calls Redis only above 3 ms."""
        if late_seconds > _SILENT_SECONDS:
            self._tell(slot, "sent", math.ceil(late_seconds * 1e6))

    def refused(self, slot: Slot, *, after: float | None = None) -> float | None:
        """Report that the API answered 503 or 429; `after` is its Retry-After in seconds.

        Returns the seconds after which that request may go again: the second in which there was
        one too many is over then. None when the store is paused.
        """
        micros = -1 if after is None else math.ceil(min(after, 1e6) * 1e6)
        if not self._tell(slot, "refused", micros):
            return None
        return max(0.0, slot.moment + _AGAIN_SECONDS - self._clock.monotonic())

    def served(self, slot: Slot) -> None:
        """Report, as the answer has come, that the API served the request."""
        seconds = self.lateness(slot)
        with self._lock:
            lag = self._answers.setdefault(slot.store, AnswerTimes()).observe(seconds)
        what, micros = "served", -1
        if lag is not None and (lag.is_unusual or lag.seconds < slot.network_seconds):
            what = "delayed" if lag.is_unusual else "served"
            micros = math.ceil(lag.seconds * 1e6)
        self._tell(slot, what, micros)

    def pause(self, seconds: float, *, stop: Stop | None = None) -> None:
        """Sleep, until `stop` is set at the latest."""
        if stop is None:
            self._clock.sleep(seconds)
        else:
            stop.wait(seconds)

    def report(self) -> tuple[Report, ...]:
        """Return pace, use, waits and refusals of each bucket, by store and class."""
        return tuple(self._budget.report(bucket) for bucket in Bucket)

    def reports(self) -> tuple[Report, ...]:
        """Return the reports of every address that shares this Redis and was used within a week."""
        others = (each.report(bucket) for each in self._budget.others() for bucket in Bucket)
        return (*self.report(), *(report for report in others if report.usage))

    def _tell(self, slot: Slot, what: str, micros: int) -> bool:
        try:
            return self._budget.tell(slot, what, micros)
        except TryLater:
            return False  # no worker sends without Redis, and lost state is assumed at its worst
