"""The limiter as a worker meets it: waiting, giving up, being late, Redis gone."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from sync.crm import Account, Bucket, CrmClient, Limiter, Priority, Slot
from sync.embedded import Servers
from sync.errors import OverLimit, Refused, TryLater
from sync.work.session import MOST_SENDINGS, Session

ACCOUNT = Account("https://demo.retailcrm.ru", "key")
EPOCH = 1_700_000_000


@dataclass
class FakeClock:
    """Both clocks in one: seconds pass only by sleeping."""

    now: float = 1000.0
    ahead: float = 0.0  # of Redis's clock
    oversleep: float = 0.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds + self.oversleep

    def redis(self) -> int:
        return round((EPOCH + self.now + self.ahead) * 1e6)


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def limiter(server: redis.Redis, clock: FakeClock) -> Limiter:
    return Limiter(server, egress="test", clock=clock, redis_now=clock.redis)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def reserve(limiter: Limiter, store: int = 1, give_up_after: float = 10.0, **more: object) -> Slot:
    return limiter.reserve(
        store=store,
        bucket=Bucket.DEFAULT,
        priority=Priority.WALK,
        give_up_after=give_up_after,
        **more,  # type: ignore[arg-type]
    )


def asking(
    client: CrmClient, limiter: Limiter, *, store: int = 1, draw: Callable[[], dt.datetime] = now
) -> Session:
    return Session(client, ACCOUNT, store_id=store, limiter=limiter, draw=draw)


def use_up(limiter: Limiter, store: int = 1) -> None:
    """Take what is granted ahead, so that the next ask has to wait."""
    for _ in range(4):
        reserve(limiter, store)


class CountingRedis(redis.Redis):
    calls = 0

    def execute_command(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        return super().execute_command(*args, **options)


def test_a_slot_is_met_on_time(limiter: Limiter, clock: FakeClock) -> None:
    for _ in range(30):
        slot = reserve(limiter)
        assert slot.moment - clock.now <= 0.3 + 1e-6
        assert limiter.wait(slot)
        assert clock.now == pytest.approx(slot.moment, abs=1e-6)
        assert limiter.lateness(slot) < 0.001


def test_who_wakes_more_than_50_ms_late_gives_the_slot_up(
    limiter: Limiter, clock: FakeClock
) -> None:
    use_up(limiter)
    for oversleep, met in ((0.049, True), (0.051, False)):
        slot = reserve(limiter)
        clock.oversleep = oversleep
        assert limiter.wait(slot) is met
        clock.oversleep = 0.0


def test_only_a_lateness_that_matters_costs_a_call(redis_url: str, clock: FakeClock) -> None:
    with CountingRedis.from_url(redis_url) as counting:
        limiter = Limiter(counting, egress="test", clock=clock, redis_now=clock.redis)
        slot = reserve(limiter)
        before = counting.calls
        limiter.sent(slot, 0.002)
        assert counting.calls == before
        limiter.sent(slot, 0.004)
        assert counting.calls > before
        assert limiter.report()[0].late == 1


def test_waiting_ends_after_the_time_given(limiter: Limiter, clock: FakeClock) -> None:
    use_up(limiter)
    began = clock.now
    with pytest.raises(TryLater, match="in time") as caught:
        reserve(limiter, give_up_after=0.02)
    assert clock.now - began == pytest.approx(0.02, abs=0.001)
    assert caught.value.after is not None


def test_waiting_ends_at_once_when_told_to_stop(server: redis.Redis) -> None:
    """In real time: the waiting thread sits in the event's own wait."""
    limiter = Limiter(server, egress="test", rate_limit=0.01)
    stop = threading.Event()
    waiting = threading.Event()
    caught: list[TryLater] = []

    class Stop:
        def is_set(self) -> bool:
            return stop.is_set()

        def wait(self, timeout: float | None = None) -> bool:
            waiting.set()
            return stop.wait(timeout)

    def ask() -> None:
        try:
            while True:
                reserve(limiter, give_up_after=600, stop=Stop())
        except TryLater as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert waiting.wait(10)
    began = time.monotonic()
    stop.set()
    thread.join(10)
    assert time.monotonic() - began < 1
    assert "stopped" in str(caught[0])


def test_a_pause_longer_than_the_patience_is_told_at_once(
    limiter: Limiter, clock: FakeClock
) -> None:
    slot = reserve(limiter)
    limiter.refused(slot, after=60.0)
    began = clock.now
    with pytest.raises(TryLater, match="paused") as caught:
        reserve(limiter, give_up_after=30)
    assert clock.now == began
    assert caught.value.after == pytest.approx(60, abs=1)


def test_a_clock_that_ran_ahead_grants_nothing_until_old_sleepers_have_sent(
    limiter: Limiter, clock: FakeClock
) -> None:
    """To Redis it looks like an hour without requests; four slots are still to be sent."""
    for _ in range(20):
        last = reserve(limiter)
    clock.ahead = 3600.0
    slot = reserve(limiter)
    assert slot.moment - last.moment >= 0.1
    assert slot.moment - clock.now <= 0.3 + 1e-6
    assert clock.slept[-1] > 0.1


def test_the_buckets_have_budgets_of_their_own(limiter: Limiter) -> None:
    use_up(limiter)
    slot = limiter.reserve(
        store=1, bucket=Bucket.TELEPHONY, priority=Priority.REFRESH, give_up_after=10
    )
    default, telephony = limiter.report()
    assert slot.bucket is Bucket.TELEPHONY
    assert (default.bucket, default.limit) == (Bucket.DEFAULT, 10.0)
    assert (telephony.bucket, telephony.limit) == (Bucket.TELEPHONY, 40.0)
    assert telephony.usage[1, Priority.REFRESH].granted == 1


def test_egress_addresses_have_budgets_of_their_own(
    limiter: Limiter, server: redis.Redis, clock: FakeClock
) -> None:
    reserve(limiter)
    other = Limiter(server, egress="other", clock=clock, redis_now=clock.redis)
    assert other.report()[0].usage == {}


@pytest.mark.parametrize("rate", [0, -1, 1001, float("nan")])
def test_a_limit_that_cannot_be_kept_is_refused(server: redis.Redis, rate: float) -> None:
    with pytest.raises(ValueError, match="limit"):
        Limiter(server, egress="test", rate_limit=rate)


@pytest.mark.parametrize(("rate", "expected"), [(0.5, 10), (1, 20), (2.5, 39), (25, 490)])
def test_any_limit_is_kept_and_used(
    server: redis.Redis, clock: FakeClock, rate: float, expected: int
) -> None:
    """A second holds whole requests: 2.5 a second are 2 in any second."""
    limiter = Limiter(server, egress="test", rate_limit=rate, clock=clock, redis_now=clock.redis)
    first = reserve(limiter).moment
    moments = [first]
    while moments[-1] < first + 20:
        moments.append(reserve(limiter).moment)
    in_window = [sum(1 for m in moments if start <= m < start + 1) for start in moments]
    assert max(in_window) <= max(1, rate)
    assert len(moments) - 1 == pytest.approx(expected, abs=0.02 * expected + 1)


# Redis gone


def test_without_redis_nobody_sends() -> None:
    sent = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, content=b'{"success": true}')

    nowhere = redis.Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0))
    with CrmClient(transport=httpx.MockTransport(handler)) as client, pytest.raises(TryLater):
        asking(client, Limiter(nowhere, egress="test")).ask("orders", priority=Priority.WALK)
    assert sent == []


def test_reports_to_a_lost_redis_are_dropped(limiter: Limiter) -> None:
    """The answer is here already; what Redis forgot it assumes at its worst."""
    slot = reserve(limiter)
    lost = Limiter(
        redis.Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0)), egress="test"
    )
    lost.sent(slot, 0.04)
    lost.refused(slot, after=None)


def test_a_restarted_redis_grants_nothing_until_old_sleepers_have_sent(
    own_servers: Servers,
) -> None:
    """Its state is from before the restart: it looks like a time without requests."""
    with redis.Redis.from_url(own_servers.redis_url) as client:
        limiter = Limiter(client, egress="test")
        reserve(limiter)
        own_servers.valkey.restart()
        before = time.monotonic()
        slot = reserve(limiter)
        assert slot.moment - before >= 0.35


# Feedback from answers


def statuses(*codes: int) -> CrmClient:
    answers = iter(codes)

    def handler(_: httpx.Request) -> httpx.Response:
        status = next(answers)
        return httpx.Response(status, content=b'{"success": true}', headers={"Retry-After": "20"})

    return CrmClient(transport=httpx.MockTransport(handler))


def test_the_budget_is_told_what_became_of_a_slot(limiter: Limiter, clock: FakeClock) -> None:
    drawn: list[dt.datetime] = []

    def draw() -> dt.datetime:
        drawn.append(now())
        return drawn[-1]

    with statuses(200, 503, 400, 200) as client:
        api = asking(client, limiter, store=7, draw=draw)
        api.ask("orders", priority=Priority.FEED)
        with pytest.raises(OverLimit):
            api.ask("orders", priority=Priority.FEED)
        assert limiter.report()[0].paused_seconds[7] == pytest.approx(20, abs=1)
        clock.now += 20
        with pytest.raises(Refused):
            api.ask("orders", priority=Priority.FEED)
        api.ask("orders", priority=Priority.FEED)
    usage = limiter.report()[0].usage[7, Priority.FEED]
    assert (usage.granted, usage.refused) == (4, 1)
    assert len(drawn) == 4


def test_silence_is_not_told_as_served(limiter: Limiter, clock: FakeClock) -> None:
    """Requests that nobody answers do not end the pauses of a store that refused."""

    def handler(_: httpx.Request) -> httpx.Response:
        if answers:
            return httpx.Response(answers.pop(0), content=b'{"success": true}')
        raise httpx.ReadTimeout("nothing came")

    answers = [503]
    with CrmClient(transport=httpx.MockTransport(handler)) as client:
        api = asking(client, limiter, store=7)
        for error in [OverLimit] + [TryLater] * 5:
            with pytest.raises(error):
                api.ask("orders", priority=Priority.WALK)
            assert limiter.report()[0].paused_seconds[7] > 0
        answers.append(200)
        api.ask("orders", priority=Priority.WALK)
    assert limiter.report()[0].paused_seconds == {}


def test_a_request_refused_by_chance_goes_again_after_a_second(
    limiter: Limiter, clock: FakeClock
) -> None:
    """The caller does not notice: its store is served, and was served just before."""
    sent: list[float] = []

    def handler(_: httpx.Request) -> httpx.Response:
        sent.append(clock.now)
        return httpx.Response(answers.pop(0), content=b'{"success": true}')

    answers = [200, 503, 200]
    with CrmClient(transport=httpx.MockTransport(handler)) as client:
        api = asking(client, limiter, store=7)
        api.ask("orders", priority=Priority.WALK)
        api.ask("orders", priority=Priority.WALK)
    assert answers == []
    assert 1.0 <= sent[2] - sent[1] <= 1.2
    assert limiter.report()[0].usage[7, Priority.WALK].refused == 1


def test_a_method_that_is_always_refused_is_told_after_three_requests(
    limiter: Limiter, clock: FakeClock
) -> None:
    """Also while other requests of its store are served."""
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path.endswith("orders"):
            limiter.served(reserve(limiter, store=7))
            return httpx.Response(503)
        return httpx.Response(200, content=b'{"success": true}')

    with CrmClient(transport=httpx.MockTransport(handler)) as client:
        api = asking(client, limiter, store=7)
        api.ask("customers", priority=Priority.WALK)
        with pytest.raises(OverLimit):
            api.ask("orders", priority=Priority.WALK)
    assert len(asked) == 1 + MOST_SENDINGS


def test_a_missed_slot_is_asked_for_again_before_anything_is_sent(
    limiter: Limiter, clock: FakeClock
) -> None:
    """`as_of` is drawn for each slot, so that it is never older than 350 ms when it is sent."""
    drawn: list[dt.datetime] = []

    def draw() -> dt.datetime:
        drawn.append(now())
        if len(drawn) == 1:
            clock.now += 0.5
        return drawn[-1]

    with statuses(200) as client:
        reply = asking(client, limiter, draw=draw).ask("orders", priority=Priority.WALK)
    assert len(drawn) == 2
    assert reply.as_of == drawn[1]
    assert limiter.report()[0].lost == 1
