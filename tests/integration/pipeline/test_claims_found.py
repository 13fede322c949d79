"""Claims that were found wrong, each reduced to what is needed."""

from __future__ import annotations

import datetime as dt

import httpx
import pytest

from sync.state import nudges, operations, rereads, stores
from sync.work.windows import counts
from tests.integration.pipeline.claims import watch, wrong
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror


def lose(mirror: Mirror, resource: str, record: int) -> None:
    """A row that the walk lost."""
    mirror.rows(f"DELETE FROM crm.{resource} WHERE store_id = :store AND id = :id", id=record)


def delay_entries(mirror: Mirror, seconds: float) -> None:
    """Entries written from now on are published so much later; lists show the change at once."""
    share = 1 if seconds else 0
    mirror.sandbox.knobs.turn(entry_delay_seconds=seconds, entry_delay_share=share)


def counted(mirror: Mirror, crawl: int) -> bool:
    """Whether the count of a crawl's only window agreed, and is not sealed yet."""
    states = mirror.rows("SELECT state FROM sync.window WHERE crawl_id = :id", id=crawl)
    return states == [("counted",)]


def poison(mirror: Mirror, *orders: int) -> None:
    """Orders whose every answer is a 500."""
    mirror.sandbox.knobs.turn(poison={"orders": list(orders)})


def test_a_total_told_from_the_past_proves_nothing(mirror: Mirror) -> None:
    """A replica that lags counts without what arrived just now: as many as are here, where a row
    was lost. No departure speaks against that count, so arrivals that the answer itself does not
    show make it wait."""
    lost = min(mirror.truth("orders"))
    mirror.rows("DELETE FROM crm.orders WHERE store_id = :store AND id = :id", id=lost)
    knobs = mirror.sandbox.knobs
    knobs.turn(replica_lag_seconds=[20], replica_histories=False)
    arrived = mirror.account.create_order(customer=0)
    knobs.turn(replica_lag_seconds=[])
    mirror.work("order_history", "feed")
    assert arrived in mirror.live("orders")
    mirror.pass_time(10)

    knobs.turn(replica_lag_seconds=[20])
    crawl = mirror.queue("orders", "reconcile")
    mirror.work("orders", "walk")
    knobs.turn(replica_lag_seconds=[])
    mirror.finish(crawl)

    assert lost in mirror.live("orders")
    mirror.assert_equal_to_oracle()


def test_what_arrives_all_the_time_holds_no_count_up(mirror: Mirror) -> None:
    """An arrival that the answer shows is counted in it: an order every ten seconds, and the list
    is proven as soon as the feed is clear past the count."""
    crawl = mirror.queue("orders", "reconcile")
    slices = 0
    while mirror.crawl(crawl).state != "done":
        mirror.account.create_order()
        mirror.pass_time(10)
        mirror.feeds()
        mirror.work("orders", "walk")
        slices += 1
        assert slices < 20, mirror.open_crawls()


def test_a_list_that_lags_behind_a_doubt_does_not_lift_it(mirror: Mirror) -> None:
    """A comparison lifts only doubts that are older than lists may lag: it may have read a record
    as it was before. A doubt raised just before it is compared once more."""
    watch(mirror)
    mirror.sandbox.knobs.turn(list_lag_seconds=30)
    mirror.pass_time(60)
    mirror.feeds()
    entries = mirror.account.histories["orders"].entries
    unreadable = {}
    orders = sorted(mirror.truth("orders"))[:2]
    raised = "SELECT count(*) FROM sync.doubt WHERE store_id = :store AND resource = 'orders'"
    for turn in range(30):
        if turn in (0, 4):  # the first comparison begins at the seventh turn
            mirror.account.update_order(
                orders[turn // 4], managerComment="told by nothing readable"
            )
            unreadable[max(each.id for each in entries)] = "list"
            mirror.sandbox.knobs.turn(unreadable_entries={"orders": unreadable})
        mirror.pass_time(10)
        mirror.feeds()
        mirror.walks()
        assert wrong(mirror, "orders") == [], turn
        if not mirror.value(raised):
            break
    assert turn > 12, "compared twice"
    assert mirror.value(raised) == 0
    mirror.settle()
    mirror.assert_equal_to_oracle("orders")


@pytest.fixture
def among_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer to a count shows the records: others are newer."""
    monkeypatch.setattr(counts, "_shown", lambda *_: set())


@pytest.mark.usefixtures("among_many")
def test_a_merge_that_a_nudge_finds_before_its_entry_speaks_against_a_count(
    mirror: Mirror,
) -> None:
    """The 404 that names the survivor ends the row at once. When the entry comes, no live row is
    left, and the count in which the merged customer made up for a lost one was sealed."""
    merged, into, lost = sorted(mirror.truth("customers"))[:3]
    lose(mirror, "customers", lost)
    delay_entries(mirror, 40)
    mirror.account.merge_customers(into, [merged])
    delay_entries(mirror, 0)
    mirror.pass_time(1)
    crawl = mirror.queue("customers")
    mirror.work("customers", "walk")
    assert counted(mirror, crawl), "they cancel"
    with mirror.engine.begin() as connection:
        nudges.make(connection, mirror.store_id)
        nudges.hasten(connection, mirror.store_id, named={"customers": [merged]}, came=1)
    mirror.work("customer_history", "feed")
    assert mirror.tombstones("customers")[merged] == "combined"
    mirror.pass_time(45)
    mirror.feeds()
    mirror.finish(crawl)
    assert lost in mirror.live("customers")


@pytest.mark.usefixtures("among_many")
def test_a_redate_that_another_entry_shows_before_its_own_speaks_against_a_count(
    mirror: Mirror,
) -> None:
    """Another change of the order has it read on its new day. Its departure is one from the day it
    was on, whatever day it is on when the entry of the redate comes."""
    [day] = mirror.rows(
        "SELECT created_on FROM crm.orders WHERE store_id = :store GROUP BY 1"
        " ORDER BY count(*) DESC, 1 LIMIT 1"
    )[0]
    on_day = "SELECT id FROM crm.orders WHERE store_id = :store AND created_on = :d ORDER BY id"
    lost, moved = [row.id for row in mirror.rows(on_day, d=day)][:2]
    lose(mirror, "orders", lost)
    delay_entries(mirror, 40)
    mirror.account.redate_order(moved, "2019-03-03 12:00:00")
    delay_entries(mirror, 0)
    mirror.pass_time(1)
    crawl = mirror.queue("orders", days=(day, day))
    mirror.work("orders", "walk")
    assert counted(mirror, crawl), "they cancel"
    mirror.account.update_order(moved, managerComment="has it read")
    mirror.work("order_history", "feed")
    mirror.pass_time(45)
    mirror.feeds()
    mirror.finish(crawl)
    assert lost in mirror.live("orders")


@pytest.mark.parametrize("is_last", [True, False])
def test_a_departure_later_than_the_bound_opens_proven_days_whoever_finds_it(
    mirror: Mirror, is_last: bool
) -> None:
    """A quiet history has no third reading: every look at its head asks for the last entries
    again. So the head finds the entry, the last one (fresh) or before it (late)."""
    gone, lost, other = sorted(mirror.truth("orders"))[:3]
    lose(mirror, "orders", lost)
    delay_entries(mirror, 400)
    mirror.account.delete_order(gone)
    delay_entries(mirror, 0)
    if not is_last:
        mirror.account.update_order(other, managerComment="published at once")
    mirror.pass_time(1)
    mirror.feeds()
    crawl = mirror.queue("orders")
    mirror.finish(crawl)
    assert lost not in mirror.live("orders"), "nothing speaks against the proof"
    mirror.pass_time(400)
    mirror.feeds()
    assert mirror.coverage("orders").complete_as_of is None
    for _ in range(8):  # the bound is longer now
        mirror.pass_time(200)
        mirror.feeds()
        mirror.walks()
    assert lost in mirror.live("orders")
    assert mirror.coverage("orders").complete_as_of is not None
    mirror.assert_equal_to_oracle()


def test_departures_that_come_in_time_open_no_days(mirror: Mirror) -> None:
    """However long ago the days were proven, and whatever else is read."""
    orders, customers = sorted(mirror.truth("orders")), sorted(mirror.truth("customers"))
    for number in range(5):
        mirror.account.delete_order(orders[number])
        mirror.account.redate_order(orders[-1 - number], "2019-03-03 12:00:00")
        mirror.account.merge_customers(customers[-1], [customers[number]])
        mirror.pass_time(20)
        mirror.feeds()
    mirror.come_to_rest()
    assert mirror.open_crawls() == []


def test_a_sampled_record_that_cannot_be_read_any_more_is_not_claimed(mirror: Mirror) -> None:
    """A sample that differed holds nothing, because no entry told of it. One that comes does."""
    watch(mirror)
    mirror.pass_time(1)
    order = max(mirror.truth("orders"))
    with mirror.engine.begin() as connection:
        rereads.ask_again(
            connection, mirror.store_id, "orders", [order], reason=rereads.SAMPLED,
            after_seconds=60, since=rereads.HOLDS_NOTHING,
        )  # fmt: skip
    poison(mirror, order)
    mirror.account.update_order(order, managerComment="unseen")
    for _ in range(10):
        mirror.feeds()
        mirror.pass_time(20)
        assert wrong(mirror, "orders") == []


def test_a_record_that_was_accepted_and_came_is_not_accepted_for_ever(mirror: Mirror) -> None:
    """It came by an entry, long before its next turn as a failing one, and its gap is known no
    more; when it fails anew, it holds coverage like any other."""
    watch(mirror)
    mirror.pass_time(1)
    order = max(mirror.truth("orders"))
    poison(mirror, order)
    mirror.account.update_order(order, managerComment="unseen")
    for _ in range(8):
        mirror.feeds()
        mirror.pass_time(300)
    with mirror.engine.begin() as connection:
        known = stores.by_id(connection, mirror.store_id)
        assert known is not None
        operations.accept(connection, known, "orders", [], by="Ann", because="it never answers")
    poison(mirror)
    mirror.account.update_order(order, managerComment="seen")
    mirror.work("order_history", "feed")
    assert mirror.live("orders")[order]["managerComment"] == "seen"
    assert mirror.rows("SELECT * FROM crm.known_gaps WHERE store_id = :store") == []
    poison(mirror, order)
    mirror.account.update_order(order, managerComment="unseen again")
    for _ in range(10):
        mirror.feeds()
        mirror.pass_time(20)
        assert wrong(mirror, "orders") == []


def test_sums_are_not_claimed_from_before_a_history_was_first_read(open_mirror: Open) -> None:
    """The orders' history fails from the first load on, and tells of an order an hour late. Its
    customer was never known past that, so no other history's moment holds for the re-read."""
    mirror = open_mirror()
    watch(mirror)
    is_down = True

    def fail(request: httpx.Request) -> httpx.Response | None:
        is_chain = "filter[sinceId]" in request.url.params
        if is_down and is_chain and request.url.path == "/api/v5/orders/history":
            return httpx.Response(500, json={"success": False, "errorMsg": "Internal Server Error"})
        return None

    mirror.wire.answers = fail
    for _ in range(8):
        mirror.feeds()
        mirror.walks()
        mirror.pass_time(61)
    mirror.account.delete_order(max(mirror.truth("orders")))
    mirror.pass_time(300)
    mirror.feeds()
    assert mirror.coverage("customers").complete_as_of is None
    is_down = False
    for turn in range(40):
        mirror.pass_time(3)
        mirror.feeds()
        assert wrong(mirror, "customers") == [], turn
    mirror.settle()
    claimed = mirror.coverage("customers").complete_as_of
    assert claimed > dt.datetime.fromtimestamp(mirror.now() - 200, dt.UTC)


def test_a_record_the_key_may_not_read_is_not_claimed(mirror: Mirror) -> None:
    """The list lacks it and its own method answers 403, though the key sees what it saw: it may
    be gone or changed, so it holds coverage and is named."""
    order = max(mirror.truth("orders"))

    def hide(request: httpx.Request) -> httpx.Response | None:
        if request.url.path == f"/api/v5/orders/{order}":
            return httpx.Response(403, json={"success": False, "errorMsg": "Access denied."})
        if request.url.path != "/api/v5/orders":
            return None
        data = mirror.wire._answer(request).json()
        data["orders"] = [each for each in data["orders"] if each["id"] != order]
        return httpx.Response(200, json=data)

    mirror.wire.answers = hide
    changed = dt.datetime.fromtimestamp(mirror.now(), dt.UTC)
    mirror.account.update_order(order, managerComment="not for this key")
    for _ in range(5):
        mirror.feeds()
        mirror.pass_time(61)
        assert mirror.coverage("orders").complete_as_of <= changed
    [error] = mirror.rows("SELECT error FROM sync.reread WHERE id = :id", id=order)[0]
    assert "Access denied" in error
    mirror.wire.answers = None
    mirror.pass_time(3_600)
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()
