"""The time that a store's answers usually take, and what an answer tells of its request's arrival.

A request arrived before it was answered, by at least the time that the quickest answers take. An
answer later than Tukey's fence (the upper quartile and one and a half times the distance between
the quartiles) is unusual: the network may have held the request.
"""

from __future__ import annotations

from dataclasses import dataclass

_STEP = 0.04
"""The most a quantile moves with an answer, of its value: about the last hundred answers count."""
_KNOWN_AFTER = 20
_QUICK, _LOWER, _UPPER = 0.03, 0.25, 0.75


@dataclass(frozen=True, slots=True)
class Lag:
    """The most seconds from a slot to its request's arrival; `is_unusual`: beyond the fence."""

    seconds: float
    is_unusual: bool


class AnswerTimes:
    """Quantiles of one store's answer times, in seconds; each answer moves them a little."""

    def __init__(self) -> None:
        self._count = 0
        self._quick = self._lower = self._upper = 0.0

    def observe(self, seconds: float) -> Lag | None:
        """Add an answer; return the lag of its request, None while too few answers are known."""
        if not self._count:
            self._quick = self._lower = self._upper = seconds
        self._count += 1
        fence = self._upper + 1.5 * (self._upper - self._lower)
        lag = Lag(max(0.0, seconds - self._quick), seconds > fence)
        self._quick = _moved(self._quick, seconds, _QUICK)
        self._lower = _moved(self._lower, seconds, _LOWER)
        self._upper = _moved(self._upper, seconds, _UPPER)
        return lag if self._count > _KNOWN_AFTER else None


def _moved(quantile: float, seconds: float, share: float) -> float:
    """Return a quantile after one more answer: in balance where `share` of them are quicker."""
    return quantile * (1 + _STEP * (share if seconds > quantile else share - 1))
