"""The end of a slice, also for the answer that is being read then."""

from __future__ import annotations

from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sync.state.lanes import OVER_SECONDS, SLICE_SECONDS, STOP_SECONDS
from sync.work.context import Context


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ctx(clock: Clock) -> Context:
    """A slice that begins now."""
    anything = cast(Any, SimpleNamespace())
    return Context(
        anything, anything, {}, anything, anything, stop=cast(Any, Event()), monotonic=clock
    )


@pytest.mark.parametrize(
    ("over", "since_sent", "has_begun", "is_cut"),
    [
        (-SLICE_SECONDS / 2, 50, True, False),
        (OVER_SECONDS - 1, 100, True, False),
        (OVER_SECONDS + 1, 100, True, True),
        (OVER_SECONDS + 1, OVER_SECONDS - 1, True, False),  # asked for after the slice's end
        (200, OVER_SECONDS + 1, True, True),
        (OVER_SECONDS + 1, 100, False, False),  # of a slow account
    ],
)
def test_an_answer_is_cut_some_seconds_after_the_end(
    ctx: Context, clock: Clock, over: float, since_sent: float, has_begun: bool, is_cut: bool
) -> None:
    """One that drips ends with its slice; one that is merely slow to begin is waited for."""
    clock.now = ctx.deadline + over
    assert (ctx.cut(since_sent, has_begun) is not None) is is_cut


@pytest.mark.parametrize("has_begun", [False, True])
def test_every_answer_is_cut_when_the_worker_ends(
    ctx: Context, clock: Clock, has_begun: bool
) -> None:
    """It has some seconds, from when the end was noticed first."""
    assert ctx.cut(1, has_begun) is None
    ctx.stop.set()  # type: ignore[attr-defined]
    assert ctx.cut(1, has_begun) is None
    clock.now += STOP_SECONDS - 1
    assert ctx.cut(1, has_begun) is None
    clock.now += 1
    assert ctx.cut(1, has_begun) is not None
