"""The sandbox over HTTP: limits and faults as a client meets them, the oracle, the controls."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import orjson
import pytest

from sync.sandbox import Sandbox, running
from sync.sandbox.app import App


@pytest.fixture
def sandbox() -> Sandbox:
    made = Sandbox(seed=7)
    made.account("demo", orders=260, customers=80)
    made.account("tienda", zone="Europe/Madrid", orders=30, customers=10)
    return made


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    key = sandbox.accounts["demo"].key
    with (
        running(sandbox) as url,
        httpx.Client(base_url=url, headers={"X-API-KEY": key}, timeout=20) as made,
    ):
        yield made


def walk(client: httpx.Client, collection: str) -> dict[int, object]:
    found: dict[int, object] = {}
    page = 1
    while True:
        path = f"/api/v5/{collection}"
        body = client.get(path, params={"limit": 100, "page": page}).json()
        if not body[collection]:
            return found
        found |= {row["id"]: row for row in body[collection]}
        page += 1


def test_the_key_travels_in_the_header_or_the_query(sandbox: Sandbox, client: httpx.Client) -> None:
    """And several accounts live on one server, told apart by it; no log holds it."""
    other = sandbox.accounts["tienda"].key
    assert client.get("/api/v5/orders").json()["pagination"]["totalCount"] == 260
    bare = httpx.get(f"{client.base_url}/api/v5/orders", params={"apiKey": other})
    assert bare.json()["pagination"]["totalCount"] == 30
    assert other not in client.get("/oracle/requests").text
    missing = httpx.get(f"{client.base_url}/api/v5/orders")
    assert (missing.status_code, missing.json()["errorMsg"]) == (403, '"apiKey" is missing.')
    assert client.post("/api/v5/orders").status_code == 405


@pytest.mark.parametrize("collection", ["orders", "customers"])
def test_in_quiet_the_oracle_and_a_full_walk_agree(client: httpx.Client, collection: str) -> None:
    """What the judge calls true is what a reader can read, byte for byte."""
    client.post("/control/churn/many", json={"saves": 400})
    read = walk(client, collection)
    lines = client.get(f"/oracle/demo/{collection}").text.splitlines()
    true = {row["id"]: row for row in map(orjson.loads, lines)}
    assert read == true
    assert client.get(f"/oracle/demo/{collection}/ids").json()["ids"] == sorted(read)
    gone = client.get(f"/oracle/demo/{collection}/deleted").json()
    assert gone
    assert not {row["id"] for row in gone} & set(read)


def test_the_steady_oracle_leaves_out_what_changes_unannounced(client: httpx.Client) -> None:
    """No aggregates, and of an order's customer only who it is."""
    client.post("/control/demo/create_order", json={})
    line = client.get("/oracle/demo/orders", params={"steady": 1}).text.splitlines()[0]
    order = orjson.loads(line)
    assert set(order.get("customer", {})) <= {"type", "id"}
    assert "totalSumm" in order
    customer = orjson.loads(client.get("/oracle/demo/customers?steady=1").text.splitlines()[0])
    assert "ordersCount" not in customer
    assert "email" in customer


def test_above_the_rate_the_answer_is_503_and_the_log_counts_it(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    """One window per client, all accounts together; oracle and controls are free."""
    client.post("/control/knobs", json={"rate": 10, "retry_after": 1})
    other = {"X-API-KEY": sandbox.accounts["tienda"].key}
    answers = [client.get("/api/credentials", headers=other if n % 2 else None) for n in range(30)]
    refused = [a for a in answers if a.status_code == 503]
    assert refused
    assert refused[0].json() == {"success": False, "errorMsg": "Rate limit exceeded"}
    assert refused[0].headers["retry-after"] == "1"
    log = client.get("/oracle/requests").json()
    assert (log["count"], log["refused"]) == (30, len(refused))
    assert log["busiest_second"] > 10
    assert client.get("/oracle/requests", params={"account": "tienda"}).json()["count"] == 15
    client.post("/control/reset_log")
    assert client.get("/oracle/requests").json()["count"] == 0


def test_telephony_has_a_bucket_of_its_own(client: httpx.Client) -> None:
    """40 a second there, and nothing taken from the 10."""
    client.post("/control/knobs", json={"rate": 10, "telephony_rate": 40})
    path = "/api/v5/telephony/manager"
    assert [client.get(path).status_code for _ in range(20)] == [200] * 20
    assert client.get("/api/credentials").status_code == 200


@pytest.mark.parametrize(
    ("kind", "status"), [("500", 500), ("502", 502), ("503", 503), ("html", 200), ("cut", 200)]
)
def test_a_one_shot_fault_strikes_the_nth_matching_request(
    client: httpx.Client, kind: str, status: int
) -> None:
    """The second page of orders, once; then all is well again."""
    shot = {"kind": kind, "path": "/api/v5/orders", "containing": "page=2"}
    client.post("/control/faults", json=shot)
    assert client.get("/api/v5/orders?page=1").json()["success"]
    answer = client.get("/api/v5/orders?page=2")
    assert answer.status_code == status
    if kind in ("html", "cut", "502"):
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(answer.content)
    assert client.get("/api/v5/orders?page=2").json()["success"]
    assert client.get("/oracle/requests").json()["faults"] == {kind: 1}


@pytest.mark.parametrize("kind", ["reset", "short"])
def test_a_connection_can_end_under_the_answer(client: httpx.Client, kind: str) -> None:
    """Before the first byte, or in the middle of the body."""
    client.post("/control/faults", json={"kind": kind})
    with pytest.raises(httpx.TransportError):
        client.get("/api/v5/orders")
    assert client.get("/api/v5/orders").json()["success"]


def test_faults_can_come_by_share(client: httpx.Client) -> None:
    """About as often as asked."""
    client.post("/control/knobs", json={"fault_share": {"500": 0.2, "502": 0.2}})
    codes = [client.get("/api/credentials").status_code for _ in range(200)]
    assert 20 <= codes.count(500) <= 60
    assert 20 <= codes.count(502) <= 60


def test_faults_by_share_can_be_those_of_some_accounts(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    """One answer in forty is broken there, and none elsewhere."""
    client.post("/control/knobs", json={"fault_share": {"500": 0.025}, "fault_accounts": ["de*"]})
    codes = [client.get("/api/credentials").status_code for _ in range(400)]
    assert 2 <= codes.count(500) <= 25
    other = {"X-API-KEY": sandbox.accounts["tienda"].key}
    codes = [client.get("/api/credentials", headers=other).status_code for _ in range(100)]
    assert codes.count(500) == 0


def test_the_timeline_is_told_by_line_from_a_number_on(client: httpx.Client) -> None:
    """Only with its knob, and only of what is kept."""
    path = "/oracle/demo/orders/timeline"
    assert client.get(path).status_code == 404
    client.post("/control/knobs", json={"timeline": True})
    first = [orjson.loads(line) for line in client.get(path).text.splitlines()]
    assert len(first) == 260
    made = client.post("/control/demo/create_order", json={"number": "N1"}).json()["result"]
    asked = time.time()
    [line] = client.get(path, params={"since": 260}).text.splitlines()
    told = orjson.loads(line)
    assert (told["n"], told["id"], told["content"]["number"]) == (261, made, "N1")
    assert first[0]["at"] < told["at"] < asked
    assert client.get("/oracle/demo/costs/timeline").status_code == 404
    newest = client.get("/oracle/demo").json()["history"]["orders"]
    [entry] = client.get(f"/oracle/demo/moments/orders?since={newest - 1}").text.splitlines()
    moments = orjson.loads(entry)
    assert (moments["id"], moments["owner"]) == (newest, made)
    assert moments["at"] == moments["seen_at"] == told["at"]


def test_an_account_is_backed_up_and_restored_by_hand(client: httpx.Client) -> None:
    """And two thousand orders are edited in one transaction."""
    client.post("/control/demo/back_up")
    edited = client.post("/control/demo/import_orders", json={"count": 100, "commit_seconds": 60})
    assert len(edited.json()["result"]) == 100
    assert client.get("/oracle/demo").json()["pending"] >= 100
    restored = client.post("/control/demo/restore", json={}).json()["result"]
    assert restored == 100
    assert client.get("/oracle/demo").json()["pending"] == 0


def test_churn_stops_when_asked_and_tells_what_it_did(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    """After the answer nothing moves any more; its counts are all the saves there were."""
    before = sandbox.accounts["demo"].histories["orders"].newest_id(sandbox.clock.now())
    client.post("/control/churn/start", json={"per_second": 400, "accounts": ["demo"]})
    while sandbox.accounts["demo"].histories["orders"].newest_id(sandbox.clock.now()) < before + 50:
        client.get("/api/v5/orders")
    counts = client.post("/control/churn/stop").json()["counts"]
    assert counts["update_order"] > 0
    after = client.get("/oracle/demo").json()
    assert client.get("/oracle/demo").json()["history"] == after["history"]
    assert after["pending"] == 0
    assert client.get("/oracle/tienda").json()["counts"]["orders"] == 30


def test_a_frozen_clock_moves_only_by_hand(client: httpx.Client) -> None:
    """Lags and commits are tested without waiting."""
    frozen = client.post("/control/clock", json={"freeze": True}).json()["now"]
    client.post("/control/knobs", json={"list_lag_seconds": 30})
    made = client.post("/control/demo/create_order", json={"number": "N1"}).json()["result"]
    path = f"/api/v5/orders?filter[ids][]={made}"
    assert client.get(path).json()["orders"] == []
    assert client.get("/oracle/demo").json()["pending"] > 0
    assert client.post("/control/clock", json={"advance": 31}).json()["now"] == frozen + 31
    assert client.get(path).json()["orders"][0]["number"] == "N1"


def test_a_control_used_wrongly_says_why(client: httpx.Client) -> None:
    """A misspelt knob, mutation or argument is never silently nothing."""
    assert "no knob" in client.post("/control/knobs", json={"x": 1}).json()["error"]
    assert client.post("/control/demo/explode", json={}).status_code == 404
    assert client.post("/control/demo/delete_order", json={"order_id": 10**9}).status_code == 404
    assert client.post("/control/demo/delete_order", json={"id": 1}).status_code == 400
    assert client.post("/control/faults", json={"kind": "fire"}).status_code == 400
    assert client.get("/oracle/nobody").status_code == 404


def test_an_account_can_be_added_while_the_server_runs(client: httpx.Client) -> None:
    """Its key works at once."""
    told = client.post("/control/accounts", json={"name": "late", "orders": 20}).json()
    answer = client.get("/api/v5/orders", headers={"X-API-KEY": told["key"]}).json()
    assert answer["pagination"]["totalCount"] == 20
    assert client.post("/control/accounts", json={"name": "late"}).status_code == 400


def test_a_test_may_change_an_account_while_others_read_it(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    """Requests and direct mutations share one lock: a page is never torn."""
    account = sandbox.accounts["demo"]
    failed: list[object] = []

    def read() -> None:
        for _ in range(60):
            answer = client.get("/api/v5/orders?limit=100")
            if answer.status_code != 200 or len(answer.json()["orders"]) != 100:
                failed.append(answer.text)

    reader = threading.Thread(target=read)
    reader.start()
    while reader.is_alive():
        account.delete_order(account.create_order())
    reader.join()
    assert not failed


def test_oracle_and_controls_are_for_this_machine_only(sandbox: Sandbox) -> None:
    """Whoever reaches the API from elsewhere does not reach the levers."""

    async def status(path: str, host: str) -> int:
        app = App(sandbox)
        transport = httpx.ASGITransport(app=app, client=(host, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as made:
            answer = await made.get(path, headers={"X-API-KEY": sandbox.accounts["demo"].key})
            return answer.status_code

    # In a thread: a browser test of the same process may keep its own loop open in this one.
    with ThreadPoolExecutor(1) as thread:

        def asked(path: str, host: str) -> int:
            return thread.submit(asyncio.run, status(path, host)).result()

        assert asked("/oracle/demo", "192.0.2.7") == 403
        assert asked("/control/knobs", "192.0.2.7") == 403
        assert asked("/api/v5/orders", "192.0.2.7") == 200
        assert asked("/oracle/demo", "127.0.0.1") == 200


def test_a_request_is_judged_and_logged_when_it_arrives(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    """A network that holds requests back delays their arrival, not their answer."""
    client.post("/control/knobs", json={"jitter_ms": [60, 60]})
    asked = time.time()
    assert client.get("/api/v5/orders").status_code == 200
    assert sandbox.log.matching(path="/orders")[-1].time - asked >= 0.06


def test_a_slow_answer_shows_a_moment_between_asking_and_hearing(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    """Latency delays the answer, and the log dates it by its arrival."""
    client.post("/control/knobs", json={"latency_ms": [30, 40]})
    asked = time.monotonic()
    assert client.get("/api/v5/orders").status_code == 200
    assert time.monotonic() - asked >= 0.03
    assert sandbox.truth("demo", "orders")[0] == client.get("/api/v5/orders").json()["orders"][0]
