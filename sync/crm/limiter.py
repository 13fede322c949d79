"""The request budget: at most 10 requests in any second from one address, all workers together.

A worker asks Redis for a *slot*, the moment at which it may send one request, sleeps until then
and sends. `reserve.lua` decides in one call; this module handles clocks, waiting and errors.

**Why the limit holds at the server.** Number the slots; let N be the limit (10). If slot n+N always
arrives at least a second after slot n, then no window of a second holds more than N arrivals: the
window holds at most one of the slots n, n+N, n+2N…, and there are N such rows. The order of arrival
and the gaps between neighbours do not matter. So Redis keeps the last moment of every row (the
*ring*) and never grants slot n+N before that moment + 1 s + 18 ms. The 18 ms cover what Redis
cannot see:

    a request sent too little after its slot to be reported   ≤  3 ms  (_SILENT_SECONDS)
    a slower way to the server for slot n than for slot n+N   ≤ 15 ms

Even pacing at 98 % puts slot n+N 1020.4 ms after slot n. So the ring delays nothing while requests
are on time, and a late place catches up by 2.4 ms a second. A worker that sends more than 3 ms late
reports it at once (`sent`): Redis stores the true moment, and slot n+N moves with it. The report is
in time, because slot n+N is granted at the earliest 1018 - 300 = 718 ms after slot n's moment.
Without the report, ten requests on time could follow one that is 50 ms late: 11 within 1020 - 50 =
970 ms. A worker that wakes more than 50 ms late gives the slot up and asks again.

Lateness delays only the later slots in the same place of the ring. The other slots keep their
moments, and a delay is caught up with gaps of at least 0.9 of the even gap. So use stays near 98 %
even when many workers wake late.

**Clocks.** Slots are moments of Redis's clock. Its difference to our clock is known as an interval
no wider than the quickest call of the last seconds (redis_clock.py). We send at the late end of the
interval, so never before the slot. We count lateness from the early end, so never too little.

**Lost state.** When the state is missing, Redis is new (it does not know our script), or a clock
jumped back or ahead, slots already granted may still be sent for 300 + 50 ms, at least 0.9 gaps
apart. So the ring is filled with the latest moments those slots can have. A thread that dies loses
only its slot. When Redis cannot be reached, no worker sends.

**Fairness** (reserve.lua) is start-time fair queueing. A store's tag counts the requests served to
it. The store with the least tag among the stores with work is next and may take a slot up to 300 ms
ahead; the other stores take slots that would be left unused, 20 to 60 ms ahead. Virtual time is the
least tag: a store that returns begins just before it, and no store leads it by more than 3. Inside
a store the classes queue the same way with weights 4:2:3:1. While other work waits in any store,
feeds are not next once they lead that work by one request. A caller that is not next is told when
to ask again, so a few callers are there for each slot, and a thousand waiting stores ask 1,250
times a second, not 10,000.

**Feedback** (feedback.lua): a refused store pauses for 0.5 s, doubling to 32 s, or for Retry-After.
Then its pace is reduced by halves and regains one level for every 5 s of success. A second store
refused within 2 s, or a refusal while only one store has work, freezes all stores for 1 s and
halves the pace, which grows back in at most 50 s.

Measured with Python 3.11 and valkey 9.1 on two cores: a call costs 41 us in valkey with one store
and 53 us with 10,000; 120 us including the round trip. 3 processes of 16 threads use 98.0 % of 10,
40 and 100 a second, and every ten slots take at least 1015 ms on arrival.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

import redis

from sync.crm.budget import Ask, Budget, Reply, Report
from sync.crm.redis_clock import RedisClock
from sync.crm.slot import Bucket, Slot, WorkClass
from sync.errors import TryLater

_LATE_SECONDS = 0.050  # as LATE in budget.lua
_SILENT_SECONDS = 0.003
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

    def reserve(
        self,
        *,
        store: int,
        bucket: Bucket,
        work: WorkClass,
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
            ask = Ask(store, bucket, work, before - began, missed, doubtful)
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
                    work=work,
                    number=reply.number,
                    epoch=reply.epoch,
                    at=at,
                    moment=moment,
                    earliest=at / 1e6 + bracket.least,
                    waited_seconds=moment - began,
                    recovering=reply.recovering,
                )
            if not doubtful:
                self._pause(reply, left=give_up_after - (after - began), stop=stop)
            before = self._clock.monotonic()

    def _pause(self, reply: Reply, *, left: float, stop: Stop | None) -> None:
        """Sleep until the time to ask again; TryLater when that is beyond `left` seconds."""
        seconds = reply.micros / 1e6
        if reply.paused and seconds > left:
            raise TryLater("the store is paused after the API refused it", after=seconds)
        if left < 0.001:
            raise TryLater("no slot of the request budget came in time", after=seconds)
        seconds = min(seconds, left)
        if stop is None:
            self._clock.sleep(seconds)
        else:
            stop.wait(seconds)

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

    def refused(self, slot: Slot, *, after: float | None = None) -> None:
        """Report that the API answered 503 or 429; `after` is its Retry-After in seconds."""
        self._tell(slot, "refused", -1 if after is None else math.ceil(min(after, 1e6) * 1e6))

    def served(self, slot: Slot) -> None:
        """Report that the API served the request; calls Redis only while the store is slowed."""
        if slot.recovering:
            self._tell(slot, "served", 0)

    def report(self) -> tuple[Report, ...]:
        """Return pace, use, waits and refusals of each bucket, by store and class."""
        return tuple(self._budget.report(bucket) for bucket in Bucket)

    def reports(self) -> tuple[Report, ...]:
        """Return the reports of every address that shares this Redis and was used within a week."""
        others = (each.report(bucket) for each in self._budget.others() for bucket in Bucket)
        return (*self.report(), *(report for report in others if report.usage))

    def _tell(self, slot: Slot, what: str, micros: int) -> None:
        try:
            self._budget.tell(slot, what, micros)
        except TryLater:
            return  # no worker sends without Redis, and lost state is assumed at its worst
