"""Named fault points, where a test may stop this process. Without a test a point is one comparison.

Only `SYNC_TEST_FAULT=name:n[:action]` in the environment activates a point: the n-th passing kills
the process (`kill`, SIGKILL to itself), stops it (`stop`, SIGSTOP), or raises TryLater (`raise`).
With a path in `SYNC_TEST_FAULT_FILE` the fault fires once among all processes: the process that
fires creates the file.

`SYNC_TEST_SCALE=0.1` makes all waits of `scaled` ten times as short, so that a test can watch the
end of a lease or of a tail within seconds.
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

_scale = float(os.environ.get("SYNC_TEST_SCALE", "") or 1)  # noqa: TID251  only tests set it
_spec = os.environ.get("SYNC_TEST_FAULT", "")  # noqa: TID251  only tests set it
_once = os.environ.get("SYNC_TEST_FAULT_FILE", "")  # noqa: TID251
_name, _, _rest = _spec.partition(":")
_nth, _, _action = _rest.partition(":")
_left = int(_nth or 1) if _spec else 0
_lock = Lock()


def scaled(seconds: float) -> float:
    """Return the seconds of a wait, shortened by SYNC_TEST_SCALE in tests."""
    return seconds * _scale


def point(name: str) -> None:
    """Pass a fault point, which has an effect only in a test's environment."""
    if name != _name:
        return
    _strike()


def _strike() -> None:
    global _left  # noqa: PLW0603  the process's only counter
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
