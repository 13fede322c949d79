"""Export to an address of fsspec, tried on an S3 server on this machine: same files, same views."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import httpx
import pytest
import sqlalchemy as sa
from moto.server import ThreadedMotoServer

from sync.analysts import export as exporting
from sync.analysts.places import Bucket, place_of
from sync.errors import BadRequest, NeedsOperator
from sync.resources import RESOURCES
from sync.state import stores
from tests.integration.analysts.conftest import add_store, put

ADDRESS = "s3://exports/crm"
SOME = [RESOURCES["orders"], RESOURCES["statuses"]]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server with a bucket; who calls it is told by the environment, as in production."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    httpx.post(f"{url}/moto-api/reset").raise_for_status()  # what it has is the process's
    for name, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    files = fsspec.filesystem("s3", skip_instance_cache=True)
    files.mkdir("exports")
    yield files
    fsspec.filesystem("s3").clear_instance_cache()
    server.stop()


def run(engine: sa.Engine, store_id: int, **options: Any) -> dict[str, int]:
    with engine.begin() as connection:
        store = stores.by_id(connection, store_id)
    assert store is not None
    rows: dict[str, int] = {}
    place = place_of(ADDRESS, "shop")
    for part in exporting.export(engine, store, SOME, place=place, **options):
        for table, count in part.rows.items():
            rows[table] = rows.get(table, 0) + count
    return {table: count for table, count in rows.items() if count}


def objects(s3: Any) -> set[str]:
    s3.invalidate_cache()
    return {path.removeprefix("exports/crm/shop/") for path in s3.find("exports/crm/shop")}


def told(s3: Any, name: str) -> Any:
    return s3.cat_file(f"exports/crm/shop/{name}").decode()


def test_runs_merge_in_a_bucket_as_they_do_in_a_folder(engine: sa.Engine, s3: Any) -> None:
    """The views name objects by their address; what a whole run replaces is removed, and
    what no manifest names."""
    store = add_store(engine, "shop")
    for number in (1, 2):
        put(engine, "orders", {"store_id": store, "id": number, "number": "old"})
        put(engine, "order_items", {"store_id": store, "order_id": number, "id": number})
    assert run(engine, store, by_month=True) == {"orders": 2, "order_items": 2}
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE crm.orders SET number = 'new', change_no = sync.change_no() WHERE id = 1;"
            " DELETE FROM crm.order_items WHERE order_id = 1"
        )
    run(engine, store)
    with duckdb.connect() as files:
        s3.invalidate_cache()
        files.register_filesystem(s3)
        files.execute(told(s3, "current.sql"))
        assert files.execute("SELECT id, number FROM orders ORDER BY id").fetchall() == [
            (1, "new"), (2, "old"),
        ]  # fmt: skip
        assert files.execute("SELECT order_id FROM order_items").fetchall() == [(2,)]
    left = "exports/crm/shop/orders/created_month=2020-01/000001-00009.parquet"
    s3.pipe_file(left, b"of a run that was killed")
    run(engine, store, is_full=True)
    manifest = json.loads(told(s3, "manifest.json"))
    assert {file["run"] for file in manifest["files"]} == {3}
    assert objects(s3) == {file["path"] for file in manifest["files"]} | {
        "manifest.json", "current.sql", "schema.json",
    }  # fmt: skip


def test_a_run_that_was_stopped_goes_on_from_what_the_manifest_says(
    engine: sa.Engine, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object that was uploaded and is in no manifest yet does not count, and is replaced."""
    store = add_store(engine, "shop")
    for number in range(5):
        put(engine, "orders", {"store_id": store, "id": number})
    uploaded = 0
    keep = Bucket.keep

    def lost(self: Bucket, half: Any, name: str) -> None:
        nonlocal uploaded
        keep(self, half, name)
        uploaded += 1
        if uploaded == 4:  # orders and their two lists, and then the second part's orders
            raise OSError("the network is gone")

    with monkeypatch.context() as broken:
        broken.setattr(Bucket, "keep", lost)
        with pytest.raises(OSError, match="network"):
            run(engine, store, rows_per_part=2)
    listed = {file["path"] for file in json.loads(told(s3, "manifest.json"))["files"]}
    assert len(objects(s3) - listed - {"manifest.json", "current.sql"}) == 1
    assert run(engine, store, rows_per_part=2) == {"orders": 3}
    with duckdb.connect() as files:
        s3.invalidate_cache()
        files.register_filesystem(s3)
        files.execute(told(s3, "current.sql"))
        every = "read_parquet('s3://exports/crm/shop/orders/*.parquet')"
        assert files.execute(f"SELECT count(*), max(_run) FROM {every}").fetchall() == [(5, 1)]
        assert files.execute("SELECT count(*) FROM orders").fetchall() == [(5,)]


def test_an_address_has_no_credentials_and_a_driver(s3: Any) -> None:
    """They would stand in the record of acts, and in the history of a shell."""
    with pytest.raises(BadRequest, match="from the environment"):
        place_of("s3://key:secret@host/bucket", "shop")
    with pytest.raises(BadRequest, match="from the environment"):
        place_of("s3://key:sec/ret@bucket", "shop")
    with pytest.raises((BadRequest, NeedsOperator)):
        place_of("nowhere://bucket", "shop")
    with pytest.raises(NeedsOperator, match="adlfs"):  # a container stands where users do
        place_of("abfs://container@account.dfs.core.windows.net/crm", "shop")
    del s3


@pytest.mark.parametrize("address", ["file:///var/x", "local:///var/x", "simplecache::file:///x"])
def test_a_folder_has_no_address(address: str) -> None:
    """It would be written like an object store: no lock, modes of the umask, nothing synced."""
    with pytest.raises(BadRequest, match="by its path"):
        place_of(address, "shop")


def test_what_a_killed_run_left_on_this_machine_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has people's rows; that of a run which goes on stays, whatever its address."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed, another = tmp_path / "half-abc.tmp", tmp_path / "somebodys.tmp"
    for folder in (killed, another):
        folder.mkdir()
        (folder / "all.parquet").touch()
    place = place_of("memory://bucket", "shop")
    with place.scratch() as mine:
        (mine / "all.parquet").touch()
        with place_of("memory://other", "shop").alone():
            assert set(tmp_path.iterdir()) == {mine, another}
    assert list(tmp_path.iterdir()) == [another]
