"""Samples of passed records: lists that lag longer than the bound are found, nothing else is."""

from __future__ import annotations

from tests.integration.pipeline.harness import Mirror
from tests.integration.pipeline.test_chain import INTERVAL, edit, feed, look


def stale(mirror: Mirror) -> set[int]:
    """Orders that are not here as the CRM has them."""
    truth, here = mirror.truth("orders"), mirror.live("orders")
    return {order for order in truth | here if truth.get(order) != here.get(order)}


def look_for(mirror: Mirror, seconds: float) -> None:
    """Look at both histories at every interval for so long."""
    for _ in range(int(seconds / INTERVAL)):
        mirror.pass_time(INTERVAL)
        mirror.feeds()


def sampling(mirror: Mirror) -> int:
    """Requests that read orders by id."""
    return sum(path.startswith("/api/v5/orders?") for path in mirror.wire.paths)


def test_lists_that_lag_longer_than_the_bound_are_found_within_minutes(mirror: Mirror) -> None:
    """Records that the tail passed differ although no entry told of it: the bound rises, and what
    was told of late is read again; coverage goes back to before it until that is done."""
    orders = sorted(mirror.truth("orders"))
    mirror.sandbox.knobs.turn(list_lag_seconds=90)
    changed = mirror.now()
    edit(mirror, orders[:20], "lagging")
    mirror.account.delete_order(orders[30])
    look_for(mirror, 105)
    assert stale(mirror) == {*orders[:20], orders[30]}, (
        "the tail read them before the list showed the change"
    )
    look_for(mirror, 2 * 90 + 2 * 60 - 105)
    assert feed(mirror).lateness_seconds == 120
    assert stale(mirror) == set()
    look_for(mirror, 240)
    assert feed(mirror).lateness_seconds == 120, "lists that lag less teach nothing more"
    assert mirror.coverage("orders").complete_as_of.timestamp() > changed
    mirror.sandbox.knobs.turn(list_lag_seconds=0)
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()


def test_coverage_is_held_from_the_rise_until_what_was_told_is_read(mirror: Mirror) -> None:
    """Of two hundred records that lagged, those not in the sample are wrong when the bound rises:
    no claim is later than the first of them was told."""
    orders = sorted(mirror.truth("orders"))
    mirror.sandbox.knobs.turn(list_lag_seconds=90)
    changed = mirror.now()
    edit(mirror, orders, "lagging")
    while feed(mirror).lateness_seconds is None:
        look_for(mirror, INTERVAL)
    waits = "SELECT count(*) FROM sync.reread WHERE resource = :r AND reason = 'lists lag'"
    assert mirror.value(waits, r="customers"), "their sums were read from lists that lagged as well"
    assert mirror.coverage("customers").complete_as_of.timestamp() < changed


def test_two_records_that_lagged_one_after_the_other_teach_as_many_at_once(mirror: Mirror) -> None:
    """A shop that changes little shows the lag of its lists one record at a time."""
    orders = sorted(mirror.truth("orders"))
    mirror.sandbox.knobs.turn(list_lag_seconds=90)
    edit(mirror, orders[:1], "lagging")
    look_for(mirror, 330)
    assert feed(mirror).lateness_seconds is None, "one record may have changed unannounced"
    assert stale(mirror) == set(), "and is read again all the same"
    edit(mirror, orders[1:2], "lagging")
    look_for(mirror, 330)
    assert feed(mirror).lateness_seconds == 120


def test_a_record_that_changed_unannounced_teaches_nothing(mirror: Mirror) -> None:
    """Neither the only one of a small sample nor one of many: it is read, and that is all."""
    orders = sorted(mirror.truth("orders"))
    edit(mirror, orders[:40], "told")
    look_for(mirror, 105)
    mirror.account.update_order(orders[0], silent=True, managerComment="unannounced")
    look_for(mirror, 240)
    edit(mirror, orders[44:], "told")
    look_for(mirror, 105)
    mirror.account.update_order(orders[44], silent=True, managerComment="unannounced")
    look_for(mirror, 330)
    assert feed(mirror).lateness_seconds is None
    assert stale(mirror) == set()


def test_what_changes_with_other_records_teaches_nothing(mirror: Mirror) -> None:
    """Customers' sums follow their orders, orders their merged customers, and a sample may see it
    before the entry is published that explains it."""
    account = mirror.account
    customers = sorted(mirror.truth("customers"))
    for customer in customers:
        account.update_customer(customer, firstName="told")
    edit(mirror, mirror.truth("orders"), "told")
    look_for(mirror, 105)
    for order in sorted(mirror.truth("orders"))[::8]:
        account.update_order(order, status="cancel-other")
        publish_later(mirror, "orders")
        look_for(mirror, INTERVAL)
    edit(mirror, mirror.truth("orders"), "told again")
    look_for(mirror, 105)
    for source in customers[1:7]:
        account.merge_customers(customers[0], [source])
        publish_later(mirror, "customers")
        look_for(mirror, INTERVAL)
    look_for(mirror, 150)
    assert mirror.rows("SELECT 1 FROM sync.feed WHERE lateness_seconds IS NOT NULL") == []
    assert mirror.value("SELECT sum(untold_records) FROM sync.feed") == 0
    mirror.assert_equal_to_oracle()


def publish_later(mirror: Mirror, history: str) -> None:
    """Have the newest entries of a history published in twenty seconds; lists show them at once."""
    about, now = mirror.account.histories[history], mirror.sandbox.clock.now()
    for entry in about.entries[-2:]:
        about._late[entry.id] = now + 20


def test_a_change_is_sampled_at_doubling_ages_and_an_idle_feed_is_not(mirror: Mirror) -> None:
    """After 2, 4, 8 … minutes, and after two hours never again."""
    mirror.pass_time(2.5 * 3_600)
    look_for(mirror, 30)
    edit(mirror, sorted(mirror.truth("orders"))[:1], "told")
    look_for(mirror, 105)
    before = sampling(mirror)
    for _ in range(65):
        look(mirror, after=120)
    assert 4 <= sampling(mirror) - before <= 7
    before = sampling(mirror)
    look_for(mirror, 150)
    assert sampling(mirror) == before
