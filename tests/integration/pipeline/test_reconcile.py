"""Reconcile: next to nothing when nothing differs, everything found when something does."""

from __future__ import annotations

import pytest

from sync.work import context
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror


def test_an_untouched_mirror_costs_a_handful_of_requests(mirror: Mirror) -> None:
    """One total, and the feed read past it."""
    for name in ("orders", "customers"):
        crawl = mirror.queue(name, "reconcile")
        mirror.wire.paths.clear()
        mirror.work(name, "walk")
        assert len(mirror.wire.paths) <= 4, mirror.wire.paths
        mirror.pass_time(62)
        mirror.feeds()
        mirror.wire.paths.clear()
        mirror.work(name, "walk")
        assert mirror.crawl(crawl).state == "done"
        assert mirror.wire.paths == [], "a seal asks for nothing"


def test_rows_removed_aged_and_invented_by_hand_are_found_and_repaired(open_settled: Open) -> None:
    """`--deep` compares ids and contents, whatever the hashes say, and says what it did."""
    mirror = open_settled(orders=150)
    orders = sorted(mirror.truth("orders"))
    removed, aged = orders[:25], orders[40:65]
    mirror.rows("DELETE FROM crm.orders WHERE store_id = :store AND id = ANY(:ids)", ids=removed)
    mirror.rows(
        "UPDATE crm.orders SET total_summ = total_summ + 1, raw = raw || '{\"totalSumm\": 1}'"
        " WHERE store_id = :store AND id = ANY(:ids)",
        ids=aged,
    )
    columns = [
        row[0]
        for row in mirror.rows(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'crm'"
            " AND table_name = 'orders' AND column_name <> 'id' AND :store > 0"
        )
    ]
    names = ", ".join(f'"{name}"' for name in columns)
    mirror.rows(
        f"INSERT INTO crm.orders (id, {names}) SELECT id + 900000, {names} FROM crm.orders"
        " WHERE store_id = :store AND id = ANY(:ids)",
        ids=orders[70:95],
    )
    crawl = mirror.queue("orders", "reconcile", deep=True)
    mirror.settle()
    report = mirror.crawl(crawl).report
    assert (report["missing"], report["stale"], report["ghosts"]) == (25, 25, 25)
    mirror.assert_equal_to_oracle()


def test_children_altered_by_hand_are_found(mirror: Mirror) -> None:
    """An item removed in Postgres is missing although its order's hash is right."""
    order = mirror.value("SELECT min(order_id) FROM crm.order_items WHERE store_id = :store")
    mirror.rows("DELETE FROM crm.order_items WHERE store_id = :store AND order_id = :id", id=order)
    crawl = mirror.queue("orders", "reconcile", deep=True)
    mirror.settle()
    assert mirror.crawl(crawl).report["stale"] == 1
    mirror.assert_equal_to_oracle()


def test_without_deep_the_counts_find_what_is_missing_and_what_is_too_much(mirror: Mirror) -> None:
    """Two rows lost and one invented: counting finds where, walking finds which."""
    orders = sorted(mirror.truth("orders"))
    mirror.rows(
        "DELETE FROM crm.orders WHERE store_id = :store AND id = ANY(:ids)", ids=orders[3:5]
    )
    mirror.queue("orders", "reconcile")
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_a_reconcile_while_an_operator_waits_for_a_backfill(mirror: Mirror) -> None:
    """A person's crawl goes before the schedule's."""
    mirror.rows(
        "INSERT INTO sync.crawl (store_id, resource, kind) VALUES (:store, 'orders', 'reconcile')"
    )
    asked = mirror.queue("orders", "backfill")
    from sync.state import crawls

    with mirror.engine.begin() as connection:
        following = crawls.next_crawl(connection, mirror.store_id, "orders")
    assert following is not None
    assert following.id == asked


def test_a_record_that_was_away_while_the_crm_counted_counts_for_nothing(mirror: Mirror) -> None:
    """Deleted before the total was asked for and back before the feed was read: it makes up for
    no row that is missing, or a mirror that lacks one would be called proven."""
    away, lost = sorted(mirror.truth("orders"))[:2]
    mirror.rows("DELETE FROM crm.orders WHERE store_id = :store AND id = :id", id=lost)
    mirror.account.delete_order(away)
    mirror.queue("orders", "reconcile")
    with mirror.between(
        "/api/v5/orders?limit=20&page=", lambda: mirror.account.undelete_order(away)
    ):
        mirror.work("orders", "walk")
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_a_record_that_left_its_day_while_the_crm_counted(mirror: Mirror) -> None:
    """The same for a window: a creation day changed and changed back."""
    import datetime as dt

    orders = mirror.truth("orders")
    away, lost = sorted(orders, key=lambda key: orders[key]["createdAt"])[:2]
    day = dt.date.fromisoformat(max(orders[k]["createdAt"][:10] for k in (away, lost)))
    text = orders[away]["createdAt"]
    mirror.rows("DELETE FROM crm.orders WHERE store_id = :store AND id = :id", id=lost)
    mirror.account.redate_order(away, f"{day + dt.timedelta(days=300):%Y-%m-%d} 10:00:00")
    crawl = mirror.queue("orders", "reconcile", days=(None, day))
    with mirror.between(
        "/api/v5/orders?filter%5BcreatedAtTo", lambda: mirror.account.redate_order(away, text)
    ):
        mirror.work("orders", "walk")
    mirror.finish(crawl)
    mirror.come_to_rest()
    assert lost in mirror.live("orders")


def test_a_record_listed_only_after_the_count_counts_for_nothing(mirror: Mirror) -> None:
    """Known by its id alone when the total was asked for, listed before the rows were counted."""
    lost = min(mirror.truth("orders"))
    mirror.sandbox.knobs.turn(list_lag_seconds=30)
    mirror.account.create_order(customer=0)
    mirror.work("order_history", "feed")
    mirror.rows("DELETE FROM crm.orders WHERE store_id = :store AND id = :id", id=lost)
    mirror.queue("orders", "reconcile")

    def listed() -> None:
        mirror.pass_time(62)
        mirror.work("order_history", "feed")

    with mirror.between("/api/v5/orders?limit=20&page=", listed):
        mirror.work("orders", "walk")
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_a_gap_that_a_reconcile_meets_before_the_feed_does(
    open_settled: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a stop the reconcile reads the feed itself: deletions nobody tells of any more are no
    less untold for that, and no count of it proves anything before ids were compared."""
    mirror = open_settled(orders=60)
    gone, lost = sorted(mirror.truth("orders"))[:2]
    mirror.account.update_order(max(mirror.truth("orders")), managerComment="told by no entry")
    mirror.account.delete_order(gone)
    mirror.rows("DELETE FROM crm.orders WHERE store_id = :store AND id = :id", id=lost)
    before = mirror.coverage("orders").complete_as_of
    mirror.pass_time(7_200)
    mirror.sandbox.knobs.turn(history_retention=3_600)
    counted = mirror.queue("orders", "reconcile")
    with monkeypatch.context() as short:
        short.setattr(context, "SLICE_SECONDS", 0.01)
        mirror.work("orders", "walk")
        mirror.pass_time(301)
        mirror.work("orders", "walk")
    assert mirror.drifts("order_history") == ["gap"]
    assert mirror.crawl(counted).state == "running"
    assert mirror.coverage("orders").complete_as_of <= before
    mirror.settle(most=60)
    mirror.assert_equal_to_oracle()
    assert mirror.coverage("orders").complete_as_of > before
