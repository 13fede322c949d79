"""People at work while the load runs: missing 0, deleted but live 0, stale 0."""

from __future__ import annotations

import pytest

from sync.embedded.process import wait_for
from tests.integration.faults.conftest import Ends
from tests.integration.faults.rig import FEW, Rig


@pytest.mark.in_ci
def test_twenty_changes_a_second_during_a_load(rig: Rig, ends_exact: Ends) -> None:
    rig.rate = 20
    rig.turn(rate=20, latency_ms=(50, 120))
    rig.add_store(rig.open_account(orders=1500, customers=400), only=FEW)
    rig.churn(20)
    rig.beat()
    rig.worker()
    rig.wait_pages(15)
    rig.struck()
    ends_exact(rig, "20 changes a second, 1,500 orders", 1)


@pytest.mark.timeout(900)
def test_twenty_changes_a_second_during_a_whole_load(rig: Rig, ends_exact: Ends) -> None:
    """The size people have: 20,000 orders, 10 requests a second, 250 to 350 ms an answer.

    Their history is 170,000 entries, so its walk alone is three minutes of the budget.
    """
    rig.rate = 10
    rig.turn(rate=10, latency_ms=(250, 350))
    rig.add_store(rig.open_account(orders=20_000, customers=2_000), only=FEW)
    rig.churn(20)
    rig.beat()
    rig.worker()
    wait_for(60)
    rig.wait_pages(150)
    rig.struck()
    ends_exact(rig, "20 changes a second, 20,000 orders", 1, seconds=700)
