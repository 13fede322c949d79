"""One odd answer is not a fact: what it would change for long waits until it came again."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from sync.work.by_ids import TRIES
from sync.work.failures import ODD_TIMES
from tests.integration.pipeline.harness import Mirror

DUE = "SELECT extract(epoch FROM due_at - now()) FROM sync.lane WHERE resource = :r AND lane = :l"


def answering(mirror: Mirror, path: str, make: Callable[[], httpx.Response]) -> None:
    mirror.wire.answers = lambda request: make() if request.url.path == path else None


def no_success() -> httpx.Response:
    return httpx.Response(200, json={"success": False, "errorMsg": "internal"})


def missing() -> httpx.Response:
    return httpx.Response(404, json={"success": False, "errorMsg": "Method not found"})


def test_one_answer_without_success_parks_no_feed(mirror: Mirror) -> None:
    """It is asked again within seconds, and the feed goes on as if nothing had been."""
    order = min(mirror.truth("orders"))
    mirror.account.update_order(order, managerComment="told")
    answering(mirror, "/api/v5/orders/history", no_success)
    mirror.work("order_history", "feed")
    lane = mirror.lane("order_history", "feed")
    assert (lane.parked_at, lane.odd_answer, lane.odd_times) == (None, "UnexpectedData", 1)
    assert 5 < mirror.value(DUE, r="order_history", l="feed") < 15
    mirror.wire.answers = None
    mirror.come_to_rest()
    lane = mirror.lane("order_history", "feed")
    assert (lane.error, lane.odd_answer, lane.odd_times) == (None, None, 0)
    assert mirror.live("orders")[order]["managerComment"] == "told"


def test_one_404_in_a_reconcile_makes_nothing_unavailable(mirror: Mirror) -> None:
    """Coverage would be NULL for a day, of a list that was there a second later."""
    answering(mirror, "/api/v5/orders", missing)
    crawl_id = mirror.queue("orders", "reconcile")
    mirror.work("orders", "walk")
    cover = mirror.coverage("orders")
    assert (cover.state, cover.complete_as_of is None) == ("following", False)
    assert mirror.value(DUE, r="orders", l="walk") < 15
    mirror.wire.answers = None
    mirror.settle()
    assert mirror.crawl(crawl_id).state == "done"
    assert mirror.lane("orders").odd_answer is None


def test_what_is_committed_between_odd_answers_does_not_make_them_fewer(mirror: Mirror) -> None:
    """The first page comes, the second never as declared: the first is written each time."""
    pages = 0

    def second(request: httpx.Request) -> httpx.Response | None:
        nonlocal pages
        query = request.url.query.decode()
        pages += request.url.path == "/api/v5/orders" and "page=2" in query
        never = "page=2" in query or "ids" in query  # nor do its records come by id
        return no_success() if "/orders" in request.url.path and never else None

    mirror.wire.answers = second
    mirror.queue("orders", "backfill")
    for times in range(1, ODD_TIMES):
        mirror.pass_time(300)
        mirror.work("orders", "walk")
        lane = mirror.lane("orders")
        assert (lane.odd_times, lane.parked_at) == (times, None)
    mirror.pass_time(300)
    mirror.work("orders", "walk")
    assert mirror.lane("orders").parked_at is not None
    assert pages == ODD_TIMES * TRIES


@pytest.mark.parametrize("between", ["an outage", "nothing"])
def test_an_outage_between_odd_answers_changes_nothing(mirror: Mirror, between: str) -> None:
    for times in range(1, ODD_TIMES):
        mirror.pass_time(300)
        answering(mirror, "/api/v5/orders/history", no_success)
        mirror.work("order_history", "feed")
        if between == "an outage":
            answering(mirror, "/api/v5/orders/history", lambda: httpx.Response(502, text="bad"))
            mirror.work("order_history", "feed")
        assert mirror.lane("order_history", "feed").odd_times == times
    answering(mirror, "/api/v5/orders/history", no_success)
    mirror.pass_time(300)
    mirror.work("order_history", "feed")
    lane = mirror.lane("order_history", "feed")
    assert (lane.parked_at is None, lane.odd_answer) == (False, None)
    kept = mirror.value("SELECT count(*) FROM sync.parked_page WHERE store_id = :store")
    assert kept == 1, "its body is kept, once"
