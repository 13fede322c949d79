"""A worker killed with SIGKILL, wherever it stands, costs seconds and never a row."""

from __future__ import annotations

import time

import pytest

from sync.state import crawls
from sync.state.heartbeat import FRESH_SECONDS
from sync.work.prefetch import IN_FLIGHT
from sync.work.slices import CRASHES
from sync.work.windows.walk import PAGES_PER_COMMIT
from tests.integration.faults.conftest import Ends
from tests.integration.faults.rig import FEW, SCALE, Rig

# Which passing of each point strikes: in the middle of a load.
PASSES = {
    "leased": 6,
    "before_fetch": 25,
    "after_fetch": 25,
    "before_commit": 30,
    "in_transaction": 30,
    "after_commit": 30,
    "before_acknowledge": 12,
    "dispatch_claimed": 10,
    "bookmarked": 1,
    "planned": 1,
    "reconcile_counted": 1,
}
DISPATCH_SECONDS = 3.0
"""Beat looks once a second, which no scale shortens; and the machine is busy."""
CHAIN = ("planned", "leased", "in_transaction", "after_fetch", "before_acknowledge", "after_commit")


def test_without_a_fault_the_mirror_is_exact(rig: Rig, ends_exact: Ends) -> None:
    rig.add_store()
    rig.beat()
    rig.worker()
    rig.struck()
    ends_exact(rig, "none", 0)


@pytest.mark.parametrize("point", PASSES)
def test_a_worker_killed_at_a_point_loses_nothing(rig: Rig, ends_exact: Ends, point: str) -> None:
    """People go on working while it happens."""
    rig.add_store()
    rig.beat()
    rig.churn(5)
    rig.worker(f"{point}:{PASSES[point]}").wait_dead()
    rig.struck()
    rig.worker()
    ends_exact(rig, f"SIGKILL at {point}", 1)


@pytest.mark.in_every_run
def test_one_load_survives_a_kill_at_one_point_after_the_other(rig: Rig, ends_exact: Ends) -> None:
    rig.add_store()
    rig.beat()
    for point in CHAIN:
        rig.worker(f"{point}:{min(PASSES[point], 8)}").wait_dead()
    rig.struck()
    rig.worker()
    ends_exact(rig, "SIGKILL at six points in one load", len(CHAIN))


@pytest.mark.in_every_run
def test_the_lanes_of_a_killed_worker_stand_still_for_twenty_seconds_at_most(
    rig: Rig, ends_exact: Ends
) -> None:
    """By the clock of these tests two: the other worker takes them over, and goes on."""
    _slow_down(rig)
    rig.beat()
    worker, other = rig.worker(), rig.worker()
    lives = "SELECT 1 FROM sync.worker WHERE pid = %s"
    for each in (worker, other):
        rig.wait(lambda each=each: bool(rig.ask(lives, each.process.pid)), "it is at work")  # type: ignore[misc]
    leased = (
        "SELECT l.resource, l.lane, l.token FROM sync.lane AS l JOIN sync.worker AS w"
        " ON w.id = l.holder WHERE w.pid = %s ORDER BY 1, 2"
    )
    rig.wait(lambda: bool(rig.ask(leased, worker.process.pid)), "it holds a lease")
    worker.kill()
    rig.struck()
    held = rig.ask(leased, worker.process.pid)
    assert held
    rig.wait(lambda: rig.ask(leased, worker.process.pid) == [], "its leases are taken over")
    took = time.monotonic() - rig.began
    assert took < FRESH_SECONDS * SCALE + DISPATCH_SECONDS, f"{took:.1f} s"
    ends_exact(rig, "SIGKILL, another worker there", 1)


def test_one_load_survives_a_kill_every_few_writes(rig: Rig, ends_exact: Ends) -> None:
    rig.add_store()
    rig.beat()
    rig.churn(5)
    # One more, and a lane that happened to be at work each time would be parked for a person.
    kills = CRASHES
    for turn in range(kills):
        rig.worker(f"in_transaction:{7 + 5 * turn}").wait_dead()
    rig.struck()
    rig.worker()
    ends_exact(rig, "SIGKILL inside a transaction, again and again", kills)


def test_a_reconciler_killed_after_a_repair_goes_on_where_it_was(
    rig: Rig, ends_exact: Ends
) -> None:
    """Rows removed, aged and invented by hand are found and repaired all the same."""
    rig.add_store()
    rig.beat()
    first = rig.worker()
    rig.exact()
    assert first.terminate() == 0
    _spoil(rig)
    rig.worker("reconcile_repaired:1").wait_dead()
    rig.struck()
    rig.worker()
    rig.wait(
        lambda: rig.ask("SELECT 1 FROM sync.crawl WHERE deep AND state <> 'done'") == [],
        "the reconcile is done",
    )
    report = rig.value("SELECT report FROM sync.crawl WHERE deep")
    assert report == {"missing": 10, "stale": 10, "ghosts": 10}
    invented = rig.ask("DELETE FROM crm.orders WHERE id > 900000 RETURNING deleted_reason")
    assert invented == [("not_found",)] * 10
    ends_exact(rig, "SIGKILL at reconcile_repaired", 1)


def _spoil(rig: Rig) -> None:
    """Remove 10 orders, age 10 and invent 10, as nobody should, and ask for a deep reconcile."""
    rig.ask(
        "WITH gone AS (SELECT store_id, id FROM crm.orders WHERE deleted_at IS NULL"
        " ORDER BY id LIMIT 10), items AS (DELETE FROM crm.order_items AS i USING gone AS g"
        " WHERE i.store_id = g.store_id AND i.order_id = g.id)"
        " , payments AS (DELETE FROM crm.order_payments AS i USING gone AS g"
        " WHERE i.store_id = g.store_id AND i.order_id = g.id)"
        " DELETE FROM crm.orders AS o USING gone AS g"
        " WHERE o.store_id = g.store_id AND o.id = g.id"
    )
    rig.ask(
        "UPDATE crm.orders SET raw = raw || '{\"status\": \"spoiled\"}', status = 'spoiled'"
        " WHERE id IN (SELECT id FROM crm.orders ORDER BY id DESC LIMIT 10)"
    )
    rig.ask(
        "INSERT INTO crm.orders (store_id, id, number, created_on, listed_at, raw, content_hash,"
        " as_of, first_seen_at, changed_at) SELECT store_id, 900000 + id, number, created_on,"
        " listed_at, raw, content_hash, as_of, first_seen_at, changed_at FROM crm.orders"
        " WHERE deleted_at IS NULL ORDER BY id LIMIT 10"
    )
    services = rig.services()
    with services.engine.begin() as connection:
        crawls.queue_crawl(connection, rig.store_id, "orders", kind="reconcile", deep=True)
    services.engine.dispose()


@pytest.mark.in_ci
def test_killed_twice_and_redis_flushed_no_committed_page_is_walked_again(
    rig: Rig, ends_exact: Ends
) -> None:
    """Nobody works in the account, so that a page asked for twice is one that was in flight."""
    _slow_down(rig)
    rig.beat()
    for kill in range(2):
        worker = rig.worker()
        rig.wait_pages(4 + 5 * kill)
        worker.kill()
        killed, committed = time.time(), rig.committed()
        assert sum(committed.values()) < 15, "killed too late: the load was over"
        if kill == 1:
            rig.stage.servers.valkey.flush()
        if kill == 0:
            first = (committed, killed)
    rig.struck()
    rig.worker()
    ends_exact(rig, "SIGKILL twice in a load, Redis flushed", 3)
    assert rig.walked_again(first[0], since=first[1]) == []
    assert rig.walked_again(committed, since=killed) == []
    asked = rig.pages_asked()
    assert len(asked) - len(set(asked)) <= 2 * (IN_FLIGHT + PAGES_PER_COMMIT)


def test_sigterm_ends_a_slice_at_a_page_boundary(rig: Rig, ends_exact: Ends) -> None:
    """It exits 0 within seconds, gives its leases back, and the next worker goes on at once."""
    _slow_down(rig)
    beat = rig.beat()
    worker = rig.worker()
    rig.wait_pages(4)
    began = time.monotonic()
    assert worker.terminate(seconds=15) == 0
    assert time.monotonic() - began < 8
    asked, committed = time.time(), rig.committed()
    assert 0 < sum(committed.values()) < 15
    assert rig.ask("SELECT resource, lane FROM sync.lane WHERE lease_until > now()") == []
    assert rig.ask("SELECT resource, error FROM sync.lane WHERE error IS NOT NULL") == []
    assert beat.runs
    rig.struck()
    rig.worker()
    ends_exact(rig, "SIGTERM in a load", 1)
    assert rig.walked_again(committed, since=asked) == []


def _slow_down(rig: Rig) -> None:
    """A load of 15 pages of orders that takes several seconds."""
    rig.rate = 20
    rig.turn(rate=20, latency_ms=(30, 60))
    rig.add_store(rig.open_account(orders=1500, customers=200), only=FEW)
