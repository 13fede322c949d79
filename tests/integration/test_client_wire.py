"""The client on real sockets: what is on the wire, when, and what broken servers do to it."""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import ipaddress
import itertools
import socket
import ssl
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sync.crm import Account, CrmClient, Prepared, wire
from sync.crm import client as clients
from sync.errors import (
    Ended,
    Forbidden,
    HtmlAnswer,
    NoSuchAccount,
    OverLimit,
    SyncError,
    TooSlow,
    TryLater,
    UnexpectedData,
)
from sync.settings import surroundings

KEY = "Zk3yQ9secretW7"
NAMED = "shop.retailcrm.ru"
BODY = b'{"success": true, "sum": 1395.16}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
RESET = struct.pack("ii", 1, 0)

Script = Callable[[socket.socket], None]


class Server:
    """Gives each connection to the next script, in a thread of its own."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._scripts = iter(scripts)
        self._tls = tls
        self.peers: list[str] = []
        self.received = b""
        self.connected = threading.Event()
        self._thread = threading.Thread(target=self._accept)
        self._threads: list[threading.Thread] = []

    def _accept(self) -> None:
        while True:
            connection, peer = self._listener.accept()
            script = next(self._scripts, None)
            if script is None:  # also the connection that __exit__ makes to wake this thread
                connection.close()
                return
            self.peers.append(peer[0])
            self.connected.set()
            thread = threading.Thread(target=self._serve, args=(connection, script))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, script: Script) -> None:
        connection.settimeout(10)
        with connection:
            if self._tls is None:
                script(connection)
                return
            with self._tls.wrap_socket(connection, server_side=True) as secured:
                script(secured)

    def read_request(self, connection: socket.socket) -> bool:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            chunk = connection.recv(65536)
            if not chunk:
                return False
            request += chunk
        self.received += request
        return True

    def answering(self, *answers: bytes) -> Script:
        def script(connection: socket.socket) -> None:
            for answer in answers:
                if not self.read_request(connection):
                    return
                connection.sendall(answer)

        return script

    def use(self, *scripts: Script) -> None:
        self._scripts = iter(scripts)

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._scripts = iter(())
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join(10)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as started:
        yield started


def prepared_for(client: CrmClient, server: Server, scheme: str = "http") -> Prepared:
    account = Account(f"{scheme}://127.0.0.1:{server.port}", KEY)
    return client.prepare(account, "orders", {"filter": {"ids": [1, 2]}, "limit": 100})


@contextmanager
def quick_client() -> Iterator[CrmClient]:
    with CrmClient(connections=4, connect_seconds=2, read_seconds=0.3) as client:
        yield client


class Gate:
    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self.calls: list[str] = []
        self._before = before

    def before(self) -> None:
        self.calls.append("before")
        self._before()

    def after(self) -> None:
        self.calls.append("after")


def test_the_request_on_the_wire(server: Server) -> None:
    server.use(server.answering(OK))
    with quick_client() as client:
        answer = client.send(prepared_for(client, server))
    line, *headers = server.received.decode().split("\r\n")
    assert line == (
        "GET /api/v5/orders?filter%5Bids%5D%5B%5D=1&filter%5Bids%5D%5B%5D=2&limit=100 HTTP/1.1"
    )
    assert f"X-API-KEY: {KEY}" in headers
    assert server.received.decode().count(KEY) == 1
    assert str(answer.data["sum"]) == "1395.16"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (OK[:-3], TryLater),
        (OK[:-3].replace(b"%d" % len(BODY), b"%d" % (len(BODY) - 3)), TryLater),
        (OK[:20], TryLater),
        (b"", TryLater),
        (b"garbage\r\n\r\n", TryLater),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"suc\r\n", TryLater),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nxyz", TryLater),
        (b"HTTP/1.1 405 No\r\nContent-Length: 6\r\n\r\n<html>", HtmlAnswer),
        (b"HTTP/1.1 301 Moved\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n", NoSuchAccount),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", UnexpectedData),
        (b"HTTP/1.1 204 No Content\r\n\r\n", TryLater),
    ],
)  # fmt: skip
def test_broken_answers_have_their_meaning(
    server: Server, answer: bytes, kind: type[SyncError]
) -> None:
    server.use(server.answering(answer))
    with quick_client() as client, pytest.raises(SyncError) as caught:
        client.send(prepared_for(client, server))
    assert type(caught.value) is kind
    assert KEY not in str(caught.value)


def test_a_reset_connection_is_try_later(server: Server) -> None:
    def reset(connection: socket.socket) -> None:
        server.read_request(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    server.use(reset)
    with quick_client() as client, pytest.raises(TryLater):
        client.send(prepared_for(client, server))


def test_a_silent_server_is_try_later(server: Server) -> None:
    released = threading.Event()

    def silent(connection: socket.socket) -> None:
        server.read_request(connection)
        released.wait(10)

    server.use(silent)
    with quick_client() as client, pytest.raises(TooSlow, match=r"not begin .* within 0\.3 s"):
        client.send(prepared_for(client, server))
    released.set()


def test_an_answer_that_begins_late_is_slow_and_not_dead(server: Server) -> None:
    """The time to the first byte has a limit of its own; from then on, a silence is short."""
    released = threading.Event()

    def slow(connection: socket.socket) -> None:
        server.read_request(connection)
        released.wait(0.6)  # nobody sets it: longer than a silence may be
        connection.sendall(OK)
        server.read_request(connection)
        connection.sendall(OK[:30])
        released.wait(10)

    server.use(slow)
    with CrmClient(first_byte_seconds=30, read_seconds=0.3) as client:
        assert client.send(prepared_for(client, server)).body == BODY
        with pytest.raises(TooSlow, match=r"nothing more of its answer for 0\.3 s"):
            client.send(prepared_for(client, server))
    released.set()


def test_a_closed_port_is_try_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with quick_client() as client, pytest.raises(TryLater, match="out of reach"):
        client.send(client.prepare(Account(f"http://127.0.0.1:{port}", KEY), "orders"))


# Bodies and their coding


def coded(body: bytes, *codings: str, status: str = "200 OK") -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Encoding: {', '.join(codings)}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


@pytest.mark.parametrize(
    ("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]
)
def test_a_body_is_taken_out_of_the_coding_that_was_asked_for(
    server: Server, coding: str, pack: Callable[[bytes], bytes]
) -> None:
    server.use(server.answering(coded(pack(BODY), coding), OK))
    with quick_client() as client:
        assert client.send(prepared_for(client, server)).body == BODY
        assert client.send(prepared_for(client, server)).body == BODY
    assert len(server.peers) == 1
    assert "Accept-Encoding: gzip, deflate" in server.received.decode()


@pytest.mark.parametrize("codings", [("gzip", "gzip"), ("br",), ("gzip",) * 9])
def test_another_coding_is_refused_before_a_byte_of_the_body(
    server: Server, codings: tuple[str, ...]
) -> None:
    """The body never comes: who read it would time out."""
    ended = threading.Event()

    def headers_only(connection: socket.socket) -> None:
        server.read_request(connection)
        connection.sendall(coded(b" " * 1_000, *codings)[:-1_000])
        ended.wait(10)

    server.use(headers_only)
    with quick_client() as client, pytest.raises(UnexpectedData, match="coding"):
        client.send(prepared_for(client, server))
    ended.set()


@pytest.mark.parametrize(
    ("status", "kind"), [("503 No", OverLimit), ("502 No", TryLater), ("403 No", Forbidden)]
)
@pytest.mark.parametrize(
    "answer",
    [
        lambda status: coded(b"xyz", "br", status=status),
        lambda status: coded(b"xyz", "gzip", status=status),
        lambda status: coded(gzip.compress(b" " * 30_000_000), "gzip", status=status),
    ],
    ids=["another coding", "broken", "huge"],
)
def test_a_refusal_is_told_by_its_status_whatever_its_body(
    server: Server, status: str, kind: type[SyncError], answer: Callable[[str], bytes]
) -> None:
    """A proxy's page is not ours to judge: 503 pauses the store, and parks nothing."""
    server.use(server.answering(answer(status)))
    with quick_client() as client, pytest.raises(SyncError) as caught:
        client.send(prepared_for(client, server))
    assert type(caught.value) is kind


def test_a_body_that_unpacks_to_gigabytes_is_held_to_the_limit(server: Server) -> None:
    """A chunk of 64 kB may stand for 64 MB: it is decoded in steps, and no further than allowed."""
    server.use(server.answering(coded(gzip.compress(b" " * 60_000_000), "gzip")))
    tracemalloc.start()
    try:
        with CrmClient(max_body_bytes=1_000_000) as client, pytest.raises(UnexpectedData):
            client.send(prepared_for(client, server))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000


def test_heavy_bodies_are_read_and_decoded_a_few_at_a_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every place taken a heavy one is put off, a light one is not; places are given back."""
    monkeypatch.setattr(clients, "HEAVY_BYTES", 100_000)
    heavy = b'{"success": true, "text": "%b"}' % (b"x" * 300_000)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(heavy), heavy)

    def left_early(connection: socket.socket) -> None:
        with suppress(OSError):
            server.answering(OK, answer)(connection)

    server.use(left_early, server.answering(*[answer] * 9))
    with CrmClient(answer_seconds=0.5) as client:
        for _ in range(clients.HEAVY_AT_ONCE):
            assert client._heavy.acquire(blocking=False)
        assert client.send(prepared_for(client, server)).body == BODY
        with pytest.raises(TryLater, match="large answers"):
            client.send(prepared_for(client, server))
        for _ in range(clients.HEAVY_AT_ONCE):
            client._heavy.release()
        for _ in range(clients.HEAVY_AT_ONCE + 1):
            assert client.send(prepared_for(client, server)).body == heavy
        for _ in range(clients.HEAVY_AT_ONCE):
            assert client._heavy.acquire(blocking=False), "a place was not given back"


# The time of a whole answer


def pieces_of_a_header() -> Iterable[bytes]:
    """A byte at a time: there is never a silence."""
    slow = OK.replace(b"\r\n", b"\r\nX-Slow: %b\r\n" % (b"x" * 300), 1)
    return (slow[place : place + 1] for place in range(len(slow)))


def interim_answers() -> Iterable[bytes]:
    return itertools.chain([b"HTTP/1.1 100 Continue\r\n\r\n"] * 300, [OK])


def a_body_byte_by_byte() -> Iterable[bytes]:
    body = BODY + b" " * 300
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    return itertools.chain([head], (body[place : place + 1] for place in range(len(body))))


def blocks_of_nothing() -> Iterable[bytes]:
    packed = gzip.compress(BODY)
    empty = b"\x00\x00\x00\xff\xff"
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    whole = len(packed) + 300 * len(empty)
    return itertools.chain([head % whole, packed[:10]], [empty] * 300, [packed[10:]])


def nothing_at_all() -> Iterator[bytes]:
    """Not one byte, for as long as the others."""
    return itertools.repeat(b"", 500)


@pytest.mark.parametrize(
    "pieces", [pieces_of_a_header, interim_answers, a_body_byte_by_byte, blocks_of_nothing]
)
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
def test_an_answer_has_its_time_as_a_whole(
    pieces: Callable[[], Iterable[bytes]], is_tls: bool, tmp_path: Path
) -> None:
    """Something comes every ten milliseconds, for seconds: its end is not waited for."""
    serving, trusting = contexts(tmp_path) if is_tls else (None, None)
    gone, sent = threading.Event(), []

    def drip(connection: socket.socket) -> None:
        server.read_request(connection)
        with suppress(OSError):
            for piece in pieces():
                connection.sendall(piece)
                sent.append(piece)
                if gone.wait(0.01):
                    return

    with Server(tls=serving) as server:
        server.use(drip)
        with (
            CrmClient(read_seconds=2, answer_seconds=0.4, tls=trusting) as client,
            pytest.raises(TryLater),
        ):
            client.send(prepared_for(client, server, "https" if is_tls else "http"))
        assert 1 < len(sent) < 200
        gone.set()


@pytest.mark.parametrize(
    "pieces", [pieces_of_a_header, a_body_byte_by_byte, nothing_at_all], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
def test_an_answer_is_cut_once_it_is_not_wanted(
    pieces: Callable[[], Iterable[bytes]], is_tls: bool, tmp_path: Path
) -> None:
    """Whatever its server does meanwhile, and long before the answer's time is over."""
    serving, trusting = contexts(tmp_path) if is_tls else (None, None)
    gone, unwanted, looks = threading.Event(), threading.Event(), []

    def drip(connection: socket.socket) -> None:
        server.read_request(connection)
        with suppress(OSError):
            for number, piece in enumerate(pieces()):
                connection.sendall(piece)
                if number == 20:
                    unwanted.set()
                if gone.wait(0.01):
                    return

    def cut(since_sent: float, has_begun: bool) -> str | None:
        looks.append((since_sent, has_begun))
        return "the worker ends" if unwanted.is_set() else None

    with Server(tls=serving) as server:
        server.use(drip)
        with (
            CrmClient(read_seconds=60, answer_seconds=60, tls=trusting) as client,
            pytest.raises(Ended, match="the worker ends"),
        ):
            client.send(prepared_for(client, server, "https" if is_tls else "http"), cut=cut)
        gone.set()
    assert looks[0][1] is False
    assert looks[-1][1] is any(pieces())
    assert 0 <= looks[0][0] <= looks[-1][0] < 30


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
def test_looks_between_two_receipts_lose_nothing(
    is_tls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that waits is begun anew after each look, also in the middle of a TLS record."""
    monkeypatch.setattr(wire, "LOOK_SECONDS", 0.001)
    serving, trusting = contexts(tmp_path) if is_tls else (None, None)
    looks, gone = [], threading.Event()

    def slowly(connection: socket.socket) -> None:
        server.read_request(connection)
        for at in range(len(OK)):
            seen = len(looks)
            while at and len(looks) == seen and not gone.wait(0.001):
                pass
            connection.sendall(OK[at : at + 1])

    with Server(tls=serving) as server:
        server.use(slowly)
        with CrmClient(tls=trusting) as client:
            answer = client.send(
                prepared_for(client, server, "https" if is_tls else "http"),
                cut=lambda *look: looks.append(look),
            )
        gone.set()
    assert answer.body == BODY
    assert len(looks) >= len(OK)


def test_the_time_of_an_answer_begins_with_its_request(server: Server) -> None:
    """Neither the wait at the gate counts, nor the age of the connection, nor the answer before."""
    server.use(server.answering(OK, OK))
    with CrmClient(answer_seconds=0.3) as client:
        client.send(prepared_for(client, server))
        paused = threading.Event()
        answer = client.send(prepared_for(client, server), gate=Gate(lambda: _wait(paused)))
    assert answer.body == BODY
    assert len(server.peers) == 1


def _wait(event: threading.Event) -> None:
    event.wait(0.5)  # nobody sets it: the slot is that far ahead


def test_connections_are_kept_alive_and_shared(server: Server) -> None:
    server.use(server.answering(*[OK] * 5))
    with quick_client() as client:
        for _ in range(5):
            client.send(prepared_for(client, server))
    assert len(server.peers) == 1


def test_requests_leave_from_the_egress_address(server: Server) -> None:
    server.use(server.answering(OK))
    with CrmClient(egress_address="127.0.0.2") as client:
        client.send(prepared_for(client, server))
    assert server.peers == ["127.0.0.2"]


# The gate


def test_the_gate_runs_on_an_open_connection_before_the_first_byte(server: Server) -> None:
    """Opening a connection costs 100 ms and more: it must not fall between slot and request."""
    server.use(server.answering(OK))

    def before() -> None:
        assert server.connected.wait(5)
        assert server.received == b""

    gate = Gate(before)
    with quick_client() as client:
        client.send(prepared_for(client, server), gate=gate)
    assert gate.calls == ["before", "after"]


def test_every_request_on_a_kept_connection_passes_its_gate(server: Server) -> None:
    server.use(server.answering(OK, OK))
    with quick_client() as client:
        for _ in range(2):
            gate = Gate()
            client.send(prepared_for(client, server), gate=gate)
            assert gate.calls == ["before", "after"]


def test_a_gate_that_raises_sends_nothing(server: Server) -> None:
    def before() -> None:
        raise TryLater("no slot")

    server.use(server.answering(OK))
    with quick_client() as client, pytest.raises(TryLater, match="no slot"):
        client.send(prepared_for(client, server), gate=Gate(before))
    assert server.received == b""


def test_a_connection_closed_during_the_wait_is_opened_anew(server: Server) -> None:
    """Nothing was sent on it, so this is still the first attempt: it arrives exactly once."""
    release, closed = threading.Event(), threading.Event()

    def first(connection: socket.socket) -> None:
        server.answering(OK)(connection)
        release.wait(10)
        connection.close()
        closed.set()

    server.use(first, server.answering(OK))

    def before() -> None:
        release.set()
        assert closed.wait(5)

    gate = Gate(before)
    with quick_client() as client:
        client.send(prepared_for(client, server))
        client.send(prepared_for(client, server), gate=gate)
    assert gate.calls == ["before", "before", "after"]
    assert server.received.count(b"GET ") == 2
    assert len(server.peers) == 2


def test_threads_share_the_client_and_each_has_its_own_gate(server: Server) -> None:
    server.use(*[server.answering(*[OK] * 20)] * 8)
    gates: list[Gate] = []
    errors: list[BaseException] = []

    def loop() -> None:
        try:
            for _ in range(5):
                gate = Gate()
                client.send(prepared_for(client, server), gate=gate)
                gates.append(gate)
        except BaseException as error:
            errors.append(error)

    with CrmClient(connections=8, read_seconds=5) as client:
        threads = [threading.Thread(target=loop) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert errors == []
    assert len(gates) == 40
    assert all(gate.calls == ["before", "after"] for gate in gates)


def test_the_gate_stands_before_tls_too(tmp_path: Path) -> None:
    """The handshake is done when the gate runs; one that fails is TryLater and sends nothing."""
    serving, trusting = contexts(tmp_path)
    with Server(tls=serving) as server:
        server.use(server.answering(OK, OK))
        with CrmClient(tls=trusting) as client:
            for _ in range(2):
                gate = Gate()
                answer = client.send(prepared_for(client, server, "https"), gate=gate)
                assert answer.data["success"] is True
                assert gate.calls == ["before", "after"]

    with Server() as server:
        server.use(lambda connection: connection.close())
        gate = Gate()
        with CrmClient() as client, pytest.raises(TryLater):
            client.send(prepared_for(client, server, "https"), gate=gate)
        assert gate.calls == []


class Tunnels:
    """A proxy that takes CONNECT, leads every tunnel to one port, and keeps what it sees."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.heads: list[bytes] = []
        self.seen = b""

    def __call__(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        self.heads.append(head)
        self.seen += head
        with socket.create_connection(("127.0.0.1", self._port)) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self._pipe, args=(server, client))
            back.start()
            self._pipe(client, server)
            back.join()

    def _pipe(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self.seen += data
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def test_a_proxy_gets_a_tunnel_and_sees_no_key(tmp_path: Path) -> None:
    """HTTPS_PROXY is for networks without another way out. The gate stands inside of the tunnel:
    the wait for the slot comes after the proxy's answer and the handshake."""
    serving, trusting = contexts(tmp_path)
    with Server(tls=serving) as account, Server() as proxy:
        account.use(account.answering(OK, OK))
        tunnels = Tunnels(account.port)
        proxy.use(tunnels)
        environ = {"HTTPS_PROXY": f"http://me:hush@127.0.0.1:{proxy.port}"}
        with CrmClient(tls=trusting, proxy=surroundings.proxy(environ)) as client:
            for _ in range(2):
                gate = Gate()
                prepared = client.prepare(Account(f"https://{NAMED}", KEY), "orders")
                assert client.send(prepared, gate=gate).data["success"] is True
                assert gate.calls == ["before", "after"]
    assert account.received.count(KEY.encode()) == 2
    [head] = tunnels.heads
    assert head.startswith(f"CONNECT {NAMED}:443 HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"me:hush") in head
    assert KEY.encode() not in tunnels.seen
    assert b"X-API-KEY" not in tunnels.seen
    assert b"orders" not in tunnels.seen


def test_a_proxy_that_refuses_is_an_outage_without_a_request() -> None:
    """Nothing reached the account: it is not judged, and the key was not sent."""
    with Server() as proxy:
        refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
        proxy.use(proxy.answering(refusal))
        found = surroundings.proxy({"https_proxy": f"127.0.0.1:{proxy.port}"})
        gate = Gate()
        with CrmClient(proxy=found) as client, pytest.raises(TryLater, match="ProxyError: 407"):
            client.send(client.prepare(Account(f"https://{NAMED}", KEY), "orders"), gate=gate)
        assert gate.calls == []
    assert KEY.encode() not in proxy.received


@pytest.mark.parametrize("direct", ["", "shop.example.com,.retailcrm.ru"])
def test_hosts_named_in_no_proxy_and_this_machine_are_reached_directly(direct: str) -> None:
    with Server() as account, Server() as proxy:
        account.use(account.answering(OK))
        environ = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", "NO_PROXY": direct}
        with CrmClient(proxy=surroundings.proxy(environ)) as client:
            assert client.send(prepared_for(client, account)).data["success"] is True
            way = client._http._transport_for_url(httpx.URL(f"https://{NAMED}"))
            assert (way is client._http._transport) == bool(direct)
        assert proxy.peers == []


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's, sharing a certificate for 127.0.0.1 and for NAMED."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName(NAMED)]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pem)
    return serving, ssl.create_default_context(cafile=str(pem))
