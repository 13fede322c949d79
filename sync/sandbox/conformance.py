"""Every method of the API tried against an account: what answers what, as a table.

    python -m sync.sandbox.conformance            try them all, print the table
    python -m sync.sandbox.conformance write      renew the table in ops/docs/sandbox.md

Calls are made from the methods' own declarations: variable parts of a path from a record that is
there, a form from the smallest that its shape lets pass.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sync.sandbox import registry
from sync.sandbox.account import Account
from sync.sandbox.clock import Clock
from sync.sandbox.php import Json
from sync.sandbox.sandbox import Sandbox
from sync.sandbox.shapes import Write
from sync.sandbox.without import Without

PAGE = Path(__file__).parents[2] / "ops/docs/sandbox.md"
BEGIN, END = "<!-- methods -->\n", "<!-- /methods -->\n"
# Methods that some client names and no evidence describes, or that older versions had: nothing is
# answered but "Method not found".
UNKNOWN = (
    ("GET", "/api/v4/marketplace/external/setting/{code}"),
    ("GET", "/api/v4/store/setting/{code}"),
    ("GET", "/api/v4/telephony/setting/{code}"),
    ("GET", "delivery/generic/setting/{code}"),
    ("GET", "orders/statuses/statistic"),
    ("POST", "customer-interaction/{site}/favorites/{customer}/add"),
    ("POST", "customer-interaction/{site}/favorites/{customer}/remove"),
    ("POST", "reference/mg-channels/templates/edit"),
    ("POST", "reference/subscriptions/{channel}/{code}/edit"),
    ("GET", "reference/subscriptions"),
)
# Variable parts that name no record of the method's own collection.
_PARTS = {
    "site": "main", "customer": "c1", "check": "1", "uuid": "1", "status": "waiting_activation",
    "plate": "1", "subcode": "courier-service",
}  # fmt: skip


@dataclass(frozen=True)
class Tried:
    """One method, and what an account answers to a call of it."""

    verb: str
    path: str  # below /api/v5/, or from /api/ on
    sort: str  # served | refused | unknown
    status: int
    said: str


def methods() -> Iterator[tuple[str, str, str]]:
    """Yield verb, path and sort of every method there is."""
    for path, method in registry.METHODS.items():
        absent = getattr(method.answer, "__name__", "") == "nothing_here"
        yield "GET", _short(path), "refused" if absent else "served"
    for path, (write, _) in registry.WRITES.items():
        yield "POST", _short(path), "refused" if isinstance(write.do, Without) else "served"
    for verb, path in UNKNOWN:
        yield verb, path, "unknown"


def _short(path: str) -> str:
    return path.removeprefix("/api/v5/")


def account_to_try() -> tuple[Sandbox, Account]:
    """Return a sandbox whose account has something of every kind."""
    sandbox = Sandbox(seed=7, clock=Clock(1_790_000_000.0))
    account = sandbox.account(orders=120, customers=100, products=12, awkward=0)
    account.mutations["grant_scope"]("analytics_write")  # which no key has at first
    account.mutations["create_bonus"](account.ids("loyalty-accounts")[0], 10_000)
    return sandbox, account


def tried() -> list[Tried]:
    """Try every method once, each against an account as it was made."""
    sandbox, account = account_to_try()
    backup = account.backups.back_up()
    found = []
    for verb, path, sort in sorted(methods(), key=lambda m: (m[1], m[0])):
        status, body = call(sandbox, account, verb, path)
        said = body.get("errorMsg", "") if isinstance(body, dict) else ""
        found.append(Tried(verb, path, sort, status, said))
        if verb == "POST":
            account.backups.restore(backup)
    return found


def call(sandbox: Sandbox, account: Account, verb: str, path: str) -> tuple[int, Any]:
    """Call a method with the smallest request that it should let pass."""
    filled = fill(account, path) if (verb, path) not in UNKNOWN else path
    if verb == "GET":
        query = "?by=id" if "{id}" in path else ""
        return sandbox.get(filled + query)
    form: Json = {"by": "id", "entityBy": "id"} if "{id}" in path else {}
    write: Write | None = next(
        (w for p, (w, _) in registry.WRITES.items() if _short(p) == path), None
    )
    if write is not None:
        form |= write.form(account)
    if "site" not in form:
        form["site"] = account.sites[0]
    return sandbox.post(filled, **form)


def fill(account: Account, path: str) -> str:
    """Return a path with its variable parts filled in from records that are there."""
    parts, filled = path.split("/"), []
    for n, part in enumerate(parts):
        if not part.startswith("{"):
            filled.append(part)
            continue
        filled.append(_part(account, "/".join(parts[:n]), part.strip("{}"), filled))
    return "/".join(filled)


def _part(account: Account, before: str, name: str, filled: list[str]) -> str:
    if name in _PARTS:
        return _PARTS[name]
    if before.startswith("reference/"):
        entries = account.references[before.split("/")[1]]
        key = next(iter(entries))
        return str(entries[key]["id"] if name == "id" else key)
    match before:
        case "orders/payments":
            order = account.read("orders", account.ids("orders")[0])
            return str(next(iter(order["payments"])))
        case "custom-fields":
            return "order"
        case "custom-fields/dictionaries":
            return "colours"
        case "custom-fields/{entity}":
            return "gift"
        case "integration-modules":
            return "mg-bot"
    if name == "part":
        collection, firm = before.rpartition("/")[2], int(filled[1])
        held = account.collections[collection].truth.live.values()
        return str(next(r.id for r in held if r.customer == firm))
    return str(account.ids(_collection(account, before))[0])


_COLLECTIONS = {
    "orders/packs": "packs", "customers/notes": "customer-notes", "loyalty/loyalties": "loyalties",
    "customers-corporate/notes": "corporate-notes", "loyalty/account": "loyalty-accounts",
    "delivery/shipments": "shipments", "store/product-groups": "product-groups",
}  # fmt: skip


def _collection(account: Account, before: str) -> str:
    return _COLLECTIONS.get(before, before.partition("/")[0])


def table(rows: list[Tried]) -> str:
    """Return the table as Markdown, with the counts before it."""
    counts = Counter((row.verb, row.sort) for row in rows)
    lines = [
        "| | served | refused, as an account without the feature | unknown |",
        "|---|---|---|---|",
    ]
    for verb in ("GET", "POST"):
        cells = " | ".join(str(counts[verb, s]) for s in ("served", "refused", "unknown"))
        lines.append(f"| {verb} | {cells} |")
    lines += ["", "| method | | a call of it | |", "|---|---|---|---|"]
    for row in rows:
        lines.append(f"| {row.verb} `{row.path}` | {row.sort} | {row.status} | {row.said} |")
    return "\n".join(lines) + "\n"


def page(text: str, rows: list[Tried]) -> str:
    """Return the documentation page with its table renewed."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(rows)}\n{END}{after}"


def main(arguments: list[str] | None = None) -> int:
    asked = sys.argv[1:] if arguments is None else arguments
    rows = tried()
    if asked == ["write"]:
        PAGE.write_text(page(PAGE.read_text("utf-8"), rows), "utf-8")
        return 0
    sys.stdout.write(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
