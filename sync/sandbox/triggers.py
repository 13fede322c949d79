"""A trigger as an administrator makes one: it calls a URL when an order or customer changes.

Like the real ones it promises nothing: a call that fails is not repeated, calls come in any order,
and the history is the truth.
"""

from __future__ import annotations

import contextlib
import http.client
import queue
import threading
import urllib.error
import urllib.request
from urllib.parse import urlencode

TIMEOUT_SECONDS = 5.0
MOST_WAITING = 1_000
PARAMETERS = {"orders": "order", "customers": "customer"}


class Trigger:
    """Calls one URL with a form that names the record, from a thread of its own."""

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"a trigger calls an http address, not {url!r}")
        self.url, self.called, self.failed = url, 0, 0
        self._waiting: queue.Queue[tuple[str, int]] = queue.Queue(MOST_WAITING)
        threading.Thread(target=self._go_on, name="trigger", daemon=True).start()

    def __call__(self, history: str, record_id: int) -> None:
        """Have the URL called about a record; what no thread has time for is lost."""
        if history in PARAMETERS:
            with contextlib.suppress(queue.Full):
                self._waiting.put_nowait((PARAMETERS[history], record_id))

    def _go_on(self) -> None:
        while True:
            name, record_id = self._waiting.get()
            body = urlencode({name: record_id}).encode()
            request = urllib.request.Request(self.url, body)  # noqa: S310  checked above
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):  # noqa: S310
                    self.called += 1
            except (urllib.error.URLError, http.client.HTTPException, OSError):
                self.failed += 1
