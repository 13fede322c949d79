"""Feeds: head and tail, late ids, lagging lists, gaps, and what coverage says meanwhile."""

from __future__ import annotations

from tests.integration.pipeline.harness import Mirror


def test_an_idle_feed_costs_one_request(mirror: Mirror) -> None:
    """Its head asks for what is new; there is nothing, and the tail stands at the head."""
    mirror.wire.paths.clear()
    mirror.work("order_history", "feed")
    assert len(mirror.wire.paths) == 1


def test_an_entry_published_late_is_found_by_the_tail(mirror: Mirror) -> None:
    """A long transaction's id becomes visible after larger ones were followed."""
    first, second = sorted(mirror.truth("orders"))[:2]
    knobs = mirror.sandbox.knobs
    knobs.turn(history_publish_delay=30, history_publish_share=1)
    mirror.account.update_order(first, managerComment="late")
    knobs.turn(history_publish_delay=0)
    mirror.account.update_order(second, managerComment="prompt")
    mirror.work("order_history", "feed")
    assert mirror.live("orders")[second]["managerComment"] == "prompt"
    mirror.pass_time(31)
    mirror.work("order_history", "feed")
    stale = mirror.live("orders")[first].get("managerComment")
    assert stale != "late", "the head is past it"
    complete = mirror.coverage("orders").complete_as_of
    mirror.pass_time(31)
    mirror.work("order_history", "feed")
    assert mirror.live("orders")[first]["managerComment"] == "late"
    assert (
        mirror.value(
            "SELECT late_entries FROM sync.feed"
            " WHERE store_id = :store AND resource = 'order_history'"
        )
        >= 1
    )
    assert complete.timestamp() < mirror.now() - 60, "coverage did not claim the late one"
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()


def test_a_list_that_lags_behind_its_history_is_read_again(mirror: Mirror) -> None:
    """The entry was seen at once, the re-read still showed the old record: the tail's second
    read brings the new one."""
    order = min(mirror.truth("orders"))
    mirror.sandbox.knobs.turn(list_lag_seconds=20)
    mirror.account.update_order(order, managerComment="lagging")
    mirror.work("order_history", "feed")
    assert mirror.live("orders")[order].get("managerComment") != "lagging"
    mirror.pass_time(61)
    mirror.work("order_history", "feed")
    assert mirror.live("orders")[order]["managerComment"] == "lagging"
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()


def test_coverage_waits_for_the_tail(mirror: Mirror) -> None:
    """Complete as of a minute before the head's last end, not as of the end itself."""
    mirror.work("order_history", "feed")
    age = mirror.now() - mirror.coverage("orders").complete_as_of.timestamp()
    assert 59 < age < 75


def test_a_burst_is_followed_page_by_page(mirror: Mirror) -> None:
    """Several hundred entries at once: a hundred a request, one transaction each."""
    orders = sorted(mirror.truth("orders"))
    for turn in range(8):
        for order in orders:
            mirror.account.update_order(order, managerComment=f"turn {turn}")
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()


def test_a_gap_in_the_history_takes_coverage_back_until_reconciled(mirror: Mirror) -> None:
    """The last entry followed is no longer there after a long pause: others may be gone as well."""
    created = mirror.account.create_order(customer=0)
    edited = min(mirror.truth("orders"))
    mirror.account.update_order(edited, managerComment="told by no entry")
    mirror.pass_time(7_200)
    mirror.sandbox.knobs.turn(history_retention=3_600)
    mirror.work("order_history", "feed")
    cover = mirror.coverage("orders")
    assert cover.complete_as_of is None
    assert mirror.drifts("order_history") == ["gap"]
    assert ("orders", "reconcile", "plan") in mirror.open_crawls()
    assert created not in mirror.live("orders")
    mirror.settle()
    assert mirror.live("orders")[edited]["managerComment"] == "told by no entry"
    mirror.assert_equal_to_oracle()
    assert mirror.coverage("orders").state == "following"


def test_a_pause_without_a_gap_changes_nothing(mirror: Mirror) -> None:
    """A worker that was off for a night goes on from the checkpoint."""
    order = min(mirror.truth("orders"))
    mirror.account.update_order(order, managerComment="in the night")
    mirror.pass_time(30_000)
    mirror.work("order_history", "feed")
    assert mirror.drifts("order_history") == []
    assert mirror.live("orders")[order]["managerComment"] == "in the night"


def test_totals_of_customers_follow_their_orders(mirror: Mirror) -> None:
    """A customer's sums change without an entry: the order's entry has it read again."""
    customer = min(mirror.truth("customers"))
    mirror.account.create_order(customer=customer)
    mirror.come_to_rest()
    want = mirror.sandbox.truth("demo", "customers")
    have = mirror.value(
        "SELECT raw->>'ordersCount' FROM crm.customers WHERE store_id = :store AND id = :id",
        id=customer,
    )
    assert int(have) == next(c["ordersCount"] for c in want if c["id"] == customer)
