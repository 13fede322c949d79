"""What happens to an account: deletes, merges, re-dating, silent edits, dictionaries, zones."""

from __future__ import annotations

from typing import Any

import pytest

from sync.sandbox import Account, Clock, Sandbox

NOW = 1_790_000_000.0


@pytest.fixture
def sandbox() -> Sandbox:
    made = Sandbox(seed=7, clock=Clock(NOW))
    made.account("demo", orders=120, customers=60, awkward=0)
    return made


@pytest.fixture
def account(sandbox: Sandbox) -> Account:
    return sandbox.accounts["demo"]


def latest(sandbox: Sandbox, feed: str, count: int = 1) -> list[Any]:
    account = sandbox.accounts["demo"]
    since = account.histories[feed].newest_id(NOW) - count
    _, body = sandbox.get(f"{feed}/history?filter[sinceId]={since}")
    found: list[Any] = body["history"]
    return found


def buyer(account: Account) -> int:
    """A customer with several orders."""
    orders = account.collections["orders"].truth.live.values()
    counts: dict[int, int] = {}
    for record in orders:
        if record.customer and record.customer == record.contact:
            counts[record.customer] = counts.get(record.customer, 0) + 1
    return max(counts, key=lambda c: counts[c])


def orders_of(account: Account, customer: int) -> list[int]:
    live = account.collections["orders"].truth.live.values()
    return [r.id for r in live if r.customer == customer]


def test_a_deleted_order_vanishes_and_its_history_says_so(
    sandbox: Sandbox, account: Account
) -> None:
    """Lists and GET do not know it any more; the entry has `deleted` and a stub."""
    order = account.create_order()
    account.delete_order(order)
    (entry,) = latest(sandbox, "orders")
    assert (entry["deleted"], entry["order"]["id"]) == (True, order)
    assert sandbox.get(f"orders/{order}?by=id")[1] == {"success": False, "errorMsg": "Not found"}
    assert sandbox.get(f"orders?filter[ids][]={order}")[1]["orders"] == []


def test_an_undeleted_order_is_created_again_under_its_id(
    sandbox: Sandbox, account: Account
) -> None:
    """Ids are not only ever new."""
    order = account.create_order(number="777")
    account.delete_order(order)
    assert account.undelete_order(order) == order
    (entry,) = latest(sandbox, "orders")
    assert (entry["created"], entry["order"]["number"]) == (True, "777")
    assert sandbox.get(f"orders/{order}?by=id")[1]["order"]["number"] == "777"


def test_merged_customers_are_deleted_and_name_the_survivor(
    sandbox: Sandbox, account: Account
) -> None:
    """History: deleted with combinedTo. GET: 404 with combinedTo, the survivor as it is."""
    source = buyer(account)
    into = account.create_customer()
    moved = orders_of(account, source)
    account.merge_customers(into, [source])
    (entry,) = latest(sandbox, "customers")
    assert (entry["deleted"], entry["customer"]["id"]) == (True, source)
    assert entry["combinedTo"]["id"] == into
    status, body = sandbox.get(f"customers/{source}?by=id")
    assert (status, body["combinedTo"]["id"]) == (404, into)
    assert set(orders_of(account, into)) == set(moved)


def test_a_merge_moves_orders_without_a_word_in_their_history(
    sandbox: Sandbox, account: Account
) -> None:
    """By default only customers/history tells; with the knob each order has a `customer` entry."""
    source, into = buyer(account), account.create_customer()
    before = account.histories["orders"].newest_id(NOW)
    moved = orders_of(account, source)
    account.merge_customers(into, [source])
    assert account.histories["orders"].newest_id(NOW) == before
    order = sandbox.get(f"orders/{moved[0]}?by=id")[1]["order"]
    assert order["customer"]["id"] == into
    sandbox.knobs.turn(merge_writes_order_history=True)
    account.merge_customers(account.create_customer(), [into])
    entries = latest(sandbox, "orders", len(moved))
    assert {(e["field"], e["oldValue"]["id"]) for e in entries} == {("customer", into)}


def test_a_merge_of_merges_leads_to_the_last_survivor(sandbox: Sandbox, account: Account) -> None:
    """404 of the first source names the customer that is alive."""
    first, second, third = (account.create_customer() for _ in range(3))
    account.merge_customers(second, [first])
    account.merge_customers(third, [second])
    assert sandbox.get(f"customers/{first}?by=id")[1]["combinedTo"]["id"] == third


def test_aggregates_follow_the_orders_in_silence(sandbox: Sandbox, account: Account) -> None:
    """ordersCount moves with every order; customers/history says nothing."""
    customer = account.create_customer()
    before = account.histories["customers"].newest_id(NOW)

    def count() -> int:
        return int(sandbox.get(f"customers/{customer}?by=id")[1]["customer"]["ordersCount"])

    order = account.create_order(customer=customer)
    assert count() == 1
    account.update_order(order, status="cancel-other")
    assert count() == 0
    account.update_order(order, status="complete")
    other = account.create_customer()
    account.update_order(order, customer=other)
    assert count() == 0
    account.delete_order(order)
    created = account.histories["customers"].newest_id(NOW)
    assert created == before + 1  # the other customer's creation, and nothing else


def test_aggregates_do_not_drift(account: Account) -> None:
    """Counted out and in again a thousand times, a customer's sums are what they were."""
    customer = account.create_customer()
    for total in (10.01, 20.02, 0.07):
        order = account.create_order(customer=customer, totalSumm=total, purchaseSumm=0.1)
    before = account.read("customers", customer)
    for _ in range(500):
        account.update_order(order, status="cancel-other")
        account.update_order(order, status="complete")
    assert account.read("customers", customer) == before
    assert before["totalSumm"] == 30.1


def test_an_order_can_be_redated_and_moved(sandbox: Sandbox, account: Account) -> None:
    """createdAt and site are mutable: windows and selective keys see it come and go."""
    order = account.create_order(site="main")
    account.redate_order(order, "2025-03-04 05:06:07")
    (entry,) = latest(sandbox, "orders")
    assert (entry["field"], entry["newValue"]) == ("created_at", "2025-03-04 05:06:07")
    path = "orders?filter[createdAtFrom]=2025-03-04&filter[createdAtTo]=2025-03-04&limit=100"
    assert order in [o["id"] for o in sandbox.get(path)[1]["orders"]]
    account.move_order(order)
    (entry,) = latest(sandbox, "orders")
    assert (entry["field"], entry["newValue"]) == ("site", {"code": "outlet"})


def test_a_silent_edit_changes_the_record_and_no_history(
    sandbox: Sandbox, account: Account
) -> None:
    """What a mirror can only find by reading again."""
    order = account.create_order()
    before = account.histories["orders"].newest_id(NOW)
    account.update_order(order, silent=True, managerComment="quiet")
    assert sandbox.get(f"orders/{order}?by=id")[1]["order"]["managerComment"] == "quiet"
    assert account.histories["orders"].newest_id(NOW) == before


def test_an_order_of_a_deleted_customer_still_names_it(sandbox: Sandbox, account: Account) -> None:
    """The id stays, the person is gone; the order itself has not changed."""
    customer = account.create_customer(externalId="x1")
    order = account.create_order(customer=customer)
    account.delete_customer(customer)
    found = sandbox.get(f"orders/{order}?by=id")[1]["order"]
    assert found["customer"]["id"] == customer
    assert "firstName" not in found["customer"]


def test_dictionaries_can_be_renamed_and_emptied(sandbox: Sandbox, account: Account) -> None:
    """A renamed status, one that is gone."""
    account.set_reference("statuses", "new", name="Fresh", active=False)
    account.remove_reference("statuses", "delivering")
    statuses = sandbox.get("reference/statuses")[1]["statuses"]
    assert (statuses["new"]["name"], statuses["new"]["active"]) == ("Fresh", False)
    assert "delivering" not in statuses


def test_a_new_zone_is_told_by_the_settings_and_old_dates_keep_their_text(
    sandbox: Sandbox, account: Account
) -> None:
    """What is written afterwards is in the new zone."""
    old = sandbox.get("orders?limit=20")[1]["orders"]
    account.set_zone("Asia/Vladivostok")
    settings = sandbox.get("settings")[1]["settings"]
    assert settings["timezone"]["value"] == "Asia/Vladivostok"
    assert sandbox.get("orders?limit=20")[1]["orders"] == old
    made = account.create_order()
    assert sandbox.get(f"orders/{made}?by=id")[1]["order"]["createdAt"] == account.local(NOW)


def test_kinds_without_a_history_can_be_changed_too(sandbox: Sandbox, account: Account) -> None:
    """A product's updatedAt moves with it; a cost, note or bonus tells nobody."""
    product = next(iter(account.collections["products"].truth.live))
    account.update("products", product, name="Renamed")
    path = f"store/products?filter[sinceUpdatedAt]={account.local(NOW - 1)}"
    assert [p["id"] for p in sandbox.get(path)[1]["products"]] == [product]
    cost = next(iter(account.collections["costs"].truth.live))
    account.delete("costs", cost)
    assert sandbox.get(f"costs/{cost}")[0] == 404
    note = account.create_note(account.create_customer(), "hola")
    rows = sandbox.get(f"customers/notes?filter[ids][]={note}")[1]["notes"]
    assert rows[0]["text"] == "hola"
    held = next(iter(account.collections["loyalty-accounts"].truth.live))
    balance = sandbox.get(f"loyalty/account/{held}")[1]["loyaltyAccount"]["amount"]
    account.create_bonus(held, 10)
    now = sandbox.get(f"loyalty/account/{held}")[1]["loyaltyAccount"]["amount"]
    assert now == pytest.approx(balance + 10)


def test_merged_corporate_customers_hand_over_orders_and_parts(
    sandbox: Sandbox, account: Account
) -> None:
    """The survivor has the addresses and companies of both."""
    into, source = account.create_corporate(), account.create_corporate()
    order = account.create_order()
    account.update_order(order, customer=source)
    account.merge_corporate(into, [source])
    (entry,) = latest(sandbox, "customers-corporate")
    assert (entry["deleted"], entry["combinedTo"]["id"]) == (True, into)
    assert sandbox.get(f"orders/{order}?by=id")[1]["order"]["customer"]["id"] == into
    companies = sandbox.get(f"customers-corporate/{into}/companies?by=id")[1]["companies"]
    assert len(companies) == 2
    assert sandbox.get(f"customers-corporate/{source}?by=id")[1]["combinedTo"]["id"] == into


def test_stock_moves_without_moving_updated_at(sandbox: Sandbox, account: Account) -> None:
    """Whether it does in the API is not known: sinceUpdatedAt may miss it."""
    offer = account.ids("offers")[0]
    product = account.set_stock(offer, 7)
    stock = sandbox.get(f"store/inventories?filter[ids][]={offer}&filter[details]=1")[1]["offers"]
    assert (stock[0]["quantity"], stock[0]["stores"][0]["quantity"]) == (7, 7)
    path = f"store/products?filter[sinceUpdatedAt]={account.local(NOW - 1)}"
    assert sandbox.get(path)[1]["products"] == []
    account.set_stock(offer, 8, bump=True)
    assert [p["id"] for p in sandbox.get(path)[1]["products"]] == [product]
