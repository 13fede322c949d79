"""Functions that run a sandbox: in a daemon thread beside a test, or in its own process."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import uvicorn

from sync.sandbox.app import App
from sync.sandbox.sandbox import Sandbox


def listen(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """Return a bound socket; port 0 takes a free one."""
    # asyncio switches Nagle off only for sockets created with IPPROTO_TCP.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen(512)
    return sock


def server(sandbox: Sandbox, *, allowed: Iterable[str] = ()) -> uvicorn.Server:
    config = uvicorn.Config(
        App(sandbox, allowed=allowed), log_level="error", access_log=False, lifespan="off",
        http="h11",
        ws="none", timeout_graceful_shutdown=1, timeout_keep_alive=60, loop="asyncio",
    )  # fmt: skip
    return uvicorn.Server(config)


@contextmanager
def running(sandbox: Sandbox, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve `sandbox` in a daemon thread; yield its URL.

    The test may go on using `sandbox.accounts[...]`: requests and mutations share one lock.
    """
    sock = listen(host, port)
    served = server(sandbox)
    thread = threading.Thread(
        target=served.run, kwargs={"sockets": [sock]}, name="sandbox", daemon=True
    )
    thread.start()
    try:
        _wait_until_started(served, thread)
        yield f"http://{host}:{sock.getsockname()[1]}"
    finally:
        served.should_exit = True
        served.force_exit = True
        thread.join(10)
        sock.close()


def _wait_until_started(served: uvicorn.Server, thread: threading.Thread) -> None:
    pause = threading.Event()
    while not served.started:
        if not thread.is_alive():
            raise RuntimeError("the sandbox did not start")
        pause.wait(0.005)


@dataclass
class Spawned:
    """A sandbox that runs in its own process."""

    url: str
    keys: dict[str, str]
    accounts: list[dict[str, Any]]
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def __enter__(self) -> Spawned:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def spawn(*arguments: str, python: str = sys.executable, cwd: str | None = None) -> Spawned:
    """Start `python -m sync.sandbox --json --port 0 …` and wait for its first line."""
    command: Sequence[str] = [python, "-m", "sync.sandbox", "--json", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=cwd)  # noqa: S603 - our own module
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the sandbox ended at once, status {process.wait()}")
    told = orjson.loads(line)
    keys = {a["name"]: a["key"] for a in told["accounts"]}
    return Spawned(told["url"], keys, told["accounts"], process)
