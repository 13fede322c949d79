"""One page, however hostile, never costs a worker more than 300 MB.

Run as a script, this file is a worker: it works on the orders and prints its peak memory.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sync.embedded import Servers
from tests.bench.stage import ONLY, ROOT, Stage

MOST_MB = 300
BLOCK = '"pagination":{"limit":%d,"totalCount":%d,"currentPage":1,"totalPageCount":%d}'


def page(records: str, *, total: int) -> bytes:
    """An answer of the orders' list."""
    block = BLOCK % (100, total, -(-total // 100))
    return f'{{"success":true,{block},"orders":[{records}]}}'.encode()


def order(number: int, more: str = "") -> str:
    return f'{{"id":{number},"createdAt":"2026-01-01 10:00:00"{more}}}'


HOSTILE = {
    "usual": lambda: page(",".join(order(n) for n in range(1, 101)), total=100),
    "a million tiny records": lambda: page(",".join(['{"id":1}'] * 1_000_000), total=1_000_000),
    "a million empty lists": lambda: page(",".join(["[]"] * 4_000_000), total=100),
    "a hundred thousand records": lambda: page(
        ",".join(f'{{"id":{n}}}' for n in range(1, 100_001)), total=100_000
    ),
    "an order of a hundred thousand items": lambda: page(
        order(1, ',"items":[' + ",".join(["{}"] * 120_000) + "]"), total=1
    ),
    "an order of many custom fields": lambda: page(
        order(1, ',"customFields":{' + ",".join(f'"k{n}":{{}}' for n in range(120_000)) + "}"),
        total=1,
    ),
    "a text of fifteen megabytes": lambda: page(
        order(1, ',"managerComment":"\U0001f600' + "x" * 15_500_000 + '"'), total=1
    ),
    "a hundred large texts": lambda: page(
        ",".join(order(n, ',"managerComment":"' + "y" * 150_000 + '"') for n in range(1, 101)),
        total=100,
    ),
}


ROWS = {
    "usual": 100,
    "an order of a hundred thousand items": 1,
    "an order of many custom fields": 1,
    "a text of fifteen megabytes": 1,
    "a hundred large texts": 100,
}
"""What becomes of them: rows where they can be held, none otherwise."""


@contextmanager
def serving(body: bytes) -> Iterator[tuple[str, list[str]]]:
    """An account whose list of orders is always the same answer, gzipped; what was asked of it."""
    asked: list[str] = []
    packed = gzip.compress(body, 1)
    empty = {"success": True, "history": [], "generatedAt": "2026-01-01 10:00:00"}
    empty["pagination"] = {"limit": 100, "totalCount": 0, "currentPage": 1, "totalPageCount": 0}
    access = {"success": True, "scopes": ["order_read"], "siteAccess": "access_full"}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path.startswith("/api/v5/orders?"):
                asked.append(self.path)
                self._send(packed, "gzip")
            elif "history" in self.path:
                self._send(json.dumps(empty).encode(), "identity")
            else:
                self._send(json.dumps(access).encode(), "identity")

        def _send(self, content: bytes, coding: str) -> None:
            self.send_response(200)
            self.send_header("Content-Encoding", coding)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind != "usual"])
def test_one_page_never_costs_more_than_300_mb(own_servers: Servers, kind: str) -> None:
    """From the socket to the commit, beside what a worker needs for a usual page."""
    usual, hostile = peak_mb(own_servers, "usual"), peak_mb(own_servers, kind)
    print(f"{kind}: {hostile - usual:.0f} MB")
    assert hostile - usual < MOST_MB


_PEAKS: dict[str, float] = {}


def peak_mb(servers: Servers, kind: str) -> float:
    """The peak memory of a worker that reads a page, in megabytes."""
    if kind not in _PEAKS:
        stage = Stage(servers, "hostile")
        try:
            with serving(HOSTILE[kind]()) as (url, asked):
                stage.add_store(url, "a-key-of-some-length", only=ONLY)
                done = subprocess.run(
                    [sys.executable, __file__],
                    env=stage.environment(SYNC_RATE_LIMIT="1000", PYTHONPATH=str(ROOT)),
                    stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT,
                )  # fmt: skip
            assert any("limit=100" in each for each in asked)
            assert stage.one("SELECT count(*) FROM crm.orders") == ROWS.get(kind, 0)
        finally:
            stage.engine.dispose()
        _PEAKS[kind] = float(done.stdout.split()[-1])
    return _PEAKS[kind]


def main() -> None:
    """Do some slices of the orders; print the most memory this process had."""
    import sqlalchemy as sa

    from sync.state.lanes import Claim
    from sync.work.services import services
    from sync.work.slices import work

    made = services()
    made.__dict__["limiter"] = None
    with made.engine.begin() as connection:
        store_id = connection.execute(sa.text("SELECT id FROM sync.store")).scalar_one()
    for _ in range(2):
        work(Claim(store_id, "order_history", "feed"), made)
        work(Claim(store_id, "orders", "walk"), made)
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    print(int(found[1]) / 1024)


if __name__ == "__main__":
    main()
