"""The made-up RetailCRM: a sandbox in a process of its own, reached over HTTP only."""

from __future__ import annotations

import json
import socket
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

from sync.demo.children import Child, Children, pause

NAMES = ("demo", "tienda")
ORDERS, CUSTOMERS = 5_000, 2_000
CHURN_PER_SECOND = 1
"""Saves a second, each of one record, in all accounts together."""
RATE = 10
LATENCY_MS = "60,250"
TRIES = 20
HISTORY_DAYS = 30
"""Days its histories go back; two years of them would take a minute more to read."""
ENTRIES_LATE_SHARE, ENTRIES_LATE_SECONDS = 0.1, (0.5, 3.0)
LISTS_LAG_SECONDS = 1.5
LATENESS_SECONDS = 5.0
"""Lateness bound of its stores, in seconds. A real account begins with 60 s, which pass before a
first load is sealed, and may learn a longer bound."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the made-up CRM, as its first line of output describes it."""

    name: str
    key: str
    """May read and write; what the mirror gets is `reader`."""
    reader: str
    zone: str
    orders: int
    customers: int


class MadeUp:
    """A running sandbox whose accounts are kept in `folder`."""

    def __init__(self, url: str, accounts: list[Account], *, is_new: bool, port: int) -> None:
        self.url, self.accounts, self.is_new, self.port = url, accounts, is_new, port

    def ask(self, path: str) -> Any:
        """GET what the sandbox tells beside its API; return the JSON of the answer."""
        with urllib.request.urlopen(self.url + path, timeout=20) as answer:  # noqa: S310  our own
            return json.load(answer)

    def post(self, path: str, form: dict[str, str], *, key: str) -> Any:
        """Change an account as any program would: a form to its API.

        Return the JSON; None when the account does not have what is to be changed.
        """
        request = urllib.request.Request(  # noqa: S310  our own http
            f"{self.url}/api/v5/{path}", urlencode(form).encode(), {"X-API-KEY": key}
        )
        for left in reversed(range(TRIES)):
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310  our own
                    return json.load(answer)
            except HTTPError as refused:
                if refused.code == HTTPStatus.NOT_FOUND:
                    return None
                if refused.code != HTTPStatus.SERVICE_UNAVAILABLE or not left:
                    raise
                pause(1.0)  # the mirror, at the same address, has used this second's requests
        return None


def address(folder: Path) -> str | None:
    """Return the last known address of the made-up accounts; None before the first run."""
    place = folder / "port"
    return f"http://127.0.0.1:{place.read_text('ascii')}" if place.exists() else None


def begin(children: Children, folder: Path) -> tuple[Child, int, bool]:
    """Start it at its previous port, so that store URLs stay; return child, port, is it new."""
    journal, place = folder / "journal.jsonl", folder / "port"
    is_new = not journal.exists()
    port = int(place.read_text("ascii")) if place.exists() else 0
    if not port or not is_free(port):
        port = free_port()
        place.write_text(str(port), "ascii")
    child = children.start(
        "sandbox",
        "sync.sandbox",
        "--json",
        *("--port", str(port), "--accounts", ",".join(NAMES)),
        *("--orders", str(ORDERS), "--customers", str(CUSTOMERS)),
        *("--rate", str(RATE), "--latency", LATENCY_MS, "--churn", str(CHURN_PER_SECOND)),
        *("--knobs", json.dumps(_knobs())),
        *("--journal", str(journal)),
        read_output=True,
    )
    return child, port, is_new


def _knobs() -> dict[str, Any]:
    """Return knobs that imitate a real account on a small scale: late entries, lagging lists."""
    return {
        "history_retention": HISTORY_DAYS * 86_400,
        "entry_delay_share": ENTRIES_LATE_SHARE,
        "entry_delay_seconds": ENTRIES_LATE_SECONDS,
        "list_lag_seconds": LISTS_LAG_SECONDS,
    }


def ready(children: Children, child: Child, port: int, *, is_new: bool) -> MadeUp:
    """Wait until it answers requests."""
    told = json.loads(children.first_line(child))
    accounts = [
        Account(a["name"], a["key"], a["reader"], a["zone"], a["orders"], a["customers"])
        for a in told["accounts"]
    ]
    return MadeUp(told["url"], accounts, is_new=is_new, port=port)


def is_free(port: int) -> bool:
    """Tell whether nothing listens on this port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
