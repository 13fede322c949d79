"""Records that never answer: everything else is here, they are named, and a person decides."""

from __future__ import annotations

import pytest

from sync.sandbox.reference import CANCELLED
from sync.state import operations, stores
from sync.state.status import statuses
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror, small

LISTED = "/api/v5/orders"


def poison(mirror: Mirror, *orders: int) -> None:
    mirror.sandbox.knobs.turn(poison={"orders": list(orders)})


def told(mirror: Mirror) -> str:
    """What status says of orders."""
    with mirror.engine.begin() as connection:
        known = stores.by_id(connection, mirror.store_id)
        assert known is not None
        [one] = statuses(connection, [known], order=["orders"])
    return next(each.error or "" for each in one.resources if each.resource == "orders")


def asked_for(mirror: Mirror) -> int:
    return sum(path.startswith(LISTED) and "history" not in path for path in mirror.wire.paths)


def test_three_orders_that_never_answer_amid_a_first_load(open_mirror: Open) -> None:
    """All others are here at once; the three are named; requests are bounded."""
    mirror = open_mirror(orders=300, resources=small(page_size=100))
    bad = sorted(mirror.truth("orders"))[50:250:90]
    poison(mirror, *bad)
    mirror.wire.paths.clear()
    for _ in range(12):
        mirror.feeds()
        mirror.walks()
        mirror.pass_time(20)
    first = asked_for(mirror)
    assert mirror.live("orders").keys() == mirror.truth("orders").keys() - set(bad)
    mirror.wire.paths.clear()
    for _ in range(12):
        mirror.pass_time(300)
        mirror.feeds()
        mirror.walks()
    print(f"requests of orders: {first} in four minutes, {asked_for(mirror)} in an hour after")
    assert first < 250
    assert asked_for(mirror) < 250
    assert mirror.coverage("orders").state == "attention"
    assert mirror.coverage("orders").complete_as_of is None
    assert all(str(order) in told(mirror) for order in bad), told(mirror)
    assert mirror.coverage("order_history").state == "following"


def test_an_order_that_stops_answering_holds_nothing_up(mirror: Mirror) -> None:
    """A change of it is told: what is told of the others is read in the same look."""
    orders = sorted(mirror.truth("orders"))
    bad, others = orders[7], [order for order in orders if order != orders[7]]
    poison(mirror, bad)
    for turn in range(3):
        for order in orders:
            mirror.account.update_order(order, managerComment=f"turn {turn}")
        mirror.work("order_history", "feed")
        live = mirror.live("orders")
        assert {live[order]["managerComment"] for order in others} == {f"turn {turn}"}
        mirror.pass_time(15)
    held = mirror.coverage("orders").complete_as_of
    mirror.pass_time(1_000)
    mirror.feeds()
    assert mirror.coverage("orders").complete_as_of == held
    assert mirror.coverage("orders").state == "attention"
    assert str(bad) in told(mirror)
    poison(mirror)
    mirror.pass_time(3_700)
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()
    assert mirror.coverage("orders").state == "following"


def sums(mirror: Mirror) -> dict[int, object]:
    """Customers' sums, here as the rows are and as the CRM has them, where they differ."""
    here = {row.id: row.raw for row in mirror.rows("SELECT id, raw FROM crm.customers")}
    truth = mirror.sandbox.truth(mirror.account.name, "customers")
    return {
        each["id"]: (here[each["id"]].get("totalSumm"), each["totalSumm"])
        for each in truth
        if here[each["id"]].get("totalSumm") != each["totalSumm"]
    }


def test_the_sums_of_customers_are_right_though_their_order_cannot_be_had(mirror: Mirror) -> None:
    """What its row and its entries name is read again; one that was never here may name any
    customer: they are in doubt until they were compared."""
    buyers = {
        key: record.customer
        for key, record in mirror.account.collections["orders"].truth.live.items()
    }
    [bad, *_] = [
        key
        for key, order in mirror.truth("orders").items()
        if buyers[key] is not None and order["status"] not in CANCELLED
    ]
    poison(mirror, bad)
    mirror.account.update_order(bad, status="cancel-other")
    assert sums(mirror)
    for _ in range(6):
        mirror.pass_time(15)
        mirror.feeds()
    assert sums(mirror) == {}
    [customer, *_] = sorted(mirror.truth("customers"))
    born = mirror.account.create_order(customer=customer)
    poison(mirror, bad, born)
    changed = mirror.now()
    for _ in range(12):
        mirror.pass_time(15)
        mirror.feeds()
    assert sums(mirror) == {}
    assert mirror.coverage("customers").complete_as_of.timestamp() <= changed
    for _ in range(12):
        mirror.walks()
        mirror.pass_time(15)
        mirror.feeds()
    assert sums(mirror) == {}
    assert mirror.coverage("customers").complete_as_of.timestamp() > changed


def test_a_record_that_was_accepted_holds_coverage_no_more(mirror: Mirror) -> None:
    """Analysts see it in crm.known_gaps, until it answers after all."""
    bad = sorted(mirror.truth("orders"))[7]
    poison(mirror, bad)
    mirror.account.update_order(bad, managerComment="unseen")
    mirror.work("order_history", "feed")
    held = mirror.coverage("orders").complete_as_of
    mirror.pass_time(1_000)
    mirror.feeds()
    with mirror.engine.begin() as connection:
        known = stores.by_id(connection, mirror.store_id)
        assert known is not None
        operations.accept(
            connection, known, "orders", [], by="Ann", because="the CRM is broken there"
        )
    mirror.pass_time(1_000)
    mirror.feeds()
    assert mirror.coverage("orders").complete_as_of > held
    assert mirror.coverage("orders").state == "following"
    [gap] = mirror.rows("SELECT * FROM crm.known_gaps WHERE store_id = :store")
    assert (gap.resource, gap.record, gap.accepted_by) == ("orders", bad, "Ann")
    poison(mirror)
    mirror.pass_time(3_700)
    mirror.come_to_rest()
    assert mirror.rows("SELECT * FROM crm.known_gaps WHERE store_id = :store") == []
    mirror.assert_equal_to_oracle()


@pytest.mark.parametrize("size", [20_000_000])
def test_a_page_that_is_too_large_is_read_in_parts(open_mirror: Open, size: int) -> None:
    """One record of twenty megabytes: the others are here, and it is named."""
    mirror = open_mirror(orders=100, resources=small(page_size=100))
    bad = sorted(mirror.truth("orders"))[50]
    mirror.sandbox.knobs.turn(huge={"orders": {str(bad): size}})
    for _ in range(8):
        mirror.feeds()
        mirror.walks()
        mirror.pass_time(20)
    assert mirror.live("orders").keys() == mirror.truth("orders").keys() - {bad}
    mirror.pass_time(1_000)
    mirror.feeds()
    assert str(bad) in told(mirror)
