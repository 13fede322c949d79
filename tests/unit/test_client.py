"""The client: every answer has its meaning, and the key is seen by nobody."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from sync.crm import Account, CrmClient
from sync.errors import (
    BadRequest,
    Forbidden,
    HtmlAnswer,
    NeedsOperator,
    NoSuchAccount,
    NotFound,
    OverLimit,
    Refused,
    SyncError,
    TooSlow,
    TryLater,
    UnexpectedData,
)

KEY = "Zk3yQ9secretW7"
ACCOUNT = Account("https://demo.retailcrm.ru", KEY)

Handler = Callable[[httpx.Request], httpx.Response]


def client_of(handler: Handler, **more: Any) -> CrmClient:
    return CrmClient(transport=httpx.MockTransport(handler), **more)


def get(handler: Handler, **more: Any) -> Any:
    with client_of(handler, **more) as client:
        return client.send(client.prepare(ACCOUNT, "orders", {"filter": {"ids": [17]}}))


def answering(status: int, body: bytes, **headers: str) -> Handler:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: httpx.Response(status, content=body, headers=sent)


def failing(error: Exception) -> Handler:
    def handler(_: httpx.Request) -> httpx.Response:
        raise error

    return handler


NO = b'{"success": false, "errorMsg": "\xd0\xbd\xd0\xb5\xd1\x82", "errors": {"name": "bad"}}'
HTML = b"\xef\xbb\xbf\n <html><body>405 Not Allowed</body></html>"


# The table of answers


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (failing(httpx.ConnectTimeout("")), TryLater),
        (failing(httpx.ReadTimeout("")), TooSlow),
        (failing(httpx.PoolTimeout("")), TryLater),
        (failing(httpx.ConnectError("[Errno -2] Name or service not known")), TryLater),
        (failing(httpx.ReadError("reset")), TryLater),
        (failing(httpx.RemoteProtocolError("peer closed")), TryLater),
        (answering(200, b'{"success": true, "orders": [{"id"'), TryLater),
        (answering(200, b""), TryLater),
        (answering(500, NO), TryLater),
        (answering(502, b"bad gateway"), TryLater),
        (answering(504, b""), TryLater),
        (answering(408, NO), TryLater),
        (answering(503, NO), OverLimit),
        (answering(503, HTML), OverLimit),
        (answering(429, b""), OverLimit),
        (answering(200, HTML), HtmlAnswer),
        (answering(404, HTML), HtmlAnswer),
        (answering(405, HTML), HtmlAnswer),
        (answering(502, HTML), TryLater),
        (answering(401, NO), Forbidden),
        (answering(403, NO), Forbidden),
        (answering(403, b"no"), Forbidden),
        (answering(400, NO), Refused),
        (answering(405, NO), Refused),
        (answering(413, b"too large"), Refused),
        (answering(404, NO), NotFound),
        (answering(301, b"", location="https://retailcrm.ru/"), NoSuchAccount),
        (answering(302, HTML, location="https://retailcrm.ru/"), NoSuchAccount),
        (answering(200, NO), UnexpectedData),
        (answering(200, b'{"orders": []}'), UnexpectedData),
        (answering(200, b'{"success": 1}'), UnexpectedData),
        (answering(200, b"[]"), UnexpectedData),
        (answering(200, b"null"), UnexpectedData),
    ],
)
def test_each_answer_is_the_error_named_by_the_next_move(
    handler: Handler, kind: type[SyncError]
) -> None:
    with pytest.raises(SyncError) as caught:
        get(handler)
    assert type(caught.value) is kind
    assert "demo.retailcrm.ru" in str(caught.value) or isinstance(caught.value, Refused)
    assert "17" not in str(caught.value)  # the query stays out of messages


def test_a_success_carries_data_body_and_status() -> None:
    body = b'{"success": true, "orders": []}'
    answer = get(answering(200, body))
    assert (answer.data, answer.body, answer.status) == (json.loads(body), body, 200)
    assert answer.elapsed >= 0


def test_one_call_is_one_attempt() -> None:
    calls = []

    def handler(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(502)

    with pytest.raises(TryLater):
        get(handler)
    assert len(calls) == 1


def test_a_refusal_keeps_the_apis_words_and_errors() -> None:
    with pytest.raises(Refused) as caught:
        get(answering(400, NO))
    assert caught.value.status == 400
    assert caught.value.message == "нет"
    assert caught.value.errors == {"name": "bad"}
    assert caught.value.body == NO


@pytest.mark.parametrize(
    ("combined", "expected"),
    [({"id": 71, "site": "s"}, 71), ({"id": "71"}, 71), (71, 71), ([], None), ({"id": True}, None),
     ({"id": 2**63}, None), ("9999999999999999999", None), (0, None)],
)  # fmt: skip
def test_a_404_names_the_surviving_record(combined: object, expected: int | None) -> None:
    body = {"success": False, "errorMsg": "Not found", "combinedTo": combined}
    with pytest.raises(NotFound) as caught:
        get(answering(404, json.dumps(body).encode()))
    assert caught.value.combined_to == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("1e9", None),
        ("", None),
        ("7200", 3_600.0),
        ("99999999999", 3_600.0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 3_600.0),
        ("Wed, 21 Oct 2026 07:28:30 +99999999999999999999", None),
        ("9" * 5_000, None),
    ],
    ids=lambda value: str(value)[:32],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    """A date is counted from the answer's own Date: no clock of ours in it. An hour is enough."""
    headers = {"Retry_After": text, "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    with pytest.raises(OverLimit) as caught:
        get(answering(503, b"", **headers))
    assert caught.value.after == seconds


def test_a_huge_body_is_refused_without_being_held() -> None:
    given = []

    def chunks() -> Iterator[bytes]:
        while True:
            given.append(1)
            yield b" " * 1000

    with pytest.raises(UnexpectedData) as caught:
        get(lambda _: httpx.Response(200, content=chunks()), max_body_bytes=10_000)
    assert len(given) <= 12
    assert len(caught.value.body) <= 64 * 1024


def test_redirects_are_not_followed_and_cookies_not_kept() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(
            200, content=b'{"success": true}', headers={"set-cookie": "PHPSESSID=1; Path=/"}
        )

    with client_of(handler) as client:
        for _ in range(2):
            client.send(client.prepare(ACCOUNT, "orders"))
    assert all("cookie" not in request.headers for request in seen)


# The request


def test_parameters_are_nested_as_php_reads_them() -> None:
    with client_of(answering(200, b"")) as client:
        prepared = client.prepare(
            ACCOUNT,
            "orders",
            {
                "filter": {
                    "ids": [1, 2],
                    "createdAtFrom": "2026-01-01",
                    "customFields": {"nps": {"min": 5}},
                    "vip": True,
                    "online": False,
                    "site": None,
                    "customer": "Анна & Co",
                },
                "orders": [{"id": 3}],
                "limit": 100,
            },
        )
    assert parse_qsl(prepared.url.query.decode(), strict_parsing=True) == [
        ("filter[ids][]", "1"),
        ("filter[ids][]", "2"),
        ("filter[createdAtFrom]", "2026-01-01"),
        ("filter[customFields][nps][min]", "5"),
        ("filter[vip]", "1"),
        ("filter[online]", "0"),
        ("filter[customer]", "Анна & Co"),
        ("orders[0][id]", "3"),
        ("limit", "100"),
    ]


@pytest.mark.parametrize("empty", [[], ()])
def test_an_empty_list_is_refused_since_it_would_mean_everything(empty: object) -> None:
    with client_of(answering(200, b"")) as client, pytest.raises(ValueError, match="empty"):
        client.prepare(ACCOUNT, "orders", {"filter": {"ids": empty}})


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("orders", "https://demo.retailcrm.ru/api/v5/orders"),
        ("/orders/history", "https://demo.retailcrm.ru/api/v5/orders/history"),
        ("/api/v5/store/products", "https://demo.retailcrm.ru/api/v5/store/products"),
        ("/api/credentials", "https://demo.retailcrm.ru/api/credentials"),
        ("api/system-info", "https://demo.retailcrm.ru/api/system-info"),
    ],
)
def test_a_path_is_a_method_of_version_5_or_given_in_full(path: str, url: str) -> None:
    with client_of(answering(200, b"")) as client:
        assert str(client.prepare(ACCOUNT, path).url) == url


@pytest.mark.parametrize(
    "path", ["", "../x", "orders?a=1", "orders#x", "a//b", "http://x", "a b", "statistic/update"]
)
def test_a_path_that_is_no_read_is_refused(path: str) -> None:
    with client_of(answering(200, b"")) as client, pytest.raises(ValueError, match=r"path|changes"):
        client.prepare(ACCOUNT, path)


def test_the_key_travels_in_its_header_only() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["x-api-key"] == KEY
        assert KEY not in str(request.url)
        assert request.headers["user-agent"].startswith("retailcrm-mirror/")
        return httpx.Response(200, content=b'{"success": true}')

    get(handler)


# The key


@pytest.mark.parametrize("key", ["", "два", "a b", "a\r\nX: y", "a\x00"])
def test_a_key_no_header_can_hold_is_refused_without_quoting_it(key: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Account("https://demo.retailcrm.ru", key)
    assert not key or key not in str(caught.value)


def test_no_repr_shows_the_key() -> None:
    with client_of(answering(200, b"")) as client:
        prepared = client.prepare(ACCOUNT, "orders")
        for value in (ACCOUNT, prepared, client):
            assert KEY not in f"{value!r}{value!s}"


def frames(traceback: TracebackType | None) -> Iterator[dict[str, Any]]:
    while traceback is not None:
        yield traceback.tb_frame.f_locals
        traceback = traceback.tb_next


class BrokenGate:
    def before(self) -> None:
        raise TryLater("no slot")

    def after(self) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    "handler",
    [
        failing(httpx.ConnectError("refused")),
        failing(ZeroDivisionError("a bug below")),
        answering(403, b'{"success": false, "errorMsg": "key %b"}' % KEY.encode()),
        answering(400, b'{"success": false, "errorMsg": "key %b"}' % KEY.encode()),
        answering(500, KEY.encode()),
        None,
    ],
)
def test_no_error_shows_the_key(handler: Handler | None) -> None:
    """Neither message nor body, nor a variable of any frame: error trackers record those."""
    gate = None if handler else BrokenGate()
    with client_of(handler or answering(200, b"")) as client:
        prepared = client.prepare(ACCOUNT, "orders")
        with pytest.raises((SyncError, ZeroDivisionError)) as caught:
            client.send(prepared, gate=gate)
    error = caught.value
    assert KEY not in "".join(traceback.format_exception(error))
    assert KEY.encode() not in getattr(error, "body", b"")
    assert error.__cause__ is None
    assert error.__context__ is None
    for variables in frames(error.__traceback__):
        assert KEY not in repr({k: v for k, v in variables.items() if k != "handler"})


def test_forbidden_waits_for_the_pipeline_to_say_which() -> None:
    with pytest.raises(NeedsOperator) as caught:
        get(answering(403, NO))
    assert isinstance(caught.value, Forbidden)
    assert caught.value.status == 403
    assert caught.value.body == NO
