"""The difference between Redis's clock and this process's monotonic clock.

Every call gives an interval (bracket) for the difference, from the moments before and after the
call. The true difference lies in all brackets at once. So a few calls narrow it to the quickest
round trip, even when the thread woke late in some of them. A bracket apart from the others means
that a clock was set or that Redis was replaced.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

# Older brackets are dropped, because the clocks drift: at worst 500 ppm, 5 ms in ten seconds.
_FORGET_SECONDS = 5.0
_DRIFT_SECONDS = 0.010


@dataclass(frozen=True, slots=True)
class Bracket:
    """Bounds of the monotonic time minus Redis's time, in seconds."""

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
        """Add a call; return the current bracket, and whether Redis's clock jumped ahead.

        reserve.lua itself notices a jump back. A jump ahead looks to reserve.lua like a time
        without requests, and it would grant slots too close to those that are still pending.
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
    # Drift can separate two true brackets slightly; then the gap between them is the result.
    return Bracket(least, most) if least <= most else Bracket(most, least)
