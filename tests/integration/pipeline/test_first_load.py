"""First loads: bookmark, walk, proof."""

from __future__ import annotations

import os

import pytest

from sync import crawl
from sync.database.engine import connect
from sync.rows import first_statistics
from sync.work.windows import walk
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror

PAGE = "/api/v5/orders?limit=20&page="


def test_a_first_load_ends_equal_to_the_account(mirror: Mirror) -> None:
    """After load, proof and a quiet minute the mirror is the CRM: rows, columns, children."""
    mirror.assert_equal_to_oracle()
    assert mirror.coverage("orders").state == "following"
    assert mirror.coverage("orders").complete_as_of is not None


def test_the_same_load_by_several_threads(open_mirror: Open) -> None:
    """Pages fetched ahead by threads end as the same rows as pages fetched one by one."""
    mirror = open_mirror(threads=True)
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_postgres_knows_tables_from_their_first_page_on(
    open_mirror: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without statistics the statements of each page walk all rows of the store by any index."""
    monkeypatch.setattr(first_statistics, "ENOUGH_ROWS", 10)  # pages of tests are small
    mirror = open_mirror()
    unknown = (
        "SELECT relname FROM pg_class WHERE relnamespace = 'crm'::regnamespace AND reltuples < 0"
        " AND relname IN ('orders', 'order_items', 'order_payments', 'order_history',"
        " 'kept_order_margin', 'kept_order_status_spans')"
    )
    assert len(mirror.rows(unknown)) == 6
    mirror.work("orders", "walk")
    assert mirror.rows(unknown) == []  # the history too: its older entries come first


def test_a_login_that_owns_no_table_makes_statistics_too(database: str) -> None:
    """Before Postgres 17 only an owner may analyse, and a worker may log in by another role."""
    role = f"worker_{os.getpid()}"
    known = "SELECT reltuples >= 0 FROM pg_class WHERE relname = 'orders'"
    engine = connect(database)
    with engine.connect() as connection, connection.begin() as transaction:
        for statement in (
            f"CREATE ROLE {role}", f"GRANT USAGE ON SCHEMA sync TO {role}", f"SET LOCAL ROLE {role}"
        ):  # fmt: skip
            connection.exec_driver_sql(statement)
        assert not connection.exec_driver_sql(known).scalar_one()
        first_statistics.make(connection, ["orders", "order_items"])
        assert connection.exec_driver_sql(known).scalar_one()
        transaction.rollback()
    engine.dispose()


def test_the_history_is_whole_from_its_first_entry(mirror: Mirror) -> None:
    """What is older than the bookmark is walked, and meets it."""
    want = {entry.id for entry in mirror.account.histories["orders"].entries}
    have = {row[0] for row in mirror.rows("SELECT id FROM crm.order_history WHERE store_id=:store")}
    assert have == want
    assert mirror.coverage("order_history").state == "following"


def test_a_record_changed_behind_the_walk_is_read_again(open_mirror: Open) -> None:
    """The bookmark is set before the first page: what changes on a page already read is in the
    feed, although no count can show it."""
    mirror = open_mirror()
    newest = max(mirror.truth("orders"))
    with mirror.between(
        PAGE, lambda: mirror.account.update_order(newest, managerComment="late"), nth=2
    ):
        mirror.settle()
    assert mirror.live("orders")[newest]["managerComment"] == "late"
    mirror.assert_equal_to_oracle()


def test_what_was_saved_before_the_bookmark_and_published_after_it_is_read(
    open_mirror: Open,
) -> None:
    """Ids come out of order: an entry smaller than the newest one may be published after the
    bookmark was set, and the walk may have read its record before."""
    mirror = open_mirror()
    first, second = sorted(mirror.truth("orders"))[:2]
    knobs = mirror.sandbox.knobs
    knobs.turn(history_publish_delay=20, history_publish_share=1)
    mirror.account.update_order(first, managerComment="a long transaction")
    knobs.turn(history_publish_delay=0)
    mirror.account.update_order(second, managerComment="a short one")
    mirror.work("orders", "walk")
    mirror.pass_time(20)
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_a_list_that_lags_behind_the_history_when_the_bookmark_is_set(open_mirror: Open) -> None:
    """An entry before the bookmark may tell of a change that the walked list does not show yet."""
    mirror = open_mirror()
    mirror.sandbox.knobs.turn(list_lag_seconds=20)
    mirror.account.update_order(min(mirror.truth("orders")), managerComment="lagging")
    mirror.work("orders", "walk")
    mirror.pass_time(20)
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_a_page_that_shifts_under_the_walk_is_found_and_walked_again(open_mirror: Open) -> None:
    """A deletion moves rows up past the walker: the counts differ, so the window is not proven
    before the lost row is found. It is the 41st: none of the newest, which a count shows."""
    mirror = open_mirror()
    newest = max(mirror.truth("orders"))
    with mirror.between(PAGE, lambda: mirror.account.delete_order(newest), nth=2):
        mirror.settle()
    proofs = mirror.rows(
        "SELECT total, mirrored, proven FROM sync.proof"
        " WHERE store_id = :store AND resource = 'orders' ORDER BY id"
    )
    assert not proofs[0].proven
    assert proofs[0].mirrored < proofs[0].total
    assert proofs[-1].proven
    assert mirror.value("SELECT max(walks) FROM sync.window WHERE store_id = :store") >= 1
    mirror.assert_equal_to_oracle()


def test_a_record_deleted_under_the_walk_is_a_tombstone(open_mirror: Open) -> None:
    """The deletion was told while the page that holds the record waited for its commit: the
    bare tombstone stands, although nothing was there to bury."""
    mirror = open_mirror()
    newest = max(mirror.truth("orders"))

    def gone() -> None:
        mirror.account.delete_order(newest)
        mirror.work("order_history", "feed")

    with mirror.between(PAGE, gone):
        mirror.work("orders", "walk")
    assert mirror.tombstones("orders") == {newest: "history"}
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_a_window_that_holds_too_much_is_cut(
    open_mirror: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows stay small, so that little is walked again; their union is still everything."""
    monkeypatch.setattr(walk, "WINDOW_MAX", 15)
    monkeypatch.setattr(crawl, "WINDOW_TARGET", 10)
    mirror = open_mirror(resources=None)
    mirror.settle()
    cut = mirror.rows(
        "SELECT first_day, last_day, total FROM sync.window WHERE store_id = :store"
        " AND resource = 'orders' ORDER BY id"
    )
    assert len(cut) > 3
    assert all(w.total <= 15 or w.first_day == w.last_day for w in cut)
    assert sum(w.first_day is None for w in cut) == 1, "the oldest one is open"
    assert sum(w.last_day is None for w in cut) == 1, "the newest one is open"
    mirror.assert_equal_to_oracle()


def test_a_date_filter_that_does_nothing_is_noticed(
    open_mirror: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown filters may be ignored: then the list is one window, and still proven."""
    monkeypatch.setattr(walk, "WINDOW_MAX", 15)
    monkeypatch.setattr(crawl, "WINDOW_TARGET", 10)
    mirror = open_mirror()
    mirror.sandbox.knobs.turn(ignore_date_filter=True)
    mirror.settle()
    assert (
        mirror.value(
            "SELECT date_filter FROM sync.coverage WHERE store_id = :store AND resource = 'orders'"
        )
        is False
    )
    assert mirror.coverage("orders").complete_as_of is not None
    mirror.assert_equal_to_oracle()


@pytest.mark.parametrize("order", ["oldest", "id_desc", "id_asc", "shuffled"])
def test_whatever_the_order_of_a_list_its_load_is_exact(open_mirror: Open, order: str) -> None:
    """Nothing relies on newest first: what a walk of a shuffled list loses, the proof finds."""
    mirror = open_mirror()
    mirror.sandbox.knobs.turn(order_of_lists=order)
    mirror.settle(most=150)  # what a shuffled list shows is chance, and the waits between grow
    mirror.assert_equal_to_oracle()


def test_an_empty_account_is_complete(open_mirror: Open) -> None:
    """Nothing is something to prove, too: no history, no record, and a feed from 0."""
    mirror = open_mirror(orders=0, customers=0)
    mirror.settle()
    mirror.assert_equal_to_oracle()
    assert mirror.coverage("orders").complete_as_of is not None
    created = mirror.account.create_order(customer=0)
    mirror.feeds()
    assert set(mirror.live("orders")) == {created}


def test_a_walk_again_of_unchanged_rows_writes_nothing(mirror: Mirror) -> None:
    """No new row version, no moved changed_at: an unchanged page costs its checkpoint alone."""
    versions = "SELECT id, xmin::text, ctid::text FROM crm.{} WHERE store_id = :store ORDER BY 1, 3"
    tables = ("orders", "customers")
    before = [mirror.rows(versions.format(table)) for table in tables]
    items = mirror.rows(
        "SELECT id, xmin::text FROM crm.order_items WHERE store_id = :store ORDER BY id"
    )
    for name in tables:
        mirror.finish(mirror.queue(name, "backfill"))
    assert [mirror.rows(versions.format(table)) for table in tables] == before
    assert items == mirror.rows(
        "SELECT id, xmin::text FROM crm.order_items WHERE store_id = :store ORDER BY id"
    )
    [crawled] = mirror.rows(
        "SELECT rows_seen, rows_changed FROM sync.crawl WHERE store_id = :store"
        " AND resource = 'orders' AND kind = 'backfill'"
    )
    assert crawled.rows_seen == 45
    assert crawled.rows_changed == 0


def test_only_the_children_that_changed_are_written(mirror: Mirror) -> None:
    """Of a changed record the other children stay as they are, and so do those of other records."""
    order = next(o for _, o in sorted(mirror.truth("orders").items()) if len(o["items"]) > 1)
    items = "SELECT order_id, id, xmin::text FROM crm.order_items WHERE store_id = :store"
    before = {(row.order_id, row.id): row.xmin for row in mirror.rows(items)}
    first, *others = order["items"]
    mirror.account.update_order(
        order["id"], items=[first | {"quantity": first["quantity"] + 1}, *others]
    )
    mirror.come_to_rest()
    after = {(row.order_id, row.id): row.xmin for row in mirror.rows(items)}
    assert before.keys() == after.keys()
    moved = {key for key in before if before[key] != after[key]}
    assert moved == {(order["id"], first["id"])}
