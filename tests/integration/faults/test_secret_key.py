"""A wrong SYNC_SECRET_KEY is found before any work is taken, and costs nothing once put right."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sync import vault
from sync.errors import NeedsOperator
from sync.metrics.ready import readiness
from sync.work.services import require_secret_key
from tests.integration.faults.conftest import Ends
from tests.integration.faults.rig import FEW, Rig

WORDS = "SYNC_SECRET_KEY is not the key that encrypted the API keys of"


@pytest.mark.in_every_run
def test_a_wrong_key_takes_no_work_and_costs_nothing(
    rig: Rig, ends_exact: Ends, tmp_path: Path
) -> None:
    """The worker ends with a sentence, no lane is parked or failing; the right key works."""
    rig.add_store(rig.open_account(orders=120, customers=20), only=FEW)
    health = tmp_path / "health"
    touched = {"SYNC_HEALTH_DIR": str(health)}
    rig.start("beat", "beat", "--pidfile=", more=touched)
    right, rig.key = rig.key, vault.Key.generate()
    services = rig.services()
    with pytest.raises(NeedsOperator, match=WORDS):
        require_secret_key(services)
    assert readiness(services)["secret_key"]["ok"] is False
    services.engine.dispose()
    wrong = rig.worker()
    rig.key = right
    assert wrong.process.wait(60) == 1, wrong.text()
    assert WORDS in wrong.text()
    assert "Traceback" not in wrong.text()
    rig.programs.remove(wrong)
    assert rig.value("SELECT count(*) FROM sync.lane WHERE token > 0") == 0

    rig.start("worker", "worker", "-Q", "feeds,crawls", more=touched)
    rig.struck()
    rig.wait(
        lambda: {path.name for path in health.glob("*")} == {"beat", "feeds", "crawls"},
        "each file of the health checks is touched",
    )
    assert all(time.time() - path.stat().st_mtime < 60 for path in health.glob("*"))
    ends_exact(rig, "a worker with a wrong secret key", 1)


def test_a_key_that_turns_wrong_parks_nothing(rig: Rig) -> None:
    """Rows sealed by another key while a worker runs are waited for, not given up."""
    rig.add_store(rig.open_account(orders=20, customers=5), only=FEW)
    rig.worker()
    rig.wait(lambda: "ready" in rig.programs[0].text(), "the worker runs")
    sealed = rig.value("SELECT api_key FROM sync.store WHERE id = %s", rig.store_id)
    other = vault.seal("a" * 32, key=vault.Key.generate(), store_id=rig.store_id)
    rig.ask("UPDATE sync.store SET api_key = %s WHERE id = %s", other, rig.store_id)
    rig.beat()
    rig.wait(
        lambda: bool(rig.value("SELECT count(*) FROM sync.lane WHERE error LIKE %s", f"%{WORDS}%")),
        "a lane says why it waits",
    )
    assert rig.value("SELECT count(*) FROM sync.lane WHERE parked_at IS NOT NULL") == 0
    rig.ask("UPDATE sync.store SET api_key = %s WHERE id = %s", sealed, rig.store_id)
    rig.struck()
    rig.exact()
