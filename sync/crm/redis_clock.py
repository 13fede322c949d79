"""Where Redis's clock stands against this process's monotonic clock.

Every call brackets Redis's time between the moments before and after it. The difference of the two
clocks lies in all brackets at once, so a few calls narrow it to the quickest way there and back,
however late this thread was woken in a single call. A bracket that misses the others means that a
clock was set, or that Redis is another one.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

# Brackets older than this no longer count: the clocks drift, 500 ppm at worst, 5 ms in ten seconds.
_FORGET_SECONDS = 5.0
_DRIFT_SECONDS = 0.010


@dataclass(frozen=True, slots=True)
class Bracket:
    """Bounds of monotonic minus Redis's time, in seconds."""

    least: float
    most: float


class RedisClock:
    """The narrowest bracket of the last seconds. Shared by the threads of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._old: Bracket | None = None
        self._new: Bracket | None = None
        self._since = 0.0

    def observe(self, before: float, redis_now: float, after: float) -> tuple[Bracket, bool]:
        """Add a call; return what is known now, and whether Redis's clock ran ahead by a jump.

        Back by a jump is seen in Redis itself (reserve.lua), forward only from outside: there it
        looks like a time without requests, and would grant slots beside those still waited for.
        """
        call = Bracket(before - redis_now, after - redis_now)
        with self._lock:
            known = _both(self._old, self._new)
            ahead = known is not None and call.most < known.least - _DRIFT_SECONDS
            behind = known is not None and call.least > known.most + _DRIFT_SECONDS
            if ahead or behind:
                self._old = self._new = None
            if after - self._since > _FORGET_SECONDS:
                self._old, self._new, self._since = self._new, None, after
            self._new = _both(self._new, call)
            return _both(self._old, self._new) or call, ahead


def _both(one: Bracket | None, other: Bracket | None) -> Bracket | None:
    if one is None or other is None:
        return one or other
    least, most = max(one.least, other.least), min(one.most, other.most)
    # Drift can part two true brackets by a hair; then the width is lost in it.
    return Bracket(least, most) if least <= most else Bracket(most, least)
