"""Newer knowledge wins, whatever is committed last."""

from __future__ import annotations

from tests.integration.pipeline.harness import Mirror

PAGE = "/api/v5/orders?limit=20&page="


def _walk_while(mirror: Mirror, *acts: object) -> None:
    """Walk all orders; `acts` happen between the answer and the commit of the last page, where
    the oldest order is."""
    mirror.queue("orders", "backfill")

    def act() -> None:
        for each in acts:
            each()  # type: ignore[operator]

    with mirror.between(PAGE, act, nth=3):
        mirror.work("orders", "walk")


def test_a_page_read_before_an_edit_does_not_overwrite_the_read_after_it(mirror: Mirror) -> None:
    """The page has the old content, and is committed after the feed has brought the new one."""
    order = min(mirror.truth("orders"))
    _walk_while(
        mirror,
        lambda: mirror.account.update_order(order, managerComment="newer"),
        lambda: mirror.work("order_history", "feed"),
    )
    assert mirror.live("orders")[order]["managerComment"] == "newer"
    assert (
        mirror.value(
            "SELECT refused_writes FROM sync.coverage"
            " WHERE store_id = :store AND resource = 'orders'"
        )
        == 1
    )


def test_a_page_read_before_a_deletion_does_not_revive(mirror: Mirror) -> None:
    """The page has the record alive, and is committed after its tombstone."""
    order = min(mirror.truth("orders"))
    _walk_while(
        mirror,
        lambda: mirror.account.delete_order(order),
        lambda: mirror.work("order_history", "feed"),
    )
    assert mirror.tombstones("orders") == {order: "history"}
    assert order not in mirror.live("orders")
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_a_then_b_then_a_ends_as_a(mirror: Mirror) -> None:
    """The page saw B; the feed's read after it saw A again, equal to what the mirror has: that
    read moves as_of, or B would be written over it."""
    order = min(mirror.truth("orders"))
    before = mirror.live("orders")[order]
    mirror.account.update_order(order, statusComment="B")
    _walk_while(
        mirror,
        lambda: mirror.account.update_order(order, statusComment=None),
        lambda: mirror.work("order_history", "feed"),
    )
    assert mirror.live("orders")[order] == before


def test_an_equal_re_read_moves_as_of_and_nothing_else(mirror: Mirror) -> None:
    """changed_at tells analysts when content changed: knowing it for longer is no change."""
    order = min(mirror.truth("orders"))
    sql = "SELECT as_of, changed_at FROM crm.orders WHERE store_id = :store AND id = :id"
    [before] = mirror.rows(sql, id=order)
    mirror.account.update_order(order, statusComment="B")
    mirror.account.update_order(order, statusComment=None)
    mirror.work("order_history", "feed")
    [after] = mirror.rows(sql, id=order)
    assert after.as_of > before.as_of
    assert after.changed_at == before.changed_at


def test_a_refused_re_read_is_asked_again(mirror: Mirror) -> None:
    """Differing content that lost to later knowledge is counted and read once more."""
    order = min(mirror.truth("orders"))
    mirror.account.update_order(order, managerComment="by the feed")

    def later() -> None:
        mirror.account.update_order(order, managerComment="by the walk")
        mirror.queue("orders", "backfill")
        mirror.work("orders", "walk")

    with mirror.between("filter%5Bids%5D", later):
        mirror.work("order_history", "feed")
    assert mirror.live("orders")[order]["managerComment"] == "by the walk"
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()
