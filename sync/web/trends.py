"""Charts over a week: lag, rows, requests, waits, refusals, memory; each a line drawn as SVG."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sync.state.samples import KEEP_DAYS, Sample
from sync.web import formatting

WIDTH, HEIGHT = 300, 56
GAP = dt.timedelta(hours=1)
"""The longest pause that a line bridges: none was sampled while no worker ran."""


@dataclass(frozen=True, slots=True)
class Trend:
    """A chart: the lines as points of SVG, the highest and the last value in words."""

    title: str
    lines: Sequence[str]
    most: str
    last: str


def trends(
    found: Sequence[Sample], memory: Sequence[tuple[dt.datetime, int]], *, now: dt.datetime
) -> list[Trend]:
    """Return the charts that have anything to show."""
    if len(found) < 2:
        return []
    hours = 4.0  # quarters in an hour

    def trend(title: str, value: Callable[[Sample], float | None], words: Words) -> Trend | None:
        points = [(each.at, value(each)) for each in found]
        return _trend(title, [(at, v) for at, v in points if v is not None], words, now=now)

    made = [
        trend("Longest lag", lambda s: s.lag_seconds, formatting.duration),
        trend("Rows written an hour", lambda s: s.rows * hours, formatting.number),
        trend("Requests a minute", lambda s: s.requests / 15, formatting.number),
        trend("Mean wait for a slot", lambda s: s.waited_seconds / (s.requests or 1),
              lambda v: f"{v or 0:.2f} s"),
        trend("Refused (503) an hour", lambda s: s.refused * hours, formatting.number),
        _trend("Memory of the worker", [(at, float(v)) for at, v in memory], formatting.size,
               now=now),
    ]  # fmt: skip
    return [each for each in made if each is not None]


Words = Callable[[float | None], str]


def _trend(
    title: str, points: Sequence[tuple[dt.datetime, float]], words: Words, *, now: dt.datetime
) -> Trend | None:
    if len(points) < 2:
        return None
    begin, span = now - dt.timedelta(days=KEEP_DAYS), dt.timedelta(days=KEEP_DAYS)
    most = max(value for _, value in points)
    lines: list[list[str]] = [[]]
    before: dt.datetime | None = None
    for at, value in points:
        if before is not None and at - before > GAP:
            lines.append([])
        x = (at - begin) / span * WIDTH
        y = HEIGHT - (value / most * (HEIGHT - 4) if most else 0) - 2
        lines[-1].append(f"{x:.1f},{y:.1f}")
        before = at
    return Trend(
        title, [" ".join(line) for line in lines if line], words(most), words(points[-1][1])
    )
