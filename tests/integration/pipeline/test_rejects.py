"""The number of rejects is carried along with them, and set right where the whole is proven."""

from __future__ import annotations

from collections.abc import Sequence

from sync.records.normalise import Reject
from sync.state.diagnostics import keep_rejects
from tests.integration.pipeline.harness import Mirror

COUNT = "SELECT rejects FROM sync.coverage WHERE store_id = :store AND resource = 'orders'"


def keep(mirror: Mirror, read: Sequence[int], rejected: Sequence[tuple[int, str]]) -> int:
    """Keep the rejects of the records read; the number told then."""
    rejects = [Reject(str(record), field, "x", "odd") for record, field in rejected]
    with mirror.engine.begin() as connection:
        keep_rejects(
            connection,
            mirror.store_id,
            "orders",
            rejects=rejects,
            read=[str(record) for record in read],
        )
    return int(mirror.value(COUNT))


def test_the_number_of_rejects_follows_what_is_kept(mirror: Mirror) -> None:
    assert keep(mirror, [1, 2], [(1, "site"), (1, "status"), (2, "site")]) == 3
    assert keep(mirror, [1, 2], [(1, "site"), (1, "status"), (2, "site")]) == 3
    assert keep(mirror, [1], [(1, "status"), (1, "number")]) == 3
    assert keep(mirror, [1, 2], []) == 0


def test_no_commit_counts_the_rejects_and_a_proof_does(mirror: Mirror) -> None:
    """A number that is off stays so until then: counting a million at each page is too dear."""
    mirror.rows("UPDATE sync.coverage SET rejects = 1000 WHERE store_id = :store")
    assert keep(mirror, [7], [(7, "site")]) == 1001
    mirror.rows("DELETE FROM sync.reject WHERE record = '7'")
    mirror.queue("orders", "reconcile")
    mirror.settle()
    assert mirror.value(COUNT) == 0
