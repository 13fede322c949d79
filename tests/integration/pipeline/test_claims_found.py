"""Claims that were found wrong, each reduced to what is needed."""

from __future__ import annotations

from tests.integration.pipeline.claims import watch, wrong
from tests.integration.pipeline.harness import Mirror


def test_a_total_told_from_the_past_proves_nothing(mirror: Mirror) -> None:
    """A replica that lags counts without what arrived just now: as many as are here, where a row
    was lost. No departure speaks against that count, so arrivals that the answer itself does not
    show make it wait."""
    lost = min(mirror.truth("orders"))
    mirror.rows("DELETE FROM crm.orders WHERE store_id = :store AND id = :id", id=lost)
    knobs = mirror.sandbox.knobs
    knobs.turn(replica_lag_seconds=[20], replica_histories=False)
    arrived = mirror.account.create_order(customer=0)
    knobs.turn(replica_lag_seconds=[])
    mirror.work("order_history", "feed")
    assert arrived in mirror.live("orders")
    mirror.pass_time(10)

    knobs.turn(replica_lag_seconds=[20])
    crawl = mirror.queue("orders", "reconcile")
    mirror.work("orders", "walk")
    knobs.turn(replica_lag_seconds=[])
    mirror.finish(crawl)

    assert lost in mirror.live("orders")
    mirror.assert_equal_to_oracle()


def test_what_arrives_all_the_time_holds_no_count_up(mirror: Mirror) -> None:
    """An arrival that the answer shows is counted in it: an order every ten seconds, and the list
    is proven as soon as the feed is clear past the count."""
    crawl = mirror.queue("orders", "reconcile")
    slices = 0
    while mirror.crawl(crawl).state != "done":
        mirror.account.create_order()
        mirror.pass_time(10)
        mirror.feeds()
        mirror.work("orders", "walk")
        slices += 1
        assert slices < 20, mirror.open_crawls()


def test_a_list_that_lags_behind_a_doubt_does_not_lift_it(mirror: Mirror) -> None:
    """A comparison lifts only doubts that are older than lists may lag: it may have read a record
    as it was before. A doubt raised just before it is compared once more."""
    watch(mirror)
    mirror.sandbox.knobs.turn(list_lag_seconds=30)
    mirror.pass_time(60)
    mirror.feeds()
    entries = mirror.account.histories["orders"].entries
    unreadable = {}
    orders = sorted(mirror.truth("orders"))[:2]
    raised = "SELECT count(*) FROM sync.doubt WHERE store_id = :store AND resource = 'orders'"
    for turn in range(30):
        if turn in (0, 4):  # the first comparison begins at the seventh turn
            mirror.account.update_order(
                orders[turn // 4], managerComment="told by nothing readable"
            )
            unreadable[max(each.id for each in entries)] = "list"
            mirror.sandbox.knobs.turn(unreadable_entries={"orders": unreadable})
        mirror.pass_time(10)
        mirror.feeds()
        mirror.walks()
        assert wrong(mirror, "orders") == [], turn
        if not mirror.value(raised):
            break
    assert turn > 12, "compared twice"
    assert mirror.value(raised) == 0
    mirror.settle()
    mirror.assert_equal_to_oracle("orders")
