"""Redis and Postgres lost for a while: Postgres is the truth, and nothing is lost with Redis."""

from __future__ import annotations

import pytest

from sync.embedded import Shutdown
from sync.embedded.process import wait_for
from tests.integration.faults.conftest import Ends
from tests.integration.faults.rig import FEW, Rig


@pytest.fixture
def loading(rig: Rig) -> Rig:
    """A worker in the middle of a load, people at work meanwhile."""
    rig.rate = 30
    rig.turn(rate=30)
    rig.add_store(rig.open_account(), only=FEW)
    rig.churn(5)
    rig.beat()
    rig.worker()
    rig.wait_pages(1)
    return rig


def test_redis_flushed(loading: Rig, ends_exact: Ends) -> None:
    flushes = 3
    for _ in range(flushes):
        before = loading.pages_done("order_history")
        loading.stage.servers.valkey.flush()
        loading.wait(
            lambda before=before: loading.pages_done("order_history") > before,  # type: ignore[misc]
            "the load goes on",
        )
    loading.struck()
    ends_exact(loading, "Redis flushed", flushes)


def test_redis_restarted(loading: Rig, ends_exact: Ends) -> None:
    loading.stage.servers.valkey.restart()
    loading.struck()
    ends_exact(loading, "Redis restarted", 1)


def test_redis_killed(loading: Rig, ends_exact: Ends) -> None:
    loading.stage.servers.valkey.kill()
    wait_for(3)
    loading.stage.servers.valkey.start()
    loading.struck()
    ends_exact(loading, "Redis killed, back after 3 s", 1)


@pytest.mark.in_ci
def test_postgres_restarted_as_after_a_power_cut(loading: Rig, ends_exact: Ends) -> None:
    loading.stage.servers.postgres.restart(Shutdown.IMMEDIATE)
    loading.struck()
    ends_exact(loading, "Postgres restarted, immediate", 1)


def test_postgres_restarted_again_and_again(loading: Rig, ends_exact: Ends) -> None:
    for _ in range(4):
        loading.stage.servers.postgres.restart(Shutdown.IMMEDIATE)
        wait_for(1)
    loading.struck()
    ends_exact(loading, "Postgres restarted, immediate, a second apart", 4)


def test_postgres_refuses_connections(loading: Rig, ends_exact: Ends) -> None:
    loading.stage.servers.postgres.stop()
    wait_for(20)
    loading.stage.servers.postgres.start()
    loading.struck()
    ends_exact(loading, "Postgres refusing connections for 20 s", 1)


def test_postgres_frozen(loading: Rig, ends_exact: Ends) -> None:
    """Connections hang rather than fail, longer than a lease lasts."""
    loading.stage.servers.postgres.pause()
    wait_for(10)
    loading.stage.servers.postgres.resume()
    loading.struck()
    ends_exact(loading, "Postgres frozen for 10 s", 1)


FULL_DISK = """
CREATE SEQUENCE public.full_disk;
CREATE FUNCTION public.full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF mod(nextval('public.full_disk'), 3) = 0 THEN
        RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
    END IF;
    RETURN NULL;
END $$;
"""


def test_a_full_disk_is_waited_for(rig: Rig, ends_exact: Ends) -> None:
    """Every third batch fails inside its transaction, with Postgres's own SQLSTATE 53100."""
    rig.add_store()
    rig.ask(FULL_DISK)
    for table in ("orders", "order_items", "customers", "order_history"):
        rig.ask(
            f"CREATE TRIGGER full_disk AFTER INSERT ON crm.{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION public.full_disk()"
        )
    rig.churn(5)
    rig.beat()
    rig.worker()
    rig.wait(lambda: _failures(rig) >= 8, "the disk was full eight times")
    for table in ("orders", "order_items", "customers", "order_history"):
        rig.ask(f"DROP TRIGGER full_disk ON crm.{table}")
    failures = _failures(rig)
    rig.struck()
    ends_exact(rig, "disk full (53100) inside the load", failures)


def _failures(rig: Rig) -> int:
    return int(rig.value("SELECT last_value FROM public.full_disk") or 0) // 3
