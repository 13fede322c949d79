"""The places of this process: how many lanes of each kind it works on at once."""

from __future__ import annotations

from threading import BoundedSemaphore

from sync.state.heartbeat import USUAL_PLACES

_places = USUAL_PLACES
crawls = BoundedSemaphore(_places)
"""The places for crawls: a worker may be sent more of them than its share."""


def set_places(number: int) -> None:
    """Set the number of places for each kind of lanes, at least one, before any task begins."""
    global _places, crawls  # noqa: PLW0603  the process's own number
    _places = max(number, 1)
    crawls = BoundedSemaphore(_places)


def places() -> int:
    """Return the number of places for each kind of lanes."""
    return _places
