"""Ready views against a second computation, in plain Python over the same awkward orders."""

from __future__ import annotations

import datetime as dt
import itertools
import random
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from sync.analysts import dictionary
from sync.privacy import readers
from tests.integration.analysts.conftest import MakeRole, add_store, put

GROUPS = {"new": "new", "complete": "complete", "refused": "cancel", "odd": None}
AUTOMATIC = {"products-purchase-price": "purchase", "delivery-cost": "delivery"}
START = dt.datetime(2026, 1, 5, 21, 30, tzinfo=dt.UTC)  # half past midnight in Moscow
Rows = list[dict[str, Any]]


class Account:
    """Awkward orders: tranches, returns, several currencies, automatic costs, moved dates."""

    def __init__(self, seed: int, orders: int = 80) -> None:
        self.random = random.Random(seed)
        self.orders: Rows = []
        self.items: Rows = []
        self.costs: Rows = []
        self.history: Rows = []
        for number in range(1, orders + 1):
            self._order(number)

    def _order(self, number: int) -> None:
        pick = self.random.choice
        made = START + dt.timedelta(hours=7 * number)
        order: dict[str, Any] = {
            "id": number, "status": pick(list(GROUPS)), "site": pick(["ru", "es"]),
            "currency": pick(["RUB", "RUB", "EUR", "", None]), "created_at": made.isoformat(),
            "created_on": (made + dt.timedelta(hours=3)).date().isoformat(),
            "delivery_net_cost": pick([None, 0, 250]), "total_summ": pick([0, 1300, "99.90"]),
            "customer_id": pick([None, 1, 2, 3]),
            "customer_type": pick([None, "customer", "customer_corporate"]),
        }  # fmt: skip
        if self.random.random() < 0.1:
            order |= {"deleted_at": "2026-08-01T00:00:00Z", "deleted_reason": "history"}
        self.orders.append(order)
        for place in range(self.random.randrange(4)):
            self._item(number, place)
        for _ in range(self.random.randrange(3)):
            self.costs.append(
                {"id": len(self.costs) + 1, "order_id": number, "summ": pick([50, "0.05"]),
                 "cost_item": pick([*AUTOMATIC, "office-expenses", None])}
            )  # fmt: skip
        statuses = [pick([None, "new"]), *(pick(list(GROUPS)) for _ in range(pick([0, 0, 1, 3])))]
        for before, after in itertools.pairwise(statuses):
            # Minutes back are the second reading of a doubled hour; days back a moved creation.
            made += dt.timedelta(minutes=pick([90, 40, -45, -3000, 0]))
            self.history.append(
                {"id": len(self.history) + 1, "order_id": number, "field": "status",
                 "created_at": made.isoformat(), "new_value": pick([after, {"code": after}]),
                 "old_value": before and {"code": before}}
            )  # fmt: skip

    def _item(self, order: int, place: int) -> None:
        pick = self.random.choice
        tranche = {"price": 100, "quantity": 2}
        self.items.append(
            {"order_id": order, "id": order * 10 + place, "initial_price": 100, "quantity": 3,
             "discount_total": pick([None, 10]), "purchase_price": pick([None, 60]),
             "offer_id": pick([None, 7]), "is_canceled": pick([None, False, True]),
             "prices": pick([None, [], [tranche, {"price": "90", "quantity": 1}], {}, [tranche],
                             [{"price": "a lot", "quantity": 1}], ["odd"], [tranche, {}]])}
        )  # fmt: skip

    def put(self, engine: sa.Engine) -> int:
        store = add_store(engine, "shop")
        statuses = [{"code": code, "group": group} for code, group in GROUPS.items()]
        for table, rows in {
            "statuses": statuses, "orders": self.orders, "order_items": self.items,
            "costs": self.costs, "order_history": self.history,
        }.items():  # fmt: skip
            put(engine, table, *({"store_id": store} | row for row in rows))
        return store

    @property
    def live(self) -> Rows:
        return [order for order in self.orders if "deleted_at" not in order]


def earned(item: dict[str, Any]) -> Decimal:
    """Tranches when there are some and each is two numbers, else price less discount."""
    tranches = item["prices"] if isinstance(item["prices"], list) else []
    try:
        return sum(Decimal(t["price"]) * t["quantity"] for t in tranches) or Decimal("nan")
    except (TypeError, KeyError, ArithmeticError):
        return Decimal("nan")


def line(item: dict[str, Any]) -> tuple[Decimal, Decimal | None]:
    """What an item was sold for and what it cost."""
    sold = earned(item)
    if sold.is_nan():
        sold = Decimal(item["initial_price"] - (item["discount_total"] or 0)) * item["quantity"]
    price = item["purchase_price"]
    return sold, None if price is None else Decimal(price) * item["quantity"]


@pytest.fixture(params=[1, 2, 3])
def account(request: pytest.FixtureRequest) -> Account:
    return Account(request.param)


def fetched(engine: sa.Engine, sql: str) -> list[tuple[Any, ...]]:
    with engine.begin() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]


def test_lines_are_what_each_item_was_sold_for(engine: sa.Engine, account: Account) -> None:
    """Tranches are summed once, an odd tranche never fails a query, cancelled is not sold."""
    account.put(engine)
    orders = {order["id"]: order for order in account.live}
    assert fetched(
        engine,
        "SELECT order_id, item_id, quantity, summ, purchase_summ, is_sale FROM crm.order_lines"
        " ORDER BY item_id",
    ) == [
        (
            item["order_id"], item["id"], item["quantity"], *line(item),
            GROUPS[orders[item["order_id"]]["status"]] != "cancel" and not item["is_canceled"],
        )
        for item in account.items
        if item["order_id"] in orders
    ]  # fmt: skip


def test_a_margin_counts_each_cost_once_and_no_two_currencies(
    engine: sa.Engine, account: Account
) -> None:
    """What the CRM books by itself is what items and delivery tell already. The account's currency
    is that of its costs; a margin over two currencies is not known."""
    account.put(engine)
    expected = []
    for order in account.live:
        mine = [i for i in account.items if i["order_id"] == order["id"] and not i["is_canceled"]]
        booked: dict[str, list[Decimal]] = defaultdict(list)
        for cost in account.costs:
            if cost["order_id"] == order["id"]:
                booked[AUTOMATIC.get(cost["cost_item"], "other")].append(Decimal(cost["summ"]))
        known = [cost for _, cost in map(line, mine) if cost is not None]
        purchase = sum(known or booked["purchase"], Decimal())
        net = order["delivery_net_cost"]
        delivery = Decimal(net) if net is not None else sum(booked["delivery"], Decimal())
        costs = sum(booked["other"], Decimal())
        margin = Decimal(order["total_summ"]) - purchase - delivery - costs
        mixed = costs != 0 and order["currency"] == "EUR"
        expected.append((order["id"], purchase, costs, None if mixed else margin))
    assert (
        fetched(
            engine,
            "SELECT order_id, purchase_summ, costs, margin FROM crm.order_margin ORDER BY order_id",
        )
        == expected
    )


def test_all_ways_to_add_up_sales_agree(engine: sa.Engine, account: Account) -> None:
    """By day, by buyer, by order: the same revenue in each currency, companies and orders of
    nobody included."""
    account.put(engine)
    revenue: dict[str | None, Decimal] = defaultdict(Decimal)
    for order in account.live:
        if GROUPS[order["status"]] != "cancel":
            revenue[order["currency"] or None] += Decimal(order["total_summ"])
    for source in (
        "crm.daily_sales WHERE status_group IS DISTINCT FROM 'cancel'",
        "crm.buyer_sales",
        "crm.order_margin WHERE is_sale",
    ):
        sql = f"SELECT currency, sum(total_summ) FROM {source} GROUP BY 1"
        found = {name: amount for name, amount in fetched(engine, sql) if amount}
        assert found == {name: amount for name, amount in revenue.items() if amount}, source


def test_spans_follow_one_another_whatever_the_clocks_said(
    engine: sa.Engine, account: Account
) -> None:
    """Statuses in the order of their entries, each beginning where the one before ended, none
    shorter than nothing; the last is the only open one."""
    account.put(engine)
    spans: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for order, *span in fetched(
        engine,
        "SELECT order_id, ordinal, status, entered_at, left_at, is_open, lasted"
        " FROM crm.order_status_spans ORDER BY order_id, ordinal",
    ):
        spans[order].append(tuple(span))
    for order in account.orders:
        mine = [e for e in account.history if e["order_id"] == order["id"]]
        told = [e["new_value"]["code"] if isinstance(e["new_value"], dict) else e["new_value"]
                for e in mine]  # fmt: skip
        began = dt.datetime.fromisoformat(order["created_at"])
        if not mine:
            told = [order["status"]]
        elif mine[0]["old_value"] and began < dt.datetime.fromisoformat(mine[0]["created_at"]):
            told.insert(0, mine[0]["old_value"]["code"])
        found = spans[order["id"]]
        assert [status for _, status, *_ in found] == told
        assert [ordinal for ordinal, *_ in found] == list(range(1, len(told) + 1))
        for (_, _, entered, left, is_open, lasted), following in zip(
            found, [*found[1:], None], strict=True
        ):
            assert is_open == (following is None and "deleted_at" not in order)
            assert lasted >= dt.timedelta()
            if following is not None:
                assert entered <= left == following[2]


def test_masked_ready_views_are_their_unmasked_twins(
    engine: sa.Engine, account: Account, make_role: MakeRole
) -> None:
    """The same rows with the same codes; statuses join; the documented queries find as much."""
    account.put(engine)
    role = make_role()
    readers.grant(engine, role.name, store_ids=None, is_masked=True)
    views = [name for (name,) in fetched(
        engine,
        "SELECT relname FROM pg_class WHERE relnamespace = 'crm'::regnamespace AND relkind = 'v'"
        " AND reloptions::text LIKE '%%security_invoker%%' ORDER BY 1",
    )]  # fmt: skip
    assert {"order_lines", "order_margin", "stock", "customer_summary"} <= set(views)
    for view in views:
        columns = [name for (name,) in fetched(
            engine,
            "SELECT attname FROM pg_attribute WHERE attnum > 0 AND attname NOT IN ('lasted', 'age')"
            f" AND attrelid = 'crm.{view}'::regclass ORDER BY attnum",
        )]  # fmt: skip
        sql = f"SELECT {', '.join(columns)} FROM {{}}.{view}"
        plain = sorted(map(repr, fetched(engine, sql.format("crm"))))
        assert sorted(map(repr, role.rows(sql.format("crm_masked")))) == plain, view
    for file in sorted(dictionary.QUERIES.glob("*.sql")):
        if file.stem.startswith("11_"):  # custom fields are cut
            continue
        sql = file.read_text("utf-8")
        plain = [tuple(row) for row in fetched(engine, sql.replace("%", "%%"))]
        assert len(role.rows(sql.replace("crm.", "crm_masked."))) == len(plain), file.stem
