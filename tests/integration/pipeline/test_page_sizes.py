"""Pages that do not come at their usual size: asked for smaller, kept so, tried larger later."""

from __future__ import annotations

import gzip
from collections import Counter
from urllib.parse import parse_qs

import httpx
import pytest

from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror, small

ORDERS = "/api/v5/orders"


def limits_asked(mirror: Mirror, path: str = ORDERS) -> Counter[int]:
    """How often each limit was asked for, of a list's pages."""
    return Counter(limit for limit, _ in pages_asked(mirror, path))


def pages_asked(mirror: Mirror, path: str = ORDERS) -> list[tuple[int, int]]:
    """The limit and number of each page asked for, in order, without probes and ids."""
    found = []
    for each in mirror.wire.paths:
        where, _, query = each.partition("?")
        params = parse_qs(query)
        if where == path and "page" in params and "filter[ids][]" not in params:
            found.append((int(params["limit"][0]), int(params["page"][0])))
    return found


def answering_up_to(mirror: Mirror, most: int, kind: type[Exception] | int, path: str) -> None:
    """Pages of more than `most` records fail: by an error of the network, or with a status."""

    def answers(request: httpx.Request) -> httpx.Response | None:
        params = parse_qs(request.url.query.decode())
        asked = len(params.get("filter[ids][]", ())) or int(params.get("limit", ["0"])[0])
        if request.url.path != path or asked <= most:
            return None
        if isinstance(kind, int):
            return httpx.Response(kind, json={"success": False})
        raise kind("simulated", request=request)  # type: ignore[call-arg]

    mirror.wire.answers = answers


@pytest.fixture
def mirror(open_mirror: Open) -> Mirror:
    return open_mirror(orders=330, resources=small(page_size=100))


@pytest.mark.parametrize("kind", [httpx.ReadTimeout, 500], ids=["too slow", "500"])
def test_pages_that_do_not_come_are_asked_for_smaller_and_kept_so(
    mirror: Mirror, kind: type[Exception] | int
) -> None:
    """The size that comes is kept for that list alone, in Postgres: no later page fails first."""
    answering_up_to(mirror, 50, kind, ORDERS)
    mirror.wire.paths.clear()
    mirror.settle()
    mirror.assert_equal_to_oracle("orders")
    tries = 1 if kind is httpx.ReadTimeout else 3
    assert limits_asked(mirror)[100] == tries
    kept = mirror.rows("SELECT resource, size FROM sync.page_size")
    assert [tuple(row) for row in kept] == [("orders", 50)]


def test_a_history_of_small_pages_is_begun_and_read(mirror: Mirror) -> None:
    """Its bookmark is looked for in pages of the size that comes, too."""
    answering_up_to(mirror, 20, httpx.ReadTimeout, "/api/v5/orders/history")
    mirror.settle()
    mirror.assert_equal_to_oracle("orders")
    assert mirror.value("SELECT size FROM sync.page_size") == 20
    assert mirror.coverage("order_history").state == "following"


def test_a_larger_page_is_tried_later_and_when_it_comes_it_is_the_size(mirror: Mirror) -> None:
    answering_up_to(mirror, 20, httpx.ReadTimeout, ORDERS)
    mirror.settle()
    assert mirror.value("SELECT size FROM sync.page_size") == 20
    mirror.wire.answers = None
    mirror.wire.paths.clear()
    mirror.pass_time(90_000)
    mirror.finish(mirror.queue("orders", "backfill"))
    assert mirror.rows("SELECT FROM sync.page_size") == []
    assert limits_asked(mirror)[100] >= 2
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle("orders")


def test_a_larger_page_that_fails_again_costs_one_request_and_a_longer_wait(
    mirror: Mirror,
) -> None:
    answering_up_to(mirror, 50, httpx.ReadTimeout, ORDERS)
    mirror.settle()
    for waits in (60, 240):
        mirror.pass_time(waits - 50)
        mirror.wire.paths.clear()
        mirror.finish(mirror.queue("orders", "backfill"))
        assert limits_asked(mirror)[100] <= 1
        mirror.pass_time(4 * waits + 60)
        mirror.wire.paths.clear()
        mirror.finish(mirror.queue("orders", "backfill"))
        assert limits_asked(mirror)[100] == 1
    assert mirror.value("SELECT size FROM sync.page_size") == 50
    assert mirror.value("SELECT failures FROM sync.page_size") >= 3


def test_a_record_that_never_answers_does_not_make_other_pages_small(mirror: Mirror) -> None:
    """Where a record was at fault, and not the size, the usual size comes back at once."""
    bad = sorted(mirror.truth("orders"))[75]  # on page 3, since the newest come first
    mirror.sandbox.knobs.turn(poison={"orders": [bad]})
    mirror.wire.paths.clear()
    for _ in range(4):
        mirror.feeds()
        mirror.walks()
        mirror.pass_time(20)
    assert mirror.live("orders").keys() == mirror.truth("orders").keys() - {bad}
    assert mirror.rows("SELECT FROM sync.page_size") == []
    whole = {page for limit, page in pages_asked(mirror) if limit == 100}
    assert whole == {1, 2, 3, 4}


def test_a_slice_that_ends_inside_a_page_goes_on_inside_it(mirror: Mirror) -> None:
    """The checkpoint is a place in the list, whatever size the pages before it had."""
    answering_up_to(mirror, 20, httpx.ReadTimeout, ORDERS)

    def after(request: httpx.Request) -> None:
        if request.url.path == ORDERS and "limit=20&page=7" in request.url.query.decode():
            mirror.wire.after = None
            mirror.services.stop.set()

    mirror.feeds()
    mirror.wire.after = after
    mirror.work("orders", "walk")
    assert mirror.services.stop.is_set()
    [place] = mirror.rows("SELECT last_page, in_page, page_size FROM sync.window")
    assert place.page_size == 100
    assert place.in_page > 0
    mirror.services.stop.clear()
    read = place.last_page * 100 + place.in_page
    mirror.wire.paths.clear()
    mirror.settle()
    again = [page for limit, page in pages_asked(mirror) if limit == 20 and 20 * page <= read]
    assert [page for page in again if page > 1] == []  # page 1 of 20 is what counts ask for
    mirror.assert_equal_to_oracle("orders")


def test_a_list_that_comes_to_end_inside_a_page_is_read_to_its_end(open_mirror: Open) -> None:
    """The rest of a page that came in part is refused: the window ends there, and is counted."""
    mirror = open_mirror(orders=150, resources=small(page_size=100))
    answering_up_to(mirror, 20, httpx.ReadTimeout, ORDERS)
    mirror.sandbox.knobs.turn(beyond_end="404")
    mirror.feeds()

    def after(request: httpx.Request) -> None:
        if request.url.path == ORDERS and "limit=20&page=6" in request.url.query.decode():
            mirror.wire.after = None
            for order in sorted(mirror.truth("orders"))[:45]:
                mirror.account.delete_order(order)

    mirror.wire.after = after
    mirror.wire.paths.clear()
    mirror.work("orders", "walk")
    assert len(mirror.wire.paths) < 60, "the refused page is not asked for again and again"
    mirror.settle()
    mirror.assert_equal_to_oracle("orders")


def test_more_records_than_asked_for_are_unexpected_and_never_rows(mirror: Mirror) -> None:
    """A server that ignores the limit could fill the memory; no smaller page would be smaller."""
    records = b",".join(b'{"id":%d}' % number for number in range(1, 100_000))
    block = b'{"limit":100,"totalCount":99999,"currentPage":1,"totalPageCount":1}'
    body = b'{"success":true,"pagination":%b,"orders":[%b]}' % (block, records)
    packed = gzip.compress(body)

    def answers(request: httpx.Request) -> httpx.Response | None:
        if request.url.path != ORDERS:
            return None
        return httpx.Response(200, headers={"content-encoding": "gzip"}, content=packed)

    mirror.feeds()
    mirror.wire.answers = answers
    mirror.wire.paths.clear()
    mirror.believe("orders", "walk")
    lane = mirror.lane("orders")
    assert lane.parked_at is not None
    assert "were asked for" in lane.error
    assert mirror.live("orders") == {}
    assert len(mirror.wire.paths) <= 12


@pytest.mark.parametrize("kind", [httpx.ReadTimeout])
def test_records_read_by_id_come_in_batches_of_the_size_that_comes(
    mirror: Mirror, kind: type[Exception]
) -> None:
    mirror.settle()
    answering_up_to(mirror, 20, kind, ORDERS)
    for order in sorted(mirror.truth("orders"))[:90]:
        mirror.account.update_order(order, managerComment="changed")
    mirror.feeds()
    mirror.wire.paths.clear()
    for order in sorted(mirror.truth("orders"))[:90]:
        mirror.account.update_order(order, managerComment="changed again")
    mirror.feeds()
    asked = [
        len(parse_qs(each.partition("?")[2])["filter[ids][]"])
        for each in mirror.wire.paths
        if "filter%5Bids%5D" in each
    ]
    assert asked
    assert max(asked) <= 50
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle("orders")
