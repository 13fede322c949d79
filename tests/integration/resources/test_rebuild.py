"""Typed columns and children anew from raw, without a request, while the sync goes on."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest

from sync.declare import CODE, Field, Resource
from sync.rows import rewrite
from sync.work import rebuild
from sync.work.dispatching import housekeep
from sync.work.rebuild import queue_where_stale
from tests.integration.pipeline import typed
from tests.integration.pipeline.harness import Mirror, small
from tests.integration.resources.conftest import Open

SALES = ("orders", "order_history", "customers", "customer_history")


def rows_of(mirror: Mirror, table: str) -> list[Any]:
    """What stands in a table, without the two columns that tell of a repair."""
    return sorted(
        mirror.rows(
            "SELECT to_jsonb(t) - '{changed_at,change_no}'::text[]"
            f" FROM crm.{table} AS t WHERE store_id = :store"
        ),
        key=str,
    )


@pytest.fixture
def mirror(open_mirror: Open) -> Mirror:
    made = open_mirror(*SALES)
    made.settle()
    return made


def spoil(mirror: Mirror) -> None:
    """What a column added later looks like, and more: typed columns empty, children wrong."""
    mirror.rows(
        "UPDATE crm.orders SET number = NULL, total_summ = NULL, created_at = NULL"
        " WHERE store_id = :store"
    )
    mirror.rows("DELETE FROM crm.order_payments WHERE store_id = :store AND order_id % 2 = 0")
    mirror.rows("UPDATE crm.order_items SET quantity = 77 WHERE store_id = :store")
    mirror.rows(
        "INSERT INTO crm.order_items (store_id, order_id, id) SELECT store_id, id, -1"
        " FROM crm.orders WHERE store_id = :store AND id % 3 = 0 AND deleted_at IS NULL"
    )


def test_columns_and_children_come_back_without_a_request(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches, tombstones' columns too; as_of, first_seen_at and children of tombstones stay.
    What was repaired has a new change number."""
    monkeypatch.setattr(rebuild, "BATCH", 7)
    mirror.account.delete_order(3)
    mirror.come_to_rest()
    tables = ("orders", "order_items", "order_payments")
    before = [rows_of(mirror, table) for table in tables]
    spoil(mirror)
    numbers = "SELECT {}(change_no) FROM crm.{} WHERE store_id = :store"
    highest = [mirror.rows(numbers.format("max", table))[0] for table in tables[:2]]
    mirror.wire.paths.clear()
    mirror.queue("orders", "rebuild")
    mirror.work("orders", "walk")
    assert mirror.wire.paths == []
    for table, was in zip(tables, before, strict=True):
        assert rows_of(mirror, table) == was, table
    for table, before_it in zip(tables, highest, strict=False):
        assert mirror.rows(numbers.format("min", table))[0] > before_it, table
    mirror.assert_equal_to_oracle()


def test_what_could_not_be_stored_stays_noted(mirror: Mirror) -> None:
    """`raw` no longer holds it: the note of the first reading is the only place where it is."""
    mirror.account.update_order(3, managerComment="before\x00after")
    mirror.come_to_rest()
    noted = "SELECT value, reason FROM sync.reject WHERE store_id = :store AND record = '3'"
    before = mirror.rows(noted)
    assert [value for value, _ in before] == ["managerComment: 'before\\x00after'"]
    mirror.queue("orders", "rebuild")
    mirror.work("orders", "walk")
    assert mirror.rows(noted) == before
    mirror.account.update_order(3, managerComment="after")
    mirror.come_to_rest()
    assert mirror.rows(noted) == []


def test_a_rebuild_that_is_broken_off_goes_on_where_it_was(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "BATCH", 10)
    spoil(mirror)
    crawl = mirror.queue("orders", "rebuild")
    mirror.services.stop.set()
    mirror.work("orders", "walk")
    assert mirror.crawl(crawl).rows_seen == 10
    assert mirror.coverage("orders").complete_as_of is None
    mirror.services.stop.clear()
    mirror.work("orders", "walk")
    assert mirror.crawl(crawl).rows_seen == 45
    mirror.assert_equal_to_oracle()


@pytest.mark.parametrize("what", ["update", "delete", "equal"])
def test_a_row_changed_between_reading_and_writing_wins(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The feed writes while a rebuild holds older contents: newer knowledge stays."""
    order = max(mirror.truth("orders"))
    real = rebuild._write

    def later(*arguments: Any) -> None:
        monkeypatch.setattr(rebuild, "_write", real)
        if what == "update":
            mirror.account.update_order(order, managerComment="meanwhile", items=[])
        elif what == "delete":
            mirror.account.delete_order(order)
        else:
            mirror.account.update_order(order, managerComment="there")
            mirror.account.update_order(order, managerComment=None)
        mirror.work("order_history", "feed")
        real(*arguments)

    monkeypatch.setattr(rebuild, "_write", later)
    mirror.queue("orders", "rebuild")
    mirror.work("orders", "walk")
    assert mirror.errors() == []
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()
    if what == "delete":
        assert mirror.rows("SELECT 1 FROM crm.order_items WHERE order_id = :o", o=order) == []


def test_what_is_noted_of_a_row_meanwhile_stays(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rebuild holds an older content of it, and knows nothing of what is wrong with the new."""
    real = rebuild._write

    def later(*arguments: Any) -> None:
        monkeypatch.setattr(rebuild, "_write", real)
        mirror.account.update_order(5, shipmentDate="soon")
        mirror.work("order_history", "feed")
        real(*arguments)

    monkeypatch.setattr(rebuild, "_write", later)
    mirror.queue("orders", "rebuild")
    mirror.work("orders", "walk")
    noted = "SELECT field, value FROM sync.reject WHERE store_id = :store AND record = '5'"
    assert [tuple(row) for row in mirror.rows(noted)] == [("shipment_date", "soon")]


def test_a_row_deleted_by_hand_meanwhile_is_not_made_again(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = rewrite.rewrite

    def later(*arguments: Any) -> int:
        mirror.rows("DELETE FROM crm.order_items WHERE order_id = 5")
        mirror.rows("DELETE FROM crm.order_payments WHERE order_id = 5")
        mirror.rows("DELETE FROM crm.orders WHERE id = 5")
        return real(*arguments)

    monkeypatch.setattr(rebuild, "rewrite", later)
    mirror.queue("orders", "rebuild")
    mirror.work("orders", "walk")
    assert mirror.rows("SELECT 1 FROM crm.orders WHERE id = 5") == []
    assert mirror.rows("SELECT 1 FROM crm.order_items WHERE order_id = 5") == []


def wider(resource: Resource) -> Resource:
    """The resource of next year: a column more."""
    more = Field("weight_again", CODE, "weight", "added later")
    return dataclasses.replace(resource, fields=(*resource.fields, more))


def test_a_column_added_to_a_declaration_is_filled_from_raw(mirror: Mirror) -> None:
    """Another version: a rebuild is queued, and coverage waits for it."""
    mirror.rows("ALTER TABLE crm.orders ADD weight_again text")
    mirror.resources["orders"] = wider(mirror.resources["orders"])
    mirror.wire.paths.clear()
    with mirror.engine.begin() as connection:
        assert queue_where_stale(connection, mirror.resources) == 1
        assert queue_where_stale(connection, mirror.resources) == 0
    assert mirror.coverage("orders").complete_as_of is None
    assert mirror.coverage("orders").state == "loading"
    mirror.work("orders", "walk")
    assert mirror.wire.paths == []
    wrong = mirror.rows(
        "SELECT id FROM crm.orders WHERE weight_again IS DISTINCT FROM raw ->> 'weight'"
    )
    assert wrong == []
    assert mirror.value("SELECT count(weight_again) FROM crm.orders") > 0
    assert mirror.coverage("orders").complete_as_of is not None
    with mirror.engine.begin() as connection:
        assert queue_where_stale(connection, mirror.resources) == 0


WRONG = "SELECT id FROM crm.orders WHERE weight_again IS DISTINCT FROM raw ->> 'weight'"


def by_the_release_before(mirror: Mirror, order: int) -> None:
    """A worker that was not replaced yet follows the feed, and reads an order its own way."""
    newer = dict(mirror.resources)
    mirror.resources["orders"] = small(*SALES)["orders"]
    mirror.account.update_order(order, managerComment="read the old way", weight=77)
    mirror.work("order_history", "feed")
    mirror.resources.update(newer)


def rebuild_where_stale(mirror: Mirror) -> int:
    with mirror.engine.begin() as connection:
        queued = queue_where_stale(connection, mirror.resources)
    mirror.work("orders", "walk")
    return queued


def test_what_the_release_before_wrote_after_a_rebuild_is_rebuilt(mirror: Mirror) -> None:
    """Old workers beside new ones: their rows lack the new column, so nothing may stand as read
    by the new declaration."""
    mirror.rows("ALTER TABLE crm.orders ADD weight_again text")
    mirror.resources["orders"] = wider(mirror.resources["orders"])
    assert rebuild_where_stale(mirror) == 1
    order = max(mirror.truth("orders"))
    by_the_release_before(mirror, order)
    assert [row.id for row in mirror.rows(WRONG)] == [order]
    assert rebuild_where_stale(mirror) == 1
    assert mirror.rows(WRONG) == []
    assert rebuild_where_stale(mirror) == 0
    mirror.come_to_rest()
    assert rebuild_where_stale(mirror) == 0


def test_what_the_release_before_writes_amid_a_rebuild_is_rebuilt_after_it(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rebuild has passed the row already, and cannot say that all are read the new way."""
    monkeypatch.setattr(rebuild, "BATCH", 10)
    mirror.rows("ALTER TABLE crm.orders ADD weight_again text")
    mirror.resources["orders"] = wider(mirror.resources["orders"])
    with mirror.engine.begin() as connection:
        queue_where_stale(connection, mirror.resources)
    mirror.services.stop.set()
    mirror.work("orders", "walk")
    mirror.services.stop.clear()
    order = min(mirror.truth("orders"))
    by_the_release_before(mirror, order)
    mirror.work("orders", "walk")
    assert not mirror.open_crawls("orders")
    assert [row.id for row in mirror.rows(WRONG)] == [order]
    assert rebuild_where_stale(mirror) == 1
    assert mirror.rows(WRONG) == []
    assert rebuild_where_stale(mirror) == 0


def test_a_rebuild_that_another_release_carried_on_is_made_again(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second half of it is read the old way."""
    monkeypatch.setattr(rebuild, "BATCH", 10)
    mirror.rows("ALTER TABLE crm.orders ADD weight_again text")
    newer = wider(mirror.resources["orders"])
    mirror.resources["orders"] = newer
    mirror.queue("orders", "rebuild")
    mirror.services.stop.set()
    mirror.work("orders", "walk")
    mirror.services.stop.clear()
    mirror.resources["orders"] = small(*SALES)["orders"]
    mirror.work("orders", "walk")
    assert not mirror.open_crawls("orders")
    mirror.resources["orders"] = newer
    assert rebuild_where_stale(mirror) == 1
    assert mirror.rows(WRONG) == []
    assert rebuild_where_stale(mirror) == 0


def test_a_proof_before_the_rebuild_does_not_stand_for_it(mirror: Mirror) -> None:
    """Counting rows says nothing of how they were read: the rebuild is queued all the same."""
    mirror.rows("ALTER TABLE crm.orders ADD weight_again text")
    mirror.resources["orders"] = wider(mirror.resources["orders"])
    mirror.queue("orders", "reconcile")
    mirror.work("orders", "walk")
    with mirror.engine.begin() as connection:
        assert queue_where_stale(connection, mirror.resources) == 1


def test_housekeeping_queues_what_is_stale(mirror: Mirror) -> None:
    mirror.rows("UPDATE sync.coverage SET version = 'older' WHERE resource = 'customers'")
    housekeep(mirror.services)
    assert ("customers", "rebuild", "plan") in [tuple(row) for row in mirror.open_crawls()]


def test_another_zone_moves_every_moment_and_no_key(open_mirror: Open) -> None:
    """Made keys, records of parents and plain ones: read in another zone, the same rows."""
    names = ("loyalties", "loyalty_accounts", "bonus_operations", "bonuses_burn_soon",
             "custom_fields", "tasks", "task_history", "task_comments",
             *SALES)  # fmt: skip
    mirror = open_mirror(*names, orders=40, customers=30)
    mirror.settle()
    moments = {"bonus_operations": "created_at", "task_comments": "created_at",
               "orders": "created_at", "custom_fields": "NULL::timestamptz",
               "bonuses_burn_soon": "NULL::timestamptz"}  # fmt: skip
    before = {
        name: dict(map(tuple, mirror.rows(f"SELECT id, {moment} FROM crm.{name}")))
        for name, moment in moments.items()
    }
    assert all(before.values())
    mirror.rows("UPDATE sync.store SET zone = 'Asia/Tokyo' WHERE id = :store")
    with mirror.engine.begin() as connection:
        assert queue_where_stale(connection, mirror.resources) == len(names)
    mirror.wire.paths.clear()
    for name in names:
        mirror.work(name, "walk")
    assert mirror.wire.paths == []
    assert mirror.errors() == []
    shift = dt.timedelta(hours=6)  # Moscow is UTC+3, Tokyo UTC+9
    for name, moment in moments.items():
        after = dict(map(tuple, mirror.rows(f"SELECT id, {moment} FROM crm.{name}")))
        assert after == {key: at and at - shift for key, at in before[name].items()}, name
    with mirror.engine.begin() as connection:
        typed.assert_columns_follow_from_raw(connection, mirror.store_id, "orders", "Asia/Tokyo")


def test_what_comes_out_as_it_was_is_not_written_twice(mirror: Mirror) -> None:
    """Children that come out the same stay untouched: a new column of orders rewrites no item."""
    places = "SELECT ctid, * FROM crm.order_items WHERE store_id = :store ORDER BY order_id, id"
    before = mirror.rows(places)
    mirror.queue("orders", "rebuild")
    mirror.work("orders", "walk")
    assert mirror.rows(places) == before
