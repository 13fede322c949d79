"""Named points where a test may stop this process dead. Unarmed, a point is one comparison.

Armed only by `SYNC_TEST_FAULT=name:n[:action]` in the environment: the n-th passing of the point
kills the process (`kill`, SIGKILL to itself), stops it (`stop`, SIGSTOP), or raises TryLater
(`raise`). With a path in `SYNC_TEST_FAULT_FILE` the fault fires once among all processes: the file
is created by the one that fires.

`SYNC_TEST_SCALE=0.1` makes the waits of `scaled` ten times as short, all in one proportion, so
that what follows a lost lease or a tail can be watched in seconds.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from threading import Lock

from sync.errors import TryLater

POINTS = (
    "leased",
    "before_fetch",
    "after_fetch",
    "before_commit",
    "in_transaction",
    "after_commit",
    "before_acknowledge",
    "dispatch_claimed",
    "reconcile_counted",
    "reconcile_repaired",
    "sealed",
    "bookmarked",
    "planned",
)

_scale = float(os.environ.get("SYNC_TEST_SCALE", "") or 1)  # noqa: TID251  tests alone set it
_spec = os.environ.get("SYNC_TEST_FAULT", "")  # noqa: TID251  armed by the environment alone
_once = os.environ.get("SYNC_TEST_FAULT_FILE", "")  # noqa: TID251
_name, _, _rest = _spec.partition(":")
_nth, _, _action = _rest.partition(":")
_left = int(_nth or 1) if _spec else 0
_lock = Lock()


def scaled(seconds: float) -> float:
    """Seconds of a wait of ours, shortened in tests that watch what follows it."""
    return seconds * _scale


def point(name: str) -> None:
    """Pass a fault point; only a test's environment makes anything happen here."""
    if name != _name:
        return
    _strike()


def _strike() -> None:
    global _left  # noqa: PLW0603  the one counter of this process
    with _lock:
        _left -= 1
        if _left != 0:
            return
        if _once:
            try:
                Path(_once).touch(exist_ok=False)
            except FileExistsError:
                return
    if _action == "raise":
        raise TryLater(f"fault injected at {_name}")
    os.kill(os.getpid(), signal.SIGSTOP if _action == "stop" else signal.SIGKILL)
