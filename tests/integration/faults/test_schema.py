"""An older dump is restored under workers that run: they wait for `migrate`, and go on."""

from __future__ import annotations

import pytest

from sync.database import migrate, revisions
from sync.errors import TryLater
from tests.integration.faults.conftest import Ends
from tests.integration.faults.rig import FEW, Rig

WAITS = "work waits for the schema"


def test_an_older_schema_under_workers_is_waited_for(rig: Rig, ends_exact: Ends) -> None:
    """Neither worker nor beat ends, logs missing relations, or parks anything."""
    rig.add_store(only=FEW)
    rig.churn(5)
    beat, worker = rig.beat(), rig.worker()
    rig.wait_pages(1)
    url = rig.stage.url_of(rig.database)

    def is_older() -> bool:
        try:
            migrate.downgrade(url, revisions.known()[-2])
        except (TryLater, OSError):
            return False
        except Exception as error:  # a lock that a worker holds; the next try gets it
            return "lock timeout" not in str(error) and pytest.fail(str(error))
        return True

    rig.wait(is_older, "the schema is an older one")
    rig.wait(lambda: WAITS in worker.text() and WAITS in beat.text(), "both say that they wait")
    assert rig.value("SELECT count(*) FROM sync.lane WHERE parked_at IS NOT NULL") == 0
    migrate.upgrade(url)
    rig.struck()
    ends_exact(rig, "an older schema under workers, then migrate", 1)
    assert "does not exist" not in worker.text()
    assert "Traceback" not in worker.text()
    assert [beat.process.returncode, worker.process.returncode] == [0, 0]
