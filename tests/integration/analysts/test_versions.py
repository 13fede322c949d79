"""Earlier contents of orders and customers, where a store has switched that on."""

from __future__ import annotations

from typing import Any

import pytest

from sync.mirror import versions
from sync.pipeline.dispatching import housekeep
from tests.integration.conftest import Open
from tests.integration.pipeline.harness import Mirror


@pytest.fixture
def mirror(open_settled: Open) -> Mirror:
    """A small account, loaded and at rest."""
    return open_settled(orders=6, customers=3)


def switch(mirror: Mirror, *, on: bool = True, keep_days: int | None = None) -> None:
    """As the command does."""
    with mirror.engine.begin() as connection:
        versions.switch(connection, mirror.store_id, on=on, keep_days=keep_days)


def kept(mirror: Mirror, order: int) -> list[Any]:
    """Earlier contents of an order, oldest first."""
    return mirror.rows(
        "SELECT status, manager_comment, raw, valid_from, valid_to FROM crm.order_versions"
        " WHERE store_id = :store AND id = :id ORDER BY valid_from",
        id=order,
    )


def test_each_change_keeps_the_content_it_replaces(mirror: Mirror) -> None:
    """From when until when it held, without a gap or an overlap; the present one is in orders."""
    switch(mirror)
    order = min(mirror.truth("orders"))
    first = mirror.rows("SELECT raw, changed_at FROM crm.orders WHERE id = :id", id=order)[0]
    for comment in ("one", "two"):
        mirror.account.update_order(order, managerComment=comment)
        mirror.come_to_rest()
    one, two = kept(mirror, order)
    assert one.raw == first.raw
    assert one.valid_from == first.changed_at
    assert (two.manager_comment, two.raw["managerComment"]) == ("one", "one")
    assert one.valid_to == two.valid_from
    now = mirror.rows("SELECT manager_comment, changed_at FROM crm.orders WHERE id=:id", id=order)[
        0
    ]
    assert (now.manager_comment, now.changed_at) == ("two", two.valid_to)


def test_what_an_order_was_at_a_moment(mirror: Mirror) -> None:
    """The query of the dictionary: an earlier content, or else the present one."""
    switch(mirror)
    order = min(mirror.truth("orders"))
    mirror.account.update_order(order, managerComment="then")
    mirror.come_to_rest()
    at = mirror.value("SELECT clock_timestamp()")
    mirror.account.update_order(order, managerComment="since")
    mirror.come_to_rest()
    query = (
        "SELECT manager_comment FROM crm.order_versions WHERE store_id = :store AND id = :id"
        " AND valid_from <= :at AND :at < valid_to UNION ALL SELECT manager_comment"
        " FROM crm.orders WHERE store_id = :store AND id = :id AND changed_at <= :at"
        " AND deleted_at IS NULL"
    )
    assert mirror.rows(query, id=order, at=at) == [("then",)]
    assert mirror.rows(query, id=order, at=mirror.value("SELECT clock_timestamp()")) == [("since",)]


def test_what_is_read_again_unchanged_keeps_nothing(mirror: Mirror) -> None:
    """Neither a re-walk, nor a re-read by a feed, nor a rebuild is a change of content."""
    switch(mirror)
    mirror.queue("orders", "load")
    mirror.queue("orders", "rebuild")
    mirror.settle()
    order = min(mirror.truth("orders"))
    mirror.rows("UPDATE crm.orders SET content_hash = 'another declaration' WHERE id = :i", i=order)
    mirror.queue("orders", "load")
    mirror.settle()
    assert kept(mirror, order) == []
    assert mirror.value("SELECT count(*) FROM crm.order_versions") == 0


def test_off_keeps_nothing_and_leaves_what_is_there(mirror: Mirror) -> None:
    """As it was before it was ever switched on; other stores are asked for themselves."""
    order = min(mirror.truth("orders"))
    mirror.account.update_order(order, managerComment="zero")
    mirror.come_to_rest()
    assert kept(mirror, order) == []
    switch(mirror)
    mirror.account.update_order(order, managerComment="one")
    mirror.come_to_rest()
    switch(mirror, on=False)
    mirror.account.update_order(order, managerComment="two")
    mirror.come_to_rest()
    assert [row.manager_comment for row in kept(mirror, order)] == ["zero"]


def test_a_deletion_ends_the_last_content_and_a_revival_begins_another(mirror: Mirror) -> None:
    """Between the two there was none: a gap, as it was."""
    switch(mirror)
    order = min(mirror.truth("orders"))
    mirror.account.delete_order(order)
    mirror.come_to_rest()
    [last] = kept(mirror, order)
    assert last.valid_to == mirror.value("SELECT changed_at FROM crm.orders WHERE id=:i", i=order)
    mirror.account.undelete_order(order)
    mirror.come_to_rest()
    assert kept(mirror, order) == [last]
    revived = mirror.value("SELECT changed_at FROM crm.orders WHERE id = :i", i=order)
    assert revived > last.valid_to


def test_customers_are_kept_too(mirror: Mirror) -> None:
    """crm.customer_versions, in the same way."""
    switch(mirror)
    customer = min(mirror.truth("customers"))
    mirror.account.update_customer(customer, firstName="Renamed")
    mirror.come_to_rest()
    [row] = mirror.rows("SELECT first_name FROM crm.customer_versions WHERE id = :i", i=customer)
    assert row.first_name != "Renamed"


def test_housekeeping_deletes_what_ended_longer_ago_than_is_kept(mirror: Mirror) -> None:
    """Also when switched off meanwhile; without a number of days nothing is deleted."""
    switch(mirror)
    order = min(mirror.truth("orders"))
    mirror.account.update_order(order, managerComment="one")
    mirror.come_to_rest()
    mirror.pass_time(11 * 86_400)
    housekeep(mirror.services)
    assert len(kept(mirror, order)) == 1
    switch(mirror, on=False, keep_days=12)
    housekeep(mirror.services)
    assert len(kept(mirror, order)) == 1
    switch(mirror, on=False, keep_days=10)
    housekeep(mirror.services)
    assert kept(mirror, order) == []


def test_a_content_and_its_replacement_are_one_transaction(mirror: Mirror) -> None:
    """When the write is rolled back nothing was kept, so nothing is kept twice."""
    switch(mirror)
    order = min(mirror.truth("orders"))
    mirror.account.update_order(order, managerComment="one")

    def lose() -> None:
        mirror.rows(
            "UPDATE sync.lane SET token = token + 1, lease_until = NULL"
            " WHERE store_id = :store AND resource = 'order_history' AND lane = 'feed'"
        )

    with mirror.between("/api/v5/orders?", lose):
        mirror.feeds()
    assert kept(mirror, order) == []
    mirror.come_to_rest()
    assert len(kept(mirror, order)) == 1
