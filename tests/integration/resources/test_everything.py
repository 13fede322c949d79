"""Every resource there is, the optional ones too, mirrored from the sandbox."""

from __future__ import annotations

from typing import Any

from sync.resources import RESOURCES
from sync.work.rebuild import queue_where_stale
from tests.integration.pipeline.harness import Mirror
from tests.integration.resources.conftest import Open


def test_every_resource_is_mirrored_complete_and_can_be_rebuilt(open_mirror: Open) -> None:
    """All of them, optional ones switched on: rows, no rejects, complete, no error; read anew from
    raw, the same rows."""
    mirror = open_mirror(orders=60, customers=60)
    mirror.settle(most=30)
    assert_complete(mirror)
    assert_rebuilt(mirror)


def assert_complete(mirror: Mirror) -> None:
    cover = {
        row.resource: row
        for row in mirror.rows("SELECT * FROM crm.coverage WHERE store_id = :store")
    }
    assert set(cover) == set(RESOURCES)
    assert mirror.errors() == []
    for name, row in cover.items():
        assert row.state in {"fresh", "following"}, (name, row)
        assert row.complete_as_of is not None, name
        assert row.expected == row.mirrored, (name, row)
    empty = {name for name, row in cover.items() if row.mirrored == 0}
    assert empty == set()
    assert mirror.rows("SELECT * FROM sync.reject WHERE store_id = :store") == []
    assert mirror.rows("SELECT * FROM sync.unknown_field WHERE store_id = :store") == []


def assert_rebuilt(mirror: Mirror) -> None:
    """Lists, maps, single objects, plain values, made keys, parents: rows stay what they are."""
    tables = [table for resource in RESOURCES.values() for table in resource.tables]
    before = {table: rows_of(mirror, table) for table in tables}
    mirror.rows("UPDATE sync.coverage SET version = 'older' WHERE store_id = :store")
    with mirror.engine.begin() as connection:
        assert queue_where_stale(connection, mirror.resources) == len(RESOURCES)
    mirror.wire.paths.clear()
    for name in RESOURCES:
        mirror.work(name, "walk")
    assert mirror.errors() == []
    assert [path for path in mirror.wire.paths if "sinceUpdatedAt" not in path] == []
    assert mirror.open_crawls() == []
    for table in tables:
        assert rows_of(mirror, table) == before[table], table


def rows_of(mirror: Mirror, table: str) -> list[dict[str, Any]]:
    """A table's rows, without when they changed."""
    rows = mirror.rows(f"SELECT * FROM crm.{table} WHERE store_id = :store")
    return [
        {name: value for name, value in row._mapping.items() if name != "changed_at"}
        for row in sorted(rows, key=str)
    ]
