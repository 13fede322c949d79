"""A resource is complete only as far as every history that tells of it has been read."""

from __future__ import annotations

import datetime as dt

from tests.integration.pipeline.harness import Mirror


def moment(mirror: Mirror) -> dt.datetime:
    return dt.datetime.fromtimestamp(mirror.now(), dt.UTC)


def test_orders_are_not_called_complete_past_a_merge_no_order_entry_told_of(
    mirror: Mirror,
) -> None:
    """A merge re-points orders without entries of theirs: the customers' history bounds them."""
    source = mirror.value(
        "SELECT customer_id FROM crm.orders JOIN crm.customers AS c USING (store_id)"
        " WHERE store_id = :store AND c.id = customer_id AND orders.deleted_at IS NULL LIMIT 1"
    )
    into = mirror.value("SELECT max(id) FROM crm.customers WHERE store_id = :store")
    assert source != into
    merged = moment(mirror)
    mirror.account.merge_customers(into, [source])
    naming = "SELECT count(*) FROM crm.orders WHERE store_id = :store AND customer_id = :id"
    mirror.pass_time(130)
    mirror.work("order_history", "feed")
    assert mirror.value(naming, id=source) > 0
    assert mirror.coverage("orders").complete_as_of <= merged
    # The customers' feed tells, and queues the orders: still not complete past the merge.
    mirror.work("customer_history", "feed")
    assert mirror.value(naming, id=source) > 0
    assert mirror.coverage("orders").complete_as_of <= merged
    mirror.pass_time(61)
    for history in ("customer_history", "order_history"):
        mirror.work(history, "feed")
    assert mirror.value(naming, id=source) == 0
    assert mirror.coverage("orders").complete_as_of > merged


def test_customers_are_not_called_complete_past_an_order_that_moved_their_totals(
    mirror: Mirror,
) -> None:
    """Totals change without an entry of the customer's: the orders' history bounds them."""
    order = mirror.value(
        "SELECT max(id) FROM crm.orders WHERE store_id = :store AND deleted_at IS NULL"
        " AND customer_type = 'customer'"
    )
    changed = moment(mirror)
    mirror.account.delete_order(order)
    mirror.pass_time(130)
    mirror.work("customer_history", "feed")
    assert mirror.coverage("customers").complete_as_of <= changed
    mirror.work("order_history", "feed")
    assert mirror.coverage("customers").complete_as_of <= changed
    mirror.pass_time(61)
    for history in ("order_history", "customer_history"):
        mirror.work(history, "feed")
    assert mirror.coverage("customers").complete_as_of > changed


def test_a_history_that_is_off_holds_nothing_back(mirror: Mirror) -> None:
    """A store that does not mirror customers still has complete orders."""
    mirror.rows(
        "UPDATE sync.coverage SET selected = false"
        " WHERE store_id = :store AND resource IN ('customers', 'customer_history')"
    )
    before = moment(mirror)
    mirror.pass_time(130)
    mirror.work("order_history", "feed")
    assert mirror.coverage("orders").complete_as_of > before


def test_a_clock_that_was_ahead_and_is_set_right(mirror: Mirror) -> None:
    """Moments go on from where they were, but nobody has read what is yet to come."""
    ahead = dt.timedelta(hours=1)
    mirror.pass_time(ahead.total_seconds())
    mirror.feeds()
    mirror.pass_time(-ahead.total_seconds())
    for _ in range(2):
        complete = mirror.coverage("orders").complete_as_of
        assert complete <= mirror.value("SELECT clock_timestamp()")
        mirror.feeds()
    minute_ago = mirror.value("SELECT clock_timestamp()") - dt.timedelta(seconds=60)
    assert mirror.coverage("orders").complete_as_of <= minute_ago


def test_a_history_nobody_has_read_to_its_end_proves_nothing(mirror: Mirror) -> None:
    """Whatever the other histories say of it: unknown is not the same as unbounded."""
    mirror.rows(
        "UPDATE sync.feed SET clear_at = NULL WHERE store_id = :store"
        " AND resource = 'order_history'"
    )
    assert mirror.coverage("orders").complete_as_of is None


def test_a_history_that_is_refused_holds_back_what_it_told_of(mirror: Mirror) -> None:
    """The key lost the orders' scope: from then on nobody tells how customers' totals change."""
    mirror.account.revoke_scope("order_read")
    mirror.believe("order_history", "feed")
    assert mirror.coverage("order_history").state == "unavailable"
    order = mirror.value(
        "SELECT max(id) FROM crm.orders WHERE store_id = :store AND deleted_at IS NULL"
        " AND customer_type = 'customer'"
    )
    changed = moment(mirror)
    mirror.account.delete_order(order)
    mirror.pass_time(130)
    mirror.work("customer_history", "feed")
    mirror.pass_time(130)
    mirror.work("customer_history", "feed")
    assert mirror.coverage("customers").state == "following"
    assert mirror.coverage("customers").complete_as_of <= changed
    mirror.rows("UPDATE sync.coverage SET selected = false WHERE resource LIKE 'order%'")
    assert mirror.coverage("customers").complete_as_of > changed, "it is not wanted any more"
    mirror.rows("UPDATE sync.coverage SET selected = true WHERE resource LIKE 'order%'")
    mirror.account.grant_scope("order_read")
    mirror.come_to_rest()
    assert mirror.coverage("customers").complete_as_of > changed
