"""Writes over HTTP: bytes as clients send them, wrong ones of every sort, the official client."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson
import pytest

from sync.sandbox import Account, Sandbox, running
from sync.sandbox.knobs import Knobs
from tests.unit.test_sandbox_writes import state

FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    made = Sandbox(seed=7)
    made.account("demo", orders=60, customers=60, products=6, awkward=0)
    return made


@pytest.fixture(scope="module")
def account(sandbox: Sandbox) -> Account:
    return sandbox.accounts["demo"]


@pytest.fixture(scope="module")
def url(sandbox: Sandbox) -> Iterator[str]:
    with running(sandbox) as address:
        yield f"{address}/api/v5"


def form(**fields: Any) -> bytes:
    texts = {k: v if isinstance(v, str) else orjson.dumps(v).decode() for k, v in fields.items()}
    return urlencode(texts).encode()


FORMAT, INPUT = "Errors in the entity format", "Errors in the input parameters"
LOADED, MISSING = "Order is not loaded", "Parameter '{}' is missing"
Case = tuple[str, bytes, int, str, str | None]  # path, body, status, errorMsg, a key of errors


def _order(given: Any, message: str, field: str) -> Case:
    return "orders/create", form(site="main", order=given), 400, message, field


def _case(path: str, message: str, field: str, **fields: Any) -> Case:
    return path, form(**fields), 400, message, field


MALFORMED: dict[str, Case] = {
    "nothing at all": _case("orders/create", MISSING.format("order"), "order"),
    "an empty parameter": _case("orders/create", MISSING.format("order"), "order", order=""),
    "no site": _case("orders/create", MISSING.format("site"), "site", order={}),
    "an unknown site": _case("orders/create", INPUT, "site", order={}, site="x"),
    "cut JSON": _order('{"firstName": "A', INPUT, "order"),
    "a word for JSON": _order("hello", INPUT, "order"),
    "a number for JSON": _order("7", INPUT, "order"),
    "null for JSON": _order("null", INPUT, "order"),
    "PHP brackets for JSON": (
        "orders/create", b"site=main&order%5BfirstName%5D=A", 400, INPUT, "order",
    ),
    "bytes that are no UTF-8": (
        "orders/create", b"site=main&order=%7B%22a%22%3A%22%FF", 400, INPUT, "order",
    ),
    "a list for an object": _order([], FORMAT, "0"),
    "a list in a text": _order({"phone": []}, FORMAT, "phone"),
    "a text in a number": _order({"weight": "x"}, FORMAT, "weight"),
    "an endless number": _order({"weight": "inf"}, FORMAT, "weight"),
    "a part in a whole number": _order({"length": 1.5}, FORMAT, "length"),
    "a word in a flag": _order({"call": "maybe"}, FORMAT, "call"),
    "a day that is none": _order({"shipmentDate": "2026-02-30"}, FORMAT, "shipmentDate"),
    "a date in another form": _order({"createdAt": "01.02.2026"}, FORMAT, "createdAt"),
    "a text for items": _order({"items": "tea"}, FORMAT, "items"),
    "a text for an item": _order({"items": ["tea"]}, FORMAT, "items[0]"),
    "an item of nothing": _order({"items": [{}]}, FORMAT, "items[0]"),
    "an item in a text": _order({"items": [{"productName": "T", "quantity": "many"}]}, FORMAT,
                                "items[0].quantity"),
    "a text for a delivery": _order({"delivery": "x"}, FORMAT, "delivery"),
    "a payment without a type": _order({"payments": [{}]}, FORMAT, "payments[0].type"),
    "an unknown status": _order({"status": "x"}, LOADED, "status"),
    "an unknown order type": _order({"orderType": "x"}, LOADED, "orderType"),
    "an unknown delivery": _order({"delivery": {"code": "x"}}, LOADED, "delivery.code"),
    "an unknown payment type": _order({"payments": [{"type": "x"}]}, LOADED, "payments[0].type"),
    "an unknown offer": _order({"items": [{"offer": {"id": 99999}}]}, LOADED, "items[0].offer.id"),
    "an unknown manager": _order({"managerId": 999}, LOADED, "managerId"),
    "an unknown customer": _order({"customer": {"externalId": "x"}}, LOADED, "customer.externalId"),
    "a customer without a name": _order({"customer": {}}, FORMAT, "customer"),
    "an externalId that is taken": _order({"externalId": "100001"}, LOADED, "externalId"),
    "an edit by nothing known": _case("orders/1/edit", INPUT, "by", by="number", order={}),
    "an edit of no order": ("orders/999999/edit", form(by="id", order={}), 404, "Not found", None),
    "an edit of no number": ("orders/x/edit", form(by="id", order={}), 404, "Not found", None),
    "an upload of an object": _case("orders/upload", FORMAT, "0", site="main", orders={}),
    "too many": _case("customers/upload", FORMAT, "0", site="main", customers=[{}] * 51),
    "an order combined with itself": _case(
        "orders/combine", FORMAT, "resultOrder", order={"id": 1}, resultOrder={"id": 1}
    ),
    "an unknown technique": _case(
        "orders/combine", INPUT, "technique", order={"id": 1}, resultOrder={"id": 2}, technique="x"
    ),
    "a customer combined with nobody": _case(
        "customers/combine", FORMAT, "customers", resultCustomer={"id": 5}, customers=[]
    ),
    "a sex that is none": _case(
        "customers/create", FORMAT, "sex", site="main", customer={"sex": "x"}
    ),
    "a phone without a number": _case(
        "customers/create", FORMAT, "phones[0].number", site="main", customer={"phones": [{}]}
    ),
    "a payment of no order": _case(
        "orders/payments/create", FORMAT, "order", payment={"type": "cash", "order": {}}
    ),
    "a task for nobody": _case("tasks/create", FORMAT, "performerId", task={"text": "x"}),
    "a cost of nothing": _case("costs/create", FORMAT, "summ", cost={}),
    "a link of one": _case("orders/links/create", FORMAT, "orders", link={"orders": [{"id": 1}]}),
    "a status without a group": _case(
        "reference/statuses/x/edit", FORMAT, "group", status={"name": "x"}
    ),
    "an unknown method": ("explode/create", form(order={}), 404, "Method not found", None),
    "a method that is read": ("orders", form(order={}), 405, "Method Not Allowed", None),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_a_wrong_form_is_refused_by_field_and_changes_nothing(
    sandbox: Sandbox, account: Account, url: str, name: str
) -> None:
    """The API's kind of error: success false, a text, the field; and the state as it was."""
    path, body, status, message, field = MALFORMED[name]
    before = state(sandbox)
    headers = {"X-API-KEY": account.key, "Content-Type": FORM}
    answer = httpx.post(f"{url}/{path}", content=body, headers=headers)
    told = answer.json()
    assert (answer.status_code, told["success"], told["errorMsg"]) == (status, False, message)
    assert field is None or field in told["errors"]
    assert state(sandbox) == before


@pytest.mark.parametrize(
    "kind", ["application/json", "text/plain", "multipart/form-data; boundary=x"]
)
def test_a_body_that_is_no_form_holds_no_parameter(
    sandbox: Sandbox, account: Account, url: str, kind: str
) -> None:
    """The parameter is missing, whatever the body says."""
    before = state(sandbox)
    body = orjson.dumps({"site": "main", "order": {"firstName": "Ana"}})
    headers = {"X-API-KEY": account.key, "Content-Type": kind}
    answer = httpx.post(f"{url}/orders/create", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["errorMsg"] == "Parameter 'order' is missing"
    assert state(sandbox) == before


def test_a_form_that_breaks_off_is_no_form(sandbox: Sandbox, account: Account, url: str) -> None:
    """A client that leaves in the middle has written nothing, though what came could be read."""
    before = state(sandbox)
    whole, part = form(site="main", order={}, more="x" * 99), form(site="main", order={})
    host, port = url.removeprefix("http://").removesuffix("/api/v5").split(":")
    head = (
        f"POST /api/v5/orders/create HTTP/1.1\r\nHost: {host}\r\nX-API-KEY: {account.key}\r\n"
        f"Content-Type: {FORM}\r\nContent-Length: {len(whole)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as client:
        client.sendall(head.encode() + part)
        client.shutdown(socket.SHUT_WR)
        while client.recv(1000):
            pass
    assert httpx.get(f"{url}/orders", headers={"X-API-KEY": account.key}).status_code == 200
    assert state(sandbox) == before


def test_the_key_may_be_a_parameter_of_the_form(
    sandbox: Sandbox, account: Account, url: str
) -> None:
    """No log holds it; a wrong or missing one is refused as in a GET."""
    fields = {"apiKey": account.key, "site": "main", "order": "{}"}
    assert httpx.post(f"{url}/orders/create", data=fields).status_code == 201
    assert account.key not in httpx.get(url.replace("/api/v5", "/oracle/requests")).text
    wrong = httpx.post(f"{url}/orders/create", data={**fields, "apiKey": "x"})
    assert (wrong.status_code, wrong.json()["errorMsg"]) == (403, 'Wrong "apiKey" value.')
    missing = httpx.post(f"{url}/orders/create", data={"order": "{}"})
    assert (missing.status_code, missing.json()["errorMsg"]) == (403, '"apiKey" is missing.')


def test_writes_count_into_the_same_rate(sandbox: Sandbox, account: Account, url: str) -> None:
    """Above it 503, and nothing is written."""
    headers = {"X-API-KEY": account.key}
    before = len(account.ids("orders"))
    sandbox.knobs.turn(rate=10)
    try:
        fields = {"site": "main", "order": "{}"}
        with httpx.Client(headers=headers) as client:
            codes = [
                client.post(f"{url}/orders/create", data=fields).status_code for _ in range(30)
            ]
    finally:
        sandbox.knobs.turn(rate=Knobs().rate)
    assert codes.count(503) > 0
    assert len(account.ids("orders")) - before == codes.count(201)


def test_a_file_is_a_body_of_any_type(account: Account, url: str) -> None:
    """As the PHP client sends one."""
    headers = {"X-API-KEY": account.key, "Content-Type": "application/pdf"}
    answer = httpx.post(f"{url}/files/upload", content=b"%PDF-1.4 " * 10, headers=headers)
    file = account.read("files", answer.json()["file"]["id"])
    assert (file["size"], file["type"]) == (90, "application/pdf")


def test_the_official_client_writes_unchanged(account: Account, url: str) -> None:
    """Its own encoding, its own paths; what it wrote it can read."""
    retailcrm = pytest.importorskip("retailcrm", reason="the official client is not installed")
    client = retailcrm.v5(url.removesuffix("/api/v5"), account.key)

    def said(response: Any) -> Any:
        assert response.is_successful(), response.get_response()
        return response.get_response()

    person = {"externalId": "py", "firstName": "Ana", "email": "ana@example.com"}
    customer = said(client.customer_create(person, "main"))["id"]
    said(client.customer_edit({"externalId": "py", "lastName": "Ñoño"}, "externalId", "main"))
    assert said(client.customer(customer, "id"))["customer"]["lastName"] == "Ñoño"
    order = {"externalId": "py1", "customer": {"externalId": "py"}, "customerComment": "ñ & =",
             "items": [{"offer": {"externalId": "1#0"}, "quantity": 2}]}  # fmt: skip
    made = said(client.order_create(order, "main"))["id"]
    said(client.order_edit({"externalId": "py1", "status": "complete"}, "externalId", "main"))
    payment = {"order": {"id": made}, "type": "cash", "amount": 5, "externalId": "pay"}
    paid = said(client.order_payment_create(payment))["id"]
    said(client.order_payment_edit({"id": paid, "status": "paid"}, "id"))
    said(client.order_payment_delete(paid))
    assert said(client.orders_upload([{"externalId": "py2"}], "main"))["uploadedOrders"]
    said(client.orders_combine({"id": made}, {"id": account.ids("orders")[-1]}, "ours"))
    said(client.customers_fix_external_ids([{"id": customer, "externalId": "py-fixed"}], "main"))
    said(client.customer_note_create({"text": "hi", "customer": {"id": customer}}))
    said(client.task_create({"text": "Call", "performerId": 1}))
    said(client.cost_create({"dateFrom": "2026-01-01", "dateTo": "2026-01-01", "summ": 5,
                             "costItem": "ads"}))  # fmt: skip
    firm = said(client.customer_corporate_create({"nickName": "F", "externalId": "f"}, "main"))
    said(client.customer_corporate_edit({"id": firm["id"], "vip": True}, "id"))
    said(client.customer_corporate_addresses_create(
        {"externalId": "f", "name": "A"}, "externalId", "main"))  # fmt: skip
    said(client.statuses_edit({"code": "lost", "name": "Lost", "group": "cancel"}))
    said(client.price_types_edit({"code": "vip", "name": "VIP"}))
    said(client.units_edit({"code": "kg", "name": "Kilo", "sym": "kg"}))
    said(
        client.inventories_upload(
            [{"externalId": "1#0", "stores": [{"code": "main-store", "available": 3}]}], "main"
        )
    )
    said(client.user_status(1, "busy"))
    assert said(client.order(made + 1, "id"))["order"]["externalId"] == "py2"
    refused = client.order_create({"status": "none"}, "main")
    assert refused.get_error_msg() == "Order is not loaded"
    assert refused.get_errors() == {"status": "Status with code=none not found."}
