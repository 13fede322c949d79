"""The ready views, against answers worked out by hand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from sync.declare.moments import zone_of
from sync.records.normalise import Normaliser
from sync.resources import RESOURCES
from sync.rows import doubled_hour, kept
from sync.rows.upsert import load
from tests.integration.analysts.conftest import add_store, put
from tests.integration.pipeline.harness import Mirror


class Shop:
    """One store's rows, written by hand."""

    def __init__(self, engine: sa.Engine, zone: str = "Europe/Moscow", name: str = "shop") -> None:
        self.engine = engine
        self.store_id = add_store(engine, name, zone=zone)

    def put(self, table: str, *rows: dict[str, Any]) -> None:
        put(self.engine, table, *({"store_id": self.store_id} | row for row in rows))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.engine.begin() as connection:
            found = connection.execute(sa.text(sql), {"store": self.store_id})
            return [tuple(row) for row in found]


@pytest.fixture
def shop(engine: sa.Engine) -> Shop:
    """Statuses of three groups; nothing else."""
    made = Shop(engine)
    made.put(
        "statuses",
        {"code": "new", "group": "new"},
        {"code": "assembling", "group": "assembling"},
        {"code": "complete", "group": "complete"},
        {"code": "refused", "group": "cancel"},
    )
    return made


def said(order: int, entry: int, at: str, before: str | None, after: str) -> dict[str, Any]:
    """A history entry of a status."""
    values = {"old_value": {"code": before} if before else None, "new_value": {"code": after}}
    return {"id": entry, "order_id": order, "created_at": at, "field": "status", **values}


def moments(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Moments in UTC as text, for reading."""
    return [
        tuple(v.astimezone(dt.UTC).strftime("%m-%dT%H:%M") if isinstance(v, dt.datetime) else v
              for v in row)
        for row in rows
    ]  # fmt: skip


SPANS = (
    "SELECT order_id, ordinal, status, entered_at, left_at, is_open FROM crm.order_status_spans"
    " WHERE store_id = :store ORDER BY order_id, ordinal"
)


def test_spans_follow_from_the_history(shop: Shop) -> None:
    """Each change ends a status and begins the next; the last is open until it is left, or the
    order is deleted."""
    shop.put(
        "orders",
        {"id": 1, "status": "complete", "created_at": "2026-03-01T10:00:00Z"},
        {"id": 2, "status": "new", "created_at": "2026-03-01T10:00:00Z",
         "deleted_at": "2026-03-05T00:00:00Z", "deleted_reason": "history"},
    )  # fmt: skip
    shop.put(
        "order_history",
        said(1, 11, "2026-03-01T10:00:00Z", None, "new"),
        said(1, 12, "2026-03-02T12:30:00Z", "new", "assembling"),
        {"id": 13, "order_id": 1, "created_at": "2026-03-02T13:00:00Z", "field": "email"},
        said(1, 14, "2026-03-04T12:30:00Z", "assembling", "complete"),
        said(2, 15, "2026-03-01T10:00:00Z", None, "new"),
    )
    assert moments(shop.rows(SPANS)) == [
        (1, 1, "new", "03-01T10:00", "03-02T12:30", False),
        (1, 2, "assembling", "03-02T12:30", "03-04T12:30", False),
        (1, 3, "complete", "03-04T12:30", None, True),
        (2, 1, "new", "03-01T10:00", "03-05T00:00", False),
    ]
    assert shop.rows(
        "SELECT status, sum(lasted) FROM crm.order_status_spans WHERE order_id = 1 AND NOT is_open"
        " GROUP BY 1 ORDER BY 1"
    ) == [("assembling", dt.timedelta(days=2)), ("new", dt.timedelta(hours=26, minutes=30))]
    [(open_for,)] = shop.rows(
        "SELECT lasted = now() - entered_at FROM crm.order_status_spans WHERE is_open"
    )
    assert open_for


def test_spans_where_the_history_does_not_reach_back(shop: Shop) -> None:
    """The first change tells what was before it; without any change the order itself does."""
    shop.put(
        "orders",
        {"id": 1, "status": "complete", "created_at": "2026-03-01T10:00:00Z"},
        {"id": 2, "status": "new", "created_at": "2026-03-03T10:00:00Z"},
    )
    shop.put(
        "order_history",
        said(1, 12, "2026-03-02T10:00:00Z", "assembling", "complete"),
        {"id": 13, "order_id": 9, "created_at": "2026-03-02T13:00:00Z", "field": "status",
         "old_value": None, "new_value": "new"},
    )  # fmt: skip
    assert moments(shop.rows(SPANS)) == [
        (1, 1, "assembling", "03-01T10:00", "03-02T10:00", False),
        (1, 2, "complete", "03-02T10:00", None, True),
        (2, 1, "new", "03-03T10:00", None, True),
        (9, 1, "new", "03-02T13:00", None, True),
    ]


def test_spans_do_not_depend_on_anybodys_zone(shop: Shop) -> None:
    """Moments are moments: over a change of the clocks a span is as long as it was."""
    shop.put("orders", {"id": 1, "status": "complete", "created_at": "2026-03-28T22:00:00Z"})
    shop.put(
        "order_history",
        said(1, 1, "2026-03-28T22:00:00Z", None, "new"),
        said(1, 2, "2026-03-29T22:00:00Z", "new", "complete"),
    )
    with shop.engine.begin() as connection:
        lasted = "SELECT lasted FROM crm.order_status_spans WHERE NOT is_open"
        for zone in ("UTC", "Europe/Madrid", "America/New_York"):
            connection.exec_driver_sql(f"SET LOCAL timezone = '{zone}'")
            assert connection.exec_driver_sql(lasted).scalar() == dt.timedelta(days=1)


def test_sales_are_by_the_stores_day_and_never_mix_currencies(shop: Shop) -> None:
    """By site, status group and currency; deleted orders are not sales."""
    day = {"site": "ru", "created_on": "2026-05-01", "currency": "RUB"}
    shop.put(
        "orders",
        day | {"id": 1, "status": "new", "total_summ": 100.10, "summ": 90, "delivery_cost": 10.10},
        day | {"id": 2, "status": "new", "total_summ": 200.20, "summ": 200.20, "prepay_sum": 50},
        day | {"id": 3, "status": "complete", "total_summ": 7, "purchase_summ": 3},
        day | {"id": 4, "status": "new", "total_summ": 5, "currency": "EUR"},
        day | {"id": 5, "status": "new", "total_summ": 1, "site": "es"},
        day | {"id": 6, "status": "unheard", "total_summ": 2, "created_on": "2026-05-02"},
        day | {"id": 7, "status": "new", "total_summ": 1000,
               "deleted_at": "2026-05-03T00:00:00Z", "deleted_reason": "history"},
    )  # fmt: skip
    assert shop.rows(
        "SELECT day::text, site, status_group, currency, orders, total_summ, summ, delivery_cost,"
        " prepay_sum, purchase_summ FROM crm.daily_sales ORDER BY 1, 2, 3, 4"
    ) == [
        ("2026-05-01", "es", "new", "RUB", 1, Decimal(1), None, None, None, None),
        ("2026-05-01", "ru", "complete", "RUB", 1, Decimal(7), None, None, None, Decimal(3)),
        ("2026-05-01", "ru", "new", "EUR", 1, Decimal(5), None, None, None, None),
        ("2026-05-01", "ru", "new", "RUB", 2, Decimal("300.30"), Decimal("290.20"),
         Decimal("10.10"), Decimal(50), None),
        ("2026-05-02", "ru", None, "RUB", 1, Decimal(2), None, None, None, None),
    ]  # fmt: skip


def test_customers_are_summed_up_from_their_own_live_orders(shop: Shop) -> None:
    """Cancelled ones are counted and not summed; companies' orders are no person's; amounts of
    several currencies are not added."""
    gone = {"deleted_at": "2026-01-01T00:00:00Z", "deleted_reason": "history"}
    shop.put("customers", *({"id": n, "site": "ru"} for n in (1, 2, 3)), {"id": 4, **gone})
    mine = {"customer_id": 1, "customer_type": "customer", "currency": "RUB"}
    shop.put(
        "orders",
        mine | {"id": 1, "status": "new", "total_summ": 10, "created_at": "2026-01-01T00:00:00Z"},
        mine | {"id": 2, "status": "complete", "total_summ": 20,
                "created_at": "2026-02-01T00:00:00Z"},
        mine | {"id": 3, "status": "refused", "total_summ": 99,
                "created_at": "2026-03-01T00:00:00Z"},
        mine | {"id": 4, "status": "new", "total_summ": 99, "customer_type": "customer_corporate"},
        mine | {"id": 5, "status": "new", "total_summ": 99, "deleted_at": "2026-04-01T00:00:00Z",
                "deleted_reason": "history"},
        mine | {"id": 6, "status": "new", "total_summ": 5, "customer_id": 2},
        mine | {"id": 7, "status": "new", "total_summ": 5, "customer_id": 2, "currency": "EUR"},
    )  # fmt: skip
    assert moments(
        shop.rows(
            "SELECT customer_id, orders, canceled_orders, first_order_at, last_order_at, currency,"
            " total_summ, average_summ FROM crm.customer_summary ORDER BY 1"
        )
    ) == [
        (1, 3, 1, "01-01T00:00", "03-01T00:00", "RUB", Decimal(30), Decimal(15)),
        (2, 2, 0, None, None, None, None, None),
        (3, 0, 0, None, None, None, Decimal(0), None),
    ]


def test_stock_by_warehouse_and_as_a_total_where_no_more_is_known(shop: Shop) -> None:
    """Worth at the warehouse's purchase price, else at the offer's."""
    shop.put("warehouses", {"code": "main", "name": "Main"})
    shop.put(
        "inventories",
        {"id": 1, "quantity": 7, "purchase_price": 10, "name": "Shirt"},
        {"id": 2, "quantity": 3, "purchase_price": 2.5},
        {"id": 3, "quantity": 1, "deleted_at": "2026-01-01T00:00:00Z", "deleted_reason": "absent"},
    )
    shop.put(
        "inventory_stores",
        {"inventory_id": 1, "ordinal": 1, "store": "main", "quantity": 5, "available": 4},
        {"inventory_id": 1, "ordinal": 2, "code": "other", "quantity": 2, "purchase_price": 11},
    )
    assert shop.rows(
        "SELECT offer_id, offer, warehouse, warehouse_name, quantity, available, purchase_value"
        " FROM crm.stock ORDER BY 1, 3"
    ) == [
        (1, "Shirt", "main", "Main", Decimal(5), Decimal(4), Decimal(50)),
        (1, "Shirt", "other", None, Decimal(2), None, Decimal(22)),
        (2, None, None, None, Decimal(3), None, Decimal("7.5")),
    ]


def test_margin_is_what_is_left_after_purchase_delivery_and_costs(shop: Shop) -> None:
    """Items at the prices sold, tranche by tranche; cancelled items count for nothing."""
    shop.put(
        "orders",
        {"id": 1, "total_summ": 1000, "delivery_net_cost": 50, "currency": "RUB"},
        {"id": 2, "total_summ": 10, "currency": "RUB"},
    )
    shop.put(
        "order_items",
        {"order_id": 1, "id": 1, "quantity": 3, "purchase_price": 100,
         "prices": [{"price": 200, "quantity": 2}, {"price": 150.50, "quantity": 1}]},
        {"order_id": 1, "id": 2, "quantity": 2, "initial_price": 120, "discount_total": 20,
         "prices": []},
        {"order_id": 1, "id": 3, "quantity": 9, "purchase_price": 99, "is_canceled": True},
    )  # fmt: skip
    shop.put(
        "costs",
        {"id": 1, "order_id": 1, "summ": 25.5},
        {"id": 2, "order_id": 1, "summ": 4.5},
        {"id": 3, "order_id": 1, "summ": 7, "deleted_at": "2026-01-01T00:00:00Z",
         "deleted_reason": "absent"},
        {"id": 4, "summ": 7},
    )  # fmt: skip
    assert shop.rows(
        "SELECT order_id, items_summ, purchase_summ, items_without_purchase_price,"
        " delivery_net_cost, costs, margin FROM crm.order_margin ORDER BY 1"
    ) == [
        (1, Decimal("750.50"), Decimal(300), 1, Decimal(50), Decimal(30), Decimal(620)),
        (2, 0, 0, 0, 0, 0, Decimal(10)),
    ]


def test_freshness_says_how_old_each_resource_may_be(shop: Shop) -> None:
    """As crm.coverage has it: nothing is called fresh that is not proven."""
    with shop.engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO sync.coverage (store_id, resource, expected, mirrored, complete_as_of,"
                " every_seconds, proven_as_of) VALUES (:s, 'statuses', 5, 5,"
                " now() - interval '1 minute', 3600, now()), (:s, 'orders', 9, 4, NULL, 0, NULL)"
            ),
            {"s": shop.store_id},
        )
    rows = shop.rows(
        "SELECT store, resource, state, extract(epoch FROM age)::int BETWEEN 59 AND 90, missing"
        " FROM crm.freshness ORDER BY resource"
    )
    assert rows == [
        ("shop", "orders", "pending", None, 5),
        ("shop", "statuses", "fresh", True, 0),
    ]


def test_views_agree_with_what_the_crm_says_of_itself(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a sandbox account: the open span of each order is its status, sales are the orders."""
    from tests.integration.pipeline.harness import small

    resources = small("orders", "order_history", "customers", "customer_history", "statuses")
    mirror = Mirror(database, monkeypatch, resources=resources, orders=20, customers=8)
    mirror.settle()
    try:
        truth = mirror.truth("orders")
        open_spans = mirror.rows(
            "SELECT order_id, status FROM crm.order_status_spans WHERE is_open"
        )
        assert dict(tuple(row) for row in open_spans) == {
            key: order["status"] for key, order in truth.items()
        }
        total = mirror.value("SELECT sum(total_summ) FROM crm.daily_sales")
        assert total == sum(Decimal(str(order["totalSumm"])) for order in truth.values())
        assert mirror.value("SELECT sum(orders) FROM crm.daily_sales") == len(truth)
        summed = mirror.value("SELECT sum(orders) FROM crm.customer_summary")
        assert summed == sum(1 for order in truth.values() if order.get("customer"))
    finally:
        mirror.close()


def test_every_column_of_every_view_and_table_has_a_comment(engine: sa.Engine) -> None:
    """The dictionary is in the database itself."""
    with engine.begin() as connection:
        bare = connection.exec_driver_sql(
            "SELECT c.relname || '.' || a.attname FROM pg_class AS c JOIN pg_attribute AS a"
            " ON a.attrelid = c.oid WHERE c.relnamespace = 'crm'::regnamespace AND a.attnum > 0"
            " AND c.relkind IN ('r', 'p', 'v') AND NOT a.attisdropped"
            " AND col_description(a.attrelid, a.attnum) IS NULL"
        ).scalars()
        assert list(bare) == []
        unnamed = connection.exec_driver_sql(
            "SELECT relname FROM pg_class WHERE relnamespace = 'crm'::regnamespace"
            " AND relkind IN ('r', 'p', 'v') AND obj_description(oid, 'pg_class') IS NULL"
        ).scalars()
        assert list(unnamed) == []


@pytest.mark.parametrize(
    "pages",
    [
        [(0, 1, 2)],
        [(0, 1), (2,)],
        [(2,), (0, 1)],
        [(0, 2), (1,)],
        [(0, 1, 2), (3,), (4,)],
        [(0, 1), (2,), (4,), (3,)],
    ],
)
def test_an_hour_that_comes_twice_leaves_no_order_open_for_a_year(
    engine: sa.Engine, pages: list[tuple[int, ...]]
) -> None:
    """Entries are read in the order of their ids, whatever page they come with, and however late:
    40 minutes in the first hour, then a quarter of an hour over the change of the clocks."""
    shop = Shop(engine, zone="Europe/Madrid")
    shop.put("orders", {"id": 1, "status": "complete", "created_at": "2025-10-26T00:10:00Z"})
    told = (("02:10", None, "new"), ("02:50", "new", "confirmed"), ("02:05", "confirmed", "done"))
    records = [
        {"id": 193 + number, "createdAt": f"2025-10-26 {at}:00", "field": "status",
         "oldValue": before and {"code": before}, "newValue": {"code": after}, "order": {"id": 1}}
        for number, (at, before, after) in enumerate(told)
    ]  # fmt: skip
    records += [  # in the second hour, and after it
        {"id": 196 + number, "createdAt": f"2025-10-26 {at}:00", "field": "manager_comment",
         "oldValue": None, "newValue": "said", "order": {"id": 1}}
        for number, at in enumerate(("02:15", "03:00"))
    ]  # fmt: skip
    zone = zone_of("Europe/Madrid")
    normaliser = Normaliser(RESOURCES["order_history"], zone, "Europe/Madrid")
    for number, page in enumerate(pages):
        as_of = dt.datetime(2026, 1, 1, second=number, tzinfo=dt.UTC)
        rows = normaliser.batch([records[index] for index in page], as_of=as_of).rows
        with engine.begin() as connection:
            history = RESOURCES["order_history"]
            keys = [row.key for row in rows]
            with kept.following(connection, history, shop.store_id, keys) as written:
                loaded = load(connection, history, shop.store_id, rows)
                moved = doubled_hour.settle(connection, history, shop.store_id, rows, zone)
                written.update(loaded.keys, moved)
    assert moments(shop.rows(SPANS)) == [
        (1, 1, "new", "10-26T00:10", "10-26T00:50", False),
        (1, 2, "confirmed", "10-26T00:50", "10-26T01:05", False),
        (1, 3, "done", "10-26T01:05", None, True),
    ]
