"""History methods: the chain, the stubs, what the entries say."""

from __future__ import annotations

from typing import Any

import pytest

from sync.sandbox import Account, Clock, Sandbox

NOW = 1_790_000_000.0
FEEDS = ("orders", "customers", "customers-corporate", "orders/packs", "tasks")


@pytest.fixture
def sandbox() -> Sandbox:
    made = Sandbox(seed=7, clock=Clock(NOW))
    made.account("demo", orders=200, customers=80, awkward=0)
    return made


def chain(sandbox: Sandbox, feed: str, since: int = 0, key: str | None = None) -> list[Any]:
    """Follow sinceId to the end."""
    found: list[Any] = []
    while True:
        status, body = sandbox.get(f"{feed}/history?limit=100&filter[sinceId]={since}", key=key)
        assert status == 200, body
        if not body["history"]:
            return found
        found += body["history"]
        since = found[-1]["id"]


@pytest.mark.parametrize("feed", FEEDS)
def test_the_chain_is_ascending_and_since_id_is_exclusive(sandbox: Sandbox, feed: str) -> None:
    """The entry named is not sent again, the next one is."""
    ids = [entry["id"] for entry in chain(sandbox, feed)]
    assert ids == sorted(set(ids))
    assert chain(sandbox, feed, since=ids[-2])[0]["id"] == ids[-1]
    assert chain(sandbox, feed, since=ids[-1]) == []


def test_counts_are_of_what_remains(sandbox: Sandbox) -> None:
    """totalCount shrinks along the chain, to 0 with an empty page."""
    _, body = sandbox.get("orders/history?limit=50")
    total = body["pagination"]["totalCount"]
    last = body["history"][-1]["id"]
    _, later = sandbox.get(f"orders/history?limit=50&filter[sinceId]={last}")
    assert later["pagination"]["totalCount"] == total - 50
    _, empty = sandbox.get("orders/history?filter[sinceId]=99999999")
    assert (empty["history"], empty["pagination"]["totalPageCount"]) == ([], 0)
    assert empty["generatedAt"] == sandbox.accounts["demo"].local(NOW)


def test_since_id_beside_a_page_is_refused(sandbox: Sandbox) -> None:
    """page=1 passes by default, as the official client sends it; strict_since_id refuses it too."""
    path = "orders/history?filter[sinceId]=5"
    status, body = sandbox.get(f"{path}&page=2")
    assert status == 400
    assert "Use the shift of the `filter[sinceId]` instead of `page`" in body["errorMsg"]
    assert sandbox.get(f"{path}&page=1")[0] == 200
    sandbox.knobs.turn(strict_since_id=True)
    assert sandbox.get(f"{path}&page=1")[0] == 400
    assert sandbox.get(path)[0] == 200
    assert sandbox.get("orders/history?page=2")[0] == 200


def test_dates_are_compared_in_the_accounts_zone(sandbox: Sandbox) -> None:
    """startDate and endDate are Y-m-d H:i:s, local."""
    whole = chain(sandbox, "orders")
    start = whole[len(whole) // 2]["createdAt"]
    _, body = sandbox.get(f"orders/history?filter[startDate]={start}")
    assert body["history"][0]["createdAt"] >= start
    assert body["pagination"]["totalCount"] == sum(e["createdAt"] >= start for e in whole)
    status, refused = sandbox.get("orders/history?filter[startDate]=2025-01-01")
    assert (status, list(refused["errors"])) == (400, ["children[startDate]"])


def test_the_first_entry_is_whole_and_the_later_ones_are_stubs(sandbox: Sandbox) -> None:
    """`created` carries the object as it was; others its id, site and little more."""
    seen: set[int] = set()
    for entry in chain(sandbox, "orders"):
        order = entry["order"]
        if order["id"] not in seen:
            seen.add(order["id"])
            assert entry["created"] is True
            assert (entry["field"], entry["oldValue"], order["status"]) == ("status", None, "new")
            assert "items" in order
        else:
            assert "created" not in entry
            assert set(order) <= {"id", "externalId", "managerId", "site", "status"}


def test_the_author_is_told(sandbox: Sandbox) -> None:
    """source always; user{id} only of a user, apiKey{current} only of the API."""
    sources = set()
    for entry in chain(sandbox, "orders"):
        sources.add(entry["source"])
        assert ("user" in entry) is (entry["source"] == "user")
        assert ("apiKey" in entry) is (entry["source"] == "api")
    assert {"user", "api", "code"} <= sources


def replay(entries: list[Any], subject: str) -> dict[int, Any]:
    """What a reader of the history knows of the live objects."""
    known: dict[int, Any] = {}
    for entry in entries:
        subject_id = entry[subject]["id"]
        if entry.get("deleted"):
            known.pop(subject_id)
        elif entry.get("created"):
            known[subject_id] = entry[subject]
        else:
            apply(known[subject_id], entry)
    return known


def apply(entity: Any, entry: Any) -> None:
    new = entry["newValue"]
    match entry["field"]:
        case "status":
            entity["status"] = new["code"]
        case "manager":
            entity["managerId"] = new["id"]
        case "created_at":
            entity["createdAt"] = new
        case "site":
            entity["site"] = new["code"]
        case "email":
            entity["email"] = new
        case "shipped":
            entity["shipped"] = new
        case "order_product.quantity":
            (item,) = (i for i in entity["items"] if i["id"] == entry["item"]["id"])
            item["quantity"] = new
        case "payments.status":
            payments = entity["payments"].values()
            (payment,) = (p for p in payments if p["id"] == entry["payment"]["id"])
            payment["status"] = new["code"]


def test_the_history_replayed_is_the_state(sandbox: Sandbox) -> None:
    """Nothing that the history words happens without an entry, and nothing else is worded."""
    sandbox.churn.many(1500)
    account = sandbox.accounts["demo"]
    orders = replay(chain(sandbox, "orders"), "order")
    live = {o["id"]: o for o in account.entities("orders")}
    assert set(orders) == set(live)
    for order_id, order in live.items():
        told = orders[order_id]
        for name in ("status", "createdAt", "site", "shipped"):
            assert told[name] == order[name], (order_id, name)
        assert told.get("managerId") == order.get("managerId")
        assert [i["quantity"] for i in told["items"]] == [i["quantity"] for i in order["items"]]
        assert [p["status"] for p in told["payments"].values()] == [
            p["status"] for p in order["payments"].values()
        ]
    customers = replay(chain(sandbox, "customers"), "customer")
    assert {i: c["email"] for i, c in customers.items()} == {
        c["id"]: c["email"] for c in account.entities("customers")
    }


def entries_of(sandbox: Sandbox, feed: str, before: int) -> list[tuple[str, Any, Any]]:
    return [(e["field"], e["oldValue"], e["newValue"]) for e in chain(sandbox, feed, before)]


def newest(account: Account, name: str) -> int:
    return account.histories[name].newest_id(NOW)


def test_values_come_in_all_their_shapes(sandbox: Sandbox) -> None:
    """Scalars, null, {code}, {id}, and custom fields by code; one save has one createdAt."""
    account = sandbox.accounts["demo"]
    order = account.create_order(managerId=2, customFields={"gift": True, "score": 1})
    before = newest(account, "orders")
    account.update_order(
        order, status="complete", managerId=3, customerComment=None, managerComment="call",
        customFields={"score": 2.5}, delivery={"cost": 1, "address": {"city": "Mérida"}},
    )  # fmt: skip
    said = {field: (old, new) for field, old, new in entries_of(sandbox, "orders", before)}
    assert said["status"] == ({"code": "new"}, {"code": "complete"})
    assert said["manager"] == ({"id": 2}, {"id": 3})
    assert said["custom_score"] == (1, 2.5)
    assert said["manager_comment"] == (None, "call")
    assert said["delivery_address.city"][1] == "Mérida"
    assert said["delivery_cost"][1] == 1
    assert len({e["createdAt"] for e in chain(sandbox, "orders", before)}) == 1


def test_items_and_payments_are_told_by_their_own_fields(sandbox: Sandbox) -> None:
    """An added or removed line, a paid payment: each entry carries the stub of what changed."""
    account = sandbox.accounts["demo"]
    order_id = next(
        o["id"] for o in account.entities("orders") if o["payments"] and len(o["items"]) > 1
    )
    order = account.collections["orders"].load(account.must("orders", order_id))
    before = newest(account, "orders")
    payment = next(iter(order["payments"].values()))
    payment["status"] = "returned"
    account.update_order(order_id, items=order["items"][1:], payments=order["payments"])
    entries = chain(sandbox, "orders", before)
    removed = next(e for e in entries if e["field"] == "order_product")
    assert (removed["oldValue"], removed["newValue"]) == ({"id": order["items"][0]["id"]}, None)
    assert removed["item"]["offer"]["id"] == order["items"][0]["offer"]["id"]
    paid = next(e for e in entries if e["field"] == "payments.status")
    assert (paid["newValue"], paid["payment"]["id"]) == ({"code": "returned"}, payment["id"])


def test_packs_are_worded_in_camel_case_and_their_store_is_an_object(sandbox: Sandbox) -> None:
    """In the list `store` is a code and shipmentDate a day; in the history neither is."""
    account = sandbox.accounts["demo"]
    order = account.create_order()
    before = newest(account, "packs")
    pack = account.create_pack(order, shipmentDate="2026-01-01")
    account.update_pack(pack, shipmentDate="2026-01-02", quantity=5)
    _, body = sandbox.get(f"orders/packs/{pack}")
    assert isinstance(body["pack"]["store"], str)
    said = entries_of(sandbox, "orders/packs", before)
    assert ("shipmentDate", "2026-01-01 00:00:00", "2026-01-02 00:00:00") in said
    account.delete_pack(pack)
    last = chain(sandbox, "orders/packs", before)[-1]
    assert (last["deleted"], last["pack"]["id"], set(last["pack"])) == (True, pack, {"id", "item"})
    assert sandbox.get(f"orders/packs/{pack}")[0] == 404


def test_corporate_parts_are_told_in_the_corporate_history(sandbox: Sandbox) -> None:
    """address, company, contact, and which of them is the main one."""
    account = sandbox.accounts["demo"]
    before = newest(account, "customers-corporate")
    person = next(iter(account.collections["customers"].truth.live))
    firm = account.create_corporate(contact=person)
    fields = [field for field, _, _ in entries_of(sandbox, "customers-corporate", before)]
    assert fields == ["id", "address", "main_address", "company", "main_company", "contact",
        "main_contact"]  # fmt: skip
    for part in ("addresses", "companies", "contacts"):
        _, body = sandbox.get(f"customers-corporate/{firm}/{part}?by=id")
        assert len(body[part]) == 1
    account.add_address(firm, name="Second")
    _, body = sandbox.get(f"customers-corporate/{firm}/addresses?by=id")
    assert [a["isMain"] for a in body["addresses"]] == [True, False]


def test_customers_and_corporate_customers_share_one_id_space(sandbox: Sandbox) -> None:
    """An order's customer is found by id alone, whatever its type."""
    account = sandbox.accounts["demo"]
    people = set(account.collections["customers"].truth.live)
    assert not people & set(account.collections["customers-corporate"].truth.live)


def test_the_deletion_of_a_task_is_told_by_nothing(sandbox: Sandbox) -> None:
    """Its history has no such flag: only a full reading shows it."""
    account = sandbox.accounts["demo"]
    task = account.create_task()
    account.update_task(task, complete=True)
    before = newest(account, "tasks")
    account.delete_task(task)
    assert newest(account, "tasks") == before
    assert sandbox.get(f"tasks/{task}")[0] == 404


def test_a_selective_keys_history_counts_its_own_entries(sandbox: Sandbox) -> None:
    """Also while entries of it and of other sites are not committed yet."""
    account = sandbox.accounts["demo"]
    key = account.add_key("narrow", sites=["outlet"])
    mine = [e for e in chain(sandbox, "orders") if e["order"]["site"] == "outlet"]
    assert chain(sandbox, "orders", key=key) == mine
    last = mine[-1]["id"]
    sandbox.knobs.turn(history_publish_delay=9, history_publish_share=1)
    account.create_order(customer=0, site="outlet")
    account.create_order(customer=0, site="main")
    sandbox.knobs.turn(history_publish_delay=0)
    account.create_order(customer=0, site="outlet")
    path = f"orders/history?filter[sinceId]={last}"
    assert sandbox.get(path, key=key)[1]["pagination"]["totalCount"] == 1
    sandbox.clock.advance(10)
    body = sandbox.get(path, key=key)[1]
    assert body["pagination"]["totalCount"] == len(body["history"]) == 2


def test_lists_are_told_element_by_element(sandbox: Sandbox) -> None:
    """A phone, a segment: the value of an entry is never a list."""
    account = sandbox.accounts["demo"]
    customer = account.create_customer(phones=[{"number": "1"}], segments=[])
    before = newest(account, "customers")
    segment = account.entities("segments")[0]
    account.update_customer(
        customer, phones=[{"number": "2"}], segments=[segment], address={"city": "Lugo"}
    )
    said = entries_of(sandbox, "customers", before)
    assert ("phones", "1", None) in said
    assert ("phones", None, "2") in said
    assert ("segments", None, {"id": segment["id"], "code": segment["code"]}) in said
    told = next(e for e in chain(sandbox, "customers", before) if e["field"] == "address.city")
    assert set(told["address"]) == {"id", "isMain"}
