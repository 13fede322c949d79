"""A count and the newest records it shows: whatever becomes of reading them, the proof ends."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import httpx

from sync.state import doubts
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror
from tests.integration.pipeline.test_proofs import altered, listing, lose, unpublished

COUNTED = (
    "SELECT total, mirrored, entered, proven, detail FROM sync.proof WHERE resource = 'orders'"
    " AND store_id = :store ORDER BY id DESC LIMIT 1"
)
COUNTS = COUNTED.replace("ORDER BY id DESC LIMIT 1", "AND id > :since ORDER BY id")
LAST_COUNT = "SELECT max(id) FROM sync.proof"


def without(mirror: Mirror, request: httpx.Request, name: str) -> httpx.Response:
    """The answer of an API that ignores a filter."""
    url = request.url.copy_remove_param(name)
    return mirror.wire._answer(httpx.Request("GET", url, headers=request.headers))


def gone_by_id(mirror: Mirror, order: int) -> Callable[[httpx.Request], httpx.Response | None]:
    """The list shows a record on its pages and counts it; asked for by its id, it is gone."""

    def answer(request: httpx.Request) -> httpx.Response | None:
        if request.url.path == f"/api/v5/orders/{order}":
            return httpx.Response(404, json={"success": False, "errorMsg": "Not found"})
        if str(order) not in request.url.params.get_list("filter[ids][]"):
            return None
        data = json.loads(mirror.wire._answer(request).content)
        data["orders"] = [each for each in data["orders"] if each["id"] != order]
        return httpx.Response(200, json=data)

    return answer


def assert_judged(mirror: Mirror, crawl_id: int) -> None:
    """Within two hours the crawl is done, or its list in doubt, and few requests are sent."""
    requests = []
    for _ in range(2):
        mirror.wire.paths.clear()
        for _ in range(60):
            mirror.work("orders", "walk")
            mirror.pass_time(60)
            mirror.feeds()
        requests.append(sum(path.startswith("/api/v5/orders?") for path in mirror.wire.paths))
    with mirror.engine.begin() as connection:
        found = doubts.open_doubts(connection, mirror.store_id, "orders")
    assert mirror.crawl(crawl_id).state == "done" or found, f"contested for ever: {requests}"
    assert requests[-1] < 30, requests


def test_a_deleted_record_that_the_list_shows_for_ever(mirror: Mirror) -> None:
    gone = max(mirror.truth("orders"))
    mirror.wire.answers = gone_by_id(mirror, gone)
    mirror.rows(
        "UPDATE crm.orders SET deleted_at = now(), deleted_reason = 'history'"
        " WHERE store_id = :store AND id = :id",
        id=gone,
    )
    mirror.come_to_rest()
    assert_judged(mirror, mirror.queue("orders"))


def test_a_list_that_ignores_the_sites_is_a_difference(open_settled: Open) -> None:
    """Records of sites that are not mirrored are neither asked for nor waited for."""
    mirror = open_settled(sites=["main"])
    others = {k for k, each in mirror.truth("orders").items() if each["site"] != "main"}

    def ignore(request: httpx.Request) -> httpx.Response | None:
        if request.url.path == "/api/v5/orders" and "filter[sites][]" in request.url.params:
            return without(mirror, request, "filter[sites][]")
        return None

    mirror.wire.answers = ignore
    mirror.come_to_rest()
    crawl_id = mirror.queue("orders")
    mirror.work("orders", "walk")
    waiting = {
        row.id for row in mirror.rows("SELECT id FROM sync.reread WHERE resource = 'orders'")
    }
    assert not waiting & others
    assert_judged(mirror, crawl_id)


def test_one_answer_without_the_filter_brings_nothing_older_than_since(open_mirror: Open) -> None:
    """One odd answer is not a fact: records that are not mirrored are not asked for."""
    seen = open_mirror()
    truth = seen.truth("orders")
    since = dt.date.fromisoformat(sorted(each["createdAt"] for each in truth.values())[-8][:10])
    mirror = open_mirror(
        since=since, account=seen.account, sandbox=seen.sandbox, engine=seen.engine
    )
    mirror.settle()
    want = {k for k, record in truth.items() if record["createdAt"][:10] >= str(since)}
    assert mirror.live("orders").keys() == want
    left = [1]

    def odd(request: httpx.Request) -> httpx.Response | None:
        if request.url.path == "/api/v5/orders" and left:
            left.pop()
            return without(mirror, request, "filter[createdAtFrom]")
        return None

    mirror.wire.answers = odd
    mirror.finish(mirror.queue("orders", days=(since, None)))
    mirror.come_to_rest()
    assert mirror.live("orders").keys() == want


def test_a_record_of_the_list_whose_id_answers_with_another(mirror: Mirror) -> None:
    """As a merged record may: asked for by its id, its survivor comes."""
    lost, other = sorted(mirror.truth("orders"))[-1:-3:-1]
    mirror.rows("DELETE FROM crm.orders WHERE store_id = :store AND id = :id", id=lost)
    gone = gone_by_id(mirror, lost)

    def answer(request: httpx.Request) -> httpx.Response | None:
        if request.url.path == f"/api/v5/orders/{lost}":
            url = request.url.copy_with(path=f"/api/v5/orders/{other}")
            return mirror.wire._answer(httpx.Request("GET", url, headers=request.headers))
        return gone(request)

    mirror.wire.answers = answer
    assert_judged(mirror, mirror.queue("orders"))
    assert lost in mirror.live("orders")


def test_a_record_that_lived_between_two_looks_and_one_replica_still_counts(
    mirror: Mirror,
) -> None:
    """It never was a live row, so no departure is noted of it: the list lags, and that is all."""
    born = mirror.account.create_order(customer=0)
    shown = mirror.truth("orders")[born]
    mirror.account.delete_order(born)
    mirror.feeds()
    assert mirror.tombstones("orders")[born] == "history"

    def lag(request: httpx.Request, data: dict[str, Any]) -> None:
        if listing(request):
            data["orders"] = [{**shown, "id": born}, *data["orders"][:-1]]
            data["pagination"]["totalCount"] += 1

    altered(mirror, lag)
    crawl_id = mirror.queue("orders")
    mirror.work("orders", "walk")
    assert mirror.rows(COUNTED) == [(46, 45, 0, False, "1 contested")]
    assert born not in mirror.live("orders"), "a walk of the list that lags has revived it"
    mirror.wire.answers = None
    mirror.finish(crawl_id)
    assert not mirror.rows("SELECT detail FROM sync.doubt WHERE store_id = :store")
    assert born not in mirror.live("orders")


def test_a_record_that_came_between_two_looks_does_not_spoil_a_count(mirror: Mirror) -> None:
    """Its row is younger than the request, but the answer shows it, so it was counted there."""
    before = mirror.value(LAST_COUNT)
    mirror.account.create_order(customer=0)
    mirror.queue("orders")
    mirror.work("orders", "walk")
    assert mirror.rows(COUNTS, since=before) == [(46, 46, 0, True, None)]


def test_a_record_that_is_told_late_is_read_because_a_count_shows_it(mirror: Mirror) -> None:
    """A busy shop with entries that come late always has some that only lists show. Neither is its
    list read again for that, nor is it in doubt, nor does its proof wait until they are told."""
    before = max(entry.id for entry in mirror.account.histories["orders"].entries)
    born = mirror.account.create_order(customer=0)
    late = {e.id for e in mirror.account.histories["orders"].entries if e.id > before}
    crawl_id = mirror.queue("orders")
    with unpublished(mirror, late):
        mirror.work("orders", "walk")
        assert mirror.rows(COUNTED) == [(46, 45, 0, False, "1 contested")]
        mirror.feeds()
        assert born in mirror.live("orders")
        mirror.wire.paths.clear()
        mirror.pass_time(10)
        mirror.work("orders", "walk")
        assert mirror.rows(COUNTED) == [(46, 46, 0, True, None)]
    mirror.finish(crawl_id)
    assert not [path for path in mirror.wire.paths if "page=2" in path], "nothing was walked"
    assert not mirror.rows("SELECT detail FROM sync.doubt WHERE store_id = :store")
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_a_deleted_record_that_one_replica_still_counts_is_not_missing(mirror: Mirror) -> None:
    """It is in the total and has no live row: contested until the list no longer shows it."""
    gone = max(mirror.truth("orders"))
    shown = mirror.value("SELECT raw FROM crm.orders WHERE store_id = :store AND id = :id", id=gone)
    mirror.account.delete_order(gone)
    mirror.feeds()
    assert gone not in mirror.live("orders")

    def lag(request: httpx.Request, data: dict[str, Any]) -> None:
        if listing(request):
            data["orders"] = [{**shown, "id": gone}, *data["orders"][:-1]]
            data["pagination"]["totalCount"] += 1

    altered(mirror, lag)
    crawl_id = mirror.queue("orders")
    mirror.work("orders", "walk")
    assert mirror.rows(COUNTED) == [(45, 44, 0, False, "1 contested")]
    mirror.wire.answers = None
    mirror.finish(crawl_id)
    assert gone not in mirror.live("orders")
    assert not mirror.rows("SELECT detail FROM sync.doubt WHERE store_id = :store")


def test_a_shown_record_that_cannot_be_read_is_no_reason_to_wait(mirror: Mirror) -> None:
    """The count differs by it: the difference is looked into, and held against coverage."""
    lost = max(mirror.truth("orders"))
    lose(mirror, lost)

    def refuse(request: httpx.Request) -> httpx.Response | None:
        by_id = str(lost) in request.url.params.get_list("filter[ids][]")
        return httpx.Response(500) if by_id or f"orders/{lost}" in request.url.path else None

    mirror.wire.answers = refuse
    crawl_id = mirror.queue("orders")
    mirror.work("orders", "walk")
    assert mirror.rows(COUNTED) == [(45, 44, 0, False, "1 contested")]
    mirror.feeds()
    assert mirror.value(
        "SELECT failures > 0 FROM sync.reread WHERE resource = 'orders' AND id = :id", id=lost
    )
    mirror.pass_time(10)
    mirror.work("orders", "walk")
    assert lost in mirror.live("orders"), "a walk brought it"
    mirror.wire.answers = None
    mirror.finish(crawl_id)
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_a_record_that_only_the_list_has_is_read_from_the_list(mirror: Mirror) -> None:
    """Asked for by its id it is not there: it is waited for no longer, and a walk brings it."""
    lost = max(mirror.truth("orders"))
    lose(mirror, lost)

    def hide(request: httpx.Request, data: dict[str, Any]) -> None:
        if "filter[ids][]" in request.url.params:
            data["orders"] = [each for each in data["orders"] if each["id"] != lost]

    altered(mirror, hide)
    crawl_id = mirror.queue("orders")
    mirror.finish(crawl_id, slices=40, pass_seconds=10)
    assert lost in mirror.live("orders")
    assert mirror.rows(COUNTED) == [(45, 45, 0, True, None)]


def test_a_record_that_lists_show_by_now_is_counted(mirror: Mirror) -> None:
    """It was read when lists lagged, and answered by its id alone; the answer of a count shows it,
    so it was counted, although it is not read again before the lateness bound is over."""
    mirror.sandbox.knobs.turn(list_lag_seconds=5)
    mirror.pass_time(10)
    mirror.account.create_order(customer=0)
    mirror.feeds()
    assert mirror.value("SELECT count(*) FROM sync.unlisted WHERE store_id = :store") == 1
    mirror.pass_time(6)
    before = mirror.value(LAST_COUNT)
    mirror.queue("orders")
    mirror.work("orders", "walk")
    assert mirror.rows(COUNTS, since=before) == [(46, 46, 0, True, None)]
