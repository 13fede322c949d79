"""The official client reads the sandbox unchanged; the sandbox runs as a process of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import retailcrm

from sync.sandbox import Sandbox, demo_key, running, spawn


@pytest.fixture
def sandbox() -> Sandbox:
    made = Sandbox(seed=7)
    made.account("demo", orders=130, customers=60)
    return made


@pytest.fixture
def official(sandbox: Sandbox) -> Iterator[Any]:
    with running(sandbox) as url:
        yield retailcrm.v5(url, sandbox.accounts["demo"].key)


def test_the_official_client_walks_orders_and_customers(sandbox: Sandbox, official: Any) -> None:
    """Its own paging, its own encoding of filters."""
    for name in ("orders", "customers"):
        found: set[int] = set()
        page, last = 1, 1
        while page <= last:
            answer = getattr(official, name)(limit=20, page=page).get_response()
            assert answer["success"]
            found |= {row["id"] for row in answer[name]}
            last = answer["pagination"]["totalPageCount"]
            page += 1
        assert found == set(sandbox.accounts["demo"].collections[name].truth.live)


def test_the_official_client_filters(sandbox: Sandbox, official: Any) -> None:
    """`filter[ids][]` and dates, as it writes them."""
    some = sorted(sandbox.accounts["demo"].collections["orders"].truth.live)[:5]
    answer = official.orders({"ids": some}).get_response()
    assert sorted(o["id"] for o in answer["orders"]) == some
    day = answer["orders"][0]["createdAt"][:10]
    answer = official.orders({"createdAtFrom": day, "createdAtTo": day}).get_response()
    assert {o["createdAt"][:10] for o in answer["orders"]} == {day}


def test_the_official_client_follows_both_histories(sandbox: Sandbox, official: Any) -> None:
    """It always sends page=1 beside sinceId; the sandbox lets that through by default."""
    for name in ("orders", "customers"):
        entries, since = 0, 0
        while True:
            method = getattr(official, f"{name}_history")
            answer = method({"sinceId": since}, limit=100).get_response()
            if not answer["history"]:
                break
            entries += len(answer["history"])
            since = answer["history"][-1]["id"]
        assert entries == len(sandbox.accounts["demo"].histories[name].entries)


def test_the_official_client_reads_single_objects_and_dictionaries(
    sandbox: Sandbox, official: Any
) -> None:
    """By id and by externalId; and it understands a refusal."""
    live = sandbox.accounts["demo"].collections["orders"].truth.live.values()
    record = next(r for r in live if r.external)
    assert official.order(record.id, "id").get_response()["order"]["id"] == record.id
    found = official.order(record.external, site=record.site).get_response()
    assert found["order"]["id"] == record.id
    assert official.statuses().get_response()["statuses"]["new"]["code"] == "new"
    refused = official.orders(limit=30)
    assert not refused.is_successful()
    assert refused.get_error_msg() == "Errors in the pagination parameters"


def test_the_process_says_where_it_listens_and_answers_there() -> None:
    """One JSON line with the URL and a key per account; two accounts in two zones by default."""
    with spawn("--seed", "5", "--orders", "200", "--customers", "60") as told:
        assert told.keys == {n: demo_key(5, n) for n in ("demo", "tienda")}
        zones = set()
        for key in told.keys.values():
            answer = httpx.get(f"{told.url}/api/v5/settings", headers={"X-API-KEY": key})
            zones.add(answer.json()["settings"]["timezone"]["value"])
        assert zones == {"Europe/Moscow", "Europe/Madrid"}
    assert told.process.returncode is not None


def test_accounts_can_be_named_on_the_command_line() -> None:
    """NAME:ZONE:ORDERS:CUSTOMERS:KEY, repeatable, and any knob as JSON."""
    with spawn(
        "--account", "uno:America/Mexico_City:40:10:secret", "--account", "dos",
        "--knobs", '{"beyond_end": "404"}',
    ) as told:  # fmt: skip
        assert (told.accounts[0]["currency"], told.keys["uno"]) == ("MXN", "secret")
        path = f"{told.url}/api/v5/orders?page=9"
        assert httpx.get(path, headers={"X-API-KEY": "secret"}).status_code == 404


def test_sigterm_ends_it_at_once_and_cleanly() -> None:
    """Also while a client keeps its connection open and churn is under way."""
    command = [
        sys.executable,
        "-m",
        "sync.sandbox",
        "--port",
        "0",
        "--orders",
        "50",
        "--churn",
        "50",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        found = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", first)
        assert found is not None
        key = process.stdout.readline().split()[2]
        with httpx.Client(headers={"X-API-KEY": key}) as client:
            assert client.get(f"{found[1]}/api/v5/orders").status_code == 200
            asked = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
            assert time.monotonic() - asked < 3
