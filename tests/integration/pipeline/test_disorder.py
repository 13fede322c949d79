"""Claims in disorder: a clock set back, an account restored, a store added again, slow lists."""

from __future__ import annotations

import pytest

from sync.state import accounts, coverage, stores
from tests.integration.pipeline.claims import watch, wrong
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror


def newest_first(mirror: Mirror) -> list[int]:
    return [key for _, key in mirror.account.collections["orders"].truth.order[::-1]]


def test_lost_work_that_is_done_again_otherwise_is_another_entry(mirror: Mirror) -> None:
    """A restored account gives the same ids again; the same record and field with another moment
    is another entry, also where no sample looks any more."""
    watch(mirror)
    mirror.pass_time(1)
    order = min(mirror.truth("orders"))
    mirror.account.back_up()
    mirror.pass_time(1)
    mirror.account.update_order(order, managerComment="first")
    for seconds in (*[30] * 8, 8_000, *[61] * 4):
        mirror.pass_time(seconds)
        mirror.feeds()
    assert wrong(mirror, "orders") == []
    mirror.pass_time(1)
    mirror.account.restore()
    mirror.pass_time(1)
    mirror.account.update_order(order, managerComment="second")
    for _ in range(20):
        mirror.pass_time(30)
        mirror.feeds()
        mirror.walks()
    assert wrong(mirror, "orders") == []


@pytest.mark.parametrize("ahead", [0, 3_600])
def test_a_look_is_clear_from_its_begin_by_the_clock_itself(mirror: Mirror, ahead: int) -> None:
    """Send moments never go back, the clock may: what a slow look takes is not claimed."""
    watch(mirror)
    mirror.pass_time(ahead)
    mirror.feeds()
    mirror.rows("UPDATE testclock.shift SET by = by - make_interval(secs => :a)", a=ahead)
    mirror.shift -= ahead
    mirror.sandbox.clock.advance(-ahead)
    mirror.pass_time(61)
    order = min(mirror.truth("orders"))
    mirror.account.update_order(order, managerComment="a")
    mirror.feeds()
    mirror.pass_time(61)

    def slow() -> None:
        mirror.account.update_order(order, managerComment="b")
        mirror.pass_time(100)

    with mirror.between("/api/v5/orders?", slow):
        mirror.work("order_history", "feed")
    mirror.work("customer_history", "feed")
    assert wrong(mirror, "orders") == []


def test_a_store_that_is_added_again_is_compared(mirror: Mirror) -> None:
    """A row that changed while the store was removed, and that a deletion moves past the walk, has
    been read by nobody although the counts agree."""
    watch(mirror)
    mirror.pass_time(1)
    with mirror.engine.begin() as connection:
        sealed = stores.sealed_key(connection, mirror.store_id)
        accounts.forget(connection, mirror.store_id)
    order = newest_first(mirror)
    mirror.account.update_order(order[20], managerComment="while it was away")
    mirror.pass_time(3_600)
    mirror.rows(
        "UPDATE sync.store SET enabled = true, api_key = :key, key_fingerprint = 'x'"
        " WHERE id = :store",
        key=sealed,
    )
    with mirror.engine.begin() as connection:
        accounts.take_up(connection, mirror.store_id, mirror.resources, load=True)
    mirror.feeds()
    with mirror.between("/api/v5/orders?", lambda: mirror.account.delete_order(order[0])):
        mirror.work("orders", "walk")
    mirror.settle(most=20)
    assert wrong(mirror, "orders") == []


def test_a_reset_mends_a_row_that_was_altered_here(mirror: Mirror) -> None:
    """Its hash is right, so only a comparison column by column finds it."""
    watch(mirror)
    mirror.pass_time(1)
    order = min(mirror.truth("orders"))
    mirror.rows(
        'UPDATE crm.orders SET raw = raw || \'{"managerComment": "by hand"}\''
        " WHERE store_id = :store AND id = :id",
        id=order,
    )
    with mirror.engine.begin() as connection:
        coverage.withdraw(connection, mirror.store_id, "orders")
        accounts.load_anew(connection, mirror.store_id, mirror.resources["orders"])
    mirror.settle(most=20)
    assert wrong(mirror, "orders") == []


def test_a_bookmark_goes_back_as_far_as_the_lateness_bound(open_mirror: Open) -> None:
    """Lists 25 minutes behind, in a store whose bound is an hour: a change shortly before the
    first load is in no walked list, so the feed has to tell of it."""
    mirror = open_mirror()
    mirror.rows("UPDATE sync.store SET least_lateness_seconds = 3600 WHERE id = :store")
    watch(mirror)
    mirror.sandbox.knobs.turn(list_lag_seconds=1_500)
    mirror.pass_time(7_200)
    order, other = sorted(mirror.truth("orders"))[:2]
    mirror.account.update_order(order, managerComment="not listed yet")
    mirror.pass_time(30)
    mirror.account.update_order(other, managerComment="the bookmark")
    mirror.pass_time(970)
    for turn in range(60):
        mirror.feeds()
        mirror.walks()
        mirror.pass_time(240)
        assert wrong(mirror, "orders") == [], turn
    assert mirror.coverage("orders").complete_as_of is not None
