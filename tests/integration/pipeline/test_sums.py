"""The sums of customers change with orders, and no history of theirs tells of it."""

from __future__ import annotations

import httpx
import orjson
import pytest

from tests.integration.pipeline.claims import watch, wrong
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror, small


def bought(mirror: Mirror, *, by_another: int | None = None) -> tuple[int, int]:
    """The newest live order with a customer (`by_another` than this one), and that customer."""
    live = mirror.account.collections["orders"].truth.live
    people = mirror.truth("customers")
    of = {key: record.customer for key, record in live.items() if record.customer in people}
    order = max(key for key, customer in of.items() if customer != by_another)
    customer = of[order]
    assert customer is not None
    return order, customer


def requests_of(mirror: Mirror, path: str) -> int:
    """The requests of a method so far."""
    return sum(each.split("?")[0] == path for each in mirror.wire.paths)


def look_on(mirror: Mirror, *, turns: int = 9) -> None:
    """Turn after turn, the claims of both are true."""
    for turn in range(turns):
        mirror.pass_time(15)
        mirror.feeds()
        mirror.walks()
        assert wrong(mirror, "orders") == [], turn
        assert wrong(mirror, "customers") == [], turn


@pytest.mark.parametrize("change", ["made", "deleted", "given away"])
def test_customers_are_loaded_after_the_orders(open_mirror: Open, change: str) -> None:
    """An order changes before the orders are read: the customers are read after it, once."""
    mirror = open_mirror()
    mirror.feeds()
    mirror.work("customers", "walk")
    mirror.pass_time(1)
    watch(mirror)
    order, customer = bought(mirror)
    mirror.pass_time(1)
    if change == "made":
        mirror.account.create_order(customer=customer)
    elif change == "deleted":
        mirror.account.delete_order(order)
    else:
        heir = min(mirror.truth("customers").keys() - {customer})
        mirror.account.update_order(order, customer=heir)
    mirror.pass_time(1)
    mirror.work("orders", "walk")
    mirror.settle()
    assert wrong(mirror, "orders") == []
    assert wrong(mirror, "customers") == []
    assert mirror.value("SELECT count(*) FROM sync.crawl WHERE store_id = :store AND deep") == 0


def _no_orders(request: httpx.Request) -> httpx.Response | None:
    """A list of orders that fails; all else answers."""
    is_orders = request.url.path == "/api/v5/orders"
    return httpx.Response(500, json={"success": False}) if is_orders else None


def test_orders_that_fail_do_not_hold_the_customers(open_mirror: Open) -> None:
    """Customers are loaded after a minute of failures; once the orders come, they are compared."""
    mirror = open_mirror()
    mirror.wire.answers = _no_orders
    for _ in range(8):
        mirror.pass_time(15)
        mirror.feeds()
        mirror.walks()
    assert mirror.live("customers")
    assert not mirror.live("orders")
    watch(mirror)
    order, _ = bought(mirror)
    mirror.account.delete_order(order)
    mirror.wire.answers = None
    for _ in range(12):
        mirror.pass_time(30)
        mirror.feeds()
        mirror.walks()
    assert mirror.live("orders")
    assert wrong(mirror, "customers") == []
    assert mirror.coverage("customers").complete_as_of is not None


def test_a_doubt_raised_before_the_first_proof_holds_the_claim_at_the_first_request(
    open_mirror: Open,
) -> None:
    """Customers read before the orders may be wrong since they were read, not since somebody found
    that out: until they are compared, nothing later is claimed of them."""
    mirror = open_mirror()
    mirror.wire.answers = _no_orders
    while not mirror.live("customers"):
        mirror.pass_time(15)
        mirror.feeds()
        mirror.walks()
    began = mirror.value(
        "SELECT started_at FROM sync.crawl WHERE store_id = :store AND resource = 'customers'"
    )
    watch(mirror)
    mirror.account.delete_order(bought(mirror)[0])
    mirror.wire.answers = None
    claims = []
    for _ in range(30):
        mirror.pass_time(10)
        mirror.feeds()
        mirror.walks()
        assert wrong(mirror, "customers") == []
        is_doubted = mirror.value("SELECT count(*) FROM sync.doubt WHERE resource = 'customers'")
        claims.append((is_doubted, mirror.coverage("customers").complete_as_of))
        if claims[-1][1] is not None and not is_doubted:
            break
    held = {claimed for is_doubted, claimed in claims if is_doubted and claimed is not None}
    assert held == {began}
    assert claims[-1][1] > began


def test_a_row_that_a_walk_read_first_names_its_customer(open_mirror: Open) -> None:
    """The orders' list shows an order that the customers' list, which lags, does not count yet;
    the entry then finds the order unchanged."""
    mirror = open_mirror()
    mirror.feeds()
    watch(mirror)
    _, customer = bought(mirror)
    sent = mirror.sandbox.truth(mirror.account.name, "customers")
    [stale] = [record for record in sent if record["id"] == customer]
    mirror.pass_time(1)
    order = mirror.account.create_order(customer=customer)
    mirror.work("orders", "walk")
    assert order in mirror.live("orders")

    def lagging(request: httpx.Request) -> httpx.Response | None:
        if request.url.path != "/api/v5/customers":
            return None
        answer = orjson.loads(mirror.wire._answer(request).content)
        records = answer["customers"]
        answer["customers"] = [stale if each["id"] == customer else each for each in records]
        return httpx.Response(200, json=answer)

    mirror.wire.answers = lagging
    mirror.pass_time(6)
    mirror.work("customers", "walk")
    assert mirror.live("customers")
    mirror.wire.answers = None
    mirror.settle()
    assert wrong(mirror, "customers") == []


@pytest.mark.parametrize("is_lent", [False, True], ids=["lived", "lent"])
def test_an_order_that_named_a_customer_between_two_looks(mirror: Mirror, is_lent: bool) -> None:
    """Its customer was read meanwhile for another reason: the entries name that customer."""
    watch(mirror)
    mirror.pass_time(1)
    other, customer = bought(mirror)
    items = mirror.truth("orders")[other]["items"]
    mirror.account.update_order(other, items=[items[0] | {"quantity": 7}])
    mirror.pass_time(1)
    mirror.feeds()
    mirror.pass_time(62)
    if is_lent:
        order, owner = bought(mirror, by_another=customer)
        mirror.account.update_order(order, customer=customer)
    else:
        order, owner = mirror.account.create_order(customer=customer), None
    mirror.pass_time(1)
    mirror.work("customer_history", "feed")
    mirror.pass_time(1)
    if is_lent:
        mirror.account.update_order(order, customer=owner)
    else:
        mirror.account.delete_order(order)
    look_on(mirror)


def test_an_order_that_cannot_be_read_is_given_to_another_customer(mirror: Mirror) -> None:
    """Its row names the former customer, and its entry the new one."""
    watch(mirror)
    mirror.pass_time(1)
    bad, customer = bought(mirror)
    heir = min(mirror.truth("customers").keys() - {customer})
    mirror.sandbox.knobs.turn(poison={"orders": [bad]})
    mirror.account.update_order(bad, customer=heir)
    look_on(mirror, turns=16)
    assert mirror.coverage("customers").complete_as_of.timestamp() > mirror.now() - 120


def test_an_unchanged_store_costs_one_request_a_history_and_look(mirror: Mirror) -> None:
    """Nothing is named, so nothing is read again."""
    mirror.feeds()
    mirror.wire.paths.clear()
    mirror.pass_time(15)
    mirror.feeds()
    assert requests_of(mirror, "/api/v5/orders/history") == 1
    assert requests_of(mirror, "/api/v5/customers/history") == 1
    assert len(mirror.wire.paths) == 2


def test_an_entry_names_a_company_without_saying_that_it_is_one(open_mirror: Open) -> None:
    """The id is one of the resource that has it: the company is read again, and no person."""
    names = ("customers", "customer_history", "orders", "order_history")
    firms = ("corporate_customers", "corporate_customer_history")
    mirror = open_mirror(resources=small(*names, *firms))
    company = mirror.account.create_corporate()
    mirror.settle()
    order, customer = bought(mirror)
    mirror.sandbox.knobs.turn(poison={"orders": [order]})  # no row shows that it was the company's
    mirror.account.update_order(order, customer=company, silent=True)
    mirror.account.update_order(order, customer=customer)
    mirror.pass_time(1)
    mirror.work("order_history", "feed")
    waiting = mirror.rows("SELECT resource FROM sync.reread WHERE id = :id", id=company)
    assert [row.resource for row in waiting] == ["corporate_customers"]
