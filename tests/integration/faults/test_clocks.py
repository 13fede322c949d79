"""Clocks five minutes apart change nothing: no host's clock is judged by another's.

A real process sees another time by libfaketime; without it the tests are skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sync.embedded import process
from sync.embedded.process import wait_until
from tests.integration.faults.conftest import Ends
from tests.integration.faults.rig import FEW, Rig, rigged, staged

_PLACES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
)
LIBRARY = next((place for place in _PLACES if Path(place).exists()), "")
pytestmark = pytest.mark.skipif(not LIBRARY, reason="libfaketime is not installed")


def shifted(minutes: int) -> dict[str, str]:
    """The environment of a process whose clock differs by some minutes; durations are true."""
    return {
        "LD_PRELOAD": LIBRARY,
        "FAKETIME": f"{minutes:+d}m",
        "DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": str(Path(__file__).parent / "faketime"),
    }


def begin(rig: Rig, *, beat: int = 0, worker: int = 0) -> None:
    rig.add_store(rig.open_account(), only=FEW)
    rig.churn(5)
    rig.start("beat", "beat", "--pidfile=", more=shifted(beat) if beat else {})
    rig.start("worker", "worker", "-Q", "feeds,crawls", more=shifted(worker) if worker else {})
    rig.struck()


@pytest.mark.in_every_run
def test_a_beat_that_is_behind_dispatches(rig: Rig, ends_exact: Ends) -> None:
    """A message has no expiry by the sender's clock, so a worker ahead of it does the work."""
    begin(rig, beat=-5)
    ends_exact(rig, "beat's clock 5 min behind", 1)


def test_a_beat_that_is_ahead_dispatches(rig: Rig, ends_exact: Ends) -> None:
    begin(rig, beat=+5)
    ends_exact(rig, "beat's clock 5 min ahead", 1)


@pytest.mark.parametrize("minutes", [-5, +5])
def test_a_worker_whose_clock_differs_works_and_says_so(
    rig: Rig, ends_exact: Ends, minutes: int
) -> None:
    """The difference is in the worker's log and row, for people; nothing is decided by it."""
    begin(rig, worker=minutes)
    worker = rig.programs[-1]
    wait_until(
        lambda: "this host's clock is not Postgres's" in worker.text(),
        seconds=60,
        what="the worker says that its clock differs",
    )
    rig.wait(
        lambda: abs((_ahead(rig) or 0) - 60 * minutes) < 10, "its row says by how much it differs"
    )
    ends_exact(rig, f"worker's clock {minutes:+d} min", 1)


def test_one_worker_behind_and_one_ahead_share_the_work(rig: Rig, ends_exact: Ends) -> None:
    """Ten minutes apart is longer than a message may be at work: none is lost or kept by that."""
    begin(rig, worker=-5)
    rig.start("worker", "worker", "-Q", "feeds,crawls", "-n", "b@%h", more=shifted(+5))
    ends_exact(rig, "workers' clocks 10 min apart", 1)


@pytest.mark.parametrize("minutes", [-5, +5])
@pytest.mark.parametrize("server", ["postgres", "valkey"])
def test_a_server_whose_clock_differs_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends_exact: Ends, server: str, minutes: int
) -> None:
    """Leases, claims and slots are each judged by one server's clock, whatever it says."""
    start, bare = process.start, process.bare_environment

    def starting(command: Sequence[str | Path], **named: Any) -> int:
        more = shifted(minutes) if server in Path(command[0]).name else {}
        monkeypatch.setattr(process, "bare_environment", lambda: bare() | more)
        return start(command, **named)

    monkeypatch.setattr(process, "start", starting)
    with staged() as stage, rigged(stage, tmp_path) as rig:
        begin(rig)
        ends_exact(rig, f"{server}'s clock {minutes:+d} min", 1)


def _ahead(rig: Rig) -> float | None:
    found = rig.value("SELECT max(ahead_seconds) FROM sync.worker WHERE ahead_seconds IS NOT NULL")
    return None if found is None else float(found)
