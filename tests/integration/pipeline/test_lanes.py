"""Lanes that meet trouble which passes: they come back by themselves, and do not spin meanwhile."""

from __future__ import annotations

import pytest

from sync.database.engine import connect, reading
from sync.errors import TryLater
from sync.work.windows import counts
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror, engine_of

UNAVAILABLE = "SELECT unavailable FROM sync.coverage WHERE store_id = :store AND resource = :r"


def refuse(mirror: Mirror) -> None:
    """Work a feed until it is believed that its history is not given."""
    mirror.believe("order_history", "feed")


def test_a_history_that_is_given_again_is_followed_as_before(mirror: Mirror) -> None:
    """The scope was taken away while the feed ran: what it told of is complete again as soon as
    the feed has been read to its end, without anybody's help."""
    order = min(mirror.truth("orders"))
    mirror.account.revoke_scope("order_read")
    refuse(mirror)
    assert "order_read" in mirror.value(UNAVAILABLE, r="order_history")
    assert mirror.coverage("order_history").state == "unavailable"
    mirror.account.grant_scope("order_read")
    mirror.account.update_order(order, managerComment="given again")
    mirror.come_to_rest()
    assert mirror.value(UNAVAILABLE, r="order_history") is None
    cover = mirror.coverage("order_history")
    assert (cover.state, cover.complete_as_of is None) == ("following", False)
    assert mirror.live("orders")[order]["managerComment"] == "given again"


def test_one_refusal_of_a_feed_is_not_believed(mirror: Mirror) -> None:
    """A history that was read for weeks is not gone by one answer: the others that it tells of
    would no longer wait for it."""
    mirror.sandbox.knobs.turn(missing=["orders/history"])
    mirror.work("order_history", "feed")
    assert mirror.value(UNAVAILABLE, r="order_history") is None
    lane = mirror.lane("order_history", "feed")
    assert "orders/history" in lane.error
    assert lane.parked_at is None
    mirror.sandbox.knobs.turn(missing=[])
    mirror.work("order_history", "feed")
    assert mirror.lane("order_history", "feed").error is None


def test_who_finds_no_free_connection_tries_later(database: str) -> None:
    """A Postgres that hangs keeps every connection of the pool: that is an outage, not a bug."""
    engine = connect(database, size=1, wait_seconds=0.05)
    with engine.connect(), pytest.raises(TryLater, match="Postgres"), reading(engine):
        pass
    engine.dispose()


def test_a_postgres_that_hangs_parks_no_lane(database: str, open_mirror: Open) -> None:
    """It answers nobody from the fetch to the commit, nor when the failure is put down."""
    engine_of(database).dispose()
    engine = connect(database, size=3, wait_seconds=0.05)
    mirror = open_mirror(engine=engine)
    mirror.settle()
    order = min(mirror.truth("orders"))
    mirror.account.update_order(order, managerComment="waited")
    taken = []

    def hang() -> None:
        taken.extend(engine.connect() for _ in range(3))

    with mirror.between("filter%5Bids%5D", hang):
        mirror.work("order_history", "feed")
    for connection in taken:
        connection.close()
    assert mirror.lane("order_history", "feed").parked_at is None
    mirror.pass_time(80)
    mirror.come_to_rest()
    assert mirror.live("orders")[order]["managerComment"] == "waited"
    mirror.assert_equal_to_oracle()


DUE = "SELECT extract(epoch FROM due_at - now()) FROM sync.lane WHERE resource = :r AND lane = :l"


def test_a_clock_that_was_put_back_delays_no_feed(mirror: Mirror) -> None:
    """`as_of` goes on from where it was, and stands still for an hour; the feeds do not."""
    mirror.rows("UPDATE sync.store_clock SET as_of = now() + interval '1 hour'")
    mirror.work("order_history", "feed")
    assert mirror.value(DUE, r="order_history", l="feed") < 5
    mirror.work("orders", "walk")
    assert mirror.value(DUE, r="orders", l="walk") < 86_400


def test_a_host_whose_clock_is_wrong_tries_again_when_it_should(mirror: Mirror) -> None:
    """Postgres's clock is two hours ahead of the worker's; the failure is put off by seconds."""
    mirror.pass_time(7_200)
    mirror.sandbox.knobs.turn(missing=["orders/history"])
    mirror.work("order_history", "feed")
    assert mirror.lane("order_history", "feed").error
    assert 0 < mirror.value(DUE, r="order_history", l="feed") < 15


def test_a_reconcile_does_not_wait_for_a_feed_that_is_parked(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold a crawl's place for half a minute at every try; the reason is told, and it
    goes on once the feed does."""
    mirror.rows(
        "UPDATE sync.lane SET parked_at = now(), error = 'odd data' WHERE store_id = :store"
        " AND resource = 'order_history' AND lane = 'feed'"
    )
    mirror.queue("orders", "reconcile")
    # A wait for the feed would end at once, and without a reason.
    monkeypatch.setattr(counts, "FOLLOW_SECONDS", 0.5)
    mirror.work("orders", "walk")
    assert "order_history" in mirror.lane("orders").error
    assert mirror.value(DUE, r="orders", l="walk") > 60
    mirror.rows("UPDATE sync.lane SET parked_at = NULL WHERE store_id = :store")
    mirror.settle()
    assert mirror.lane("orders").error is None
