"""Readers that follow change numbers: nothing skipped, nothing told twice, also after a restore."""

from __future__ import annotations

import datetime as dt
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sync.declare.moments import zone_of
from sync.embedded import Servers
from sync.privacy import erasure, readers
from sync.records.loaded import Unchanged
from sync.records.normalise import Normaliser, Row
from sync.resources import RESOURCES
from sync.rows.erasing import erase_stored
from sync.rows.rewrite import rewrite
from sync.rows.tombstones import Tombstone, mark_deleted
from sync.rows.upsert import load
from sync.state import stores
from tests.databases import administer
from tests.integration.analysts.conftest import MakeRole, add_store, put
from tests.integration.pipeline.harness import Mirror

TABLES: dict[str, tuple[str, str | None, str]] = {}
"""Each table's parent column and own key, after the store; with its resource."""
for resource in RESOURCES.values():
    TABLES[resource.name] = (resource.name, None, resource.key)
    for child in resource.children:
        TABLES[child.name] = (resource.name, resource.parent_column, child.key or "ordinal")
SETTLED = "SELECT settled_no, first_no FROM crm.changes WHERE store_id = %s"
OF_ITS_READ = {"as_of", "listed_at", "raw", "content_hash"}
Key = tuple[str, str]


class Reader:
    """Somebody else's copy of a store, kept by the rule of ops/docs/changes.md and nothing else."""

    def __init__(self, url: str, store_id: int, *tables: str) -> None:
        self.url, self.store_id, self.last = url, store_id, -1
        self.copy: dict[str, dict[Key, dict[str, Any]]] = {name: {} for name in tables or TABLES}
        self.wholes = 0

    def catch_up(self) -> dict[str, list[int]]:
        """Read on once all that has been committed here is settled; other tests write, too."""
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            mine = connection.exec_driver_sql("SELECT sync.change_no()").scalar_one()
        deadline = time.monotonic() + 90
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            while connection.exec_driver_sql(SETTLED, (self.store_id,)).one()[0] < mine:
                assert time.monotonic() < deadline
        return self.poll()

    def poll(self) -> dict[str, list[int]]:
        """Read on; return the numbers that came, by table."""
        engine = sa.create_engine(self.url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            settled = connection.exec_driver_sql(SETTLED, (self.store_id,)).one_or_none()
            if settled is None:
                return {}
            if self.last < settled.first_no or self.last > settled.settled_no:
                self.wholes += 1
                self.copy = {name: {} for name in self.copy}
                self.last = -1
            came = {table: self._rows(connection, table, settled.settled_no) for table in self.copy}
            for table, parent, key, number in connection.exec_driver_sql(
                "SELECT table_name, parent_key, key, change_no FROM crm.removed_rows"
                " WHERE store_id = %s AND change_no > %s AND change_no <= %s",
                (self.store_id, self.last, settled.settled_no),
            ):
                held = self.copy.get(table, {}).get((parent, key))
                if held is not None and held["change_no"] < number:
                    del self.copy[table][parent, key]
            self.last = settled.settled_no
        return came

    def _rows(self, connection: sa.Connection, table: str, settled: int) -> list[int]:
        found = connection.exec_driver_sql(
            f"SELECT * FROM crm.{table} WHERE store_id = %s AND change_no > %s AND change_no <= %s",
            (self.store_id, self.last, settled),
        ).mappings()
        came = []
        for row in found:
            came.append(row["change_no"])
            key = _key(table, row)
            assert key not in self.copy[table] or self.copy[table][key]["change_no"] < came[-1]
            self.copy[table][key] = _content(row)
        return came

    def assert_equal_to_crm(self) -> None:
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            for table, held in self.copy.items():
                rows = connection.exec_driver_sql(
                    f"SELECT * FROM crm.{table} WHERE store_id = %s", (self.store_id,)
                ).mappings()
                assert held == {_key(table, row): _content(row) for row in rows}, table


def _key(table: str, row: Any) -> Key:
    _, parent, key = TABLES[table]
    return str(row[parent]) if parent else "", str(row[key]) if key else ""


def _content(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in OF_ITS_READ}


def url_of(mirror: Mirror) -> str:
    return mirror.engine.url.render_as_string(hide_password=False)


def some_order(mirror: Mirror, *, items: int) -> dict[str, Any]:
    """The first order with at least so many items."""
    return next(o for _, o in sorted(mirror.truth("orders").items()) if len(o["items"]) >= items)


def test_a_reader_by_change_numbers_holds_what_crm_holds(mirror: Mirror) -> None:
    """Children, tombstones, merges, an erasure and a rebuild included, and no row comes twice."""
    reader = Reader(url_of(mirror), mirror.store_id)
    mirror.account.create_order()
    mirror.come_to_rest()
    reader.catch_up()
    reader.assert_equal_to_crm()
    account = mirror.account
    people = sorted(mirror.truth("customers"))
    order = some_order(mirror, items=2)
    one, two, *_ = sorted(mirror.truth("orders").keys() - {order["id"]})
    for act in (
        lambda: account.update_order(order["id"], items=order["items"][1:]),
        lambda: account.update_order(order["id"], items=order["items"]),
        lambda: account.delete_order(one),
        lambda: account.merge_orders(two, [order["id"]]),
        lambda: account.merge_customers(people[0], [people[1]]),
    ):
        act()
        mirror.come_to_rest()
        reader.catch_up()
    reader.assert_equal_to_crm()
    with mirror.engine.begin() as connection:
        store = stores.by_id(connection, mirror.store_id)
        assert store is not None
        erasure.erase(connection, store, people[0])
    with mirror.engine.begin() as connection:  # as after a release that reads orders otherwise
        connection.exec_driver_sql(
            "UPDATE crm.order_items SET quantity = quantity + 1, change_no = 0;"
            " UPDATE crm.orders SET content_hash = ''"
        )
    mirror.finish(mirror.queue("orders", "rebuild"))
    reader.catch_up()
    reader.assert_equal_to_crm()
    assert reader.wholes == 1
    assert not any(reader.catch_up().values())


def test_only_what_changed_of_a_record_is_told(mirror: Mirror) -> None:
    """A new comment moves no item; of the items the changed one alone; a removed one is named."""
    order = some_order(mirror, items=2)
    mirror.account.update_order(order["id"], managerComment="changed")
    mirror.come_to_rest()
    reader = Reader(url_of(mirror), mirror.store_id)
    reader.catch_up()
    mirror.account.update_order(order["id"], managerComment="changed again")
    mirror.come_to_rest()
    came = reader.catch_up()
    assert (len(came["orders"]), came["order_items"], came["order_payments"]) == (1, [], [])
    first, *others = order["items"]
    mirror.account.update_order(
        order["id"], items=[first | {"quantity": first["quantity"] + 1}, *others]
    )
    mirror.come_to_rest()
    assert len(reader.catch_up()["order_items"]) == 1
    mirror.account.update_order(order["id"], items=others)
    mirror.come_to_rest()
    assert reader.catch_up()["order_items"] == []
    assert mirror.rows(
        "SELECT table_name, parent_key, key FROM crm.removed_rows WHERE key = :item",
        item=str(first["id"]),
    ) == [("order_items", str(order["id"]), str(first["id"]))]
    reader.assert_equal_to_crm()


def test_a_change_that_commits_late_is_not_skipped(engine: sa.Engine) -> None:
    """Of two writers the later one commits first: a reader waits for the other, and then reads
    both. A cursor over `changed_at` would have passed the first."""
    store = add_store(engine, "shop")
    put(engine, "sites", {"store_id": store, "code": "begun"})
    reader = Reader(engine.url.render_as_string(hide_password=False), store, "sites")
    reader.catch_up()
    early, late = engine.connect(), engine.connect()
    with early, late:
        _add_site(early, store, "early")
        _add_site(late, store, "late")
        late.commit()
        assert reader.poll() == {"sites": []}
        early.commit()
    assert len(reader.catch_up()["sites"]) == 2
    reader.assert_equal_to_crm()


ORDER: dict[str, Any] = {
    "id": 1, "number": "1C", "createdAt": "2026-01-01 12:00:00",
    "items": [{"id": 1, "quantity": 1}, {"id": 2, "quantity": 1}],
}  # fmt: skip


class Writer:
    """A worker that writes one store's orders, and a reader of them."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine, self.store = engine, add_store(engine, "shop")
        url = engine.url.render_as_string(hide_password=False)
        self.reader = Reader(url, self.store, "orders", "order_items")
        self.seconds = 0
        with engine.begin() as connection:
            self.load(connection)
        self.reader.catch_up()

    def load(
        self, connection: sa.Connection, unchanged: Unchanged = Unchanged.DROPPED, **but: Any
    ) -> None:
        self.seconds += 1
        rows = [self.row(**but)]
        load(connection, RESOURCES["orders"], self.store, rows, unchanged=unchanged)

    def row(self, **but: Any) -> Row:
        normaliser = Normaliser(RESOURCES["orders"], zone_of("UTC"), "UTC")
        return normaliser.batch([ORDER | but], as_of=self.now).rows[0]

    @property
    def now(self) -> dt.datetime:
        return dt.datetime(2026, 1, 2, second=self.seconds, tzinfo=dt.UTC)

    def delete(self, key: int, reason: str, into: int | None = None) -> None:
        self.seconds += 1
        dead = Tombstone(key, self.now, reason, combined_to=into)
        with self.engine.begin() as connection:
            mark_deleted(connection, RESOURCES["orders"], self.store, [dead])

    def assert_told(self, *, orders: int) -> None:
        assert len(self.reader.catch_up()["orders"]) == orders
        self.reader.assert_equal_to_crm()


def test_what_becomes_known_of_a_tombstone_is_told(engine: sa.Engine) -> None:
    """A better reason, the record that it was combined into, and an erasure change a row that is
    deleted already; the same once more is no change."""
    shop = Writer(engine)
    shop.delete(1, "not_found")
    shop.delete(2, "not_found")
    shop.assert_told(orders=2)
    shop.delete(1, "combined", into=2)
    shop.assert_told(orders=1)
    shop.delete(1, "combined", into=3)
    shop.assert_told(orders=1)
    shop.delete(1, "combined", into=3)
    shop.assert_told(orders=0)
    with engine.begin() as connection:
        erase_stored(connection, shop.store, {"orders": [2]}, zone="UTC")
    shop.assert_told(orders=1)
    with engine.begin() as connection:
        erase_stored(connection, shop.store, {"orders": [2]}, zone="UTC")
    shop.assert_told(orders=0)


@pytest.mark.parametrize("way", ["comparison", "rebuild"])
def test_the_repair_of_a_row_that_was_altered_by_hand_is_told(engine: sa.Engine, way: str) -> None:
    """The hash is the same before and after; whoever read between has the altered columns."""
    shop = Writer(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE crm.orders SET number = 'altered', change_no = sync.change_no()"
        )
    shop.assert_told(orders=1)
    for told in (1, 0):
        with engine.begin() as connection:
            if way == "comparison":
                shop.load(connection, Unchanged.COMPARED)
            else:
                rewrite(connection, RESOURCES["orders"], shop.store, [shop.row()])
        shop.assert_told(orders=told)


def test_a_child_that_comes_back_under_a_lower_number_stays(engine: sa.Engine) -> None:
    """Its transaction began to write before the one that removed it: the trace is gone again."""
    shop = Writer(engine)
    with engine.connect() as early, engine.begin() as late:
        early.exec_driver_sql("SELECT sync.change_no()")
        shop.load(late, items=ORDER["items"][:1])
        late.commit()
        shop.load(early)
        early.commit()
    shop.assert_told(orders=1)
    assert sorted(shop.reader.copy["order_items"]) == [("1", "1"), ("1", "2")]


def _add_site(connection: sa.Connection, store: int, code: str) -> None:
    connection.exec_driver_sql(
        "INSERT INTO crm.sites (store_id, code, as_of, first_seen_at, changed_at)"
        " VALUES (%s, %s, now(), now(), now())",
        (store, code),
    )


def test_an_older_writer_does_not_make_readers_begin_anew_each_time(engine: sa.Engine) -> None:
    """A transaction that was there before the era holds up what is settled, no more. Eras also
    begin by hand: a snapshot of a disk brings everything back that tells one place from another."""
    store = add_store(engine, "shop")
    put(engine, "sites", {"store_id": store, "code": "kept"})
    reader = Reader(engine.url.render_as_string(hide_password=False), store, "sites")
    reader.catch_up()
    with engine.begin() as older:
        older.exec_driver_sql("SELECT pg_current_xact_id()")
        with engine.begin() as connection:  # as the runbook says
            connection.exec_driver_sql("UPDATE sync.era SET server = 'ended ' || first_no")
        put(engine, "sites", {"store_id": store, "code": "new"})
        for _ in range(3):
            assert len(reader.poll()["sites"]) <= 1
        assert reader.wholes == 2
    reader.catch_up()
    reader.assert_equal_to_crm()
    assert reader.wholes == 2


def test_a_reader_that_is_further_than_the_database_begins_anew(engine: sa.Engine) -> None:
    """As after a snapshot was brought back without a new era: its numbers come a second time."""
    store = add_store(engine, "shop")
    put(engine, "sites", {"store_id": store, "code": "kept"})
    reader = Reader(engine.url.render_as_string(hide_password=False), store, "sites")
    reader.catch_up()
    reader.copy["sites"]["", "lost"] = {"change_no": reader.last}
    reader.last += 1_000_000
    reader.catch_up()
    reader.assert_equal_to_crm()
    assert reader.wholes == 2


@pytest.mark.parametrize("state", ["55000", "0A000", "42501"])
def test_a_server_that_does_not_show_its_log_numbers_changes(engine: sa.Engine, state: str) -> None:
    """Some services keep none, or keep it to themselves: then no timeline is told apart."""
    store = add_store(engine, "shop")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION public.pg_walfile_name(pg_lsn) RETURNS text LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE 'not here' USING ERRCODE = '{state}'; END $$"
        )
        connection.exec_driver_sql("SET LOCAL search_path = public, pg_catalog")
        _add_site(connection, store, "a")
        eras = connection.exec_driver_sql("SELECT server FROM sync.era ORDER BY first_no").scalars()
        assert list(eras)[-1].endswith("/00000000")
        number = connection.exec_driver_sql("SELECT change_no FROM crm.sites").scalar_one()
        assert number == connection.exec_driver_sql("SELECT sync.change_no()").scalar_one()


def test_a_limited_and_a_masked_reader_follow_their_stores(
    engine: sa.Engine, make_role: MakeRole
) -> None:
    """They see how far the changes of their own stores are settled, and no others."""
    mine, other = add_store(engine, "mine"), add_store(engine, "other")
    put(engine, "sites", {"store_id": mine, "code": "a"}, {"store_id": other, "code": "b"})
    limited, masked = make_role(), make_role()
    readers.grant(engine, limited.name, store_ids=[mine], is_masked=False)
    readers.grant(engine, masked.name, store_ids=[mine], is_masked=True)
    for role, schema in ((limited, "crm"), (masked, "crm_masked")):
        assert role.rows(
            f"SELECT c.store_id, s.code FROM {schema}.changes AS c JOIN {schema}.sites AS s"
            " ON s.store_id = c.store_id AND s.change_no BETWEEN c.first_no AND c.settled_no"
        ) == [(mine, "a")]


@pytest.mark.parametrize("way", ["dump", "copy"])
def test_a_restored_database_begins_anew(
    engine: sa.Engine, servers: Servers, database: str, tmp_path: Path, way: str
) -> None:
    """A reader was further than the backup: it sees that, reads everything again, and follows."""
    store = add_store(engine, "shop")
    put(engine, "sites", {"store_id": store, "code": "kept"})
    reader = Reader(database, store, "sites")
    reader.catch_up()
    name = sa.make_url(database).database
    restored = sa.make_url(database).set(database=f"{name}_restored")
    url = restored.render_as_string(hide_password=False)
    engine.dispose()
    if way == "dump":
        administer(database, f"CREATE DATABASE {name}_restored")
        _dump_into(servers.postgres.bin, database, url, tmp_path / "dump.sql")
    else:
        administer(database, f"CREATE DATABASE {name}_restored TEMPLATE {name}")
    try:
        put(engine, "sites", {"store_id": store, "code": "lost"})
        reader.catch_up()
        reader.url = url
        assert reader.poll() == {}, "nothing is said before the first change here"
        again = sa.create_engine(url, poolclass=sa.NullPool)
        put(again, "sites", {"store_id": store, "code": "new"})
        reader.catch_up()
        reader.assert_equal_to_crm()
        put(again, "sites", {"store_id": store, "code": "newer"})
        assert len(reader.catch_up()["sites"]) == 1
        reader.assert_equal_to_crm()
        assert reader.wholes == 2
    finally:
        administer(database, f"DROP DATABASE {name}_restored WITH (FORCE)")


def _dump_into(binaries: Path, database: str, url: str, file: Path) -> None:
    plain = sa.make_url(database).set(drivername="postgresql")
    source = plain.render_as_string(hide_password=False)
    dumped = subprocess.run(
        [binaries / "pg_dump", "--no-owner", "--dbname", source],
        capture_output=True, check=True,
    )  # fmt: skip
    file.write_bytes(dumped.stdout)
    target = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    subprocess.run(
        [binaries / "psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", file, target], check=True,
        capture_output=True,
    )  # fmt: skip
