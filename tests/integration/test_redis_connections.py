"""TLS, Sentinel and refusals, on real sockets: one policy for the limiter's client and Celery's."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sync.broker import fitness
from sync.broker.connections import Refusing, client
from sync.embedded import Servers
from sync.embedded.process import free_port, wait_until
from sync.settings.redis_address import parse
from sync.worker.celery import app


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of our own making for 127.0.0.1, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve each connection to a port of 127.0.0.1 in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                taken, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(taken,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
    for each in (source, target):
        with suppress(OSError):
            each.close()


@contextmanager
def tls_before(port: int, certificate: Path) -> Iterator[int]:
    """TLS in front of a Redis that speaks in the clear."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve(taken: socket.socket) -> None:
        try:
            inner = context.wrap_socket(taken, server_side=True)
        except OSError:
            taken.close()
            return
        outer = socket.create_connection(("127.0.0.1", port))
        threading.Thread(target=_pump, args=(outer, inner), daemon=True).start()
        _pump(inner, outer)

    with listening(serve) as found:
        yield found


def reaches(url: str) -> tuple[bool, bool]:
    """Whether the limiter's client and Celery's connection accept the server at a URL."""
    asked = client(parse(url))
    try:
        by_limiter = bool(asked.ping())
    except redis.ConnectionError:
        by_limiter = False
    finally:
        asked.close()
    link = app.connection_for_write(url=url)
    try:
        link.ensure_connection(max_retries=1, interval_start=0, timeout=5)
        by_celery = True
    except Exception:
        by_celery = False
    finally:
        link.release()
    return by_limiter, by_celery


def test_both_clients_verify_the_server_by_one_policy(
    servers: Servers, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A man in the middle gets no password: rediss:// is verified unless the URL says otherwise."""
    password = parse(servers.redis_url).password
    assert servers.valkey.port is not None
    with tls_before(servers.valkey.port, certificate) as port:
        url = f"rediss://:{password}@127.0.0.1:{port}/0"
        assert reaches(url) == (False, False)
        assert reaches(f"{url}?ssl_cert_reqs=required") == (False, False)
        assert reaches(f"{url}?ssl_ca_certs={certificate}") == (True, True)
        assert reaches(f"{url}?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs={certificate}") == (
            True,
            True,
        )
        assert reaches(f"{url}?ssl_cert_reqs=none") == (True, True)
        other = url.replace("127.0.0.1", "localhost")
        assert reaches(f"{other}?ssl_ca_certs={certificate}") == (False, False), "another name"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert reaches(url) == (True, True)


def test_the_url_says_when_nothing_is_verified() -> None:
    """`status` can tell of it: the address knows whether TLS shows who answers."""
    assert parse("rediss://h").is_verified
    assert parse("redis://h").is_verified
    assert not parse("rediss://h?ssl_cert_reqs=none").is_verified
    assert not parse("rediss://h?ssl_check_hostname=false").is_verified


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("-READONLY You can't write against a read only replica.", "it is a replica"),
        ("-OOM command not allowed when used memory > 'maxmemory'.", "out of memory"),
        ("-MISCONF Redis is configured to save RDB snapshots, but…", "cannot write its data"),
        ("-NOREPLICAS Not enough good replicas to write.", "too few replicas"),
        ("-MASTERDOWN Link with MASTER is down", "lost its master"),
        ("-UNBLOCKED force unblock from blocking operation", "become a replica"),
        ("-LOADING Redis is loading the dataset in memory", "still reading"),
        ("-CLUSTERDOWN The cluster is down", "cluster mode"),
        ("-MOVED 3999 127.0.0.1:6381", "cluster mode"),
        ("-WRONGTYPE Operation against a key holding the wrong kind of value", "another program"),
        ("-ERR Error running script (call to f_1): @user_script:1: -READONLY You can't", "replica"),
        ("-BUSY Redis is busy running a script.", "BUSY"),
    ],
)
def test_a_server_that_refuses_is_like_one_that_is_gone(reply: str, words: str) -> None:
    """A refusal closes the connection and is a ConnectionError, so what waits for Redis waits."""
    asked: list[bytes] = []

    def serve(taken: socket.socket) -> None:
        with taken, suppress(OSError):
            while chunk := taken.recv(65536):
                asked.append(chunk)
                count = chunk.count(b"SETINFO") or 1
                line = "+OK" if b"SETINFO" in chunk else reply
                taken.sendall(f"{line}\r\n".encode() * count)

    with listening(serve) as port, client(parse(f"redis://127.0.0.1:{port}")) as made:
        with pytest.raises(redis.ConnectionError) as caught:
            made.set("k", 1)
        assert words in fitness.in_words(caught.value)
        if "LOADING" not in reply:
            assert isinstance(caught.value, Refusing)
    assert sum(b"$3\r\nSET\r\n" in chunk for chunk in asked) == 2, "tried once more, afresh"
    assert app.connection_for_write(url="redis://h").transport.connection_errors
    assert issubclass(Refusing, app.connection_for_write(url="redis://h").connection_errors)


def test_a_user_with_the_documented_rights_is_enough(servers: Servers) -> None:
    """The ACL of the runbook lets both clients work, and what it lacks is told in words."""
    rights = "~sync:* &sync:* +@read +@write +@connection +@pubsub +@scripting +@transaction"
    with servers.valkey.connect() as root:
        root.execute_command("ACL", "SETUSER", "mirror", "on", ">pässword", *rights.split(),
                             "-@dangerous", "+info", "+time")  # fmt: skip
        root.execute_command("ACL", "SETUSER", "poor", "on", ">word", "~sync:*", "+ping")
        try:
            url = f"redis://mirror:p%C3%A4ssword@127.0.0.1:{servers.valkey.port}/0"
            assert reaches(url) == (True, True)
            with client(parse(url)) as made:
                assert fitness.look(made).refusal is None
            with client(parse(f"redis://poor:word@127.0.0.1:{servers.valkey.port}/0")) as made:
                assert "lacks a right" in str(fitness.look(made).refusal)
            with client(parse(f"redis://poor:no@127.0.0.1:{servers.valkey.port}/0")) as made:
                assert "does not accept the user" in str(fitness.look(made).refusal)
        finally:
            root.execute_command("ACL", "DELUSER", "mirror", "poor")


class Trio:
    """A master, its replica, and a Sentinel that watches them."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.folder, self.binary = folder, binary
        self.ports = [free_port(None) for _ in range(3)]
        self.running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        first, second, sentinel = self.ports
        common = (
            'bind 127.0.0.1\nrequirepass pw\nmasterauth pw\nsave ""\nrepl-diskless-sync-delay 0\n'
        )
        self.run(first, common)
        self.run(second, f"{common}replicaof 127.0.0.1 {first}\n")
        wait_until(lambda: self.ask(second).info()["master_link_status"] == "up", seconds=30,
                   what="the replica follows")  # fmt: skip
        self.run(
            sentinel,
            f"bind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {first} 1\n"
            "sentinel auth-pass mymaster pw\nsentinel down-after-milliseconds mymaster 1000\n"
            "sentinel failover-timeout mymaster 5000\n",
            "--sentinel",
        )
        wait_until(lambda: self.replicas() == 1, seconds=60, what="the Sentinel knows the replica")

    def run(self, port: int, lines: str, *more: str) -> None:
        config = self.folder / f"{port}.conf"
        config.write_text(
            f"port {port}\ndir {self.folder}\nlogfile {self.folder}/{port}.log\n{lines}"
        )
        self.running[port] = subprocess.Popen([self.binary, config, *more])
        wait_until(lambda: self.serves(port), seconds=20, what=f"{port} serves")

    def serves(self, port: int) -> bool:
        try:
            return bool(self.ask(port).ping())
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False

    def ask(self, port: int) -> redis.Redis:
        password = None if port == self.ports[2] else "pw"
        return redis.Redis(
            port=port, password=password, socket_timeout=3, single_connection_client=False
        )

    def replicas(self) -> int:
        found = self.ask(self.ports[2]).execute_command("SENTINEL", "REPLICAS", "mymaster")
        return len(found)

    def end(self) -> None:
        for each in self.running.values():
            each.kill()
            each.wait()


@pytest.fixture
def trio(servers: Servers, tmp_path: Path) -> Iterator[Trio]:
    made = Trio(servers.valkey.binary, tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.end()


@contextmanager
def hanging_up() -> Iterator[tuple[int, list[object]]]:
    """A port that hangs up on whoever connects, and who did."""
    came: list[object] = []

    class HangUp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            came.append(self.client_address)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), HangUp) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1], came
        finally:
            server.shutdown()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_both_clients_follow_a_failover_of_sentinel(trio: Trio) -> None:
    """The master dies, the Sentinel names another, and both clients write to that one."""
    first, second, sentinel = trio.ports
    url = f"redis+sentinel://:pw@127.0.0.1:{free_port(None)},127.0.0.1:{sentinel}/mymaster/0"
    made = client(parse(url))
    with hanging_up() as (broken, came):
        beside = client(
            parse(f"redis+sentinel://:pw@127.0.0.1:{broken},127.0.0.1:{sentinel}/mymaster/0")
        )
        assert beside.ping()
        assert len(came) == 1, "a Sentinel that is down is not tried again before the next one"
    assert made.set("sync:a", 1)
    assert reaches(url) == (True, True)
    trio.running[first].kill()

    def writes() -> bool:
        with suppress(redis.ConnectionError, redis.TimeoutError):
            return bool(made.set("sync:b", 1))
        return False

    wait_until(writes, seconds=60, what="the client writes to the new master")
    assert trio.ask(second).get("sync:b") == b"1"
    assert reaches(url) == (True, True)
    with pytest.raises(redis.ConnectionError, match="another"):
        client(parse(url.replace("mymaster", "another"))).ping()


def test_a_cluster_and_an_old_server_are_refused_in_words(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be run on is said in a sentence, to commands and to Celery's connection alike."""
    made = Trio(servers.valkey.binary, tmp_path)
    port = made.ports[2]
    try:
        made.run(port, 'bind 127.0.0.1\ncluster-enabled yes\nsave ""\n')
        with client(parse(f"redis://127.0.0.1:{port}")) as asked:
            assert "cluster mode" in str(fitness.look(asked).refusal)
            with pytest.raises(redis.ConnectionError, match="cluster mode"):
                fitness.require(asked)
        link = app.connection_for_write(url=f"redis://127.0.0.1:{port}")
        with pytest.raises(Exception, match="cluster mode"):
            link.ensure_connection(max_retries=1, interval_start=0, timeout=5)
        link.release()
    finally:
        made.end()
    monkeypatch.setattr(fitness, "_information", lambda _: {"redis_version": "6.0.16"})
    with client(parse(servers.redis_url)) as asked:
        assert fitness.look(asked).refusal == (
            "Redis 6.0.16 is too old: 6.2 or newer, or valkey, is needed."
        )
