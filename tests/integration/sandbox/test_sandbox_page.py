"""The sandbox for people: its page, its switches, its first lines, its command."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from sync.sandbox import Sandbox, running


@pytest.fixture
def sandbox() -> Sandbox:
    made = Sandbox(seed=7)
    made.account("demo", orders=20, customers=10, products=3)
    return made


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with running(sandbox) as url, httpx.Client(base_url=url, timeout=20) as made:
        yield made


def test_the_page_shows_accounts_and_the_last_requests_with_their_answers(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    """What came from a client is shown as text, never as a part of the page."""
    account = sandbox.accounts["demo"]
    headers = {"X-API-KEY": account.key}
    form = {"site": "main", "order": '{"firstName": "<script>alert(1)</script>"}'}
    assert client.post("/api/v5/orders/create", data=form, headers=headers).status_code == 201
    client.post("/api/v5/orders/create", data={"order": "{}"}, headers=headers)
    text = client.get("/").text
    assert account.key in text
    assert "21 orders" in text
    assert "POST <code>/api/v5/orders/create</code>" in text
    assert "Parameter &#x27;site&#x27; is missing" in text
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_switches_are_turned_by_a_form(sandbox: Sandbox, client: httpx.Client) -> None:
    """All or none of them; a value that is no number is told."""
    form = {"rate": "5", "latency_ms": "10, 30", "entry_delay_share": "0.5",
            "entry_delay_seconds": "2", "list_lag_seconds": "1", "fault_share": "0.1",
            "fault_kind": "503"}  # fmt: skip
    answer = client.post("/page/switches", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    knobs = sandbox.knobs
    assert (knobs.rate, knobs.latency_ms, knobs.fault_share) == (5, (10, 30), {"503": 0.1})
    assert (knobs.entry_delay_share, knobs.entry_delay_seconds) == (0.5, (2, 2))
    text = client.get("/").text
    assert "value='10, 30'" in text
    assert "<option selected>503" in text
    wrong = client.post("/page/switches", data={"rate": "7", "list_lag_seconds": "soon"})
    assert (wrong.status_code, "is no number" in wrong.text) == (400, True)
    assert client.post("/page/switches", data={"fault_share": "2"}).status_code == 400
    assert knobs.rate == 5


def test_another_site_cannot_turn_the_switches(sandbox: Sandbox, client: httpx.Client) -> None:
    """A form of a page elsewhere, sent by the browser of somebody here."""
    answer = client.post(
        "/page/switches", data={"rate": "5"}, headers={"Origin": "https://elsewhere.example"}
    )
    assert answer.status_code == 403
    assert sandbox.knobs.rate == 0


def test_the_command_prints_the_address_the_keys_and_what_to_try() -> None:
    """And the key that may only read does only that."""
    command = [
        sys.executable, "-m", "celery", "-A", "sync", "mirror", "sandbox", "--port", "0",
        "--accounts", "shop", "--orders", "10", "--customers", "5", "--faults", "500=0",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(8)]
            url = lines[0].split()[-1]
            found = re.search(r"shop  key (\w+)  .* to read only: (\w+)", lines[1])
            assert found is not None
            assert [line.split()[0] for line in lines[3:8]] == [
                "See", "Read", "Write", "Python", "Mirror",
            ]  # fmt: skip
            form = {"site": "main", "order": "{}"}
            codes = [
                httpx.post(f"{url}/api/v5/orders/create", data=form, headers={"X-API-KEY": key})
                for key in found.groups()
            ]
            assert [answer.status_code for answer in codes] == [201, 403]
            if shutil.which("curl"):
                curl = shlex.split(lines[5].split(maxsplit=1)[1])
                done = subprocess.run(curl, capture_output=True, text=True, check=True)
                assert '"success":true' in done.stdout
        finally:
            process.terminate()
            process.wait(10)
