"""The marked person in 0 bytes: in every place filled, erased, and gone whatever comes after."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sentry_sdk
import structlog

from sync import telemetry
from sync.analysts.export import export
from sync.analysts.places import place_of
from sync.privacy import erasure, places, statistics, suppression_list
from sync.resources import RESOURCES
from sync.rows import versions as contents
from sync.sandbox import Account
from sync.state import accounts, coverage, crawls, diagnostics, stores
from sync.telemetry import sentry
from tests.databases import administer
from tests.integration.analysts import marked
from tests.integration.pipeline.harness import SEARCH_PATH, Mirror
from tests.integration.resources.conftest import chosen
from tests.unit.test_telemetry import Kept

# What the places need beside themselves: parents, and what parents hang on.
MORE = {"sites", "loyalties", "corporate_customers", "corporate_customer_history"}
NAMES = {name for name, each in RESOURCES.items() if set(each.tables) & marked.PLACES} | MORE


class World:
    """An account in which all is one person's, mirrored with their marks in every place."""

    def __init__(self, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.opened: list[Mirror] = []
        self._truth: dict[str, dict[int, dict[str, Any]]] = {}
        resources = chosen(*NAMES)
        self.mirror = Mirror(database, monkeypatch, resources=resources, orders=24, customers=6)
        customer, order = min(self.truth("customers")), min(self.truth("orders"))
        self.mirror.account.create_corporate(contact=customer)
        attach(self.mirror.account, customer, order)
        self.mark(self.mirror)

    def mark(self, mirror: Mirror) -> None:
        """Have an account's answers name the person everywhere."""
        self.opened.append(mirror)
        self.marking = marked.Marking(mirror.wire._answer, self.truth)
        mirror.wire.answers = self.marking

    def truth(self, name: str) -> dict[int, dict[str, Any]]:
        """What the CRM has of a resource, by id; read once while nothing is added to it."""
        known = self._truth.get(name)
        count = len(self.mirror.account.collections[name].truth.live)
        if known is None or len(known) != count:
            known = self._truth[name] = self.mirror.truth(name)
        return known

    def fill(self) -> None:
        """Load, change, and have the account answer oddly, until every place holds the person."""
        mirror, account = self.mirror, self.mirror.account
        with mirror.engine.begin() as connection:
            contents.switch(connection, mirror.store_id, on=True, keep_days=None)
        mirror.settle(most=40)
        for order in mirror.truth("orders"):
            account.update_order(order, status="complete")
        for customer in mirror.truth("customers"):
            account.update_customer(customer, sex="female")
        mirror.come_to_rest()
        self._answer_oddly()

    def _answer_oddly(self) -> None:
        """An answer that nobody can read, with words that the mirror repeats in its own."""
        mirror = self.mirror
        before = mirror.wire.answers
        told = {"success": False, "errorMsg": marked.MARK[:200], "customers": [marked.MARK]}
        mirror.wire.answers = lambda _: httpx.Response(200, json=told)
        mirror.queue("customer_notes", "backfill")
        mirror.work("customer_notes", "walk")
        mirror.wire.answers = before
        with mirror.engine.begin() as connection:
            diagnostics.keep_unknown(
                connection, mirror.store_id, "orders", {f"said.{marked.NAME}": marked.MARK}
            )

    def erase(self) -> None:
        """Erase each of the person's customers, as the command does."""
        mirror = self.mirror
        with mirror.engine.begin() as connection:
            store = stores.by_id(connection, mirror.store_id)
            assert store is not None
            for customer in mirror.truth("customers"):
                erasure.erase(connection, store, customer)
        statistics.forget(mirror.engine)

    def export(self, folder: Path) -> None:
        """Export everything, all files anew."""
        with self.mirror.engine.begin() as connection:
            store = stores.by_id(connection, self.mirror.store_id)
        assert store is not None
        parts = export(
            self.mirror.engine,
            store,
            list(self.mirror.resources.values()),
            place=place_of(str(folder), store.name),
            is_full=True,
        )
        assert list(parts)

    def assert_gone(self) -> None:
        """Not a byte of the person is in the database."""
        assert marked.traces(self.mirror.engine) == {}


def attach(account: Account, customer: int, order: int) -> None:
    """A file that hangs on a customer and on an order."""
    with account.saving("api") as save:
        file = {
            "id": account.store.take_id("files"), "filename": "scan.pdf", "type": "text/plain",
            "size": 5, "createdAt": save.text,
            "attachment": [{"customer": {"id": customer}}, {"order": {"id": order}}],
        }  # fmt: skip
        save.put("files", account.store.record(file, site=None))


@pytest.fixture
def world(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Filled, with the planner's statistics taken."""
    made = World(database, monkeypatch)
    made.fill()
    with made.mirror.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("ANALYZE")
    yield made
    for mirror in made.opened:
        mirror.close()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bytes]]:
    """What was logged, down to the last debug line, and reported to Sentry."""
    out, kept = io.StringIO(), Kept()
    monkeypatch.setattr(sys, "stderr", out)
    telemetry.configure("json", level=10)
    telemetry.standard_library()
    sentry.report_to("https://public@sentry.example.com/1", transport=kept)
    yield lambda: (out.getvalue() + json.dumps(kept.sent, default=repr)).encode()
    structlog.reset_defaults()
    sentry_sdk.get_global_scope().set_client(None)


def load_again(world: World) -> None:
    """Every list and every history whole, once more."""
    mirror = world.mirror
    for name, resource in mirror.resources.items():
        with mirror.engine.begin() as connection:
            coverage.withdraw(connection, mirror.store_id, name)
        mirror.queue(name, "backfill" if resource.is_history else "load")
    mirror.settle(most=60)


def compare_deep(world: World) -> None:
    """Contents compared by id, and column by column where they differ."""
    mirror = world.mirror
    with mirror.engine.begin() as connection:
        for name in ("orders", "customers"):
            crawls.queue_deep(connection, mirror.store_id, name)
    mirror.settle(most=40)


def rebuild(world: World) -> None:
    """Typed columns and children anew from raw."""
    for name in world.mirror.resources:
        world.mirror.queue(name, "rebuild")
    world.mirror.settle(most=40)


def live_on(world: World) -> None:
    """The account goes on naming the person: changes, a new order, another note."""
    account = world.mirror.account
    for order, record in world.mirror.truth("orders").items():
        if world.marking.is_theirs(RESOURCES["orders"], record):
            account.update_order(order, managerComment=marked.MARK)
    customer = min(world.mirror.truth("customers"))
    account.create_order(customer=customer, firstName="Клеопатра", phone=marked.PHONE)
    world.mirror.come_to_rest()


def remove_and_add_again(world: World) -> None:
    """Purged with every row, and added anew as another store."""
    mirror = world.mirror
    with mirror.engine.begin() as connection:
        accounts.forget(connection, mirror.store_id)
    assert sum(n for _, n in accounts.purge(mirror.engine, mirror.store_id, RESOURCES.values()))
    world.mirror = Mirror(
        mirror.cfg.database_url.get_secret_value(), world.monkeypatch, engine=mirror.engine,
        resources=mirror.resources, sandbox=mirror.sandbox, account=mirror.account,
    )  # fmt: skip
    world.mark(world.mirror)
    world.mirror.settle(most=40)


AFTERWARDS = (load_again, compare_deep, rebuild, live_on, remove_and_add_again)


def test_the_person_is_in_every_place_and_then_in_no_byte(
    world: World, told: Callable[[], bytes], tmp_path: Path
) -> None:
    """The database with its statistics, the exported files, logs and reports; also after the
    account was loaded once more."""
    mirror = world.mirror
    assert marked.unfilled(mirror.engine) == set()
    before = marked.traces(mirror.engine)
    assert {"pg_catalog.pg_statistic", *places_in_sync()} <= before.keys()
    assert ("pg_dump" in before) is (marked.program(mirror.engine, "pg_dump") is not None)
    world.export(tmp_path)
    assert marked.in_folder(tmp_path)
    world.erase()
    world.assert_gone()
    world.export(tmp_path)
    assert marked.in_folder(tmp_path) == {}
    load_again(world)
    world.assert_gone()
    fail_with_rows(mirror)
    assert marked.counted(told()) == 0
    assert b"out of range" in told() or b"duplicate key" in told()


def places_in_sync() -> set[str]:
    """Tables of `sync` that hold what the CRM sent."""
    return {f"sync.{place.split('.')[0]}" for place in places.QUOTING} | {"sync.lane"}


def fail_with_rows(mirror: Mirror) -> None:
    """Errors of Postgres that quote a row, as a bug of ours would meet them: logged, reported."""
    for statement in (
        f"SELECT '{marked.MARK}'::int",
        "INSERT INTO crm.customers SELECT * FROM crm.customers LIMIT 1",
        f"SELECT 1 / length('{marked.MARK}') * 0 + 99999999999999999999::int",
    ):
        try:
            with mirror.engine.begin() as connection:
                connection.exec_driver_sql(statement)
        except Exception:
            telemetry.log(store="demo").exception("bug")
            sentry_sdk.capture_exception()


@pytest.mark.faults
@pytest.mark.timeout(240)
def test_nothing_that_comes_after_brings_a_byte_back(world: World) -> None:
    """A full load, a deep comparison, a rebuild, an account that goes on, a purge and a new store:
    each by itself, one after the other."""
    world.erase()
    world.assert_gone()
    for step in AFTERWARDS:
        step(world)
        world.assert_gone()


class Backup:
    """A database as it was, to be given back: a copy of its files, or what pg_dump wrote."""

    def __init__(self, mirror: Mirror, server: str, way: str, folder: Path) -> None:
        self.engine, self.server, self.way = mirror.engine, server, way
        self.name, self.file = f"{mirror.engine.url.database}_{way}", folder / f"{way}.dump"
        if way == "copy":
            administer(server, f"CREATE DATABASE {self.name} TEMPLATE {self.engine.url.database}")
        else:
            self._run("pg_dump", "--format", way, "--file", str(self.file))

    def give_back(self) -> None:
        """Put it in the place of the database as it is."""
        name = self.engine.url.database
        administer(self.server, f"DROP DATABASE {name}")
        if self.way == "copy":
            administer(self.server, f"ALTER DATABASE {self.name} RENAME TO {name}")
        else:
            administer(self.server, f"CREATE DATABASE {name} TEMPLATE template0")
            restore = {
                "plain": ("psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(self.file)),
                "custom": ("pg_restore", "--exit-on-error", str(self.file)),
            }
            self._run(*restore[self.way])
        administer(self.server, f"ALTER DATABASE {name} SET search_path = {SEARCH_PATH}")

    def _run(self, name: str, *options: str) -> None:
        found = marked.program(self.engine, name)
        assert found is not None
        self.engine.dispose()
        url = marked.plain_url(self.engine)
        subprocess.run([found, *options, "--dbname", url], check=True, capture_output=True)


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_a_backup_from_before_gives_nothing_back_once_the_list_is_restored(
    world: World, database: str, tmp_path: Path
) -> None:
    """The whole database as it was, its statistics too: by copy, by pg_dump and psql, by pg_dump
    and pg_restore; then the saved list, and the workers."""
    mirror, file = world.mirror, tmp_path / "suppressed.json"
    has_programs = marked.program(mirror.engine, "pg_dump") is not None
    mirror.close()
    ways = ("plain", "custom", "copy") if has_programs else ("copy",)
    backups = [Backup(mirror, database, way, tmp_path) for way in ways]
    world.mirror = mirror.copied(database)
    world.mark(world.mirror)
    world.erase()
    with world.mirror.engine.begin() as connection:
        suppression_list.save(connection, file)
    for backup in backups:
        world.mirror.close()
        backup.give_back()
        world.mirror = mirror.copied(database)
        world.mark(world.mirror)
        assert marked.traces(world.mirror.engine)
        with world.mirror.engine.begin() as connection:
            new, masked = suppression_list.restore(connection, file)
        assert min(new, masked) > 3
        statistics.forget(world.mirror.engine)
        world.assert_gone()
        for step in (load_again, live_on):
            step(world)
            world.assert_gone()
