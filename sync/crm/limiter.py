"""The request budget: at most 10 requests in any second from one address, all workers together.

A worker asks Redis for a *slot*, the moment at which it may send one request, sleeps until then
and sends. `reserve.lua` decides in one call; this module keeps the clock and the contract.

**Why the limit holds at the server.** Number the slots; let N be the limit (10). If slot n+N always
arrives at least a second after slot n, then no window of a second holds more than N arrivals: of
the slots n, n+N, n+2N… it holds at most one, and there are N such rows. The order of arrival and
the gaps between neighbours do not matter. So Redis keeps the last moment of every row (the *ring*)
and never grants slot n+N before that moment + 1 s + 18 ms. The 18 ms pay for what Redis cannot see:

    sent later than the slot, not worth a report          ≤  3 ms  (_SILENT_SECONDS)
    the way to the server: slot n slower than slot n+N    ≤ 15 ms

Even pacing at 98 % puts slot n+N 1020.4 ms after slot n, so on time the ring never binds, and a
place that was late comes back by 2.4 ms a second. Who sends later than 3 ms says so at once
(`sent`): the place's moment becomes the true one, and slot n+N moves with it. That report is in
time, because slot n+N is granted at the earliest 1018 - 300 = 718 ms after slot n's moment. Without
it, a request 50 ms late would be followed by ten on time: 11 within 1020 - 50 = 970 ms. Who is more
than 50 ms late when it wakes gives the slot up and asks again.

Only a slot's own place waits for its lateness; the others keep their moments, and a delay is caught
up with gaps of at least 0.9 of the even one. So use stays near 98 % even when many wake late.

**Whose clock.** Slots are moments of Redis's clock. The difference to ours is known within the
quickest call of the last seconds (redis_clock.py). We send at the late end of that interval, so
never before the slot, and count lateness from the early end, so never too little.

**What is assumed when something is lost.** State missing, a new Redis (it does not know our
script), a clock that went back or ahead: slots already granted may still be sent for 300 + 50 ms,
at 0.9 gaps at closest. The ring is filled with the latest moments they can have. A thread that dies
loses its slot, nothing else. Redis out of reach: nobody sends.

**Fairness** (reserve.lua) is start-time fair queueing: a store's tag counts the requests it was
served; the least tag among the stores with work is next and may take a slot up to 300 ms ahead, the
others take what would pass unused, 20 to 60 ms ahead. Virtual time is that least tag: a store that
returns begins just before it, and none leads it by more than 3. Inside a store the classes queue
the same way with weights 4:2:3:1. While other work waits anywhere, feeds of all stores are not next
once they lead it by one request. Who is not next is told when to ask again, so that a few askers
are there for each slot and a thousand waiting stores ask 1,250 times a second, not 10,000.

**Feedback** (feedback.lua): a refused store pauses 0.5 s, doubling to 32 s, or what Retry-After
says; then it is slowed by halves and regains one every 5 s of success. A second store refused
within 2 s, or a refusal while only one store has work, freezes everything for 1 s and halves the
pace, which grows back in at most 50 s.

Measured, Python 3.11 and valkey 9.1 on two cores: a call costs 41 us in valkey with one store and
53 us with 10,000; 120 us with the way there and back. 3 processes of 16 threads use 98.0 % of 10,
40 and 100 a second, ten slots at least 1015 ms apart on arrival.
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
    """What ends a wait early; a threading.Event is one."""

    def is_set(self) -> bool: ...
    def wait(self, timeout: float | None = None) -> bool: ...


class Clock(Protocol):
    """Monotonic seconds, and sleeping in them."""

    def monotonic(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: TID251  the one place: everything else is given a Clock


class Limiter:
    """The budget of one egress address. Shared by the threads of a process; made after a fork.

    `egress` names the address in Redis, the rates are the API's limits in requests a second. Give
    `server` a socket timeout: a call that hangs would hang its thread.
    `redis_now` replaces Redis's clock by microseconds of a test's own.
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

        `missed` is a slot this asker was given and could not use: its store is not charged for it.
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
        """Sleep until the reply says to ask again, or give up."""
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
        """Sleep until the slot's moment; False when more than 50 ms late: the slot is given up."""
        left = slot.moment - self._clock.monotonic()
        if left > 0:
            self._clock.sleep(left)
        return self._clock.monotonic() - slot.moment <= _LATE_SECONDS

    def lateness(self, slot: Slot) -> float:
        """Seconds since the slot's moment, never too few."""
        return self._clock.monotonic() - slot.earliest

    def sent(self, slot: Slot, late_seconds: float) -> None:
        """Tell when the request left, right after it left; costs a call only when it was late."""
        if late_seconds > _SILENT_SECONDS:
            self._tell(slot, "sent", math.ceil(late_seconds * 1e6))

    def refused(self, slot: Slot, *, after: float | None = None) -> None:
        """The API answered 503 or 429; `after` is its Retry-After in seconds."""
        self._tell(slot, "refused", -1 if after is None else math.ceil(min(after, 1e6) * 1e6))

    def served(self, slot: Slot) -> None:
        """The API answered otherwise. Costs a call only while the store is slowed."""
        if slot.recovering:
            self._tell(slot, "served", 0)

    def report(self) -> tuple[Report, ...]:
        """Pace, use, waits and refusals of each bucket, by store and class."""
        return tuple(self._budget.report(bucket) for bucket in Bucket)

    def reports(self) -> tuple[Report, ...]:
        """The same of every address that shares this Redis and was used within a week."""
        others = (each.report(bucket) for each in self._budget.others() for bucket in Bucket)
        return (*self.report(), *(report for report in others if report.usage))

    def _tell(self, slot: Slot, what: str, micros: int) -> None:
        try:
            self._budget.tell(slot, what, micros)
        except TryLater:
            return  # without Redis nobody sends, and what it forgot is assumed at its worst
