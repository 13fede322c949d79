"""Tokens as they are presented: judged at once, in turn, or put off.

Each address may be wrong a few times a minute. When many are wrong together, whoever guesses may
have many addresses, or say so: then strangers take turns, one a second, so that a right token still
gets in and a guesser finds out about one a second. A browser in which an operator has logged in
before is no stranger, and waits for nobody else's mistakes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sync.web.security import Tries

TURN_SECONDS = 1.0
MOST_WAITING = 20
"""Strangers that wait for their turn; one more is told to come again."""

T = TypeVar("T")
Pause = Callable[[float], Awaitable[object]]


class TooOften(Exception):
    """The attempt was not looked at; another one makes sense after `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"wait {seconds:.0f} s")
        self.seconds = seconds


class Door:
    """A judge of tokens; one for each kind of them, in the event loop of the page."""

    def __init__(self, *, tries: Tries | None = None, pause: Pause = asyncio.sleep) -> None:
        self._tries = tries or Tries()
        self._pause = pause
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def judge(
        self, who: str, look: Callable[[], T | None], *, is_stranger: bool = True
    ) -> T | None:
        """Return what `look` found of a token, None for a wrong one, which counts; or TooOften.

        `who` is an address, or the number of an operator's browser.
        """
        if is_stranger and not self._tries.own_seconds(who) and self._tries.wait_seconds(who):
            await self._wait_for_turn()
        if wait := self._tries.own_seconds(who):
            raise TooOften(wait)
        found = look()  # nothing is awaited from here on: attempts at once are judged one by one
        if found is None:
            self._tries.failed(who)
        return found

    async def _wait_for_turn(self) -> None:
        if self._waiting >= MOST_WAITING:
            raise TooOften(MOST_WAITING * TURN_SECONDS)
        self._waiting += 1
        try:
            async with self._turn:
                await self._pause(TURN_SECONDS)
        finally:
            self._waiting -= 1
