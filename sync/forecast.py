"""Progress, pace and the time left, from counts of pages alone. No I/O.

A pace is a mean at first and forgets with time: pages read in the last minutes count most, a night
without a worker does not count at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

MEMORY_SECONDS = 300.0
"""A pace follows a change of the real one in about so long."""
GAP_SECONDS = 120.0
"""The longest pause between two samples that is work; a longer one was none."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Pages read until a sample, and the pages a second of late.

    `seconds` is the time measured so far; `per_second` is None until there is any.
    """

    pages: int
    per_second: float | None = None
    seconds: float = 0.0


def paced(before: Pace | None, *, pages: int, elapsed_seconds: float) -> Pace:
    """Return the pace after a sample that was taken so long after the one before."""
    if before is None or pages < before.pages:
        return Pace(pages)
    if not 0 < elapsed_seconds <= GAP_SECONDS:
        return Pace(pages, before.per_second, before.seconds)
    now = (pages - before.pages) / elapsed_seconds
    seconds = before.seconds + elapsed_seconds
    if before.per_second is None:
        return Pace(pages, now, seconds)
    weight = max(1 - math.exp(-elapsed_seconds / MEMORY_SECONDS), elapsed_seconds / seconds)
    return Pace(pages, before.per_second + weight * (now - before.per_second), seconds)


@dataclass(frozen=True, slots=True)
class Way:
    """Pages read of those there are, and the pages a second of late; `total` is None if unknown."""

    done: int
    total: int | None
    per_second: float | None = None

    @property
    def share(self) -> float | None:
        """The part that is done, from 0 to 1; None when the total is unknown."""
        return None if not self.total else min(self.done / self.total, 1.0)

    @property
    def left_seconds(self) -> float | None:
        """The time that the rest takes at this pace; None when it cannot be told."""
        if not self.total or not self.per_second:
            return None
        return max(self.total - self.done, 0) / self.per_second

    @property
    def percent(self) -> str:
        """`62 %`; never 100 % before all is done, and empty when unknown."""
        if self.share is None:
            return ""
        return f"{math.floor(self.share * 100)} %"

    @property
    def words(self) -> str:
        """`62 %, 41 min left`, or as much of it as is known."""
        left = self.left_seconds
        told = "" if left is None else f"{duration(left)} left" if left >= 1 else "almost done"
        return ", ".join(part for part in (self.percent, told) if part)


def together(ways: Iterable[Way], *, per_second: float | None) -> Way:
    """Return many ways as one, read at a pace that was measured for all of them together."""
    found = list(ways)
    known = [each.total for each in found if each.total is not None]
    return Way(
        sum(each.done for each in found),
        sum(known) if len(known) == len(found) and known else None,
        per_second,
    )


def duration(seconds: float) -> str:
    """Format seconds as `4 s`, `3 min`, `2.5 h`, `3 d`."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"
