"""The request budget in real time: processes of threads against a server that counts strictly.

The server is independent of the code under test: it reads each request from its socket and refuses
what would be one too many in the second before. It takes the kernel's stamp of the arrival where
there is one (Linux), since a busy machine wakes this process, too, 20 ms late now and then. Run as
a script, this file is one of the processes.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
BODY = b'{"success": true}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


# Linux's SO_TIMESTAMPNS, which the socket module does not name.
STAMP = 35 if sys.platform == "linux" else None


def receive(connection: socket.socket) -> tuple[bytes, float]:
    """Some bytes and the moment they arrived, in Unix time."""
    data, extras, _, _ = connection.recvmsg(65536, 64)
    now = time.time()
    for level, kind, value in extras:
        if (level, kind) == (socket.SOL_SOCKET, STAMP):
            seconds, nanos = struct.unpack("qq", value[:16])
            now = seconds + nanos / 1e9
    return data, now


def serve(limit: int, latency: float) -> None:
    """Answer until stdin ends; then print the stamps (seconds) and the number refused."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(listener.getsockname()[1], flush=True)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    received: dict[Any, bytes] = {}
    due: list[tuple[float, socket.socket, bytes]] = []
    stamps: list[float] = []
    refused = 0
    while True:
        wait = max(0.0, due[0][0] - time.monotonic()) if due else None
        for key, _ in selector.select(wait):
            if key.fileobj is sys.stdin:
                print(json.dumps({"stamps": stamps, "refused": refused}))
                return
            if key.fileobj is listener:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if STAMP is not None:
                    connection.setsockopt(socket.SOL_SOCKET, STAMP, 1)
                selector.register(connection, selectors.EVENT_READ)
                received[connection] = b""
                continue
            connection = key.fileobj  # type: ignore[assignment]
            data, stamp = receive(connection)
            received[connection] += data
            if not data:
                selector.unregister(connection)
                connection.close()
            elif received[connection].endswith(b"\r\n\r\n"):
                received[connection] = b""
                in_window = sum(1 for earlier in stamps[-limit:] if stamp - earlier < 1)
                refused += in_window >= limit
                stamps.append(stamp)
                answer = REFUSED if in_window >= limit else OK
                due.append((time.monotonic() + latency, connection, answer))
        while due and due[0][0] <= time.monotonic():
            _, connection, answer = due.pop(0)
            connection.sendall(answer)


def work(redis_url: str, port: int, threads: int, rate: float, seconds: float) -> None:
    """A worker process; its threads fetch until stdin ends. Prints how late it sent."""
    import redis

    from sync.crm import Account, CrmClient, Limiter, WorkClass
    from sync.pipeline.asking import Asking

    with redis.Redis.from_url(redis_url) as server, CrmClient(connections=threads) as client:
        limiter = Limiter(server, egress="load", rate_limit=rate)
        api = Asking(
            client, Account(f"http://127.0.0.1:{port}", "key"), store_id=1, limiter=limiter,
            draw=lambda: dt.datetime.now(dt.UTC),
        )  # fmt: skip
        end = time.monotonic() + seconds

        def loop() -> None:
            while time.monotonic() < end:
                api.ask("orders", work=WorkClass.WALK)

        started = [threading.Thread(target=loop) for _ in range(threads)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()


@contextmanager
def process(*args: object) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(
        [sys.executable, __file__, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


@pytest.mark.parametrize(("rate", "seconds"), [(10, 5), (100, 4)])
def test_many_workers_never_pass_the_limit(
    redis_url: str, rate: int, seconds: int, record_property: Callable[[str, object], None]
) -> None:
    """3 processes of 16 threads: none is refused, however late a busy machine wakes them.

    How much of the limit they use depends on the machine: `make bench` measures it, and
    test_limiter_rules.py shows it on a clock of its own, with threads that wake late.
    """
    figures = ask_for(redis_url, rate, seconds)
    record_property("figures", figures)


def ask_for(redis_url: str, rate: int, seconds: int) -> str:
    """Ask as fast as the limiter lets, without a refusal; what was seen, in words."""
    with process("serve", rate, 0.05) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        workers = [process("work", redis_url, port, 16, rate, seconds) for _ in range(3)]
        running = [worker.__enter__() for worker in workers]
        try:
            for one in running:
                assert one.wait(60) == 0
        finally:
            for worker in workers:
                worker.__exit__(None, None, None)
        answer, _ = server.communicate()
    seen = json.loads(answer)
    stamps = seen["stamps"]
    # The first second fills up, and at the end ever fewer threads ask.
    steady = [stamp for stamp in stamps if stamps[0] + 1 <= stamp < stamps[0] + seconds - 0.5]
    use = (len(steady) - 1) / (steady[-1] - steady[0]) / rate
    busiest = max(
        sum(1 for t in stamps[i : i + rate + 5] if t - s < 1) for i, s in enumerate(stamps)
    )
    figures = f"{len(stamps)} requests, use {use:.1%}, busiest second {busiest} of {rate}"
    print(figures)
    assert seen["refused"] == 0, figures
    assert busiest <= rate, figures
    return figures


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]), float(sys.argv[3]))
    else:
        work(
            sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]), float(sys.argv[6])
        )
