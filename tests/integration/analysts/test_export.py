"""Export: no row skipped, none half written, every value exact."""

from __future__ import annotations

import ast
import datetime as dt
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from sync.analysts import export as exporting
from sync.analysts import parquet
from sync.analysts.places import Folder, place_of
from sync.errors import BadRequest, NeedsOperator
from sync.resources import RESOURCES
from sync.rows.erasing import erase_stored
from sync.state import stores
from tests.integration.analysts.conftest import MakeRole, add_store, put

SOME = [RESOURCES[name] for name in ("orders", "customers", "statuses", "settings")]
LATEST = "QUALIFY row_number() OVER (PARTITION BY store_id, id ORDER BY _run DESC) = 1"
NASTY = 'a "b", c\r\nd\\N é 日本 \U0001f600 \t; \x01 \x01\x01,'


class Stopped(Exception):
    """The end of a run in its midst."""


class Files:
    """An exported folder and how it is read."""

    def __init__(self, engine: sa.Engine, store_id: int, folder: Path) -> None:
        self.engine, self.store_id, self.folder = engine, store_id, folder

    def run(self, *, is_settled: bool = True, **options: Any) -> dict[str, int]:
        """One run, by default when all that was committed is settled; rows by table."""
        if is_settled:
            self.settle()
        with self.engine.begin() as connection:
            store = stores.by_id(connection, self.store_id)
        assert store is not None
        rows: dict[str, int] = {}
        place = place_of(str(self.folder), "shop")
        for part in exporting.export(self.engine, store, SOME, place=place, **options):
            for table, count in part.rows.items():
                rows[table] = rows.get(table, 0) + count
        return {table: count for table, count in rows.items() if count}

    def settle(self) -> None:
        """Wait for the transactions of other tests on this server: they hold numbers back."""
        with self.engine.begin() as connection:
            mine = connection.exec_driver_sql("SELECT sync.change_no()").scalar_one()
        deadline = time.monotonic() + 90
        while self.settled() < mine:
            assert time.monotonic() < deadline

    def settled(self) -> int:
        with self.engine.begin() as connection:
            store = stores.by_id(connection, self.store_id)
        assert store is not None
        found = exporting._settled(self.engine, store)
        return found.until if found else -1

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

    def current(self, sql: str) -> list[tuple[Any, ...]]:
        """What current.sql makes of the files, read as an analyst reads it: in the folder."""
        home = self.folder / "shop"
        program = "import duckdb, sys; c = duckdb.connect(); c.execute(open('current.sql').read())"
        asked = f"{program}; print(repr(c.execute(sys.argv[1]).fetchall()))"
        answer = subprocess.run(
            [sys.executable, "-c", asked, sql], cwd=home, capture_output=True, text=True, check=True
        )
        return ast.literal_eval(answer.stdout)  # type: ignore[no-any-return]


@pytest.fixture
def files(engine: sa.Engine, tmp_path: Path) -> Files:
    """A store named shop, nothing exported yet."""
    return Files(engine, add_store(engine, "shop"), tmp_path)


def change(files: Files, sql: str, **binds: Any) -> None:
    """A change as the mirror makes it, with a number of its own."""
    sql = sql.replace("SET ", "SET change_no = sync.change_no(), ")
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
        "0.1",
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
    assert files.rows("orders", "summ, total_summ, weight::varchar") == [(None, None, "1.50")]
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
    change(files, "UPDATE crm.orders SET number = 'new' WHERE id = 1")
    change(files, "UPDATE crm.order_items SET quantity = 2 WHERE order_id = 1")
    change(files, "UPDATE crm.orders SET deleted_at = now(), deleted_reason = 'history'"
                  " WHERE id = 2")  # fmt: skip
    change(files, "DELETE FROM crm.order_items WHERE order_id = 2")
    assert files.run() == {"orders": 2, "order_items": 1}
    assert files.rows("orders", "id, number, deleted_reason", f"{LATEST} ORDER BY id") == [
        (1, "new", None),
        (2, "old", "history"),
        (3, "old", None),
    ]
    assert files.current("SELECT order_id, quantity::int FROM order_items ORDER BY 1") == [
        (1, 2),
        (3, 1),
    ]


def test_merged_runs_are_what_crm_holds(files: Files) -> None:
    """After each of many runs: removed items, deleted and returned orders, and lists that empty
    and fill again, in every table."""
    pick = random.Random(5).choice
    for turn in range(12):
        for number in {pick(range(8)) for _ in range(3)}:
            change(files, "DELETE FROM crm.order_items WHERE order_id = :n", n=number)
            change(files, "DELETE FROM crm.orders WHERE id = :n", n=number)
            about = {"store_id": files.store_id, "id": number, "number": f"turn {turn}"}
            now = dt.datetime.now(dt.UTC).isoformat()
            gone = pick([{}, {}, {"deleted_at": now, "deleted_reason": "history"}])
            put(files.engine, "orders", about | gone | {"changed_at": now})
            for item in range(0 if gone else pick([0, 1, 3])):
                put(files.engine, "order_items",
                    {"store_id": files.store_id, "order_id": number, "id": number * 10 + item,
                     "quantity": turn})  # fmt: skip
        files.run(is_full=turn == 7)
        for table, columns in {
            "orders": "id, number, deleted_at IS NULL",
            "order_items": "order_id, id, quantity::int",
        }.items():
            with files.engine.begin() as connection:
                rows = connection.exec_driver_sql(f"SELECT {columns} FROM crm.{table}").all()
            assert sorted(files.current(f"SELECT {columns} FROM {table}")) == sorted(
                map(tuple, rows)
            )


def test_a_transaction_that_commits_late_is_not_skipped(files: Files) -> None:
    """Its number is lower than that of a change which was exported meanwhile."""
    ids = "SELECT id FROM orders ORDER BY id"
    insert = ("INSERT INTO crm.orders (store_id, id, as_of, first_seen_at, changed_at)"
              " VALUES (:store, :id, now(), now(), now())")  # fmt: skip
    put(files.engine, "orders", {"store_id": files.store_id, "id": 1})
    with files.engine.connect() as slow:
        slow.begin()
        slow.exec_driver_sql("SELECT sync.change_no()")  # its number stands from here
        change(files, insert, id=2)
        files.run(is_settled=False)
        assert files.current(ids) == [(1,), (2,)]
        slow.execute(sa.text(insert), {"store": files.store_id, "id": 3})
        files.run(is_settled=False)
        slow.commit()
    assert "orders" in files.run()
    assert files.current(ids) == [(1,), (2,), (3,)]
    assert files.run() == {}


def test_a_reader_does_not_hold_up_the_export(files: Files, make_role: MakeRole) -> None:
    """A report that runs for hours cannot write crm: nothing waits for it."""
    role = make_role()
    with role.connect() as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT now()")
        put(files.engine, "orders", {"store_id": files.store_id, "id": 1})
        assert files.run() == {"orders": 1}
        assert files.run() == {}


def test_a_row_that_changes_during_a_whole_run_is_in_the_files(files: Files) -> None:
    """The run replaces the files that had it before."""
    for number in (1, 2, 3):
        put(files.engine, "orders", {"store_id": files.store_id, "id": number, "number": "old"})
    files.run()
    changed = False

    def meanwhile(_: object) -> None:
        nonlocal changed
        if not changed:
            change(files, "UPDATE crm.orders SET number = 'new' WHERE id IN (1, 3)")
            changed = True

    files.run(is_full=True, rows_per_part=2, after_part=meanwhile)
    numbers = "SELECT id, number FROM orders ORDER BY id"
    assert files.current(numbers) == [(1, "old"), (2, "old"), (3, "new")]
    files.run()
    assert files.current(numbers) == [(1, "new"), (2, "old"), (3, "new")]


def test_a_list_that_changes_without_its_record_is_exported(files: Files) -> None:
    """As after a rebuild of columns: the record is as it was, a child is another, one is gone."""
    for number in (1, 2, 3):
        put(files.engine, "orders", {"store_id": files.store_id, "id": number})
        item = {"store_id": files.store_id, "order_id": number, "id": number, "quantity": 1}
        put(files.engine, "order_items", item)
    files.run()
    change(files, "UPDATE crm.order_items SET quantity = 2 WHERE order_id = 1")
    change(files, "DELETE FROM crm.order_items WHERE order_id = 2")
    put(files.engine, "removed_rows",
        {"store_id": files.store_id, "table_name": "order_items", "parent_key": "2", "key": "2",
         "removed_at": "2026-01-01T00:00:00Z"})  # fmt: skip
    assert files.run() == {"orders": 2, "order_items": 1}
    items = files.current("SELECT order_id, quantity::int FROM order_items ORDER BY 1")
    assert items == [(1, 2), (3, 1)]


def test_after_a_restore_everything_is_exported_anew(files: Files) -> None:
    """What the files have may never have been; changes made since have numbers of another era."""
    for number in (1, 2):
        put(files.engine, "orders", {"store_id": files.store_id, "id": number})
    files.run()
    with files.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE sync.era SET server = 'ended ' || first_no")
        connection.exec_driver_sql("DELETE FROM crm.orders WHERE id = 2")
    files.run(is_settled=False)
    assert files.current("SELECT id FROM orders") == [(1,)]
    put(files.engine, "orders", {"store_id": files.store_id, "id": 3})
    assert files.run()["orders"] == 2
    assert files.run() == {}
    assert files.current("SELECT id FROM orders ORDER BY 1") == [(1,), (3,)]


def test_files_of_an_earlier_release_are_replaced(files: Files) -> None:
    """They followed `changed_at`; until a whole run has ended they still count."""
    put(files.engine, "orders", {"store_id": files.store_id, "id": 1})
    files.run()
    manifest = files.folder / "shop/manifest.json"
    told = files.manifest() | {"format": 1}
    told["resources"]["orders"] = {"exported_to": "2026-01-01T00:00:00.000000+00:00"}
    del told["scales"]
    manifest.write_text(json.dumps(told))
    assert files.run() == {"orders": 1}
    assert {file["run"] for file in files.manifest()["files"]} == {2}
    assert len(list(files.folder.rglob("*.parquet"))) == len(files.manifest()["files"])


def test_decimals_are_no_wider_than_the_numbers(files: Files) -> None:
    """So that products of several of them do not overflow; a later, finer number widens the type,
    and the runs still merge."""
    put(files.engine, "orders", {"store_id": files.store_id, "id": 1, "summ": 1499.9,
        "total_summ": 1499.90, "weight": 2})  # fmt: skip
    files.run()
    shown = "typeof(summ), typeof(weight), typeof(summ * total_summ * weight)"
    [(summ, weight, product)] = files.rows("orders", shown)
    assert (summ, weight, product) == ("DECIMAL(27,1)", "DECIMAL(26,0)", "DECIMAL(38,2)")
    schema = json.loads((files.folder / "shop/schema.json").read_text())
    assert schema["orders"]["key"] == ["store_id", "id"]
    assert schema["orders"]["columns"]["summ"]["type"] == "DECIMAL(27,1)"
    put(
        files.engine, "orders", {"store_id": files.store_id, "id": 2, "summ": 12345678901234567.125}
    )
    change(files, "UPDATE crm.orders SET summ = 12345678901234567.125 WHERE id = 2")
    files.run()
    assert files.current("SELECT id, summ::varchar, typeof(summ) FROM orders ORDER BY 1") == [
        (1, "1499.900", "DECIMAL(29,3)"),
        (2, "12345678901234567.125", "DECIMAL(29,3)"),
    ]


def test_rows_are_in_folders_by_the_month_their_record_was_created(files: Files) -> None:
    """Children in that of their record; what has no date, or no month, is found as well."""
    for number, day in ((1, "2026-01-31"), (2, "2026-02-01"), (3, None)):
        put(files.engine, "orders", {"store_id": files.store_id, "id": number, "created_on": day})
        item = {"store_id": files.store_id, "order_id": number, "id": 1, "quantity": number}
        put(files.engine, "order_items", item)
    put(files.engine, "statuses", {"store_id": files.store_id, "code": "new"})
    rows = files.run(by_month=True)
    assert rows == {"orders": 3, "order_items": 3, "statuses": 1}
    home = files.folder / "shop"
    assert {str(path.relative_to(home)) for path in home.rglob("*.parquet")} == {
        f"{table}/created_month={month}/000001-00001.parquet"
        for table in ("order_items", "orders")
        for month in ("2026-01", "2026-02", "none")
    } | {f"{table}/000001-00001.parquet" for table in ("order_payments", "statuses")}
    assert {mode_of(path) for path in home.rglob("*") if path.is_dir()} == {0o700}
    assert {mode_of(path) for path in home.rglob("*.parquet")} == {0o600}
    columns = "SELECT column_name FROM (DESCRIBE order_items)"
    assert ("created_month",) not in files.current(columns)
    change(files, "UPDATE crm.orders SET created_on = '2026-02-02' WHERE id = 1")
    files.run(by_month=True)
    assert files.current("SELECT id FROM orders ORDER BY 1") == [(1,), (2,), (3,)]
    assert files.current("SELECT order_id FROM order_items ORDER BY 1") == [(1,), (2,), (3,)]


def test_progress_is_told_in_records(files: Files) -> None:
    """Of all resources of the run together, also when it goes on after a stop."""
    for number in range(1, 6):
        put(files.engine, "orders", {"store_id": files.store_id, "id": number})
    put(files.engine, "statuses", {"store_id": files.store_id, "code": "new"})
    seen: list[tuple[str, int, int]] = []

    def see(part: exporting.Part) -> None:
        seen.append((part.resource, part.done, part.total))

    files.run(rows_per_part=2, after_part=see)
    assert [each for each in seen if each[0] != "customers"] == [
        ("orders", 2, 6), ("orders", 4, 6), ("orders", 5, 6), ("statuses", 6, 6),
        ("settings", 6, 6),
    ]  # fmt: skip


def test_a_run_that_was_stopped_goes_on_with_its_next_part(files: Files) -> None:
    """Each part is whole or not there; none is lost and none is written twice."""
    for number in range(1, 8):
        put(files.engine, "orders", {"store_id": files.store_id, "id": number})

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

    place = place_of(str(files.folder), "shop")
    for _ in exporting.export(files.engine, store, SOME, place=place, after_part=look):
        look(None)
    assert {mode_of(home), mode_of(home / "orders")} == {0o755}
    assert seen == {0o600}


def test_what_a_killed_run_left_half_written_is_removed(files: Files) -> None:
    """What is not ours stays."""
    put(files.engine, "orders", {"store_id": files.store_id, "id": 1, "raw": {}})
    folder = files.folder / "shop" / "orders"
    (folder / "half-x1y2.tmp" / "spilt").mkdir(parents=True)
    (files.folder / "shop" / "half-ab.tmp").mkdir()
    left = [folder / "000001-00001.csv.tmp", folder / "half-x1y2.tmp" / "rows.csv",
            files.folder / "shop" / "half-ab.tmp" / "rows.parquet"]  # fmt: skip
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
    asked: list[int] = []
    made = parquet._to_parquet

    def with_setting(source: str, folder: Path, pipe: int, *, by_month: bool) -> dict[Path, int]:
        asked.append(mode_of(folder.parent))
        where = f"current_setting('temp_directory') LIKE '{folder.parent}/%'"
        asked_for = f"CASE WHEN {where} THEN true ELSE error('spills elsewhere') END"
        return made(f"SELECT * FROM ({source}) WHERE {asked_for}", folder, pipe, by_month=by_month)

    monkeypatch.setattr(parquet, "_to_parquet", with_setting)
    assert files.run() == {"orders": 1}
    assert asked
    assert set(asked) == {0o700}


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
        broken.setattr(Folder, "keep", fail)
        with pytest.raises(OSError, match="disk full"):
            files.run()
    assert not [p for p in files.folder.rglob("*") if p.suffix in {".parquet", ".tmp"}]
    assert files.run() == {"orders": 1}


def test_an_error_of_duckdb_is_told_and_the_part_written_later(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that of the pipe which nobody reads any more; here of a row that is too long for it."""
    raw = {"number": "x" * 3_000_000}
    put(
        files.engine,
        "orders",
        *({"store_id": files.store_id, "id": n, "raw": raw} for n in range(3)),
    )
    with monkeypatch.context() as broken:
        broken.setattr(parquet, "_LONGEST_ROW", 1_000_000)
        with pytest.raises(NeedsOperator, match=r"DuckDB could not write: .*CSV") as told:
            files.run()
        assert "xxx" not in str(told.value), "a row is nobody's to read in an error"
    assert files.run() == {"orders": 3}


def test_records_that_are_too_large_for_memory_go_into_smaller_parts(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB holds some thousands of rows at once, whatever their size."""
    written = parquet._to_parquet
    taken: list[int] = []

    def little(source: str, folder: Path, pipe: int, *, by_month: bool) -> dict[Path, int]:
        made = written(source, folder, pipe, by_month=by_month)
        taken.append(sum(made.values()))
        if taken[-1] > 2:
            raise parquet.TooLarge
        return made

    for number in range(9):
        put(files.engine, "orders", {"store_id": files.store_id, "id": number})
    monkeypatch.setattr(parquet, "_to_parquet", little)
    assert files.run(rows_per_part=16) == {"orders": 9}
    assert max(taken) == 9
    assert files.current("SELECT id FROM orders ORDER BY 1") == [(n,) for n in range(9)]
    assert len(list(files.folder.rglob("*.parquet"))) == len(files.manifest()["files"])


def test_an_erased_person_is_masked_in_the_next_run_and_gone_after_a_full_one(
    files: Files,
) -> None:
    """Files written before keep what they held, until --full replaces them."""
    raw = {"id": 5, "email": "a@b.c"}
    put(files.engine, "customers", {"store_id": files.store_id, **raw, "raw": raw})
    files.run()
    with files.engine.begin() as connection:
        erase_stored(connection, files.store_id, {"customers": [5]}, zone="Europe/Moscow")
    assert files.run() == {"customers": 1}
    assert files.rows("customers", "email, raw", LATEST) == [(None, '{"id": 5}')]
    assert files.run(is_full=True) == {"customers": 1}
    assert files.rows("customers", "email, _run") == [(None, 3)]
    assert len(list(files.folder.rglob("*.parquet"))) == len(files.manifest()["files"])


def test_a_whole_run_does_not_go_on_with_a_stopped_one(files: Files) -> None:
    """A person erased in between would stay in the parts that it has."""
    for number, email in ((1, "a@b.c"), (2, None), (3, None)):
        about = {"store_id": files.store_id, "id": number, "email": email}
        put(files.engine, "customers", about)

    def stop(_: object) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        files.run(is_full=True, rows_per_part=2, after_part=stop)  # orders have none
    with pytest.raises(Stopped):
        files.run(rows_per_part=2, after_part=stop)
    with files.engine.begin() as connection:
        erase_stored(connection, files.store_id, {"customers": [1]}, zone="Europe/Moscow")
    assert files.run(is_full=True, rows_per_part=2) == {"customers": 3}
    assert files.rows("customers", "id, email", "ORDER BY 1")[0] == (1, None)
    assert not parquet.files_with(files.folder, ["a@b.c"])


@pytest.mark.parametrize("broken", ["keep", "remove"])
def test_files_that_no_manifest_names_are_removed_by_the_next_run(
    files: Files, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """A run killed before the manifest named its files, or before old ones were removed."""
    for number, day in ((1, "2026-01-31"), (2, "2026-02-01")):
        put(files.engine, "orders", {"store_id": files.store_id, "id": number, "created_on": day})
    if broken == "remove":
        files.run(by_month=True)
    done = getattr(Folder, broken)

    def killed(self: Folder, *names: Any) -> None:
        done(self, *names)
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(Folder, broken, killed)
        with pytest.raises(Stopped):
            files.run(is_full=True, by_month=True)
    somebodys = [
        files.folder / "shop" / name for name in ("mine/000001-00001.parquet", "orders/my.parquet")
    ]
    for path in somebodys:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    change(files, "UPDATE crm.orders SET created_on = '2026-03-01'")
    files.run(is_full=broken == "keep", by_month=True)
    named = {files.folder / "shop" / file["path"] for file in files.manifest()["files"]}
    assert set(files.folder.rglob("*.parquet")) == named | set(somebodys)


def test_an_empty_list_has_a_view(files: Files) -> None:
    """Also by month, where no row says which."""
    put(files.engine, "orders", {"store_id": files.store_id, "id": 1, "created_on": "2026-01-31"})
    files.run(by_month=True)
    assert files.current("SELECT order_id, id FROM order_items") == []


def test_nothing_outside_the_folder_is_written_or_removed(files: Files) -> None:
    """A manifest that names other files is refused, and so is a folder that is a link."""
    put(files.engine, "orders", {"store_id": files.store_id, "id": 1})
    files.run()
    home = files.folder / "shop"
    outside = files.folder / "outside"
    outside.mkdir()
    kept = outside / "000001-00001.parquet"
    kept.write_text("somebody's")
    manifest = home / "manifest.json"
    honest = manifest.read_text()
    for path in ("../outside/000001-00001.parquet", str(kept)):
        manifest.write_text(honest.replace("orders/000001-00001.parquet", path))
        with pytest.raises(NeedsOperator, match="no export wrote"):
            files.run(is_full=True)
    manifest.write_text(honest)
    for file in (home / "orders").iterdir():
        file.unlink()
    (home / "orders").rmdir()
    (home / "orders").symlink_to(outside)
    with pytest.raises(NeedsOperator, match="is a link"):
        files.run(is_full=True)
    assert [(path.name, path.read_text()) for path in outside.iterdir()] == [
        (kept.name, "somebody's")
    ]


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("run", "../../outside"), ("run", -1), ("part", "1'; DROP TABLE crm.orders"), ("until", -7),
        ("until", "yesterday"), ("since", "now()"), ("last", {"$gt": ""}), ("last", [1]),
    ],
)  # fmt: skip
def test_an_altered_manifest_is_no_bug_and_moves_nothing(
    files: Files, where: str, value: object
) -> None:
    """Whoever may write to the folder makes its export end in a sentence, and nothing else."""
    put(files.engine, "orders", *({"store_id": files.store_id, "id": n} for n in range(1, 4)))

    def stop(_: object) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        files.run(rows_per_part=1, after_part=stop)
    path = files.folder / "shop/manifest.json"
    told = json.loads(path.read_text())
    told["resources"]["orders"]["running"][where] = value
    path.write_text(json.dumps(told))
    with pytest.raises(NeedsOperator, match="is not a manifest"):
        files.run()


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
