"""What a slice of work did, counted where it is written, without passing a counter around."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """Records read and rows written; a transaction that was run again counts again."""

    rows: int = 0
    changed: int = 0


_current: ContextVar[Tally | None] = ContextVar("tally", default=None)


@contextmanager
def counting() -> Iterator[Tally]:
    """Count what this thread writes meanwhile."""
    tally = Tally()
    token = _current.set(tally)
    try:
        yield tally
    finally:
        _current.reset(token)


def counted(*, rows: int = 0, changed: int = 0) -> Tally:
    """Add to the count that is being kept, and return where it stands."""
    tally = _current.get() or Tally()
    tally.rows += rows
    tally.changed += changed
    return Tally(tally.rows, tally.changed)
