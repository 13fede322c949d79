"""Tables kept up with orders are what their definitions give, whoever writes the orders."""

from __future__ import annotations

import datetime as dt
import random
import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa

from sync.declare.moments import zone_of
from sync.privacy import readers
from sync.records.normalise import Normaliser
from sync.resources import RESOURCES
from sync.rows import kept
from sync.rows.erasing import erase_stored
from sync.rows.tombstones import Tombstone, mark_deleted
from sync.rows.upsert import load
from sync.state import accounts, stores
from tests.integration.analysts.conftest import MakeRole, add_store
from tests.integration.pipeline.kept import assert_kept

ZONE = "Europe/Moscow"
STATUSES = ["new", "complete", "refused"]
MARGINS = "SELECT order_id, costs FROM crm.order_margin ORDER BY 1"


class Shop:
    """Writes of one store as the pipeline makes them, each of a later moment than the last."""

    def __init__(self, engine: sa.Engine, seed: int = 1) -> None:
        self.engine, self.store = engine, add_store(engine, "shop")
        with engine.begin() as connection:
            stores.register(connection, [self.store], RESOURCES.values(), load=False)
        self.random = random.Random(seed)
        self.moment = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
        self.entries = 0

    def write(self, name: str, *records: dict[str, Any], connection: Any = None) -> None:
        if connection is None:
            with self.engine.begin() as own:
                self.write(name, *records, connection=own)
            return
        self.moment += dt.timedelta(seconds=1)
        normaliser = Normaliser(RESOURCES[name], zone_of(ZONE), ZONE)
        batch = normaliser.batch(list(records), as_of=self.moment)
        assert len(batch.rows) == len(records), batch.rejects
        keys = [row.key for row in batch.rows]
        with kept.following(connection, RESOURCES[name], self.store, keys) as written:
            loaded = load(connection, RESOURCES[name], self.store, batch.rows)
            written.update(loaded.keys)

    def delete(self, name: str, key: int) -> None:
        self.moment += dt.timedelta(seconds=1)
        tombstone = Tombstone(key, self.moment, "history", self.moment)
        with (
            self.engine.begin() as connection,
            kept.following(connection, RESOURCES[name], self.store, [key]) as written,
        ):
            loaded = mark_deleted(connection, RESOURCES[name], self.store, [tombstone])
            written.update(loaded.keys)

    def erase(self, order: int) -> None:
        with self.engine.begin() as connection:
            erase_stored(connection, self.store, {"orders": [order]}, zone=ZONE)

    def order(self, number: int) -> dict[str, Any]:
        pick = self.random.choice
        return {
            "id": number, "status": pick(STATUSES), "site": pick(["ru", "es"]),
            "createdAt": f"2026-02-{pick([1, 9, 20]):02d} 10:00:00",
            "currency": pick(["RUB", "EUR"]), "totalSumm": pick([0, 1300]),
            "delivery": pick([{}, {"netCost": 250}]),
            "items": [
                {"id": number * 10 + place, "initialPrice": 100, "quantity": pick([1, 3]),
                 "purchasePrice": pick([0, 60]),
                 "prices": pick([[], [{"price": 9, "quantity": 2}]])}
                for place in range(self.random.randrange(3))
            ],
        }  # fmt: skip

    def cost(self, number: int, order: int) -> dict[str, Any]:
        return {
            "id": number, "summ": self.random.choice([50, 0.05]), "order": {"id": order},
            "costItem": self.random.choice(["products-purchase-price", "office"]),
            "dateFrom": "2026-02-01", "dateTo": "2026-02-01", "createdAt": "2026-02-01 10:00:00",
        }  # fmt: skip

    def entry(self, order: int) -> dict[str, Any]:
        self.entries += 1
        pick = self.random.choice
        return {
            "id": self.entries, "createdAt": f"2026-02-{pick([2, 10, 21]):02d} 10:00:00",
            "field": pick(["status", "status", "manager_comment"]), "order": {"id": order},
            "oldValue": pick([None, {"code": pick(STATUSES)}]),
            "newValue": {"code": pick(STATUSES)},
        }  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_kept_follows_every_write(engine: sa.Engine, seed: int) -> None:
    """Orders before and after their histories and costs, changed, deleted, erased and come back;
    costs that move to another order."""
    shop = Shop(engine, seed)
    among = range(1, 9)
    for _ in range(12):
        some = shop.random.sample(among, 3)
        for act in shop.random.sample(
            [
                lambda some=some: shop.write("orders", *map(shop.order, some)),
                lambda some=some: shop.write("order_history", *map(shop.entry, some)),
                lambda some=some: shop.write("costs", *(shop.cost(n, n % 5 + 1) for n in some)),
                lambda some=some: shop.write("costs", shop.cost(some[0], some[1])),
                lambda some=some: shop.delete("orders", some[0]),
                lambda some=some: shop.delete("costs", some[1]),
                lambda some=some: shop.erase(some[2]),
            ],
            5,
        ):
            act()
            with engine.begin() as connection:
                assert_kept(connection)
    with engine.begin() as connection:
        found = connection.exec_driver_sql(
            "SELECT (SELECT count(*) FROM crm.order_status_spans),"
            " (SELECT count(*) FROM crm.order_margin)"
        ).one()
    assert min(found) > 0


def test_a_cost_that_moves_leaves_its_order(engine: sa.Engine) -> None:
    shop = Shop(engine)
    shop.write("orders", shop.order(1), shop.order(2))
    cost = shop.cost(1, 1) | {"costItem": "office", "summ": 7}
    shop.write("costs", cost)
    shop.write("costs", cost | {"order": {"id": 2}})
    with engine.begin() as connection:
        assert connection.exec_driver_sql(MARGINS).all() == [(1, 0), (2, 7)]


def test_two_who_write_of_one_order_take_turns(engine: sa.Engine) -> None:
    """Neither sees what the other has not committed: the second waits before it writes anything."""
    shop = Shop(engine)
    entry = shop.entry(1) | {"field": "status"}
    shop.write("orders", shop.order(1) | {"status": "new"})
    with engine.begin() as first:
        shop.write("orders", shop.order(1) | {"createdAt": "2026-01-01 10:00:00"}, connection=first)
        second = threading.Thread(target=shop.write, args=("order_history", entry))
        second.start()
        _until_somebody_waits(engine)
        first.commit()
    second.join(60)
    assert not second.is_alive()
    with engine.begin() as connection:
        assert_kept(connection)
        assert connection.exec_driver_sql("SELECT count(*) FROM crm.order_history").scalar() == 1


def _until_somebody_waits(engine: sa.Engine) -> None:
    deadline = time.monotonic() + 60
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database()"
    )
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        while not connection.exec_driver_sql(waiting).scalar():
            assert time.monotonic() < deadline


def test_readers_see_what_is_kept_of_their_stores_alone(
    engine: sa.Engine, make_role: MakeRole
) -> None:
    shop, other = Shop(engine), add_store(engine, "other")
    shop.write("orders", shop.order(1))
    limited, masked = make_role(), make_role()
    readers.grant(engine, limited.name, store_ids=[other], is_masked=False)
    readers.grant(engine, masked.name, store_ids=[other], is_masked=True)
    for name in ("kept_order_margin", "order_margin", "kept_order_status_spans"):
        assert limited.rows(f"SELECT * FROM crm.{name}") == []
        assert masked.rows(f"SELECT * FROM crm_masked.{name}") == []


def test_a_purged_store_leaves_nothing_kept(engine: sa.Engine) -> None:
    """Wherever a purge is stopped, no margin is left of an order that is gone."""
    shop = Shop(engine)
    shop.write("orders", shop.order(1))
    purged = {}
    for table, deleted in accounts.purge(engine, shop.store, RESOURCES.values()):
        purged[table] = deleted
        with engine.begin() as connection:
            for kept in ("kept_order_margin", "kept_order_status_spans"):
                alone = f"SELECT order_id FROM crm.{kept} EXCEPT SELECT id FROM crm.orders"
                assert connection.exec_driver_sql(alone).all() == [], table
    assert purged["kept_order_margin"] == purged["kept_order_status_spans"] == 1
    with engine.begin() as connection:
        assert_kept(connection)
