"""The counts of a slice of work, kept in a context variable, without passing a counter around."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """Records read and rows changed; a transaction that is retried counts again."""

    rows: int = 0
    changed: int = 0


_current: ContextVar[Tally | None] = ContextVar("tally", default=None)


@contextmanager
def counting() -> Iterator[Tally]:
    """Count what this thread writes inside the block."""
    tally = Tally()
    token = _current.set(tally)
    try:
        yield tally
    finally:
        _current.reset(token)


def counted(*, rows: int = 0, changed: int = 0) -> Tally:
    """Add to the current counts, if any; return a copy of them."""
    tally = _current.get() or Tally()
    tally.rows += rows
    tally.changed += changed
    return Tally(tally.rows, tally.changed)
