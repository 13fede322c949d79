"""An account that wants the key, or wants us to ask somebody else."""

from __future__ import annotations

import re
from urllib.parse import quote

import httpx
import pytest

from sync.crm import check_url
from sync.errors import BadRequest, SyncError
from tests.unit.test_client import ACCOUNT, KEY, client_of

ELSEWHERE = (
    "https://evil.example.com/api/v5/orders",
    "http://169.254.169.254/latest/meta-data/",
    "http://127.0.0.1:5432/",
    "//evil.example.com/",
    "https://demo.retailcrm.ru.evil.example.com/",
    "file:///etc/passwd",
    "https://demo.retailcrm.ru/api/v5/users",
)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308, 401, 407, 201, 200, 421])
def test_no_answer_sends_the_key_elsewhere(status: int) -> None:
    """Whatever names another address: a redirect, a refresh, a link, a proxy, an alternative."""
    for address in ELSEWHERE:
        asked: list[str] = []

        def handler(
            request: httpx.Request, asked: list[str] = asked, address: str = address
        ) -> httpx.Response:
            asked.append(str(request.url))
            headers = {
                "Location": address,
                "Refresh": f"0; url={address}",
                "Content-Location": address,
                "Link": f"<{address}>; rel=next",
                "Alt-Svc": 'h2="evil.example.com:443"',
                "WWW-Authenticate": f'Basic realm="{address}"',
                "Proxy-Authenticate": "Basic",
            }
            return httpx.Response(status, headers=headers, content=b'{"success": true}')

        told = ""
        with client_of(handler) as client:
            try:
                client.send(client.prepare(ACCOUNT, "orders"))
            except SyncError as error:
                told = str(error)
        assert KEY not in told
        assert [url.partition("?")[0] for url in asked] == [f"{ACCOUNT.url}/api/v5/orders"]


@pytest.mark.parametrize(
    "path",
    [
        "../../admin", "orders/../../../x", "//evil.example.com/api", "https://evil.example.com/",
        "orders?apiKey=x", "orders#x", "orders\r\nX-Evil: 1", "orders/\x00",
        "%2e%2e/%2e%2e/admin", "@evil.example.com/", "\\\\evil.example.com\\x",
    ],
)  # fmt: skip
def test_a_code_of_the_account_makes_no_other_path(path: str) -> None:
    """Codes that an account tells become parts of paths: none leads out of the API's methods."""
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, content=b'{"success": true}')

    with client_of(handler) as client:
        try:
            client.send(client.prepare(ACCOUNT, f"orders/{quote(path, safe='')}/x"))  # as parent.py
        except (SyncError, ValueError):
            return
    for request in asked:
        assert request.url.host == "demo.retailcrm.ru"
        raw = request.url.raw_path.decode()
        assert re.fullmatch(r"/api/v5/orders/[^/?#]+/x", raw)
        assert not re.search(r"/(\.|%2e){1,2}/", raw, re.IGNORECASE)
        assert "x-evil" not in request.headers


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254", "metadata.google.internal", "10.0.0.1", "192.168.1.1", "[fe80::1]",
        "localhost.localdomain", "0", "127.0.0.1.nip.io", "[::ffff:10.0.0.1]", "postgres", "redis",
        "017700000001", "0x7f000001", "demo.retailcrm.ru.", "retailcrm.ru.internal",
    ],
)  # fmt: skip
def test_an_account_is_no_door_to_the_inside(host: str) -> None:
    """Neither by a name, nor by an address in any spelling: over https the certificate would have
    to be RetailCRM's besides, so a name that points elsewhere tomorrow gains nothing."""
    for scheme in ("https", "http"):
        with pytest.raises(BadRequest):
            check_url(f"{scheme}://{host}")
