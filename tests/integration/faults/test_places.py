"""Accounts whose answers drip hold their part of a worker, and no longer than it lets them."""

from __future__ import annotations

import pytest

from tests.integration.faults.conftest import Ends
from tests.integration.faults.rig import Rig

DRIPPING = 4
# A walk of a history that sets its bookmark holds the feed's lease too, and asks with one thread.
HELD = """
    SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM sync.lane AS l
        WHERE store_id = ANY(%s) AND holder IS NOT NULL AND NOT (lane = 'feed' AND EXISTS (
            SELECT FROM sync.lane AS w WHERE w.store_id = l.store_id AND w.resource = l.resource
                AND w.lane = 'walk' AND w.holder IS NOT NULL))
        GROUP BY store_id, lane) AS held
"""
OPEN = """
    SELECT count(*) FROM sync.crawl WHERE store_id = %s AND state IN ('pending', 'running')
"""


def drip(rig: Rig, accounts: list[str]) -> None:
    """Let every answer of some accounts come a byte every five seconds."""
    rig.turn(fault_share={"drip": 1.0}, fault_accounts=accounts)


def asked(rig: Rig, accounts: list[str]) -> bool:
    """Whether each of the accounts is sending an answer."""
    found = rig.stage.oracle("requests")["requests"]
    return {each["account"] for each in found if each["fault"] == "drip"} >= set(accounts)


@pytest.mark.in_every_run
def test_accounts_that_drip_leave_the_places_to_the_others(rig: Rig) -> None:
    """An account that answers nothing is asked by one lane of a kind, whoever waits; a store that
    is added meanwhile is loaded as if it were alone."""
    accounts = [rig.open_account(orders=20, customers=10) for _ in range(DRIPPING)]
    ids = [rig.add_store(each) for each in accounts]
    drip(rig, accounts)
    rig.worker()
    rig.beat()
    rig.wait(lambda: asked(rig, accounts), "every account that drips is asked")
    healthy = rig.add_store(rig.open_account(orders=20, customers=10))
    most = 0

    def is_loaded() -> bool:
        nonlocal most
        most = max(most, rig.value(HELD, ids))
        return bool(rig.value(OPEN, healthy) == 0)

    rig.wait(is_loaded, "the other store's crawls are done", seconds=250)
    assert most == 1, "one lane of a kind asks an account that answers nothing"


@pytest.mark.in_ci
def test_a_worker_ends_in_time_beside_answers_that_drip(rig: Rig, ends_exact: Ends) -> None:
    """SIGTERM cuts the answers that are being read, and what they were for is handed back: the
    next worker asks for it, and nothing is lost."""
    rig.add_store()
    rig.beat()
    worker = rig.worker()
    rig.wait_pages(1)
    drip(rig, [rig.account])
    rig.wait(lambda: asked(rig, [rig.account]), "an answer drips")
    assert worker.terminate(seconds=30) == 0
    assert rig.value("SELECT count(*) FROM sync.lane WHERE holder IS NOT NULL") == 0
    drip(rig, ["nobody"])
    rig.struck()
    rig.worker()
    ends_exact(rig, "SIGTERM while answers drip", 1)
