"""Whoever guesses finds out little, whoever knows is let in; a look at the servers is shared."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from threading import Event
from typing import Any

import pytest

from sync.metrics.ready import LOOKS, LOOKS_SECONDS, Looks
from sync.web.door import MOST_WAITING, Door, TooOften
from sync.web.security import TRIES, TRIES_OF_ALL, Role, Sessions, Tries, counted_as


class Clock:
    """A clock that a pause moves on."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at

    async def pause(self, seconds: float) -> None:
        self.at += seconds
        await asyncio.sleep(0)


def wrong() -> bool | None:
    return None


def right() -> bool | None:
    return True


def door_and_clock() -> tuple[Door, Clock]:
    clock = Clock()
    return Door(tries=Tries(monotonic=clock), pause=clock.pause), clock


def run(scene: Callable[[Door, Clock], Awaitable[None]]) -> None:
    async def play() -> None:
        await scene(*door_and_clock())

    asyncio.run(play())


def test_many_addresses_take_turns_and_a_right_token_gets_in() -> None:
    """Nobody locks the page for others by saying that he is many: he makes strangers slower."""

    async def scene(door: Door, clock: Clock) -> None:
        for number in range(TRIES_OF_ALL):
            assert await door.judge(f"192.0.2.{number}", wrong) is None
        assert clock.at == 0
        for number in range(100):
            assert await door.judge(f"198.51.100.{number}", wrong) is None
        assert clock.at >= 40, "a guesser finds out about one a second, however many he is"
        assert await door.judge("203.0.113.1", right) is True

    run(scene)


def test_those_who_wait_for_a_turn_have_a_bound() -> None:
    async def scene(door: Door, _: Clock) -> None:
        for number in range(TRIES_OF_ALL):
            await door.judge(f"192.0.2.{number}", wrong)
        asked = [door.judge(f"198.51.100.{n}", wrong) for n in range(MOST_WAITING + 5)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(each, TooOften) for each in found) == 5

    run(scene)


def test_an_operators_browser_waits_for_nobody_elses_mistakes() -> None:
    async def scene(door: Door, clock: Clock) -> None:
        for number in range(TRIES_OF_ALL):
            await door.judge(f"192.0.2.{number}", wrong)
        assert await door.judge("browser", right, is_stranger=False) is True
        assert clock.at == 0

    run(scene)


def test_an_operators_browser_guesses_no_more_often_than_others() -> None:
    """Whoever steals such a cookie, or sits at that desk, is counted by it."""

    async def scene(door: Door, _: Clock) -> None:
        for _ in range(TRIES):
            assert await door.judge("browser", wrong, is_stranger=False) is None
        with pytest.raises(TooOften):
            await door.judge("browser", right, is_stranger=False)

    run(scene)


def test_attempts_at_once_are_counted_one_by_one() -> None:
    async def scene(door: Door, _: Clock) -> None:
        asked = [door.judge("192.0.2.1", wrong) for _ in range(50)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(each is None for each in found) == TRIES

    run(scene)


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unix:", "unix:"),
        ("x" * 5_000, "x" * 64),
    ],
)
def test_whoever_has_a_network_of_addresses_is_one(address: str, counted: str) -> None:
    """A customer's line has 2^64 addresses of IPv6: each would have tries of its own."""
    assert counted_as(address) == counted


def test_each_token_has_sessions_of_its_own() -> None:
    """A token changed ends its sessions and no others; one role's cookie is never the other's."""
    both = Sessions("operate " * 4, read_token="read " * 5)
    operator, reader = both.begin(Role.OPERATE), both.begin(Role.READ)
    session = both.read(reader)
    assert session is not None
    assert session.role is Role.READ
    changed = Sessions("another " * 4, read_token="read " * 5)
    assert changed.read(operator) is None
    assert changed.read(reader) is not None
    assert Sessions("operate " * 4).read(reader) is None
    assert both.role_of("read " * 5) is Role.READ
    assert both.role_of("operate " * 4) is Role.OPERATE
    assert both.role_of("") is both.role_of("scrape " * 4) is None


def test_a_cookie_of_one_kind_is_worth_nothing_as_another() -> None:
    sessions = Sessions("operate " * 4)
    cookie, known, said = sessions.begin(), sessions.know(), sessions.seal("good:x")
    assert sessions.read(known) is sessions.read(said) is None
    assert sessions.known(cookie) is sessions.known(said) is None
    assert sessions.unseal(cookie) == sessions.unseal(known) == ""
    assert sessions.known(known) is not None


def test_comparing_a_token_takes_as_long_wherever_it_differs() -> None:
    """Both are hashed whole: a right beginning and a right length are worth nothing."""
    token = "a token nobody guesses" * 20
    sessions = Sessions(token)
    near, far = token[:-1] + "X", "X" + token[1:]

    def seconds(text: str) -> float:
        began = time.perf_counter()
        for _ in range(200):
            sessions.role_of(text)
        return time.perf_counter() - began

    least = {text: min(seconds(text) for _ in range(15)) for text in (near, far)}
    assert least[near] < 2 * least[far]
    assert least[far] < 2 * least[near]


def look_counted() -> tuple[Callable[[], Any], list[int]]:
    made: list[int] = []

    def look() -> dict[str, dict[str, Any]]:
        made.append(1)
        return {"look": {"ok": True, "number": len(made)}}

    return look, made


def test_anybody_may_ask_for_the_readiness_and_costs_a_look_a_second() -> None:
    clock = Clock()
    look, made = look_counted()

    async def scene() -> None:
        looks = Looks(look, monotonic=clock)
        for _ in range(1_000):
            await looks.latest()
        assert len(made) <= LOOKS + 1
        clock.at += LOOKS_SECONDS / LOOKS
        assert (await looks.latest())["look"]["number"] == len(made)
        for _ in range(100):
            await looks.latest()
        assert len(made) <= LOOKS + 2

    asyncio.run(scene())


def test_whoever_asks_during_a_look_gets_that_one() -> None:
    """A look at servers that hang holds one thread, however many ask."""
    may_end = Event()
    look, made = look_counted()

    def slow() -> dict[str, dict[str, Any]]:
        may_end.wait(10)
        found: dict[str, dict[str, Any]] = look()
        return found

    async def scene() -> None:
        looks = Looks(slow)
        asked = [asyncio.create_task(looks.latest()) for _ in range(100)]
        await asyncio.sleep(0)
        asked[0].cancel()
        may_end.set()
        found = await asyncio.gather(*asked[1:])
        assert len(made) == 1
        assert all(each["look"]["number"] == 1 for each in found)

    asyncio.run(scene())


def test_a_look_that_fails_is_made_again() -> None:
    def fail() -> dict[str, dict[str, Any]]:
        raise RuntimeError("no")

    async def scene() -> None:
        looks = Looks(fail)
        for _ in range(3):
            with pytest.raises(RuntimeError):
                await looks.latest()

    asyncio.run(scene())
