"""Three consumers of `crm`: one that follows change numbers, one that merges Parquet runs, and a
Postgres that subscribes. After any churn all hold what `crm` holds, row by row."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
import sqlalchemy as sa

from sync.analysts import publication
from sync.analysts.export import export
from sync.analysts.places import place_of
from sync.database.migrate import upgrade
from sync.embedded import Servers, private
from sync.embedded.process import wait_until
from sync.errors import NeedsOperator
from sync.privacy import erasure
from sync.resources import RESOURCES
from sync.state import stores
from tests.integration.analysts.conftest import add_store, put
from tests.integration.analysts.test_changes import OF_ITS_READ, Reader, url_of
from tests.integration.pipeline.harness import Mirror

MIRRORED = ("customers", "customer_history", "orders", "order_history")
TABLES = [table for name in MIRRORED for table in RESOURCES[name].tables]


@pytest.fixture(scope="module")
def publisher() -> Iterator[Servers]:
    """A Postgres that writes to its log what logical replication needs."""
    with private() as servers:
        with servers.postgres.connect("postgres") as connection:
            connection.execute("ALTER SYSTEM SET wal_level = 'logical'")
        servers.postgres.restart()
        with servers.postgres.connect("postgres") as connection:
            connection.execute("CREATE DATABASE migrated")
        upgrade(f"{servers.database_url.rpartition('/')[0]}/migrated")
        yield servers


@pytest.fixture(scope="module")
def other() -> Iterator[Servers]:
    """Another Postgres."""
    with private() as servers:
        with servers.postgres.connect("postgres") as connection:
            connection.execute("ALTER SYSTEM SET wal_receiver_status_interval = '1s'")
            connection.execute("ALTER SYSTEM SET wal_retrieve_retry_interval = '100ms'")
            connection.execute("SELECT pg_reload_conf()")
        yield servers


@pytest.fixture
def source(publisher: Servers) -> Iterator[str]:
    """A fresh database at migration head on the publisher."""
    with publisher.postgres.connect("postgres") as connection:
        connection.execute("CREATE DATABASE source TEMPLATE migrated")
    yield f"{publisher.database_url.rpartition('/')[0]}/source"
    with publisher.postgres.connect("postgres") as connection:
        connection.execute("DROP DATABASE source WITH (FORCE)")


class Subscriber:
    """Another Postgres that subscribes to a publication, by the words of replication.md."""

    def __init__(self, source: Servers, target: Servers, engine: sa.Engine, name: str) -> None:
        self.source, self.target, self.engine, self.name = source, target, engine, name
        with target.postgres.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name}")
        self.make_tables()
        told = engine.url
        with self.connect() as connection:
            connection.execute(
                f"CREATE SUBSCRIPTION {name} CONNECTION 'host={told.host} port={told.port}"
                f" user={told.username} password={told.password} dbname={told.database}'"
                f" PUBLICATION {name}"
            )

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return self.target.postgres.connect(self.name)

    def make_tables(self) -> None:
        with self.engine.begin() as connection:
            sql = publication.tables(connection)
        with self.connect() as connection:
            connection.execute(sql.encode())

    def catch_up(self) -> None:
        """Wait until all tables are copied, and all that was committed has been applied."""
        with self.engine.begin() as connection:
            end = connection.exec_driver_sql("SELECT pg_current_wal_lsn()").scalar_one()
        pending = "SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'"
        applied = (
            "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots"
            " WHERE slot_name = %s"
        )

        def is_done() -> bool:
            with self.connect() as here, self.engine.begin() as there:
                return here.execute(pending).fetchone() == (0,) and bool(
                    there.exec_driver_sql(applied, (end, self.name)).scalar_one()
                )

        wait_until(is_done, seconds=120, what="the subscriber has all")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(sql.encode()).fetchall()

    def assert_equal_to_crm(self, where: str = "true") -> None:
        for (table,) in self.rows(
            "SELECT relname FROM pg_class WHERE relnamespace = 'crm'::regnamespace"
            " AND relkind = 'r'"
        ):
            asked = f"SELECT to_jsonb(t)::text FROM crm.{table} AS t"
            with self.engine.begin() as connection:
                there = connection.exec_driver_sql(f"{asked} WHERE {where}").scalars().all()
            assert sorted(row for (row,) in self.rows(asked)) == sorted(there), table

    def drop(self) -> None:
        with self.connect() as connection:
            connection.execute(f"DROP SUBSCRIPTION {self.name}")
        with self.target.postgres.connect("postgres") as connection:
            connection.execute(f"DROP DATABASE {self.name} WITH (FORCE)")


@pytest.fixture
def subscribe(publisher: Servers, other: Servers) -> Iterator[Callable[..., Subscriber]]:
    """Publishes a database and subscribes to it from the other Postgres."""
    made: list[Subscriber] = []

    def do(engine: sa.Engine, *, name: str = "copy", store_ids: tuple[int, ...] = ()) -> Subscriber:
        with engine.begin() as connection:
            publication.publish(connection, name, store_ids=store_ids)
        made.append(Subscriber(publisher, other, engine, name))
        return made[-1]

    yield do
    for each in made:
        each.drop()


class Merged:
    """An analyst who reads the files by current.sql, as shipped."""

    def __init__(self, mirror: Mirror, folder: Path) -> None:
        self.mirror, self.place = mirror, place_of(str(folder), "shop")
        self.home = folder / "shop"

    def catch_up(self) -> None:
        with self.mirror.engine.begin() as connection:
            store = stores.by_id(connection, self.mirror.store_id)
        assert store is not None
        mirrored = [RESOURCES[name] for name in MIRRORED]
        for _ in export(self.mirror.engine, store, mirrored, place=self.place, rows_per_part=30):
            pass

    def assert_equal_to_crm(self) -> None:
        schema = json.loads((self.home / "schema.json").read_text())
        with duckdb.connect() as files:
            files.execute(f"SET file_search_path = '{self.home}'")
            files.execute((self.home / "current.sql").read_text())
            there = {name for (name,) in files.execute("SHOW TABLES").fetchall()}
            for table in TABLES:
                columns = schema[table]["columns"].items()
                types = {name: c["type"] for name, c in columns if name not in OF_ITS_READ}
                here, stored = (", ".join(_shown(types, of)) for of in (_IN_DUCKDB, _IN_POSTGRES))
                held = (
                    files.execute(f"SELECT {here} FROM {table}").fetchall()
                    if table in there else []
                )  # fmt: skip
                with self.mirror.engine.begin() as connection:
                    rows = connection.exec_driver_sql(f"SELECT {stored} FROM crm.{table}").all()
                assert sorted(map(_told, held)) == sorted(map(_told, rows)), table


_IN_DUCKDB = {"TIMESTAMPTZ": "epoch_us({})"}
_IN_POSTGRES = {
    "TIMESTAMPTZ": "(extract(epoch FROM {}) * 1000000)::bigint",
    "VARCHAR": "{}::text",  # JSON is text in files
}


def _shown(types: dict[str, str], forms: dict[str, str]) -> list[str]:
    """Columns in a form that both servers' drivers give alike."""
    return [forms.get(kind, "{}").format(f'"{name}"') for name, kind in types.items()]


def _told(row: Any) -> list[str]:
    """A row's values as text: `1.50` is `1.5`."""
    return [
        format(value.normalize(), "f") if isinstance(value, Decimal) else repr(value)
        for value in row
    ]


def churn(mirror: Mirror, pick: random.Random) -> None:
    """One thing that happens in a shop."""
    account = mirror.account
    orders, people = mirror.truth("orders"), sorted(mirror.truth("customers"))
    order = pick.choice(sorted(orders.values(), key=lambda o: o["id"]))
    one, two = pick.sample(sorted(orders), 2)
    items = order["items"]
    first, second = pick.sample(people, 2)
    pick.choice(
        (
            lambda: account.create_order(),
            lambda: account.update_order(order["id"], managerComment=f"{pick.random()}"),
            lambda: account.update_order(order["id"], items=items[1:]),
            lambda: account.update_order(
                order["id"], items=[item | {"quantity": item["quantity"] + 1} for item in items]
            ),
            lambda: account.delete_order(order["id"]),
            lambda: account.merge_orders(one, [two]),
            lambda: account.merge_customers(first, [second]),
        )
    )()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("days", [4, pytest.param(30, marks=pytest.mark.faults)])
def test_after_a_month_of_churn_three_consumers_hold_what_crm_holds(
    source: str,
    subscribe: Callable[..., Subscriber],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    days: int,
) -> None:
    """Removed children, tombstones, merges, a rebuild and an erasure included, in every table."""
    pick = random.Random(days)
    mirror = Mirror(source, monkeypatch, orders=20 + 2 * days, customers=10 + 2 * days)
    mirror.settle()
    reader = Reader(url_of(mirror), mirror.store_id, *TABLES)
    merged, subscriber = Merged(mirror, tmp_path), subscribe(mirror.engine)
    order = next(o for o in mirror.truth("orders").values() if len(o["items"]) > 1)
    mirror.account.update_order(order["id"], items=order["items"][1:])
    mirror.account.delete_order(max(mirror.truth("orders")))
    for day in range(days):
        for _ in range(pick.randint(1, 4)):
            churn(mirror, pick)
        mirror.come_to_rest()
        if day == days // 2:
            with mirror.engine.begin() as connection:
                store = stores.by_id(connection, mirror.store_id)
                assert store is not None
                erasure.erase(connection, store, min(mirror.truth("customers")))
            with mirror.engine.begin() as connection:  # as after another reading of orders
                connection.exec_driver_sql(
                    "UPDATE crm.order_items SET quantity = quantity + 1, change_no = 0;"
                    " UPDATE crm.orders SET content_hash = ''"
                )
            mirror.finish(mirror.queue("orders", "rebuild"))
        if day % 3 == 0 or pick.random() < 0.5:
            merged.catch_up()
            reader.catch_up()
    reader.catch_up()
    merged.catch_up()
    subscriber.catch_up()
    assert mirror.value("SELECT count(*) FROM crm.orders WHERE deleted_at IS NOT NULL") > 0
    assert mirror.value("SELECT count(*) FROM crm.removed_rows") > 1
    reader.assert_equal_to_crm()
    merged.assert_equal_to_crm()
    subscriber.assert_equal_to_crm()
    mirror.close()


@pytest.mark.faults
def test_a_subscriber_of_one_store_has_its_rows_alone(
    source: str, subscribe: Callable[..., Subscriber]
) -> None:
    """From the first copy on; what was erased is erased there, and a removed store leaves."""
    engine = sa.create_engine(source, poolclass=sa.NullPool)
    mine, others = add_store(engine, "mine"), add_store(engine, "others")
    for store in (mine, others):
        put(engine, "orders", {"store_id": store, "id": 1, "email": "a@b.c"})
        put(engine, "order_items", {"store_id": store, "order_id": 1, "id": 1})
    subscriber = subscribe(engine, store_ids=(mine,))
    subscriber.catch_up()
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE crm.orders SET email = NULL")
        connection.exec_driver_sql("DELETE FROM crm.order_items")
    put(engine, "orders", {"store_id": mine, "id": 2}, {"store_id": others, "id": 2})
    subscriber.catch_up()
    subscriber.assert_equal_to_crm(f"store_id = {mine}")
    assert subscriber.rows("SELECT id, email FROM crm.orders ORDER BY id") == [(1, None), (2, None)]
    assert subscriber.rows("SELECT count(*) FROM crm.order_items") == [(0,)]


@pytest.mark.faults
def test_an_upgrade_stops_a_subscriber_until_it_has_the_columns_and_loses_nothing(
    source: str, subscribe: Callable[..., Subscriber]
) -> None:
    """Tables are not replicated: the log waits. New tables come with the publication made again."""
    engine = sa.create_engine(source, poolclass=sa.NullPool)
    store = add_store(engine, "shop")
    put(engine, "orders", {"store_id": store, "id": 1})
    subscriber = subscribe(engine)
    subscriber.catch_up()
    with engine.begin() as connection:  # as a migration does, while the subscriber follows
        connection.exec_driver_sql("ALTER TABLE crm.orders ADD COLUMN of_the_next bigint")
        connection.exec_driver_sql(
            "CREATE TABLE crm.colors (store_id bigint, code text, PRIMARY KEY (store_id, code))"
        )
        connection.exec_driver_sql("INSERT INTO crm.colors VALUES (1, 'red')")
    put(engine, "orders", {"store_id": store, "id": 2, "of_the_next": 5})
    stopped = "SELECT apply_error_count > 0 FROM pg_stat_subscription_stats"
    wait_until(lambda: subscriber.rows(stopped) == [(True,)], seconds=60, what="it says so")
    subscriber.make_tables()
    with engine.begin() as connection:
        publication.publish(connection, "copy")
    with subscriber.connect() as connection:
        connection.execute("ALTER SUBSCRIPTION copy REFRESH PUBLICATION")
    subscriber.catch_up()
    subscriber.assert_equal_to_crm()
    assert subscriber.rows("SELECT id, of_the_next FROM crm.orders ORDER BY id") == [
        (1, None),
        (2, 5),
    ]
    assert subscriber.rows("SELECT code FROM crm.colors") == [("red",)]


def test_a_server_that_does_not_replicate_logically_is_told_in_words(database: str) -> None:
    """Nothing is made that would not work."""
    engine = sa.create_engine(database, poolclass=sa.NullPool)
    with engine.begin() as connection, pytest.raises(NeedsOperator, match="wal_level is replica"):
        publication.publish(connection, "copy")
