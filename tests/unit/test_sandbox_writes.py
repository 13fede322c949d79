"""Writes of the sandbox: forms, errors by field, histories, sums; each as the API does it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from sync.sandbox import Account, Clock, Sandbox

NOW = 1_790_000_000.0


@pytest.fixture
def sandbox() -> Sandbox:
    made = Sandbox(seed=7, clock=Clock(NOW))
    made.account("demo", orders=60, customers=40, products=6, awkward=0)
    return made


@pytest.fixture
def account(sandbox: Sandbox) -> Account:
    return sandbox.accounts["demo"]


def state(sandbox: Sandbox) -> Any:
    """All records, entries and next ids: what a refused call must not change."""
    account = sandbox.accounts["demo"]
    records = {
        name: ({i: (r.blob, r.customer) for i, r in held.truth.live.items()}, held.next_id)
        for name, held in account.collections.items()
    }
    histories = {name: history.next_id for name, history in account.histories.items()}
    return records, histories, dict(account.counters), orjson.dumps(account.references)


def entries(sandbox: Sandbox, feed: str, since: int, *, key: str | None = None) -> list[Any]:
    _, body = sandbox.get(f"{feed}/history?limit=100&filter[sinceId]={since}", key=key)
    found: list[Any] = body["history"]
    return found


def newest(account: Account, feed: str) -> int:
    return account.histories[feed].next_id - 1


def test_an_order_is_made_of_its_form_and_of_nothing_else(sandbox: Sandbox) -> None:
    """201 with id and order; what is not given is what a new order has, nothing is made up."""
    form = {
        "firstName": "Ana", "phone": "+34600000001", "externalId": "web-1",
        "items": [{"offer": {"externalId": "1#0"}, "quantity": 2, "initialPrice": 100}],
        "payments": [{"type": "cash", "status": "paid", "amount": 200}],
        "delivery": {"code": "courier", "cost": 50}, "customFields": {"gift": "1", "unknown": 1},
    }  # fmt: skip
    status, told = sandbox.post("orders/create", site="main", order=form)
    assert status == 201
    order = told["order"]
    assert order == sandbox.get(f"orders/{told['id']}?by=id")[1]["order"]
    assert (order["site"], order["status"], order["fromApi"]) == ("main", "new", True)
    assert (order["summ"], order["totalSumm"], order["prepaySum"]) == (200, 250, 200)
    assert order["number"] == f"{told['id']}A"
    assert order["customFields"] == {"gift": True}
    assert "lastName" not in order
    assert "fullPaidAt" not in order


def test_an_order_without_a_customer_gets_the_one_of_its_phone_or_a_new_one(
    sandbox: Sandbox, account: Account
) -> None:
    """As in the shops of the CRM; the customer's sums follow."""
    form = {"firstName": "Ana", "phone": "+34600000001", "items": [{"productName": "Tea"}]}
    first = sandbox.post("orders/create", site="main", order=form)[1]["order"]["customer"]
    form["items"] = [{"productName": "Tea", "initialPrice": 10, "quantity": 3}]
    second = sandbox.post("orders/create", site="main", order=form)[1]["order"]["customer"]
    assert first["id"] == second["id"]
    assert (second["ordersCount"], second["totalSumm"]) == (2, 30)
    (entry,) = entries(sandbox, "customers", newest(account, "customers") - 1)
    assert (entry["created"], entry["source"], entry["customer"]["id"]) == (
        True, "api", first["id"],
    )  # fmt: skip


def test_an_edit_changes_what_is_given_and_tells_of_each_field(
    sandbox: Sandbox, account: Account
) -> None:
    """Absent keys stay, objects merge, null takes away; one entry a changed field."""
    order = sandbox.post("orders/create", site="main", order={
        "externalId": "e1", "firstName": "Ana", "customerComment": "soon",
        "delivery": {"code": "courier", "cost": 50, "address": {"city": "Lugo"}},
    })[1]["id"]  # fmt: skip
    before = newest(account, "orders")
    status, told = sandbox.post("orders/e1/edit", site="main", order={
        "status": "complete", "customerComment": None, "delivery": {"address": {"street": "A"}},
    })  # fmt: skip
    assert (status, told["id"]) == (200, order)
    assert told["order"]["delivery"]["address"] == {"city": "Lugo", "street": "A"}
    assert told["order"]["delivery"]["cost"] == 50
    assert "customerComment" not in told["order"]
    said = {e["field"]: (e["oldValue"], e["newValue"]) for e in entries(sandbox, "orders", before)}
    assert said == {
        "status": ({"code": "new"}, {"code": "complete"}), "customer_comment": ("soon", None),
        "delivery_address.street": (None, "A"),
    }  # fmt: skip
    before = newest(account, "orders")
    sandbox.post(f"orders/{order}/edit", by="id", order={"status": "complete"})
    assert entries(sandbox, "orders", before) == []


def test_an_entry_is_current_for_the_key_that_wrote_it(sandbox: Sandbox, account: Account) -> None:
    """`source` is api for both; another key reads `current: false`."""
    other = account.add_key()
    before = newest(account, "orders")
    sandbox.post("orders/1/edit", by="id", order={"customerComment": "a"}, key=other)
    for key, current in ((other, True), (account.key, False)):
        (entry,) = entries(sandbox, "orders", before, key=key)
        assert (entry["source"], entry["apiKey"]) == ("api", {"current": current})
    account.update_order(1, managerComment="by hand")
    assert entries(sandbox, "orders", before)[-1]["source"] == "user"


def test_items_of_an_edit_are_all_that_the_order_has(sandbox: Sandbox) -> None:
    """Those named by id change, others are new, the rest is gone; sums and entries follow."""
    made = sandbox.post("orders/create", site="main", order={"items": [
        {"productName": "Tea", "initialPrice": 10, "quantity": 1},
        {"productName": "Cup", "initialPrice": 5, "quantity": 2},
    ]})[1]["order"]  # fmt: skip
    tea = made["items"][0]["id"]
    told = sandbox.post(f"orders/{made['id']}/edit", by="id", order={"items": [
        {"id": tea, "quantity": 3}, {"productName": "Jam", "initialPrice": 4, "quantity": 1},
    ]})[1]["order"]  # fmt: skip
    names = [(i["offer"]["name"], i["quantity"]) for i in told["items"]]
    assert names == [("Tea", 3), ("Jam", 1)]
    assert told["totalSumm"] == 34
    assert told["items"][0]["id"] == tea


def test_payments_are_made_changed_and_deleted_apart(sandbox: Sandbox, account: Account) -> None:
    """Paid in full, the order says when; each is told by its history."""
    order = sandbox.post("orders/create", site="main", order={
        "externalId": "p1", "items": [{"productName": "Tea", "initialPrice": 100}],
    })[1]["id"]  # fmt: skip
    before = newest(account, "orders")
    payment = {"order": {"externalId": "p1"}, "type": "bank-card", "externalId": "pay"}
    status, told = sandbox.post("orders/payments/create", site="main", payment=payment)
    assert status == 201
    path = f"orders/payments/{told['id']}"
    assert sandbox.post(f"{path}/edit", payment={"status": "paid"})[0] == 200
    found = account.read("orders", order)
    assert found["payments"][str(told["id"])]["amount"] == 100
    assert (found["prepaySum"], found["fullPaidAt"]) == (100, account.local(NOW))
    by_external = sandbox.post(
        "orders/payments/pay/edit", by="externalId", site="main", payment={"comment": "x"}
    )
    assert by_external == (200, {"success": True, "id": told["id"]})
    assert sandbox.post(f"{path}/delete")[0] == 200
    assert account.read("orders", order)["payments"] == {}
    assert "fullPaidAt" not in account.read("orders", order)
    fields = [e["field"] for e in entries(sandbox, "orders", before)]
    assert fields == [
        "payments", "full_paid_at", "payments.status", "payments.comment", "full_paid_at",
        "payments",
    ]  # fmt: skip
    assert sandbox.post(f"{path}/delete") == (
        404, {"success": False, "errorMsg": "Payment not found"},
    )  # fmt: skip


def test_an_upload_takes_what_it_can_and_names_what_it_refused(sandbox: Sandbox) -> None:
    """460, with both lists; at most fifty, and nothing of more."""
    rows = [
        {"externalId": "u1"}, {"externalId": "u1"}, {"externalId": "u2", "status": "none"},
        {"externalId": "u3", "customer": {"externalId": "nobody"}},
    ]  # fmt: skip
    status, told = sandbox.post("orders/upload", site="main", orders=rows)
    assert (status, told["errorMsg"]) == (460, "Orders are loaded with errors")
    assert [row["externalId"] for row in told["uploadedOrders"]] == ["u1"]
    assert [row["externalId"] for row in told["failedOrders"]] == ["u1", "u2", "u3"]
    assert told["errors"] == {
        "1": "externalId: Order with externalId=u1 already exists.",
        "2": "status: Status with code=none not found.",
        "3": "customer.externalId: Customer with externalId=nobody not found.",
    }
    before = state(sandbox)
    status, told = sandbox.post("orders/upload", site="main", orders=[{}] * 51)
    assert (status, told["errorMsg"]) == (400, "Errors in the entity format")
    assert state(sandbox) == before
    people = [{"externalId": f"c{n}x", "firstName": "A"} for n in range(50)]
    status, told = sandbox.post("customers/upload", site="main", customers=people)
    assert (status, len(told["uploadedCustomers"])) == (200, 50)


def test_orders_are_combined_by_a_technique(sandbox: Sandbox, account: Account) -> None:
    """The source is gone and names the result; `summ` adds its items."""
    first, second = (
        sandbox.post("orders/create", site="main", order={
            "items": [{"productName": name, "initialPrice": 10}]
        })[1]["id"]
        for name in ("Tea", "Cup")
    )  # fmt: skip
    before = newest(account, "orders")
    status, told = sandbox.post(
        "orders/combine", technique="summ", order={"id": first}, resultOrder={"id": second}
    )
    assert (status, told) == (200, {"success": True, "errors": []})
    assert account.read("orders", second)["totalSumm"] == 20
    entry = entries(sandbox, "orders", before)[0]
    assert (entry["deleted"], entry["combinedTo"]["id"]) == (True, second)
    assert sandbox.get(f"orders/{first}?by=id")[0] == 404


def test_linked_orders_name_each_other(sandbox: Sandbox, account: Account) -> None:
    """Two at least."""
    link = {"orders": [{"id": 1}, {"id": 2}], "comment": "same box"}
    assert sandbox.post("orders/links/create", link=link) == (201, {"success": True})
    assert [x["order"]["id"] for x in account.read("orders", 1)["links"]] == [2]
    assert [x["order"]["id"] for x in account.read("orders", 2)["links"]] == [1]
    status, told = sandbox.post("orders/links/create", link={"orders": [{"id": 1}]})
    said = {"orders": "This collection should contain 2 elements or more."}
    assert (status, told["errors"]) == (400, said)


def test_customers_are_made_and_changed(sandbox: Sandbox, account: Account) -> None:
    """By externalId with a site, or by id; tags are added and removed, addresses merge."""
    form = {"externalId": "web", "firstName": "Ana", "phones": [{"number": "1"}], "addTags": ["a"]}
    status, told = sandbox.post("customers/create", site="main", customer=form)
    assert status == 201
    changes = {
        "address": {"city": "Lugo"}, "addTags": ["b"], "removeTags": ["a"],
        "customFields": {"loves_sale": True},
    }  # fmt: skip
    assert sandbox.post("customers/web/edit", site="main", customer=changes)[0] == 200
    person = account.read("customers", told["id"])
    assert [t["name"] for t in person["tags"]] == ["b"]
    assert person["address"]["city"] == "Lugo"
    assert person["customFields"] == {"loves_sale": True}
    assert (person["firstName"], person["ordersCount"]) == ("Ana", 0)
    edited = sandbox.post(f"customers/{told['id']}/edit", by="id", customer={"firstName": "Eva"})
    assert edited == (200, {"success": True, "id": told["id"]})
    news = [{"channel": "email", "active": False}]
    assert sandbox.post("customers/web/subscriptions", site="main", subscriptions=news)[0] == 200
    (held,) = account.read("customers", told["id"])["customerSubscriptions"]
    assert (held["subscription"]["channel"], held["subscribed"]) == ("email", False)


def test_customers_are_combined_with_their_orders(sandbox: Sandbox, account: Account) -> None:
    """The survivor has all orders and their sums; the source names it."""
    order = {"firstName": "Ana", "items": [{"productName": "Tea", "initialPrice": 7}]}
    source = sandbox.post("orders/create", site="main", order=order)[1]["order"]["customer"]["id"]
    into = account.create_customer()
    told = sandbox.post(
        "customers/combine", customers=[{"id": source}], resultCustomer={"id": into}
    )
    assert told == (200, {"success": True})
    assert account.read("customers", into)["totalSumm"] == 7
    assert sandbox.get(f"customers/{source}?by=id")[1]["combinedTo"]["id"] == into


def test_external_ids_are_fixed_together_or_not_at_all(sandbox: Sandbox, account: Account) -> None:
    """One unknown id, and none of them changes."""
    rows = [{"id": 1, "externalId": "one"}, {"id": 2, "externalId": "two"}]
    assert sandbox.post("orders/fix-external-ids", orders=rows) == (200, {"success": True})
    assert account.read("orders", 2)["externalId"] == "two"
    before = state(sandbox)
    rows = [{"id": 1, "externalId": "other"}, {"id": 10**9, "externalId": "none"}]
    assert sandbox.post("orders/fix-external-ids", orders=rows)[0] == 400
    assert state(sandbox) == before


def test_an_account_of_several_sites_needs_the_site_where_one_is_meant(sandbox: Sandbox) -> None:
    """A new record, or one named by externalId; not one named by id. One site needs none."""
    for path, form in (
        ("orders/create", {"order": {}}), ("customers/create", {"customer": {}}),
        ("orders/web/edit", {"order": {}}), ("orders/upload", {"orders": [{}]}),
    ):  # fmt: skip
        status, told = sandbox.post(path, **form)
        assert (status, told["errorMsg"]) == (400, "Parameter 'site' is missing"), path
        assert list(told["errors"]) == ["site"]
    assert sandbox.post("orders/1/edit", by="id", order={})[0] == 200
    assert sandbox.post("orders/create", site="nowhere", order={})[0] == 400
    one = sandbox.account("small", sites=["main"], products=3)
    assert sandbox.post("orders/create", key=one.key, order={})[0] == 201


def test_a_key_that_may_only_read_writes_nothing(sandbox: Sandbox, account: Account) -> None:
    """403, as for a method without its scope; a selective key meets its own sites alone."""
    reader = account.add_key(scopes=["order_read", "customer_read"])
    before = state(sandbox)
    refused = (403, {"success": False, "errorMsg": "Access denied."})
    assert sandbox.post("orders/create", site="main", order={}, key=reader) == refused
    narrow = account.add_key(sites=["main"])
    outlet = next(i for i in account.ids("orders") if account.read("orders", i)["site"] == "outlet")
    assert sandbox.post(f"orders/{outlet}/edit", by="id", order={}, key=narrow)[0] == 404
    assert state(sandbox) == before


@pytest.mark.parametrize("path", ["orders/create", "orders/1/edit", "orders/upload"])
def test_a_refused_item_takes_no_id_from_those_before_it(
    sandbox: Sandbox, account: Account, path: str
) -> None:
    """Nothing is counted up by a call, or a record of an upload, that is refused."""
    order = {"items": [{"productName": "Tea"}, {"offer": {"id": 10**6}}], "customer": {"id": 5}}
    before = state(sandbox)
    form = {"orders": [order]} if path.endswith("upload") else {"order": order}
    status, told = sandbox.post(path, by="id", site="main", **form)
    assert status == (460 if path.endswith("upload") else 400), told
    assert state(sandbox) == before


def test_the_contact_of_a_corporate_order_is_a_person(sandbox: Sandbox, account: Account) -> None:
    """The firm's main contact, or nobody; never the firm."""
    person, alone = account.create_customer(site="main"), account.create_corporate(site="main")
    firm = account.create_corporate(site="main", contact=person)
    for owner, contact in ((firm, person), (alone, None)):
        order = {"customer": {"id": owner}, "items": []}
        told = sandbox.post("orders/create", site="main", order=order)[1]["order"]
        assert told["customer"]["id"] == owner
        assert told.get("contact", {}).get("id") == contact
