"""A worker killed with SIGKILL, wherever it stands, costs seconds and never a row."""

from __future__ import annotations

import pytest

from tests.integration.faults.conftest import Row
from tests.integration.faults.rig import Rig


@pytest.mark.in_every_run
def test_without_a_fault_the_mirror_is_exact(rig: Rig, row: Row) -> None:
    rig.add_store()
    rig.beat()
    rig.worker()
    rig.struck()
    seconds = rig.exact()
    verdict = rig.settle()
    row("none", 0, len(verdict.lost), len(verdict.doubled), seconds)
    assert not verdict.wrong()
