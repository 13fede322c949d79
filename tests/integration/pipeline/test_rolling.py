"""What counting cannot see is found by comparing ids, a turn a night."""

from __future__ import annotations

from tests.integration.pipeline.harness import Mirror

NIGHTS = 30


def by_schedule(mirror: Mirror) -> int:
    """Tonight's reconcile, as the schedule queues it."""
    crawl = mirror.queue("orders", "reconcile")
    mirror.rows(
        "UPDATE sync.crawl SET asked_by = 'schedule' WHERE store_id = :store AND id = :id", id=crawl
    )
    return crawl


def test_two_errors_that_cancel_are_found_within_thirty_nights(mirror: Mirror) -> None:
    """One row missing and one invented keep the count; their ids do not."""
    orders = sorted(mirror.truth("orders"))
    mirror.rows("DELETE FROM crm.orders WHERE store_id = :store AND id = :id", id=orders[7])
    day = mirror.value(
        "SELECT created_on FROM crm.orders WHERE store_id = :store AND id = :id", id=orders[8]
    )
    mirror.rows(
        "INSERT INTO crm.orders (store_id, id, created_on, listed_at, as_of, first_seen_at,"
        " changed_at, raw) SELECT store_id, 999999, :day, listed_at, as_of, first_seen_at,"
        " changed_at, raw FROM crm.orders WHERE store_id = :store AND id = :id",
        id=orders[8],
        day=day,
    )
    assert mirror.coverage("orders").mirrored == len(orders)
    for _ in range(NIGHTS):
        mirror.finish(by_schedule(mirror), pass_seconds=62)
    mirror.assert_equal_to_oracle()
    checked = "SELECT ids_checked_at IS NOT NULL FROM sync.coverage WHERE resource = 'orders'"
    assert mirror.value(checked + " AND store_id = :store")


def test_a_night_after_all_turns_were_compared_costs_a_handful_of_requests(mirror: Mirror) -> None:
    """Nothing is compared twice within thirty days."""
    for _ in range(NIGHTS):
        mirror.finish(by_schedule(mirror), pass_seconds=62)
    mirror.wire.paths.clear()
    by_schedule(mirror)
    mirror.work("orders", "walk")
    assert len(mirror.wire.paths) <= 4, mirror.wire.paths
