"""Whatever comes over the wire is answered or cut, and stops the page for nobody."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import ClassVar
from urllib.parse import urlsplit

import pytest

from sync.embedded.process import wait_until
from sync.web.connections import Bounded
from tests.integration.pipeline.harness import Mirror
from tests.integration.web.conftest import TOKEN, Open, Serve, serving
from tests.integration.web.test_site import csrf_in, name_of

HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"


class Quick(Bounded):
    request_seconds = 0.5
    answer_seconds = 1.0
    made: ClassVar[list[Bounded]] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.made.append(self)
        super().connection_made(transport)


class Few(Bounded):
    most = 20


@contextmanager
def connection(url: str) -> Iterator[socket.socket]:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as made:
        yield made


def to_the_end(made: socket.socket) -> bytes:
    """Read until the other side closes; empty when it was cut without a word."""
    found = b""
    try:
        while part := made.recv(65_536):
            found += part
    except ConnectionResetError:
        pass
    return found


def ask(url: str, request: bytes) -> bytes:
    with connection(url) as made:
        with suppress(ConnectionError):  # it may be cut while it is sent
            made.sendall(request)
        return to_the_end(made)


def whole(line: str, *headers: str, body: bytes = b"") -> bytes:
    """A request that asks for the connection's end."""
    lines = [line, "Host: 127.0.0.1", "Connection: close", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def alive(url: str) -> bool:
    return status_of(ask(url, HEAD + b"Connection: close\r\n\r\n")) == 200


def test_two_hundred_half_sent_requests_stop_the_page_for_nobody(serve_bare: Serve) -> None:
    """Each has sent a piece of its head, or of its form, and nothing more."""
    served = serve_bare()
    began = (HEAD, b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\ntoken=")
    with ExitStack() as stack:
        for number in range(200):
            stack.enter_context(connection(served.url)).sendall(began[number % 2])
        at = time.monotonic()
        with served.client(logged_in=False) as client:
            for path in ("/login", "/static/page.css", "/healthz"):
                assert client.get(path).status_code == 200
            assert client.post("/login", data={"token": TOKEN}).status_code == 303
        assert time.monotonic() - at < 5


def test_a_request_that_does_not_come_to_its_end_is_cut(serve_bare: Serve) -> None:
    """Also when a byte comes now and then, and as the second of a connection."""
    services = serve_bare().services
    with serving(services, http=Quick) as url:
        first = HEAD + b"\r\n"
        for sent in (b"", HEAD, first + HEAD, b"POST /login HTTP/1.1\r\nHost: x\r\n"
                     b"Content-Length: 9000\r\n\r\ntoken="):  # fmt: skip
            began = time.monotonic()
            with connection(url) as made:
                made.sendall(sent)
                to_the_end(made)
            assert time.monotonic() - began < 8, sent


def test_more_connections_than_there_are_places_cut_the_slowest(serve_bare: Serve) -> None:
    """A process may open so many files: whoever comes with a whole request is served."""
    services = serve_bare().services
    with serving(services, http=Few) as url, ExitStack() as stack:
        slow = [stack.enter_context(connection(url)) for _ in range(60)]
        for made in slow:
            made.sendall(HEAD)
        for _ in range(5):
            assert alive(url)
        assert to_the_end(slow[0]) == b""


def test_an_answer_that_nobody_reads_is_cut(serve_bare: Serve) -> None:
    services = serve_bare().services
    Quick.made.clear()
    with serving(services, http=Quick) as url, connection(url) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        page = b"GET /static/page.css HTTP/1.1\r\nHost: x\r\n\r\n"
        with suppress(ConnectionError):
            for _ in range(5_000):  # their answers fill every buffer between us
                made.sendall(page)
        [theirs] = Quick.made
        wait_until(theirs.transport.is_closing, seconds=10, what="answers nobody reads are cut")
        assert alive(url)


ODD_PATHS = (
    "/stores/%00", "/%00", "/static/%00", "/stores/a%00b/retry", "/crawls?store=%00",
    "/rejects?store=x%00", "/rejects?resource=%00", "/unknown?store=%00", "/login?next=%00",
    "/crawls/%00", "/crawls/-1", "/crawls/1e9", "/crawls/" + "9" * 5_000,
    "/crawls/%D9%A1", "/crawls/1.0", "/crawls/18446744073709551616", "/crawls/9223372036854775808",
    "/stores/%ED%A0%80", "/stores/%FF%FE", "/stores/%C0%AE%C0%AE", "/stores/..%2F..%2Fetc%2Fpasswd",
    "/static/../../../../etc/passwd", "/static/..%2f..%2f..%2fetc%2fpasswd", "/static//etc/passwd",
    "/static/%2e%2e/%2e%2e/app.py", "/static/....//....//etc/passwd", "/static/..%5c..%5capp.py",
    "/static/page.css%00.js", "/static/", "/static", "/static/.", "/static/%2e%2e%2fapp.py",
    "//evil.example.com", "//evil.example.com/%2e%2e", "/\\evil.example.com", "/;/x", "/?%",
    "/%", "/%zz", "/?store=%", "/rejects?page=-1", "/rejects?page=1e5", "/rejects?page=%F0%9F%92",
    "/rejects?page=99999999999999999999", "/rejects?store=" + "x" * 8_000, "/?" + "a=1&" * 3_000,
    "/stores/" + "x" * 8_000, "/stores/'; DROP TABLE crm.orders; --", "/stores/%27%20OR%201=1--",
    "/stores/{{7919*7907}}", "/stores/${7919*7907}", "/stores/%250d%250aSet-Cookie:x=1", "/.env",
    "/.git/config",
    "/login/", "/crawls/", "/metrics/", "/stores/", "/stores/x/y/z", "/docs", "/openapi.json",
)  # fmt: skip


def test_every_odd_path_is_a_page_there_is_not(serve: Serve, open_mirror: Open) -> None:
    """For a stranger and for somebody logged in: no error of ours, no file, no traceback."""
    name = name_of(open_mirror())
    served = serve()
    records = (f"/stores/{name}/records/orders/", f"/stores/{name}/why?resource=orders&key=")
    digits = [f"{path}{'9' * count}" for path in records for count in (19, 20, 5_000)]
    with served.client() as client:
        cookie = f"Cookie: mirror_session={client.cookies['mirror_session']}"
    for path in (*ODD_PATHS, *digits):
        asked = path.replace(" ", "%20")
        for headers in ((), (cookie,)):
            answer = ask(served.url, whole(f"GET {asked} HTTP/1.1", *headers))
            assert status_of(answer) in {200, 303, 400, 404, 405}, (path, answer[:200])
            for leak in (b"Traceback", b"root:", b"def create_app", b"psycopg", b"62615533"):
                assert leak not in answer, path
    for path in ("/stores/%00", "/static/%00", "/crawls/" + "9" * 5_000, "/static/..%2fapp.py"):
        answer = ask(served.url, whole(f"GET {path} HTTP/1.1", cookie))
        assert status_of(answer) == 404, path


@pytest.mark.parametrize(
    "method",
    ["OPTIONS", "TRACE", "CONNECT", "PROPFIND", "DEBUG", "PUT", "DELETE", "GET/", "x" * 1_000],
)
def test_every_odd_method_is_refused(serve_bare: Serve, method: str) -> None:
    url = serve_bare().url
    for path in ("/", "/login", "/metrics", "/healthz", "*", "evil.example.com:443"):
        answer = ask(url, whole(f"{method} {path} HTTP/1.1"))
        assert status_of(answer) in {400, 404, 405}, (path, answer[:200])
        assert b"TRACE" not in answer


SMUGGLED = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
MALFORMED = {
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\n",
    "length and chunks": b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a length that is none": b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nabcde",
    "a negative length": b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nabcde",
    "unknown encoding": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "a chunk that is none": b"POST / HTTP/1.1\r\nHost: x\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "space before the colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\x00\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a NUL in a header": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n",
    "a bare CR": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: a\rX-B: c\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",
    "not HTTP at all": b"EHLO mail.example.com\r\n\r\n",
    "bytes above ASCII in the path": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_clear_request_is_refused_and_hides_no_second_one(
    serve_bare: Serve, name: str
) -> None:
    """A proxy that reads such a request otherwise would let a second one through unseen."""
    url = serve_bare().url
    answer = ask(url, MALFORMED[name])
    assert status_of(answer) == 400, answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1
    assert alive(url)


@pytest.mark.parametrize(
    "lines",
    [
        ["X-Big: " + "x" * 100_000],
        [f"X-{number}: x" for number in range(10_000)],
        ["Cookie: " + "a=b; " * 20_000],
        ["Authorization: Bearer " + "x" * 70_000],
    ],
    ids=["one header", "many headers", "cookies", "a bearer"],
)
def test_headers_without_end_are_refused(serve_bare: Serve, lines: list[str]) -> None:
    url = serve_bare().url
    answer = ask(url, whole("GET /metrics HTTP/1.1", *lines))
    assert answer == b"" or status_of(answer) in {400, 431}, answer[:200]
    assert alive(url)


ODD_HEADERS = (
    "Host: [", "Host: ]:x", "Host: a/../b?c#d@e", "Host: evil.example.com\\@x",
    "Cookie: mirror_session=; mirror_said=; mirror_known=", 'Cookie: mirror_session="\\"',
    "Cookie: mirror_session=\x80\xff; =x; ;;;", "Cookie: mirror_known=.", "Cookie: mirror_said=a.b",
    "Authorization: Bearer", "Authorization: Bearer \xff\xfe", "Authorization: Basic Og==",
    "X-Forwarded-For: ,,,", "X-Forwarded-For: [::1", "X-Forwarded-For: " + "1," * 3_000,
    "X-Forwarded-Proto: javascript", "X-Forwarded-Proto: https\xff", "Origin: \xff", "Origin: null",
    "Range: bytes=0-,-1,9-1", "Range: bytes=" + "0-1," * 2_000, "If-None-Match: \xff",
    "If-Modified-Since: never", "Accept-Encoding: \xff", "Expect: 100-continue",
    "Upgrade: websocket", "Connection: upgrade, x", "Content-Type: multipart/form-data; boundary=",
)  # fmt: skip


def test_every_odd_header_is_borne(serve_bare: Serve) -> None:
    url = serve_bare(web_proxies=("127.0.0.0/8",)).url
    for header in ODD_HEADERS:
        hosts = [] if header.startswith("Host:") else ["Host: 127.0.0.1"]
        for line in ("GET /", "GET /metrics", "GET /login", "GET /static/page.css", "POST /login"):
            lines = [f"{line} HTTP/1.1", *hosts, "Connection: close", header]
            if line.startswith("POST"):
                lines.append("Content-Length: 0")
            answer = ask(url, "\r\n".join([*lines, "", ""]).encode("latin-1"))
            found = status_of(answer)
            assert found < 500, (header, line, answer[:300])
            assert b"javascript" not in answer
            assert b"evil.example.com" not in answer


def test_no_answer_has_a_header_of_the_askers(serve_bare: Serve) -> None:
    """A line break in what is repeated would begin a header, or a page, of somebody else's."""
    url = serve_bare().url
    for value in ("%0d%0aSet-Cookie:%20x=1", "/%0d%0aX-Evil:1", "%E5%98%8A%E5%98%8DX-Evil:1"):
        for path in (f"/login?next={value}", f"/stores/{value}", f"/{value}"):
            head = ask(url, whole(f"GET {path} HTTP/1.1")).partition(b"\r\n\r\n")[0].lower()
            lines = head.replace(b"\r", b"\n").split(b"\n")
            assert [line for line in lines if line.startswith((b"x-evil", b"set-cookie"))] == []


def test_forms_of_nonsense_do_nothing(
    serve: Serve, open_mirror: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """Forms with a right CSRF token and values of every kind: none is an error of ours."""
    mirror = open_mirror()
    name, chance = name_of(mirror), random.Random(14)
    values = (
        "", "%00", "%ff", "%ED%A0%80", "0001-01-01", "9999-12-31", "2024-02-30", "-1", "orders",
        "order_history", "1e999", "orders%00", "../orders", "'%3B--", "x" * 3_000, "%F0%9F%92%A9",
        "2024-01-01", "10000-01-01", "NaN", "%2B2024-01-01", "on", "2024-W01-1",
    )  # fmt: skip
    fields = ("resource", "since", "until", "deep", "x", "csrf")
    served = serve()
    with served.client() as client, caplog.at_level(logging.ERROR):
        csrf = csrf_in(client.get("/").text)
        for _ in range(120):
            what = chance.choice(("backfill", "reconcile", "retry", "approve", "enable", "nothing"))
            pairs = [f"{chance.choice(fields)}={chance.choice(values)}" for _ in range(4)]
            answer = client.post(
                f"/stores/{chance.choice((name, 'nowhere', '%20', 'a%00b'))}/{what}",
                content="&".join([f"csrf={csrf}", *pairs]),
                headers={"Content-Type": "application/x-www-form-urlencoded"},
            )
            assert answer.status_code in {303, 400, 403, 404}, (what, pairs, answer.text[-300:])
    assert [record.getMessage() for record in caplog.records] == []
    assert_untouched(mirror)


def assert_untouched(mirror: Mirror) -> None:
    assert mirror.value("SELECT count(*) FROM sync.store") == 1
    assert mirror.value("SELECT enabled FROM sync.store WHERE id = :store") is True


def test_a_body_that_is_no_form_is_refused_in_a_sentence(serve_bare: Serve) -> None:
    bodies = (
        b"\x00" * 100, b"\xff" * 1_000, b"a=1&" * 1_000, b'{"token": "x"}', b"token=%00",
        b"--x\r\nContent-Disposition: form-data; name=token\r\n\r\nx\r\n--x--", b"&&&&", b"=" * 500,
    )  # fmt: skip
    served = serve_bare()
    for body in bodies:
        answer = ask(served.url, whole("POST /login HTTP/1.1", body=body))
        assert status_of(answer) in {400, 401, 429}, (body[:40], answer[:200])
    big = whole("POST /login HTTP/1.1", body=b"token=" + b"x" * 2_000_000)
    answer = ask(served.url, big)
    assert answer == b"" or status_of(answer) == 413
    assert alive(served.url)
