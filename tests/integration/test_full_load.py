"""A whole load by two worker processes, past a gate that is not ours and counts strictly.

The gate stands before the sandbox, whose own limit is off. It stamps each request as it is read
from the socket (by the kernel where that is Linux) and refuses what is the eleventh within a second
from one address. Run as a script, this file is the gate.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from sync.embedded import Servers
from sync.embedded.process import wait_until
from sync.sandbox import spawn
from tests.bench.stage import CELERY, ROOT, Stage
from tests.integration.test_limiter_load import REFUSED, STAMP, receive

LIMIT = 10
ONLY = ("orders", "order_history", "customers", "customer_history")


def guard(port: int) -> None:
    """Relay to the sandbox at `port` until stdin ends; then print the stamps and the refusals."""
    stamps: dict[str, list[float]] = {}
    refused = 0
    lock = threading.Lock()

    def admit(address: str, stamp: float) -> bool:
        nonlocal refused
        with lock:
            mine = stamps.setdefault(address, [])
            is_free = sum(1 for earlier in mine if 0 <= stamp - earlier < 1) < LIMIT
            refused += not is_free
            mine.append(stamp)
            return is_free

    def relay(connection: socket.socket, address: str) -> None:
        upstream = http.client.HTTPConnection("127.0.0.1", port)
        while True:
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                data, stamp = receive(connection)
                if not data:
                    upstream.close()
                    connection.close()
                    return
                request += data
            if not admit(address, stamp):
                connection.sendall(REFUSED)
                continue
            first, *lines = request.decode("latin-1").split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines if line)
            upstream.request("GET", first.split()[1], headers=headers)
            answer = upstream.getresponse()
            body = answer.read()
            kept = [
                f"{name}: {value}"
                for name, value in answer.getheaders()
                if name.lower() in {"content-type", "content-encoding", "retry-after"}
            ]
            head = [f"HTTP/1.1 {answer.status} .", *kept, f"Content-Length: {len(body)}", "", ""]
            connection.sendall("\r\n".join(head).encode("latin-1") + body)

    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)

    def accept() -> None:
        while True:
            connection, (address, _) = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if STAMP is not None:
                connection.setsockopt(socket.SOL_SOCKET, STAMP, 1)
            threading.Thread(target=relay, args=(connection, address), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()
    with lock:
        print(json.dumps({"stamps": stamps, "refused": refused}), flush=True)


def busiest(stamps: list[float]) -> int:
    """The most arrivals within any sliding second."""
    ordered = sorted(stamps)
    return max(sum(1 for t in ordered[i : i + 30] if t - s < 1) for i, s in enumerate(ordered))


def test_a_full_load_by_two_workers_is_never_refused(
    own_servers: Servers, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Lists, histories, proofs and feeds of two stores, two workers and a beat: not one refusal."""
    stage = Stage(own_servers, "full_load")
    arguments = [
        "--account", "one:Europe/Moscow:1200:400:onekey", "--account",
        "two:America/Santiago:300:100:twokey", "--rate", "1000", "--latency", "50,150",
        "--awkward", "0",
    ]  # fmt: skip
    with spawn(*arguments) as crm:
        gate = subprocess.Popen(
            [sys.executable, __file__, crm.url.rpartition(":")[2]],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env=stage.environment(PYTHONPATH=str(ROOT)),
        )  # fmt: skip
        programs: list[subprocess.Popen[bytes]] = []
        log = (tmp_path / "log").open("wb")
        # A history is clear after 12 s, and not after a minute; the limiter has its own times.
        environment = stage.environment(SYNC_TEST_SCALE="0.2")
        try:
            assert gate.stdout is not None
            url = f"http://127.0.0.1:{int(gate.stdout.readline())}"
            stage.add_store(url, crm.keys["one"], only=ONLY, name="one")
            stage.add_store(url, crm.keys["two"], only=ONLY, name="two", zone="America/Santiago")
            programs += [
                subprocess.Popen(
                    [*CELERY, *words], env=environment, cwd=ROOT, stdout=log, stderr=log
                )
                for words in (
                    ["worker", "-Q", "feeds,crawls", "-n", "one@%h"],
                    ["worker", "-Q", "feeds,crawls", "-n", "two@%h"],
                    ["beat", "--pidfile="],
                )
            ]
            complete = (
                "SELECT count(*) = 8 FROM crm.coverage WHERE complete_as_of IS NOT NULL"
                " AND resource = ANY(:only)"
            )
            wait_until(
                lambda: bool(stage.one(complete, only=list(ONLY))), seconds=240, what="all loaded"
            )
            rows = stage.one("SELECT count(*) FROM crm.orders WHERE deleted_at IS NULL")
            workers = stage.one("SELECT count(DISTINCT process) FROM sync.heartbeat")
        finally:
            for program in programs:
                program.terminate()
            for program in programs:
                program.wait(60)
            log.close()
            stage.engine.dispose()
            answer, _ = gate.communicate()
    seen = json.loads(answer)
    [stamps] = seen["stamps"].values()
    figures = f"{len(stamps)} requests, busiest second {busiest(stamps)} of {LIMIT}"
    record_property("figures", figures)
    print(figures)
    assert workers == 2
    assert rows == 1500
    assert len(stamps) > 80, figures
    assert seen["refused"] == 0, figures
    assert busiest(stamps) <= LIMIT, figures


if __name__ == "__main__":
    guard(int(sys.argv[1]))
