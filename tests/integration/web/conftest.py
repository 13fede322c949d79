"""The status page as it is served, over a store mirrored in this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any
from unittest.mock import patch

import httpx
import pytest
import uvicorn
from pydantic import SecretStr

from sync import vault
from sync.settings import Settings
from sync.web.app import create_app
from sync.web.connections import OPTIONS
from sync.work.services import Services
from tests.integration.pipeline.harness import Mirror

TOKEN = "a token nobody guesses"
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PICTURES = Path(__file__).parents[3] / "build" / "screenshots"
Open = Callable[..., Mirror]


@pytest.fixture
def open_mirror(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Makes a mirror of a new account; its options are those of `Mirror`."""
    opened: list[Mirror] = []

    def make(**options: Any) -> Mirror:
        opened.append(Mirror(database, monkeypatch, **options))
        return opened[-1]

    yield make
    for mirror in opened:
        mirror.close()


@dataclass
class Served:
    """A running status page, and the services behind it."""

    url: str
    services: Services

    @contextmanager
    def client(self, *, logged_in: bool = True) -> Iterator[httpx.Client]:
        """A client with a session, unless it is to have none."""
        with httpx.Client(base_url=self.url, trust_env=False, timeout=10) as client:
            if logged_in:
                answer = client.post("/login", data={"token": TOKEN, "next": "/"})
                assert answer.status_code == 303, answer.text
            yield client


Serve = Callable[..., Served]


@pytest.fixture
def serve(database: str, redis_url: str) -> Iterator[Serve]:
    """Serves the page over this test's database; `token=None` makes it read-only."""
    yield from _serve(database, redis_url)


@pytest.fixture
def serve_bare() -> Iterator[Serve]:
    """The same without servers, for what is decided before any of them is asked."""
    yield from _serve("postgresql+psycopg://u:p@127.0.0.1:1/d", "redis://127.0.0.1:1/0")


def _serve(database: str, redis_url: str) -> Iterator[Serve]:
    running: list[Any] = []

    def make(*, token: str | None = TOKEN, **options: Any) -> Served:
        values = {
            "database_url": database,
            "redis_url": redis_url,
            "secret_key": vault.Key.generate().text(),
            "web_token": None if token is None else SecretStr(token),
        }
        services = Services(Settings(**(values | options)), Event())
        context = serving(services)
        running.append((context, services))
        return Served(context.__enter__(), services)

    yield make
    for context, services in running:
        context.__exit__(None, None, None)
        services.engine.dispose()
        services.redis.close()


@contextmanager
def serving(services: Services, **options: Any) -> Iterator[str]:
    """Serve on a free port of this machine, as the command does; yields the address.

    Work that a nudge makes due is not dispatched: Celery's broker is that of this process's
    settings, not of the test's servers.
    """
    with patch("sync.web.nudges._dispatch", lambda: None):
        app = create_app(services)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="error",
            lifespan="off",
            **OPTIONS | options,
        )
    )
    # What is connected before it is ready waits in the socket's queue.
    listener.listen(64)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium, the machine's own.

    While it is open an event loop runs in this thread: no test of another module may begin then.
    """
    if not CHROMIUM.exists():
        pytest.skip(f"there is no Chromium at {CHROMIUM}: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()
