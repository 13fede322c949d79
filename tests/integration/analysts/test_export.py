"""Export: no row skipped, none half written, every value exact."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from sync.analysts import export as exporting
from sync.analysts import parquet
from sync.errors import BadRequest
from sync.resources import RESOURCES
from sync.rows.erasing import erase_stored
from sync.state import stores
from tests.integration.analysts.conftest import MakeRole, add_store, put

SOME = [RESOURCES[name] for name in ("orders", "customers", "statuses", "settings")]
LATEST = "QUALIFY row_number() OVER (PARTITION BY store_id, id ORDER BY _run DESC) = 1"
NASTY = 'a "b", c\r\nd\\N é 日本 \U0001f600 \t;'


class Files:
    """An exported folder and how it is read."""

    def __init__(self, engine: sa.Engine, store_id: int, folder: Path) -> None:
        self.engine, self.store_id, self.folder = engine, store_id, folder

    def run(self, **options: Any) -> dict[str, int]:
        """One run; rows by table."""
        with self.engine.begin() as connection:
            store = stores.by_id(connection, self.store_id)
        assert store is not None
        rows: dict[str, int] = {}
        for part in exporting.export(self.engine, store, SOME, folder=self.folder, **options):
            for table, count in part.rows.items():
                rows[table] = rows.get(table, 0) + count
        return {table: count for table, count in rows.items() if count}

    def manifest(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.folder / "shop/manifest.json").read_text())
        return told

    def rows(self, table: str, columns: str, more: str = "") -> list[tuple[Any, ...]]:
        files = [
            str(self.folder / "shop" / file["path"])
            for file in self.manifest()["files"]
            if file["table"] == table
        ]
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(
                f"SELECT {columns} FROM read_parquet(?, union_by_name = true) {more}", [files]
            ).fetchall()


@pytest.fixture
def files(engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """A store named shop, nothing exported yet; what has just been committed is exported."""
    monkeypatch.setattr(exporting, "MARGIN_SECONDS", 0)
    return Files(engine, add_store(engine, "shop"), tmp_path)


def change(files: Files, sql: str, **binds: Any) -> None:
    """A change as the mirror makes it: changed_at is the transaction's start."""
    with files.engine.begin() as connection:
        connection.execute(sa.text(sql), {"store": files.store_id, **binds})


def test_values_come_out_as_they_are(files: Files) -> None:
    """Decimals to the last digit, moments in UTC, NULL apart from '', JSON and any text."""
    put(
        files.engine,
        "orders",
        {"store_id": files.store_id, "id": 2**62, "number": NASTY, "email": "", "site": None,
         "total_summ": 12345678901234.123456789012, "prepay_sum": 0.1, "call": True,
         "created_at": "2024-03-31T02:30:00.123456+03:00", "delivery_date": "2024-02-29",
         "raw": {"number": NASTY, "n": None}},
    )  # fmt: skip
    change(files, "UPDATE crm.orders SET total_summ = 12345678901234567890123456.123456789012")
    assert files.run() == {"orders": 1}
    [row] = files.rows(
        "orders",
        "id, number, email, site, total_summ::varchar, prepay_sum::varchar, call,"
        " created_at::varchar, delivery_date, raw, _run, typeof(total_summ), typeof(created_at)",
    )
    assert row[:5] == (2**62, NASTY, "", None, "12345678901234567890123456.123456789012")
    assert row[5:9] == (
        "0.100000000000",
        True,
        "2024-03-30 23:30:00.123456+00",
        dt.date(2024, 2, 29),
    )
    assert json.loads(row[9]) == {"number": NASTY, "n": None}
    assert row[10:] == (1, "DECIMAL(38,12)", "TIMESTAMP WITH TIME ZONE")


def test_a_number_that_does_not_fit_is_left_empty_and_told(files: Files) -> None:
    """Never rounded: the manifest says how many, raw has the digits."""
    put(files.engine, "orders", {"store_id": files.store_id, "id": 1, "raw": {}})
    change(files, "UPDATE crm.orders SET summ = 0.1234567890123, total_summ = 1e26, weight = 1.50")
    files.run()
    assert files.rows("orders", "summ, total_summ, weight::varchar") == [
        (None, None, "1.500000000000")
    ]
    [about] = [file for file in files.manifest()["files"] if file["table"] == "orders"]
    assert about["left_empty"] == {"summ": 1, "total_summ": 1}


def test_a_second_run_has_what_changed_with_tombstones_and_children(files: Files) -> None:
    """Children come with their parents; of a key the highest run counts."""
    for number in (1, 2, 3):
        put(files.engine, "orders", {"store_id": files.store_id, "id": number, "number": "old"})
        item = {"store_id": files.store_id, "order_id": number, "id": number, "quantity": 1}
        put(files.engine, "order_items", item)
    put(files.engine, "statuses", {"store_id": files.store_id, "code": "new", "name": "New"})
    put(files.engine, "settings", {"store_id": files.store_id})
    assert files.run() == {"orders": 3, "order_items": 3, "statuses": 1, "settings": 1}
    assert files.run() == {}
    change(files, "UPDATE crm.orders SET number = 'new', changed_at = now() WHERE id = 1")
    change(files, "UPDATE crm.order_items SET quantity = 2 WHERE order_id = 1")
    change(files, "UPDATE crm.orders SET deleted_at = now(), deleted_reason = 'history',"
                  " changed_at = now() WHERE id = 2")  # fmt: skip
    change(files, "DELETE FROM crm.order_items WHERE order_id = 2")
    assert files.run() == {"orders": 2, "order_items": 1}
    assert files.rows("orders", "id, number, deleted_reason", f"{LATEST} ORDER BY id") == [
        (1, "new", None),
        (2, "old", "history"),
        (3, "old", None),
    ]
    assert files.rows("order_items", "order_id, quantity::int", "WHERE _run > 1") == [(1, 2)]


def test_a_transaction_that_commits_late_is_not_skipped(files: Files) -> None:
    """Its changed_at is its start: runs end below the oldest open transaction that could write,
    also one that has written nothing yet."""
    put(files.engine, "orders", {"store_id": files.store_id, "id": 1})
    with files.engine.connect() as slow:
        slow.begin()
        slow.exec_driver_sql("SELECT now()")  # its clock stands from here
        change(files, "INSERT INTO crm.orders (store_id, id, as_of, first_seen_at, changed_at)"
                      " VALUES (:store, 2, now(), now(), now())")  # fmt: skip
        assert files.run() == {"orders": 1}
        slow.execute(
            sa.text("INSERT INTO crm.orders (store_id, id, as_of, first_seen_at, changed_at)"
                    " VALUES (:store, 3, now(), now(), now())"), {"store": files.store_id},
        )  # fmt: skip
        assert files.run() == {}
        slow.commit()
    horizon = dt.datetime.fromisoformat(files.manifest()["runs"][-1]["horizon"])
    with files.engine.begin() as connection:
        late = connection.exec_driver_sql("SELECT min(changed_at) FROM crm.orders WHERE id > 1")
        assert horizon <= late.scalar_one(), "the run ended where the slow transaction began"
    assert files.run() == {"orders": 2}
    assert sorted(files.rows("orders", "id, _run > 2")) == [(1, False), (2, True), (3, True)]


def test_a_reader_does_not_hold_up_the_export(files: Files, make_role: MakeRole) -> None:
    """A report that runs for hours cannot write crm: nothing waits for it."""
    role = make_role()
    with role.connect() as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT now()")
        began = exporting.horizon(files.engine)
        reading = connection.execute("SELECT now()").fetchone()
        assert reading is not None
        assert began >= reading[0]


def test_a_run_that_was_stopped_goes_on_with_its_next_part(files: Files) -> None:
    """Each part is whole or not there; none is lost and none is written twice."""
    for number in range(1, 8):
        put(files.engine, "orders", {"store_id": files.store_id, "id": number})

    class Stopped(Exception):
        pass

    seen = 0

    def stop(_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == 2:
            raise Stopped

    with pytest.raises(Stopped):
        files.run(rows_per_part=2, after_part=stop)
    assert files.manifest()["resources"]["orders"]["running"]["last"] == 4
    put(files.engine, "orders", {"store_id": files.store_id, "id": 9})  # of a range gone by
    assert files.run(rows_per_part=2)["orders"] == 4
    assert sorted(files.rows("orders", "id, _run")) == [(n, 1) for n in (1, 2, 3, 4, 5, 6, 7, 9)]
    listed = {file["path"] for file in files.manifest()["files"]}
    there = {str(p.relative_to(files.folder / "shop")) for p in files.folder.rglob("*.parquet")}
    assert there == listed
    assert not list(files.folder.rglob("*.tmp"))


def test_what_is_exported_is_its_owners_alone(files: Files, umask: None) -> None:
    """Also while it is written, whatever the umask; parents keep the modes they would have."""
    del umask
    put(files.engine, "orders", {"store_id": files.store_id, "id": 1, "raw": {}})
    files.folder = files.folder / "made" / "here"
    files.run()
    home = files.folder / "shop"
    assert mode_of(files.folder) == 0o755
    assert {mode_of(path) for path in (home, *home.rglob("*")) if path.is_dir()} == {0o700}
    there = {path.name: mode_of(path) for path in home.rglob("*") if path.is_file()}
    assert {"manifest.json", ".lock", "000001-00001.parquet"} <= there.keys()
    assert set(there.values()) == {0o600}


def test_a_folder_that_was_there_keeps_its_mode_and_its_files_are_private(
    files: Files, umask: None
) -> None:
    """Who made it decided who may look into it; half a part is private there too."""
    del umask
    put(files.engine, "orders", {"store_id": files.store_id, "id": 1, "raw": {}})
    home = files.folder / "shop"
    (home / "orders").mkdir(parents=True)
    seen: set[int] = set()
    with files.engine.begin() as connection:
        store = stores.by_id(connection, files.store_id)
    assert store is not None

    def look(_: object) -> None:
        seen.update(mode_of(path) for path in home.rglob("*") if path.is_file())

    for _ in exporting.export(files.engine, store, SOME, folder=files.folder, after_part=look):
        look(None)
    assert {mode_of(home), mode_of(home / "orders")} == {0o755}
    assert seen == {0o600}


def test_what_a_killed_run_left_half_written_is_removed(files: Files) -> None:
    """What is not ours stays."""
    put(files.engine, "orders", {"store_id": files.store_id, "id": 1, "raw": {}})
    folder = files.folder / "shop" / "orders"
    (folder / "half-x1y2.tmp" / "spilt").mkdir(parents=True)
    left = [folder / "000001-00001.csv.tmp", folder / "half-x1y2.tmp" / "rows.csv"]
    theirs = folder / "notes.tmp"
    for path in (*left, theirs, files.folder / "shop" / "manifest.json.tmp"):
        path.write_text("rows of people")
    assert files.run() == {"orders": 1}
    assert [path.name for path in files.folder.rglob("*.tmp")] == ["notes.tmp"]


def test_rows_that_do_not_fit_duckdbs_memory_are_not_left_elsewhere(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would be in the working folder, for everybody to read."""
    put(files.engine, "orders", {"store_id": files.store_id, "id": 1, "raw": {}})
    asked: list[tuple[str, int]] = []
    statement = parquet._to_parquet

    def with_setting(columns: Any, text: Path, half: Path, *, run: int) -> str:
        asked.append((str(text.parent), mode_of(text.parent)))
        where = f"current_setting('temp_directory') LIKE '{text.parent}/%'"
        asked_for = f"SELECT CASE WHEN NOT {where} THEN error('spills elsewhere') END"
        return f"{asked_for}; {statement(columns, text, half, run=run)}"

    monkeypatch.setattr(parquet, "_to_parquet", with_setting)
    assert files.run() == {"orders": 1}
    assert asked
    assert {mode for _, mode in asked} == {0o700}


@pytest.fixture
def umask() -> Iterator[None]:
    """The usual one, under which files are everybody's to read."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_part_that_fails_leaves_nothing_behind(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a file under its name nor half a one; the next run writes it."""
    put(files.engine, "orders", {"store_id": files.store_id, "id": 1})

    def fail(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(parquet, "_settle", fail)
        with pytest.raises(OSError, match="disk full"):
            files.run()
    assert not [p for p in files.folder.rglob("*") if p.suffix in {".parquet", ".tmp"}]
    assert files.run() == {"orders": 1}


def test_an_erased_person_is_masked_in_the_next_run_and_gone_after_a_full_one(
    files: Files,
) -> None:
    """Files written before keep what they held, until --full replaces them."""
    raw = {"id": 5, "email": "a@b.c"}
    put(files.engine, "customers", {"store_id": files.store_id, **raw, "raw": raw})
    files.run()
    with files.engine.begin() as connection:
        erase_stored(connection, files.store_id, "customers", [5], zone="Europe/Moscow")
    assert files.run() == {"customers": 1}
    assert files.rows("customers", "email, raw", LATEST) == [(None, '{"id": 5}')]
    assert files.run(is_full=True) == {"customers": 1}
    assert files.rows("customers", "email, _run") == [(None, 3)]
    assert len(list(files.folder.rglob("*.parquet"))) == len(files.manifest()["files"])


def test_a_folder_belongs_to_one_store_and_one_export_at_a_time(files: Files) -> None:
    """Two would each tell the manifest half."""
    put(files.engine, "orders", {"store_id": files.store_id, "id": 1})

    def again(_: object) -> None:
        with pytest.raises(BadRequest, match="Another export"):
            files.run()

    files.run(after_part=again)
    manifest = files.folder / "shop/manifest.json"
    manifest.write_text(manifest.read_text().replace('"store_id": ', '"store_id": 9'))
    with pytest.raises(BadRequest, match="another store"):
        files.run()
