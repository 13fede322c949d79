"""Every resource there is, the optional ones too, mirrored from the sandbox."""

from __future__ import annotations

from sync.resources import RESOURCES
from tests.integration.resources.conftest import Open


def test_every_resource_is_mirrored_and_complete(open_mirror: Open) -> None:
    """All of them, optional ones switched on: rows, no rejects, complete, no error."""
    mirror = open_mirror(orders=60, customers=60)
    mirror.settle(most=30)
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
