"""A trigger of the sandbox calls a URL once for each entry, and promises nothing."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs

import pytest

from sync.sandbox import Sandbox
from sync.sandbox.triggers import Trigger

Called = queue.Queue[tuple[str, dict[str, list[str]]]]


@pytest.fixture
def called() -> Iterator[tuple[str, Called]]:
    """An address, and the calls that came to it."""
    calls: Called = queue.Queue()

    class Takes(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            calls.put((self.path, parse_qs(body.decode())))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Takes)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/nudge/x", calls
    server.shutdown()
    thread.join(5)
    server.server_close()


def test_a_change_calls_the_url_with_the_record_it_is_about(called: tuple[str, Called]) -> None:
    url, calls = called
    account = Sandbox(seed=3).account("shop", orders=5, customers=3, awkward=0)
    account.writer.triggers.append(Trigger(url))
    order, customer = min(account.ids("orders")), min(account.ids("customers"))
    account.update_order(order, managerComment="x")
    assert calls.get(timeout=5) == ("/nudge/x", {"order": [str(order)]})
    account.update_customer(customer, firstName="Ana")
    assert set(calls.get(timeout=5)[1]) == {"customer"}


def test_a_url_that_nobody_answers_is_given_up(called: tuple[str, Called]) -> None:
    trigger = Trigger("http://127.0.0.1:9/nudge")
    trigger("orders", 1)
    trigger("packs", 1)  # there is no trigger for these
    while not trigger.failed:
        threading.Event().wait(0.01)
    assert (trigger.called, trigger.failed) == (0, 1)
    with pytest.raises(ValueError, match="http address"):
        Trigger("file:///etc/passwd")
