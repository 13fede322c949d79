"""A chart of the request budget's last hour: used, waited, refused, by store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sync.web.queries import Use

MINUTES = 60
SHOWN = 5
"""Stores with a colour of their own; all others share one."""
WIDTH, HEIGHT = 600, 120
_STEP = WIDTH / MINUTES


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle of the chart; `kind` is its CSS class."""

    x: float
    y: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class StoreUse:
    """The use of one store in the hour."""

    name: str
    kind: str
    granted: int
    waited_seconds: float
    refused: int

    @property
    def mean_wait_seconds(self) -> float | None:
        """Average seconds a request waited for its slot."""
        return self.waited_seconds / self.granted if self.granted else None


@dataclass(frozen=True, slots=True)
class BudgetPicture:
    """Bars of used requests with refusals on top, a line for the limit, waits below."""

    bars: Sequence[Bar]
    waits: Sequence[Bar]
    stores: Sequence[StoreUse]
    limit_y: float
    most: float
    longest_wait: float
    total: int = 0
    refused: int = 0
    waited_seconds: float = 0.0
    step: float = field(default=_STEP)

    @property
    def mean_wait_seconds(self) -> float | None:
        """Average seconds a request waited for its slot, over all stores."""
        return self.waited_seconds / self.total if self.total else None


def budget(uses: Iterable[Use], *, limit: float) -> BudgetPicture:
    """Build the chart; `limit` is in requests a second."""
    uses = list(uses)
    by_store: dict[str, list[Use]] = defaultdict(list)
    for use in uses:
        by_store[use.store].append(use)
    ranked = sorted(by_store, key=lambda name: -sum(u.granted for u in by_store[name]))
    kind = {name: f"use-{rank}" if rank < SHOWN else "use-rest" for rank, name in enumerate(ranked)}
    granted: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    refused: dict[int, int] = defaultdict(int)
    waited: dict[int, float] = defaultdict(float)
    for use in uses:
        granted[use.minute][kind[use.store]] += use.granted
        refused[use.minute] += use.refused
        waited[use.minute] += use.waited_seconds
    full = limit * 60
    most = max([full, *(sum(each.values()) for each in granted.values())])
    bars: list[Bar] = []
    waits: list[Bar] = []
    order = [f"use-{rank}" for rank in range(SHOWN)] + ["use-rest"]
    mean = {m: waited[m] / (sum(granted[m].values()) or 1) for m in granted}
    longest = max([1.0, *mean.values()])
    for minute, mine in granted.items():
        x, y = WIDTH - (minute + 1) * _STEP, float(HEIGHT)
        for name in order:
            height = mine.get(name, 0) / most * HEIGHT
            if height:
                y -= height
                bars.append(Bar(round(x, 2), round(y, 2), round(height, 2), name))
        if refused[minute]:
            height = max(refused[minute] / most * HEIGHT, 3.0)
            bars.append(Bar(round(x, 2), round(max(y - height, 0), 2), round(height, 2), "refused"))
        depth = mean[minute] / longest * 28
        if depth >= 0.3:
            waits.append(Bar(round(x, 2), 0, round(depth, 2), "waited"))
    return BudgetPicture(
        bars=bars,
        waits=waits,
        stores=[
            StoreUse(
                name,
                kind[name],
                sum(u.granted for u in by_store[name]),
                sum(u.waited_seconds for u in by_store[name]),
                sum(u.refused for u in by_store[name]),
            )
            for name in ranked
        ],
        limit_y=round(HEIGHT - full / most * HEIGHT, 2),
        most=most,
        longest_wait=longest,
        total=sum(use.granted for use in uses),
        refused=sum(use.refused for use in uses),
        waited_seconds=sum(use.waited_seconds for use in uses),
    )
