"""The sandbox's own time: real by default, frozen or moved by a test."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


class Clock:
    """Seconds since the epoch. A frozen clock moves only by `advance`."""

    def __init__(self, frozen_at: float | None = None) -> None:
        self._frozen_at = frozen_at
        self._shift = 0.0

    def now(self) -> float:
        return time.time() + self._shift if self._frozen_at is None else self._frozen_at

    def freeze(self, at: float | None = None) -> float:
        self._frozen_at = self.now() if at is None else at
        return self._frozen_at

    def advance(self, seconds: float) -> float:
        """Move the clock forward, frozen or not."""
        if self._frozen_at is None:
            self._shift += seconds
        else:
            self._frozen_at += seconds
        return self.now()

    def release(self) -> float:
        """Let a frozen clock run again from its present time."""
        if self._frozen_at is not None:
            self._shift = self._frozen_at - time.time()
            self._frozen_at = None
        return self.now()


class LocalTime:
    """The CRM's local time: `offset` seconds off, in the zone of the account."""

    def __init__(self, clock: Clock, zone: str, offset: Callable[[], float]) -> None:
        self.clock, self._offset = clock, offset
        self.zone_name, self.zone = zone, ZoneInfo(zone)

    def local(self, at: float) -> str:
        return local_text(at + self._offset(), self.zone)

    def move_to(self, zone: str) -> None:
        """Change the zone; dates written earlier keep their text."""
        self.zone_name, self.zone = zone, ZoneInfo(zone)


def local_text(at: float, zone: ZoneInfo) -> str:
    """Format as `Y-m-d H:i:s` in a zone: the usual form of the API, without an offset."""
    return datetime.fromtimestamp(int(at), zone).isoformat(" ")[:19]


def offset_text(at: float, zone: ZoneInfo) -> str:
    """Format as `Y-m-d H:i:sP`, as in carts and bonus cursors."""
    return datetime.fromtimestamp(int(at), zone).isoformat(" ")


def doubled_hours(zone: ZoneInfo, since: float, until: float) -> list[float]:
    """Return the moments at which an hour that occurs twice begins first (clocks go back)."""
    found: list[float] = []
    at = datetime.fromtimestamp(since - since % 3600, UTC)
    end = datetime.fromtimestamp(until, UTC)
    step = timedelta(days=1)
    while at < end:
        here, there = at.astimezone(zone).utcoffset(), (at + step).astimezone(zone).utcoffset()
        if here is not None and there is not None and there < here:
            moment = at
            while moment.astimezone(zone).utcoffset() == here:
                moment += timedelta(hours=1)
            found.append(moment.timestamp() - 3600)
        at += step
    return found
