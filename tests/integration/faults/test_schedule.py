"""Beat and the broker are hints: missing, doubled or late, they change nothing but the hour."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.faults.conftest import Ends
from tests.integration.faults.rig import Rig

TWICE = "tests.integration.faults.twice"


def test_beat_killed_and_started_again(rig: Rig, ends_exact: Ends) -> None:
    rig.add_store()
    rig.churn(5)
    rig.worker()
    for _ in range(3):
        before = rig.pages_done("order_history")
        beat = rig.beat()
        rig.wait(
            lambda before=before: rig.pages_done("order_history") > before,  # type: ignore[misc]
            "the load goes on",
        )
        beat.kill()
    rig.struck()
    rig.beat()
    ends_exact(rig, "beat killed", 3)


def test_two_beats_two_workers(rig: Rig, ends_exact: Ends) -> None:
    rig.add_store()
    rig.churn(5)
    for _ in range(2):
        rig.beat()
        rig.worker()
    rig.struck()
    ends_exact(rig, "two beats, two workers", 1)


@pytest.mark.in_ci
def test_every_task_delivered_twice(rig: Rig, ends_exact: Ends) -> None:
    rig.add_store()
    rig.churn(5)
    rig.beat(app=TWICE)
    for _ in range(2):
        rig.worker(app=TWICE)
    rig.struck()
    ends_exact(rig, "every task delivered twice", 1)


@pytest.mark.in_every_run
def test_a_worker_that_gets_no_message_is_healthy_while_it_asks_for_one(
    rig: Rig, tmp_path: Path
) -> None:
    """Beat's messages may all go to one of a queue's workers; the others consume it as well."""
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        told = {"SYNC_HEALTH_DIR": str(folder)}
        rig.start("worker", "worker", "-Q", "crawls", "-n", f"{folder.name}@%h", more=told)

    def touched() -> list[float]:
        return [path.stat().st_mtime for each in folders for path in each.glob("crawls")]

    rig.wait(lambda: len(touched()) == 2, "each worker's file is there, without beat")
    first = max(touched())
    rig.wait(lambda: min(touched()) > first, "each is touched again")
