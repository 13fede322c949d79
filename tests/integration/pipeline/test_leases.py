"""Leases and fencing: whoever lost the lease commits nothing."""

from __future__ import annotations

import pytest

from sync.errors import LeaseLost
from sync.state import lanes
from sync.state.claims import claim_due
from sync.state.heartbeat import FRESH_SECONDS
from sync.state.lanes import Claim
from sync.work.slices import CRASHES, work
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror, expire_lease, take_over

PAGE = "/api/v5/orders?limit=20&page="


def _lease_of(mirror: Mirror, lane: str = "walk") -> lanes.Lease | None:
    claim = Claim(mirror.store_id, "orders", lane)  # type: ignore[arg-type]
    with mirror.engine.begin() as connection:
        return lanes.acquire(connection, claim, holder="test")


def test_a_lease_has_one_holder(mirror: Mirror) -> None:
    """While it is held nobody else gets it; when it expires somebody does."""
    first = _lease_of(mirror)
    assert first is not None
    assert _lease_of(mirror) is None
    mirror.pass_time(lanes.LEASE_SECONDS + 1)
    second = _lease_of(mirror)
    assert second is not None
    assert second.token > first.token


def test_of_two_that_believe_they_hold_it_one_commits(open_mirror: Open) -> None:
    """The first was paused until its lease had been taken over: its pages are not written, and
    its checkpoint stands still."""
    mirror = open_mirror()
    with mirror.between(PAGE, lambda: take_over(mirror, "orders", "walk")):
        mirror.work("orders", "walk")
    assert mirror.live("orders") == {}
    assert not mirror.rows(
        "SELECT 1 FROM sync.window WHERE store_id = :store AND resource = 'orders'"
        " AND last_page > 0"
    )
    assert mirror.lane("orders").holder == "another", "and the other's lease was not given back"
    expire_lease(mirror, "orders", "walk")
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_an_expired_lease_commits_nothing(open_mirror: Open) -> None:
    """Nobody took it over, and still the time is up: Postgres's clock decides."""
    mirror = open_mirror()
    with mirror.between(PAGE, lambda: mirror.pass_time(lanes.LEASE_SECONDS + 1)):
        mirror.work("orders", "walk")
    assert mirror.live("orders") == {}
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_a_feed_taken_over_between_answer_and_commit(mirror: Mirror) -> None:
    """The feed lane is fenced like the walk lane; what the loser read, the winner reads again."""
    order = min(mirror.truth("orders"))
    mirror.account.update_order(order, managerComment="once")
    head = "SELECT head_id FROM sync.feed WHERE store_id = :store AND resource = 'order_history'"
    before = mirror.value(head)
    with mirror.between("filter%5Bids%5D", lambda: take_over(mirror, "order_history", "feed")):
        mirror.work("order_history", "feed")
    assert mirror.value(head) == before
    assert mirror.live("orders")[order].get("managerComment") != "once"
    expire_lease(mirror, "order_history", "feed")
    mirror.work("order_history", "feed")
    assert mirror.live("orders")[order]["managerComment"] == "once"


def test_feed_and_walk_work_side_by_side(open_mirror: Open) -> None:
    """Two lanes, two leases: the feed commits in the middle of a page's way."""
    mirror = open_mirror()
    order = max(mirror.truth("orders"))

    def feed() -> None:
        mirror.account.update_order(order, managerComment="by the feed")
        mirror.work("order_history", "feed")

    with mirror.between(PAGE, feed):
        mirror.work("orders", "walk")
    assert mirror.live("orders")[order]["managerComment"] == "by the feed"
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_a_token_that_is_not_the_present_one_locks_nothing(mirror: Mirror) -> None:
    """`hold` is the fence: it finds the row by token, or raises."""
    held = _lease_of(mirror)
    assert held is not None
    take_over(mirror, "orders", "walk")
    with mirror.engine.begin() as connection, pytest.raises(LeaseLost):
        lanes.hold(connection, held, zone="Europe/Moscow")


def test_a_worker_of_another_release_leaves_alone_what_it_does_not_know(mirror: Mirror) -> None:
    """It would use up the attempts of a resource that a newer release brought, until the lane is
    parked for a worker that never died."""
    before = mirror.lane("orders")
    claim = Claim(mirror.store_id, "orders", "walk")
    for _ in range(CRASHES + 2):
        work(claim, mirror.services, {"customers": mirror.resources["customers"]})
        mirror.pass_time(lanes.LEASE_SECONDS + 1)
    after = mirror.lane("orders")
    assert (after.attempts, after.token, after.parked_at) == (before.attempts, before.token, None)


def test_a_lane_is_looked_at_again_once_its_holder_may_be_dead(mirror: Mirror) -> None:
    """Not only when the claim that led to its lease would have run out."""
    mirror.rows("UPDATE sync.lane SET due_at = now() WHERE store_id = :store")
    with mirror.engine.begin() as connection:
        claims = claim_due(connection, lane="walk", places=99)
    assert Claim(mirror.store_id, "orders", "walk") in claims
    with mirror.process() as heart, mirror.engine.begin() as connection:
        claim = Claim(mirror.store_id, "orders", "walk")
        assert lanes.acquire(connection, claim, holder=heart.id) is not None
    mirror.pass_time(FRESH_SECONDS + 0.1)
    with mirror.engine.begin() as connection:
        assert claim_due(connection, lane="walk", places=99) == [claim]


def test_of_many_messages_for_one_claim_the_first_is_worked_on(mirror: Mirror) -> None:
    """Messages have no expiry: one that comes late, or again, finds its claim gone."""
    mirror.rows("UPDATE sync.lane SET due_at = now() WHERE store_id = :store")
    told = Claim(mirror.store_id, "orders", "walk", by="message")

    def taken(holder: str) -> lanes.Lease | None:
        with mirror.engine.begin() as connection:
            return lanes.acquire(connection, told, holder=holder)

    assert taken("a") is None, "nobody has claimed the lane"
    with mirror.engine.begin() as connection:
        claim_due(connection, lane="walk", places=99)
    mirror.pass_time(lanes.CLAIM_SECONDS + 1)
    first = taken("a")
    assert first is not None, "a message may come after its claim's time"
    with mirror.engine.begin() as connection:
        lanes.release(connection, first, after_seconds=60)
    assert taken("b") is None, "the second message for the claim"
