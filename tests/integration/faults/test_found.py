"""Mistakes the scenarios of this suite have found, each in its smallest form."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from sync.work.failures import ODD_SECONDS
from tests.integration.pipeline.harness import Mirror, small

Open = Callable[..., Mirror]


@pytest.fixture
def open_mirror(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    opened: list[Mirror] = []

    def make(*resources: str, **options: Any) -> Mirror:
        opened.append(Mirror(database, monkeypatch, resources=small(*resources), **options))
        return opened[-1]

    yield make
    for mirror in opened:
        mirror.close()


@pytest.mark.in_every_run
def test_a_deleted_order_of_a_person_is_no_business_of_companies(open_mirror: Open) -> None:
    """Else its customer's id is asked for among companies, and buried where it never lived."""
    mirror = open_mirror(
        "orders",
        "order_history",
        "customers",
        "customer_history",
        "corporate_customers",
        "corporate_customer_history",
    )
    mirror.settle()
    [order, *_] = mirror.rows(
        "SELECT id, customer_id FROM crm.orders WHERE store_id = :store"
        " AND customer_type = 'customer' ORDER BY id DESC"
    )
    mirror.account.delete_order(order.id)
    mirror.feeds()
    assert mirror.tombstones("orders")[order.id] == "history"
    asked = mirror.rows("SELECT resource, id FROM sync.reread WHERE store_id = :store")
    assert ("customers", order.customer_id) in [tuple(row) for row in asked]
    mirror.come_to_rest()
    assert mirror.tombstones("corporate_customers") == {}


@pytest.mark.in_every_run
def test_a_window_whose_second_walk_was_cut_short_is_walked_to_its_end(open_mirror: Open) -> None:
    """Else nothing is left to prove, and coverage claims rows that are missing."""
    mirror = open_mirror("orders", "order_history", "customers", "customer_history", orders=60)
    mirror.settle()
    [oldest] = mirror.rows("SELECT min(id) AS id FROM crm.orders WHERE store_id = :store")
    mirror.rows(
        "DELETE FROM crm.order_items WHERE store_id = :store AND order_id = :id", id=oldest.id
    )
    mirror.rows(
        "DELETE FROM crm.order_payments WHERE store_id = :store AND order_id = :id", id=oldest.id
    )
    mirror.rows("DELETE FROM crm.orders WHERE store_id = :store AND id = :id", id=oldest.id)
    crawl = mirror.queue("orders")

    def fail(request: httpx.Request) -> httpx.Response | None:
        query = request.url.query.decode()
        cut_short = "page=2" in query or "ids" in query  # nor are its records had by themselves
        return httpx.Response(500, content=b"{}") if cut_short else None

    mirror.wire.answers = fail
    mirror.work("orders", "walk")
    assert mirror.lane("orders").error is not None
    assert mirror.crawl(crawl).phase == "prove"
    mirror.wire.answers = None
    mirror.work("orders", "walk")
    mirror.settle()
    assert mirror.crawl(crawl).state == "done"
    assert oldest.id in mirror.live("orders")
    unproven = "SELECT count(*) FROM sync.window WHERE crawl_id = :crawl AND state <> 'proven'"
    assert mirror.value(unproven, crawl=crawl) == 0


@pytest.mark.in_every_run
def test_two_pages_of_html_in_a_row_stop_no_store(open_mirror: Open) -> None:
    """A proxy's bad moment meets the first request and `credentials` after it."""
    mirror = open_mirror("orders", "order_history", "customers", "customer_history")
    mirror.settle()
    page = httpx.Response(200, content=b"<html>Back in a minute</html>")
    mirror.wire.answers = lambda _: page
    for attempt in range(1, 5):
        mirror.pass_time(ODD_SECONDS / 3)
        mirror.work("order_history", "feed")
        assert "HTML page" in mirror.lane("order_history", "feed").error
        stopped = mirror.value("SELECT error FROM sync.store WHERE id = :store")
        assert (stopped is not None) == (attempt == 4)


@pytest.mark.in_every_run
def test_an_account_that_answers_again_is_found_well_within_a_quarter_of_an_hour(
    open_mirror: Open,
) -> None:
    """`credentials` is read hourly, but of a store that was stopped it is asked with the rest."""
    mirror = open_mirror("credentials", "orders", "order_history", "customers", "customer_history")
    mirror.settle()
    page = httpx.Response(200, content=b"<html>Back in a minute</html>")
    mirror.wire.answers = lambda _: page
    mirror.believe("order_history", "feed")
    stopped = "SELECT error FROM sync.store WHERE id = :store"
    assert mirror.value(stopped) is not None
    mirror.wire.answers = None
    mirror.pass_time(1_000)
    assert mirror.lane("credentials").due_at < dt.datetime.fromtimestamp(mirror.now(), dt.UTC)
    mirror.wire.paths.clear()
    mirror.work("credentials", "walk")
    assert mirror.wire.paths == ["/api/credentials"]
    assert mirror.value(stopped) is None
