"""A real receiver on a socket: told once, told again when it was away, told when it is over."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr

from sync.notify import notify
from sync.pipeline.services import Services
from tests.integration.pipeline.harness import Mirror
from tests.integration.web.conftest import Open, Serve

SECRET = "a secret of the webhook"


class Receiver:
    """Keeps what it was sent; answers with `status`."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.status = 200
        self.port = 0

    @contextmanager
    def up(self) -> Iterator[str]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.headers["X-Mirror-Signature"], body))
                self.send_response(receiver.status)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{self.port}/hook"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def texts(self) -> list[str]:
        return [json.loads(body)["text"] for _, body in self.got]


Worker = Callable[[str], Services]


@pytest.fixture
def worker(serve: Serve) -> Worker:
    """A fresh process, as far as the webhook goes: all it knows is in Postgres."""

    def make(url: str) -> Services:
        served = serve(webhook_url=SecretStr(url), webhook_secret=SecretStr(SECRET))
        return served.services

    return make


def park(mirror: Mirror, resource: str = "orders") -> None:
    mirror.rows(
        "UPDATE sync.lane SET parked_at = now(), failing_since = now(), error = 'a wrong answer'"
        " WHERE store_id = :store AND resource = :r AND lane = 'walk'",
        r=resource,
    )


def release(mirror: Mirror) -> None:
    mirror.rows(
        "UPDATE sync.lane SET parked_at = NULL, failing_since = NULL, error = NULL"
        " WHERE store_id = :store"
    )


def test_a_trouble_is_told_once_and_its_end_once_whatever_restarts(
    open_settled: Open, worker: Worker
) -> None:
    mirror, receiver = open_settled(), Receiver()
    with receiver.up() as url:
        assert notify(worker(url)) == 0
        park(mirror)
        assert notify(worker(url)) == 1
        for _ in range(3):
            assert notify(worker(url)) == 0
        release(mirror)
        assert notify(worker(url)) == 1
        assert notify(worker(url)) == 0
    first, second = receiver.texts()
    assert "needs an operator\n• orders: a wrong answer; then: celery -A sync mirror retry" in first
    assert second.endswith("is well again\n• over: orders")
    header, body = receiver.got[0]
    stamp, _, given = header.removeprefix("t=").partition(",v1=")
    wanted = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert given == wanted


def test_a_receiver_that_is_down_is_tried_again_later_and_later(
    open_settled: Open, worker: Worker
) -> None:
    mirror, receiver = open_settled(), Receiver()
    with receiver.up() as url:
        pass  # its port is known, and nobody is there
    park(mirror)
    waits = []
    for _ in range(3):
        assert notify(worker(url)) == 0
        waits.append(_wait(mirror))
        assert notify(worker(url)) == 0, "not before it is due"
        mirror.rows("UPDATE sync.notification SET due_at = now()")
    assert waits == sorted(waits)
    assert waits[0] >= 20
    assert waits[2] >= 3 * waits[0]
    assert "cannot be reached" in mirror.value("SELECT error FROM sync.notification")
    receiver.status = 500
    with receiver.up() as url:
        assert notify(worker(url)) == 0
        assert mirror.value("SELECT error FROM sync.notification") == "the receiver answered 500"
        receiver.status = 307
        mirror.rows("UPDATE sync.notification SET due_at = now()")
        assert notify(worker(url)) == 0, "a redirect is not followed"
        receiver.status = 204
        mirror.rows("UPDATE sync.notification SET due_at = now()")
        assert notify(worker(url)) == 1
    assert mirror.value("SELECT told FROM sync.notification") == "trouble"


def test_what_was_over_before_anybody_heard_of_it_is_not_told(
    open_settled: Open, worker: Worker
) -> None:
    mirror, receiver = open_settled(), Receiver()
    park(mirror)
    assert notify(worker("http://127.0.0.1:1/")) == 0
    release(mirror)
    with receiver.up() as url:
        assert notify(worker(url)) == 0
    assert receiver.got == []


def test_a_store_that_stopped_is_one_trouble_and_many_resources_are_one_message(
    open_settled: Open, worker: Worker
) -> None:
    """A key that is refused stops sixty resources: nobody wants sixty messages."""
    mirror, receiver = open_settled(), Receiver()
    with receiver.up() as url:
        park(mirror, "orders")
        park(mirror, "customers")
        assert notify(worker(url)) == 1
        assert {item["resource"] for item in _items(receiver, 0)} == {"orders", "customers"}
        mirror.rows("UPDATE sync.store SET error = 'the key is refused' WHERE id = :store")
        notify(worker(url))
        events = [(json.loads(b)["event"], len(json.loads(b)["items"])) for _, b in receiver.got]
        assert ("trouble", 1) in events[1:]
        assert all(item["resource"] is None for item in _items(receiver, -1)) or events[-1][1] == 2


def test_lag_is_told_above_the_limit_and_over_below_half_of_it(
    open_settled: Open, worker: Worker
) -> None:
    """Between the two nothing is said, so that a lag about the limit is not told over and over."""
    mirror, receiver = open_settled(), Receiver()
    events = []
    with receiver.up() as url:
        for minutes in (20, 31, 40, 20, 31, 14, 20):
            mirror.rows(
                "UPDATE sync.feed SET head_at = clock_timestamp() - make_interval(mins => :m)"
                " WHERE store_id = :store",
                m=minutes,
            )
            notify(worker(url))
            events.append(len(receiver.got))
    assert events == [0, 1, 1, 1, 1, 2, 2]
    assert "lags by 31 min, the limit is 30 min" in receiver.texts()[0]
    assert receiver.texts()[1].endswith("• over: lag")


def test_a_disabled_store_is_no_trouble(open_settled: Open, worker: Worker) -> None:
    mirror, receiver = open_settled(), Receiver()
    park(mirror)
    mirror.rows("UPDATE sync.store SET enabled = false WHERE id = :store")
    with receiver.up() as url:
        assert notify(worker(url)) == 0


def _wait(mirror: Mirror) -> float:
    found = mirror.value("SELECT extract(epoch FROM max(due_at) - now()) FROM sync.notification")
    return float(found)


def _items(receiver: Receiver, index: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(receiver.got[index][1])["items"]
    return items
