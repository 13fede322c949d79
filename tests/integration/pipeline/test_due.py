"""Which crawl is worked on next, and when: by schedule, by what is proven, by what waits."""

from __future__ import annotations

import datetime as dt

from sync.state import crawls
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror

DAY = 86_400
DUE = (
    "SELECT extract(epoch FROM due_at - now()) FROM sync.lane WHERE resource = :r AND lane ='walk'"
)
KINDS = "SELECT kind FROM sync.crawl WHERE store_id = :store AND resource = 'orders' ORDER BY id"


def wait(mirror: Mirror, crawl_id: int, seconds: float) -> None:
    mirror.rows(
        "UPDATE sync.crawl SET state = 'running', not_before = now()"
        " + make_interval(secs => :seconds) WHERE id = :id",
        id=crawl_id,
        seconds=seconds,
    )


def test_what_was_only_backfilled_is_reconciled_every_night(open_mirror: Open) -> None:
    """`store add --no-load` and then `backfill`: proven like any other, and kept so."""
    mirror = open_mirror()
    mirror.rows("DELETE FROM sync.crawl WHERE store_id = :store AND resource = 'orders'")
    mirror.feeds()
    mirror.queue("orders", "backfill")
    mirror.settle()
    for night in range(1, 4):
        mirror.pass_time(DAY)
        mirror.work("orders", "walk")
        assert [row[0] for row in mirror.rows(KINDS)] == ["backfill"] + ["reconcile"] * night
        mirror.settle()


def test_what_was_proven_this_evening_is_not_reconciled_this_night(mirror: Mirror) -> None:
    """A backfill of some days does not put off the night's proof of the whole."""
    before = len(mirror.rows(KINDS))
    mirror.pass_time(DAY)
    mirror.queue("orders", "backfill", days=(dt.date(2020, 1, 1), dt.date(2020, 1, 2)))
    mirror.settle()
    mirror.work("orders", "walk")
    assert [row[0] for row in mirror.rows(KINDS)][before:] == ["backfill", "reconcile"]
    mirror.settle()
    mirror.pass_time(DAY / 4)
    mirror.work("orders", "walk")
    assert len(mirror.rows(KINDS)) == before + 2


def test_a_crawl_that_waits_blocks_no_other_and_its_lane_is_due_when_it_goes_on(
    mirror: Mirror,
) -> None:
    waiting = mirror.queue("orders", "reconcile")
    wait(mirror, waiting, 900)
    other = mirror.queue("orders", "backfill")
    mirror.finish(other)
    assert mirror.crawl(waiting).state == "running"
    mirror.work("orders", "walk")
    assert 600 < mirror.value(DUE, r="orders") <= 900
    mirror.pass_time(901)
    mirror.finish(waiting)


def test_a_reconcile_that_waits_is_not_queued_again_each_night(mirror: Mirror) -> None:
    waiting = mirror.queue("orders", "reconcile")
    wait(mirror, waiting, 3 * DAY)
    before = len(mirror.rows(KINDS))
    for _ in range(2):
        mirror.pass_time(DAY)
        mirror.work("orders", "walk")
    assert len(mirror.rows(KINDS)) == before


def test_a_rebuild_goes_before_walks_also_before_an_operators(mirror: Mirror) -> None:
    """Until it is done nothing of the resource is complete."""
    mirror.queue("orders", "reconcile")
    with mirror.engine.begin() as connection:
        rebuild = crawls.queue_crawl(connection, mirror.store_id, "orders", kind="rebuild")
    seen = []
    mirror.wire.after = lambda _: seen.append(mirror.crawl(rebuild).state)
    mirror.work("orders", "walk")
    mirror.wire.after = None
    assert seen
    assert set(seen) == {"done"}
