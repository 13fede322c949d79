"""Deletions, merges, revivals: what is a tombstone, with which reason, and what never is."""

from __future__ import annotations

import dataclasses
from urllib.parse import parse_qs

import httpx
import pytest
import sqlalchemy as sa

from sync.state import status, stores
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror, small

CHAIN = "/api/v5/orders/history?"


def test_a_deletion_is_a_tombstone_with_the_crms_own_time(mirror: Mirror) -> None:
    """deleted_at is when the CRM says it was deleted, in the store's zone; raw stays, children
    go."""
    order = max(mirror.truth("orders"))
    mirror.account.delete_order(order)
    said = mirror.account.collections["orders"].gone[order].at
    mirror.pass_time(30)
    mirror.feeds()
    [row] = mirror.rows("SELECT * FROM crm.orders WHERE store_id = :store AND id = :id", id=order)
    assert row.deleted_reason == "history"
    assert row.deleted_at.timestamp() == int(said)
    assert row.raw["id"] == order
    for child in ("order_items", "order_payments"):
        assert not mirror.rows(
            f"SELECT 1 FROM crm.{child} WHERE store_id = :store AND order_id = :id", id=order
        )
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()


def test_a_record_never_mirrored_leaves_a_bare_tombstone(mirror: Mirror) -> None:
    """The deletion of an id that is not in the mirror is kept: pages from before it may come."""
    order = mirror.account.create_order()
    mirror.account.delete_order(order)
    mirror.feeds()
    [row] = mirror.rows("SELECT * FROM crm.orders WHERE store_id = :store AND id = :id", id=order)
    assert row.deleted_reason == "history"
    assert row.raw is None
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()


def test_a_record_that_comes_back_is_revived_with_its_children(mirror: Mirror) -> None:
    """Created again under its old id, it is live again, and so are its items and payments."""
    order = max(mirror.truth("orders"))
    mirror.account.delete_order(order)
    mirror.feeds()
    assert order in mirror.tombstones("orders")
    mirror.account.undelete_order(order)
    mirror.feeds()
    [row] = mirror.rows("SELECT * FROM crm.orders WHERE store_id = :store AND id = :id", id=order)
    assert (row.deleted_at, row.deleted_reason) == (None, None)
    assert mirror.rows(
        "SELECT 1 FROM crm.order_items WHERE store_id = :store AND order_id = :id", id=order
    )
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()


def test_said_deleted_and_still_listed_is_live(mirror: Mirror) -> None:
    """Deleted and created again before the feed came by: what the list shows is live."""
    order = max(mirror.truth("orders"))
    mirror.account.delete_order(order)
    mirror.account.undelete_order(order)
    mirror.come_to_rest()
    assert order not in mirror.tombstones("orders")
    mirror.assert_equal_to_oracle()


@pytest.mark.parametrize("loud", [False, True])
def test_a_merged_customer_names_its_survivor_and_its_orders_follow(
    mirror: Mirror, loud: bool
) -> None:
    """The merge is told by the customers' history alone; the orders that pointed at the merged
    customer are read again until none is left that does."""
    customers = sorted(
        mirror.rows(
            "SELECT customer_id, count(*) FROM crm.orders WHERE store_id = :store"
            " AND customer_id IS NOT NULL GROUP BY 1 ORDER BY 2 DESC LIMIT 2"
        )
    )
    into, source = customers[0].customer_id, customers[1].customer_id
    mirror.account.merge_customers(into, [source], write_order_history=loud)
    mirror.come_to_rest()
    [row] = mirror.rows("SELECT * FROM crm.customers WHERE store_id = :store AND id = :i", i=source)
    assert (row.deleted_reason, row.combined_to) == ("combined", into)
    assert not mirror.rows(
        "SELECT 1 FROM crm.orders WHERE store_id = :store AND customer_id = :i", i=source
    )
    mirror.assert_equal_to_oracle()


def test_an_order_committed_after_the_merge_it_was_read_before(mirror: Mirror) -> None:
    """The page holds the merged customer's id and is written after the merge was followed."""
    source = mirror.value(
        "SELECT customer_id FROM crm.orders WHERE store_id = :store AND customer_id IS NOT NULL"
        " ORDER BY id DESC LIMIT 1"
    )
    into = next(c for c in sorted(mirror.truth("customers")) if c != source)
    # The rows are not there, so nothing but the page can bring them.
    mirror.rows("DELETE FROM crm.orders WHERE store_id = :store AND customer_id = :i", i=source)
    mirror.queue("orders", "backfill")

    def merge() -> None:
        mirror.account.merge_customers(into, [source], write_order_history=False)
        mirror.work("customer_history", "feed")

    with mirror.between("/api/v5/orders?limit=20&page=", merge, nth=3):
        mirror.work("orders", "walk")
    mirror.settle()
    assert not mirror.rows(
        "SELECT 1 FROM crm.orders WHERE store_id = :store AND customer_id = :i", i=source
    )


def test_combined_orders_name_their_survivor(mirror: Mirror) -> None:
    """Orders can be combined, too."""
    into, source = sorted(mirror.truth("orders"))[-2:]
    mirror.account.merge_orders(into, [source])
    mirror.come_to_rest()
    [row] = mirror.rows("SELECT * FROM crm.orders WHERE store_id = :store AND id = :i", i=source)
    assert (row.deleted_reason, row.combined_to) == ("combined", into)
    mirror.assert_equal_to_oracle()


def test_gone_without_a_word_is_asked_for_by_id(mirror: Mirror) -> None:
    """Named by an entry, missing in the list, 404 by id while the key sees what it saw: and once
    more after the lateness bound. Until then it stays, and coverage is held where it was."""
    order = max(mirror.truth("orders"))
    mirror.account.update_order(order, managerComment="the last one")
    mirror.account.delete("orders", order)
    mirror.feeds()
    assert mirror.tombstones("orders") == {}
    [waits] = mirror.rows("SELECT * FROM sync.reread WHERE resource = 'orders'")
    assert (waits.id, (waits.not_before - waits.absent_at).total_seconds()) == (order, 60)
    mirror.pass_time(40)
    mirror.feeds()
    assert mirror.tombstones("orders") == {}, "asked again before its time, it proves nothing"
    assert mirror.coverage("orders").complete_as_of <= waits.since
    mirror.pass_time(25)
    mirror.feeds()
    assert mirror.tombstones("orders") == {order: "not_found"}
    assert not mirror.rows("SELECT id FROM sync.reread WHERE resource = 'orders'")


def test_a_record_that_comes_again_was_never_gone(mirror: Mirror) -> None:
    """A replica that had not got it yet: the second question finds it, and nothing was lost."""
    order = mirror.account.create_order(customer=0)
    answers: list[str] = []

    def behind(request: httpx.Request) -> httpx.Response | None:
        path, query = request.url.path, request.url.query.decode()
        if path == f"/api/v5/orders/{order}":
            answers.append(path)
            return httpx.Response(404, json={"success": False, "errorMsg": "Not found"})
        return _page() if path == "/api/v5/orders" and "ids" in query else None

    mirror.wire.answers = behind
    mirror.feeds()
    mirror.wire.answers = None
    assert answers
    assert mirror.tombstones("orders") == {}
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()


def test_a_method_that_answers_404_for_all_buries_nothing(mirror: Mirror) -> None:
    """The list ignores filter[ids], and the method for one record is not there: two updates of two
    live orders. Nothing is judged gone, and it is shown."""
    first, second = sorted(mirror.truth("orders"))[:2]

    def odd(request: httpx.Request) -> httpx.Response | None:
        if request.url.path.startswith("/api/v5/orders/") and request.url.path[-1].isdigit():
            return httpx.Response(404, json={"success": False, "errorMsg": "Method not found"})
        if request.url.path == "/api/v5/orders" and b"ids" in request.url.query:
            return httpx.Response(200, json=_ignoring(mirror))
        return None

    mirror.wire.answers = odd
    for order in (first, second):
        mirror.account.update_order(order, managerComment="still there")
    for _ in range(4):
        mirror.feeds()
        mirror.pass_time(61)
    assert mirror.tombstones("orders") == {}
    assert mirror.coverage("orders").mirrored == 45
    waits = mirror.rows("SELECT id, error FROM sync.reread WHERE resource = 'orders' ORDER BY id")
    assert [row.id for row in waits] == [first, second]
    assert "404 for every record" in waits[0].error
    mirror.pass_time(900)
    assert mirror.coverage("orders").state == "attention"
    mirror.wire.answers = None
    mirror.pass_time(3_600)
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()


def test_what_has_no_method_for_one_record_is_not_judged(open_mirror: Open) -> None:
    """The list does not show it, and there is nobody to ask: it stays, and that is said."""
    resources = small()
    resources["orders"] = dataclasses.replace(resources["orders"], single="")
    mirror = open_mirror(resources=resources)
    mirror.settle()
    order = max(mirror.truth("orders"))
    mirror.account.update_order(order, managerComment="the last one")
    mirror.account.delete("orders", order)
    for _ in range(3):
        mirror.feeds()
        mirror.pass_time(61)
    assert mirror.tombstones("orders") == {}
    assert order in mirror.live("orders")
    mirror.pass_time(900)
    mirror.feeds()
    assert mirror.coverage("orders").state == "attention"
    with mirror.engine.begin() as connection:
        store = stores.by_id(connection, mirror.store_id)
        assert store is not None
        [told] = status.statuses(connection, [store], order=["orders"])
    assert f"cannot be had, while all else goes on: {order}" in str(told.troubles[0].text)
    assert "no method for one record" in told.troubles[0].text


def _ignoring(mirror: Mirror) -> dict[str, object]:
    """The list's first page, whatever ids were asked for: the newest twenty."""
    newest = sorted(mirror.truth("orders").items(), reverse=True)[:20]
    block = {"limit": 20, "totalCount": 45, "currentPage": 1, "totalPageCount": 3}
    return {"success": True, "orders": [order for _, order in newest], "pagination": block}


def test_ids_that_are_answered_twenty_at_a_time_are_all_read(mirror: Mirror) -> None:
    """The answer says how many pages it has: they are read, instead of one request a record."""
    orders = sorted(mirror.truth("orders"))
    for order in orders:
        mirror.account.update_order(order, managerComment="all of them")

    def paged(request: httpx.Request) -> httpx.Response | None:
        if request.url.path != "/api/v5/orders" or b"ids" not in request.url.query:
            return None
        asked = parse_qs(request.url.query.decode())
        page = int(asked.get("page", ["1"])[0])
        wanted = sorted(map(int, asked["filter[ids][]"]))
        truth = mirror.truth("orders")
        chosen = [truth[each] for each in wanted[20 * (page - 1) : 20 * page]]
        pages = -(-len(wanted) // 20)
        block = {"limit": 20, "totalCount": len(wanted), "currentPage": page}
        block["totalPageCount"] = pages
        return httpx.Response(200, json={"success": True, "orders": chosen, "pagination": block})

    mirror.wire.answers = paged
    mirror.wire.paths.clear()
    mirror.work("order_history", "feed")
    singles = [each for each in mirror.wire.paths if each.split("?")[0][-1].isdigit()]
    assert singles == []
    assert not mirror.rows("SELECT id FROM sync.unlisted WHERE store_id = :store")
    mirror.wire.answers = None
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()


@pytest.mark.parametrize("kind", ["fault", "cut", "large"])
def test_one_record_that_never_answers_among_a_hundred(mirror: Mirror, kind: str) -> None:
    """Whatever is asked for together with it fails; the others are read all the same, and it is
    named. Not while the account itself does not answer."""
    orders = sorted(mirror.truth("orders"))
    poison = orders[17]
    for order in orders:
        mirror.account.update_order(order, managerComment="with the odd one")
    broken = {
        "fault": httpx.Response(500, json={"success": False}),
        "cut": httpx.Response(200, content=b'{"success": true, "orders": [{"id": 1, "na'),
        "large": httpx.Response(200, content=b" " * (16 * 2**20 + 1)),
    }[kind]
    is_down = False

    def odd(request: httpx.Request) -> httpx.Response | None:
        if is_down:
            return httpx.Response(502, text="bad gateway")
        if request.url.path == f"/api/v5/orders/{poison}":
            return broken
        asked = parse_qs(request.url.query.decode()).get("filter[ids][]", [])
        return broken if request.url.path == "/api/v5/orders" and str(poison) in asked else None

    mirror.wire.answers = odd
    mirror.wire.paths.clear()
    mirror.work("order_history", "feed")
    print(f"{kind}: {len(mirror.wire.paths)} requests for one of {len(orders)}")
    assert len(mirror.wire.paths) <= 40
    live = mirror.live("orders")
    assert [o for o in orders if live[o].get("managerComment") != "with the odd one"] == [poison]
    assert [row[0] for row in mirror.rows("SELECT id FROM sync.reread WHERE failures > 0")] == [
        poison
    ]
    mirror.pass_time(901)
    mirror.feeds()
    cover = mirror.coverage("orders")
    assert cover.state == "attention"
    is_down = True
    mirror.wire.paths.clear()
    mirror.account.update_order(orders[0], managerComment="while it is down")
    mirror.feeds()
    assert len(mirror.wire.paths) <= 8, "an outage is not asked for in halves"
    is_down = False
    mirror.wire.answers = None
    mirror.pass_time(3_600)
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()


def test_merged_between_the_entry_and_the_re_read(mirror: Mirror) -> None:
    """The 404 names the survivor before the history has told of the merge."""
    into, source = sorted(mirror.truth("customers"))[:2]
    mirror.account.update_customer(source, email="last@example.com")
    with mirror.between(
        "/api/v5/customers/history?", lambda: mirror.account.merge_customers(into, [source])
    ):
        mirror.work("customer_history", "feed")
    [row] = mirror.rows("SELECT * FROM crm.customers WHERE store_id = :store AND id = :i", i=source)
    assert (row.deleted_reason, row.combined_to) == ("combined", into)


def test_a_record_no_list_shows_is_live_outside_the_counts(mirror: Mirror) -> None:
    """The list lags behind the history: by id it is there. Once listed, it counts like others."""
    mirror.sandbox.knobs.turn(list_lag_seconds=30)
    order = mirror.account.create_order(customer=0)
    mirror.feeds()
    assert order in mirror.live("orders")
    assert mirror.rows("SELECT id FROM sync.unlisted WHERE store_id = :store") == [(order,)]
    crawl = mirror.queue("orders", "reconcile")
    mirror.work("orders", "walk")
    assert mirror.crawl(crawl).phase == "seal", "the totals agree without it"
    mirror.come_to_rest()
    assert not mirror.rows("SELECT id FROM sync.unlisted WHERE store_id = :store")
    mirror.assert_equal_to_oracle()


def test_a_narrower_key_deletes_nothing(mirror: Mirror) -> None:
    """404 by id proves nothing once the key sees less: the store stops for an operator."""
    order = next(k for k, o in sorted(mirror.truth("orders").items()) if o["site"] == "outlet")
    mirror.account.update_order(order, managerComment="hidden next")
    with mirror.between(CHAIN, lambda: mirror.account.limit_sites(["main"])):
        mirror.work("order_history", "feed")
    assert mirror.tombstones("orders") == {}
    assert "sees other things than before" in mirror.value(
        "SELECT error FROM sync.store WHERE id = :store"
    )
    assert mirror.coverage("orders").state == "attention"
    mirror.account.limit_sites(None)
    mirror.work("order_history", "feed")
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()


def test_a_narrower_key_deletes_nothing_in_a_reconcile(mirror: Mirror) -> None:
    """The whole other site is missing from the lists: no row of it is touched."""
    mirror.account.limit_sites(["main"])
    mirror.queue("orders", "reconcile", deep=True)
    mirror.work("orders", "walk")
    assert mirror.tombstones("orders") == {}
    assert len(mirror.live("orders")) == 45


def test_a_scope_taken_away_makes_one_resource_unavailable(mirror: Mirror) -> None:
    """403 for one method: nothing is deleted, the reason is said, the others go on."""
    mirror.account.revoke_scope("order_read")
    mirror.queue("orders", "reconcile", deep=True)
    mirror.believe("orders", "walk")
    assert mirror.coverage("orders").state == "unavailable"
    assert mirror.coverage("orders").complete_as_of is None
    assert "order_read" in mirror.value(
        "SELECT unavailable FROM sync.coverage WHERE store_id = :store AND resource = 'orders'"
    )
    assert len(mirror.live("orders")) == 45
    customer = max(mirror.truth("customers"))
    mirror.account.update_customer(customer, email="goes.on@example.com")
    mirror.work("customer_history", "feed")
    assert mirror.live("customers")[customer]["email"] == "goes.on@example.com"
    mirror.account.grant_scope("order_read")
    mirror.settle()
    mirror.assert_equal_to_oracle()
    assert mirror.coverage("orders").state == "following"


def test_a_method_the_account_lacks_is_unavailable(mirror: Mirror) -> None:
    """404 for the method itself, while credentials answer: the feature is missing."""
    mirror.sandbox.knobs.turn(missing=["orders"])
    mirror.queue("orders", "reconcile")
    mirror.believe("orders", "walk")
    assert mirror.coverage("orders").state == "unavailable"
    assert len(mirror.live("orders")) == 45
    assert mirror.coverage("customers").state == "following"


def _page(*, total: int = 0) -> httpx.Response:
    block = {"limit": 20, "totalCount": total, "currentPage": 1, "totalPageCount": 0}
    return httpx.Response(200, json={"success": True, "orders": [], "pagination": block})


@pytest.mark.parametrize(
    "answer",
    [
        _page,
        lambda: httpx.Response(200, html="<html>maintenance</html>"),
        lambda: httpx.Response(200, content=b'{"success":true,"orders":[{"id":'),
        lambda: httpx.Response(200, json={"success": True}),
        lambda: httpx.Response(502, text="bad gateway"),
    ],
    ids=["empty", "html", "cut", "no key", "502"],
)
@pytest.mark.parametrize("deep", [False, True])
def test_no_odd_answer_is_a_deletion(mirror: Mirror, answer: object, deep: bool) -> None:
    """Lists that answer nothing, a page, or half of one: every row stays, and nothing is proven
    by them."""

    def odd(request: httpx.Request) -> httpx.Response | None:
        if request.url.path in ("/api/v5/orders", "/api/v5/orders/"):
            return answer()  # type: ignore[operator,no-any-return]
        return None

    before = mirror.live("orders")
    proven = "SELECT max(id) FROM sync.proof WHERE store_id = :store AND proven"
    last = mirror.value(proven)
    mirror.wire.answers = odd
    order = max(before)
    mirror.account.update_order(order, managerComment="read again")
    mirror.queue("orders", "reconcile", deep=deep)
    mirror.services.__dict__["stop"] = _Soon(mirror, 60)
    mirror.work("order_history", "feed")
    mirror.work("orders", "walk")
    assert mirror.tombstones("orders") == {}
    assert mirror.live("orders").keys() == before.keys()
    if answer is not _page or not deep:
        # A list that shows nothing while every record answers by its id contradicts no row.
        assert mirror.value(proven) == last
    mirror.wire.answers = None
    mirror.services.__dict__["stop"] = _Soon(mirror, 10**9)
    with mirror.engine.begin() as connection:
        connection.execute(sa.text("UPDATE sync.lane SET parked_at = NULL"))
    mirror.pass_time(301)  # what differed is counted again then
    mirror.settle()
    mirror.assert_equal_to_oracle()


class _Soon:
    """A stop that comes after so many requests: a slice's end without its two minutes."""

    def __init__(self, mirror: Mirror, requests: int) -> None:
        self._mirror = mirror
        self._until = len(mirror.wire.paths) + requests

    def is_set(self) -> bool:
        return len(self._mirror.wire.paths) > self._until

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        return self.is_set()

    def set(self) -> None:
        self._until = 0

    def clear(self) -> None:
        self._until = 10**9


def test_a_list_that_shows_nothing_at_all_proves_nothing(mirror: Mirror) -> None:
    """Every record answers by its id: then it is the list that is not believed."""
    block = {"limit": 20, "totalCount": 0, "currentPage": 1, "totalPageCount": 0}
    nothing = {"success": True, "orders": [], "pagination": block}
    mirror.wire.answers = lambda request: (
        httpx.Response(200, json=nothing) if request.url.path == "/api/v5/orders" else None
    )
    crawl = mirror.queue("orders", "reconcile")
    for _ in range(3):
        mirror.work("orders", "walk")
    assert len(mirror.live("orders")) == 45
    assert mirror.crawl(crawl).state != "done"
    assert mirror.rows("SELECT detail FROM sync.doubt WHERE store_id = :store")
    mirror.wire.answers = None
    mirror.pass_time(301)  # until it is counted again
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_an_order_that_names_a_merged_customer_for_ever(mirror: Mirror) -> None:
    """The CRM says so each time it is asked, so it is asked less and less often."""
    source = mirror.value(
        "SELECT customer_id FROM crm.orders WHERE store_id = :store AND customer_id IS NOT NULL"
        " ORDER BY id DESC LIMIT 1"
    )
    into = next(c for c in sorted(mirror.truth("customers")) if c != source)
    orders = {
        row[0]
        for row in mirror.rows(
            "SELECT id FROM crm.orders WHERE store_id = :store AND customer_id = :i", i=source
        )
    }
    read: list[int] = []

    def still_named(request: httpx.Request) -> httpx.Response | None:
        if request.url.path != "/api/v5/orders":
            return None
        answer = mirror.wire._answer(request)
        told = answer.json()
        for order in told["orders"]:
            if order["id"] in orders:
                order["customer"]["id"] = source
                read.append(order["id"])
        return httpx.Response(200, json=told)

    mirror.wire.answers = still_named
    mirror.account.merge_customers(into, [source], write_order_history=False)
    for _ in range(6):
        mirror.pass_time(31)
        mirror.feeds()
    assert read, "as long as the CRM may only be slow, it is asked again"
    read.clear()
    for _ in range(30):
        mirror.pass_time(31)
        mirror.feeds()
    assert len(read) <= 3 * len(orders)
    mirror.wire.answers = None
    mirror.pass_time(7_200)
    for _ in range(3):
        mirror.pass_time(31)
        mirror.feeds()
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()
