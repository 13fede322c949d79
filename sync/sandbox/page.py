"""The page at `/`: accounts, requests with their answers, switches. Plain HTML, for people.

Tests use /control and /oracle instead, which say the same in JSON.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from html import escape
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from sync.sandbox.account import Account
from sync.sandbox.limit import Arrival
from sync.sandbox.php import Json, nested
from sync.sandbox.sandbox import Sandbox

SHOWN = 25  # requests
_KINDS = ("500", "502", "503", "html", "cut", "short", "reset", "slow")
# name of a switch: its knob, its label, its unit
_SWITCHES = {
    "rate": ("Limit", "requests a second; 0: none"),
    "latency_ms": ("Latency", "milliseconds, or two: low, high"),
    "list_lag_seconds": ("Lists behind the histories", "seconds"),
    "entry_delay_share": ("Late history entries", "share of them, 0 to 1"),
    "entry_delay_seconds": ("How late", "seconds, or two: low, high"),
    "churn_per_second": ("Changes by others", "a second"),
}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
table { border-collapse: collapse; margin: .5rem 0 1.5rem }
td, th { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd;
         vertical-align: top }
code { font-size: 13px; word-break: break-all } label { display: block; margin: .3rem 0 }
label span { display: inline-block; width: 15rem } .bad { color: #b00020 }
"""


def routes(sandbox: Sandbox) -> list[Route]:
    shown = Page(sandbox)
    return [
        Route("/", shown.show),
        Route("/page/switches", shown.switch, methods=["POST"]),
    ]


class Page:
    """The handlers behind the routes."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def show(self, request: Request) -> Response:
        return HTMLResponse(self._html(str(request.base_url).rstrip("/")))

    async def switch(self, request: Request) -> Response:
        """Turn the knobs of the form; a value that is none is told, and nothing is turned."""
        origin = request.headers.get("origin")
        if origin and urlsplit(origin).netloc != request.headers.get("host"):
            return HTMLResponse("Another page may not turn these switches.", 403)
        given = nested((await request.body()).decode("utf-8", "replace"))
        base = str(request.base_url).rstrip("/")
        try:
            with self._sandbox.lock:
                self._sandbox.knobs.turn(**knobs(given))
        except ValueError as error:
            return HTMLResponse(self._html(base, error=str(error)), 400)
        if self._sandbox.knobs.churn_per_second > 0:
            self._sandbox.churn.start()
        return RedirectResponse("/", 303)

    def _html(self, url: str, *, error: str = "") -> str:
        sandbox = self._sandbox
        with sandbox.lock:
            accounts = list(sandbox.accounts.values())
            made = "".join(_account(account) for account in accounts)
            arrivals = sandbox.log.matching()
            latest = list(sandbox.log.recent)[-SHOWN:][::-1]
        refused = f'<p class="bad">{escape(error)}</p>' if error else ""
        return (
            f"<!doctype html><html lang=en><meta charset=utf-8><title>Sandbox</title>"
            f"<style>{_STYLE}</style><h1>A RetailCRM on this machine</h1>"
            f"<p>The API is at <code>{escape(url)}/api/v5/</code>; the key goes in the header "
            f"<code>X-API-KEY</code>. <a href=/>Look again</a></p>"
            f"<h2>Accounts</h2><table><tr><th>account<th>key<th>may<th>sites<th>zone<th>records"
            f"{made}</table><h2>Requests</h2>{_counts(arrivals)}{_requests(latest)}"
            f"<h2>Switches</h2>{refused}{_form(sandbox)}"
        )


def _account(account: Account) -> str:
    counts = ", ".join(
        f"{len(account.collections[name].truth.live):,} {name}"
        for name in ("orders", "customers", "customers-corporate", "products", "tasks", "costs")
    )
    keys = [key for key in account.keyring.keys.values() if key.active]
    told = [
        f"<td><code>{escape(key.value)}</code><td>"
        + ("read and write" if any(s.endswith("_write") for s in key.scopes) else "read")
        for key in keys
    ] or ["<td>none<td>"]
    first = f"<tr><td>{escape(account.name)}{told[0]}<td>{escape(', '.join(account.sites))}"
    rest = "".join(f"<tr><td>{line}<td><td><td>" for line in told[1:])
    return f"{first}<td>{escape(account.time.zone_name)}<td>{counts}{rest}"


def _counts(arrivals: list[Arrival]) -> str:
    by = Counter((a.account or "no account", a.status) for a in arrivals)
    told = "".join(
        f"<tr><td>{escape(name)}<td>{status or 'under way'}<td>{count:,}"
        for (name, status), count in sorted(by.items(), key=str)
    )
    return f"<table><tr><th>account<th>answer<th>requests{told}</table>"


def _requests(latest: list[tuple[Arrival, bytes]]) -> str:
    rows = []
    for arrival, body in latest:
        at = datetime.fromtimestamp(arrival.time, UTC).strftime("%H:%M:%S")
        asked = ", ".join(f"{name}={_short(value)}" for name, value in arrival.params.items())
        tone = ' class="bad"' if arrival.status >= 400 else ""
        rows.append(
            f"<tr><td>{at}<td>{arrival.verb} <code>{escape(arrival.path)}</code><br>"
            f"<code>{escape(asked)}</code><td{tone}>{arrival.status}"
            f"<td><code>{escape(body.decode('utf-8', 'replace'))}</code>"
        )
    head = "<tr><th>UTC<th>request<th>answer<th>its beginning"
    return f"<table>{head}{''.join(rows)}</table>"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 160 else text[:160] + "…"


def _form(sandbox: Sandbox) -> str:
    held = sandbox.knobs.as_json()
    lines = [
        f"<label><span>{label}</span><input name={name} size=10 value='{_value(held[name])}'> "
        f"{unit}</label>"
        for name, (label, unit) in _SWITCHES.items()
    ]
    kind, share = next(iter(held["fault_share"].items()), ("500", 0))
    options = "".join(f"<option{' selected' * (k == kind)}>{k}" for k in _KINDS)
    lines.append(
        f"<label><span>Broken answers</span><input name=fault_share size=10 value='{share}'> "
        f"share of them, 0 to 1, as <select name=fault_kind>{options}</select></label>"
    )
    return f"<form method=post action=/page/switches>{''.join(lines)}<button>Set</button></form>"


def _value(held: object) -> str:
    parts = list(held) if isinstance(held, list | tuple) else [held]
    parts = parts[:1] if len(set(parts)) == 1 else parts
    return escape(", ".join(f"{part:g}" for part in parts if isinstance(part, int | float)))


def knobs(given: Json) -> Json:
    """Return the knobs of the form; ValueError, in words, for what is no number."""
    found: Json = {}
    for name in (*_SWITCHES, "fault_share"):
        if name not in given:
            continue
        parts = [_number(name, part) for part in str(given[name]).split(",")]
        if len(parts) > 1 and not name.endswith(("_ms", "_delay_seconds")):
            raise ValueError(f"{name} is one number")
        found[name] = (parts[0], parts[-1]) if len(parts) > 1 else parts[0]
    if "fault_share" in found:
        kind = str(given.get("fault_kind", "500"))
        if kind not in _KINDS:
            raise ValueError(f"a broken answer is one of {', '.join(_KINDS)}")
        found["fault_share"] = {kind: found["fault_share"]} if found["fault_share"] else {}
    return found


def _number(name: str, text: str) -> float:
    most = 1.0 if name.endswith("_share") else 86_400.0
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{name}: {text.strip()!r} is no number") from None
    if not 0 <= number <= most:
        raise ValueError(f"{name} is between 0 and {most:g}")
    return number
