"""`python -m sync.sandbox`: a RetailCRM on this machine, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import orjson

from sync.sandbox.account import Account
from sync.sandbox.journal import Journal
from sync.sandbox.keys import READS
from sync.sandbox.knobs import Knobs
from sync.sandbox.sandbox import Sandbox
from sync.sandbox.serve import listen, server
from sync.sandbox.triggers import Trigger

DEMO = (("demo", "Europe/Moscow", 0.6), ("tienda", "Europe/Madrid", 0.4))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m sync.sandbox", description=__doc__)
    add = made.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8080, help="0 takes a free one")
    add("--seed", type=int, default=7)
    add("--accounts", help="names, comma-separated; the first is in Moscow, the others in Madrid")
    add(
        "--account",
        action="append",
        default=[],
        metavar="NAME:ZONE:ORDERS:CUSTOMERS:KEY",
        help="an account of your own; later parts may be left out; repeatable",
    )
    add(
        "--trigger",
        action="append",
        default=[],
        metavar="NAME=URL",
        help="call this URL when an order or customer of the account changes; repeatable",
    )
    add("--orders", type=int, default=6000, help="orders of the default accounts together")
    add("--customers", type=int, default=2000)
    add("--awkward", type=float, default=0.02, help="share of records with an awkward value")
    add("--churn", type=float, default=0.0, help="saves a second from the start")
    add("--rate", type=float, default=0.0, help="requests in a sliding second; 0: no limit")
    add("--latency", default="0", metavar="MS | LOW,HIGH")
    add(
        "--faults",
        default="",
        metavar="KIND=SHARE,…",
        help="broken answers, e.g. 500=0.02,cut=0.01",
    )
    add(
        "--allow",
        action="append",
        default=[],
        metavar="NETWORK",
        help="whose clients reach page and controls, beside this machine; repeatable",
    )
    add("--knobs", default="{}", metavar="JSON", help="any knob of sync.sandbox.knobs.Knobs")
    add("--lean", action="store_true", help="keep records compressed: less memory, more time")
    add("--journal", metavar="FILE", help="live on after a restart: what happened is kept there")
    add("--json", action="store_true", help="one machine-readable line instead of several")
    return made


def build(options: argparse.Namespace) -> Sandbox:
    """Build the sandbox that the options describe."""
    latency = [float(part) for part in options.latency.split(",")]
    knobs = Knobs(
        rate=options.rate, churn_per_second=options.churn, latency_ms=(latency[0], latency[-1])
    )
    faults = [part.split("=") for part in options.faults.split(",") if part]
    knobs.turn(fault_share={kind: float(share) for kind, share in faults})
    knobs.turn(**orjson.loads(options.knobs))
    sandbox = Sandbox(knobs, seed=options.seed, lean=options.lean)
    journal = Journal(Path(options.journal)) if options.journal else None
    if journal is not None:
        journal.begin(sandbox)
    asked: list[dict[str, Any]] = []
    for text in options.account:
        name, zone, orders, customers, key = (text.split(":", 4) + [""] * 5)[:5]
        asked.append(
            {"name": name, "zone": zone or "Europe/Moscow", "orders": int(orders or 0),
             "customers": int(customers or 0), "key": key or None}
        )  # fmt: skip
    if options.accounts or not asked:
        names = options.accounts.split(",") if options.accounts else [n for n, _, _ in DEMO]
        for number, name in enumerate(names):
            _, zone, share = DEMO[min(number, 1)]
            share = share if len(names) == len(DEMO) else 1 / len(names)
            asked.append(
                {"name": name, "zone": zone, "orders": int(options.orders * share),
                 "customers": int(options.customers * share)}
            )  # fmt: skip
    for arguments in asked:
        made = sandbox.account(awkward=options.awkward, **arguments)
        made.keyring.add_key(scopes=READS)
    if journal is not None:
        journal.resume(sandbox)
    for text in options.trigger:
        name, _, url = text.partition("=")
        if name not in sandbox.accounts:
            raise ValueError(f"there is no account {name!r} for a trigger")
        sandbox.accounts[name].writer.triggers.append(Trigger(url))
    return sandbox


def announce(sandbox: Sandbox, url: str, *, as_json: bool) -> None:
    accounts = [
        {"name": a.name, "key": a.key, "reader": _reader(a),
         "zone": a.time.zone_name, "currency": a.currency,
         "orders": len(a.collections["orders"].truth.live),
         "customers": len(a.collections["customers"].truth.live)}
        for a in sandbox.accounts.values()
    ]  # fmt: skip
    if as_json:
        text = orjson.dumps({"url": url, "accounts": accounts}).decode()
    else:
        rows = [
            f"  {a['name']}  key {a['key']}  {a['zone']}, {a['orders']} orders; "
            f"to read only: {a['reader']}"
            for a in accounts
        ]
        text = "\n".join([f"listening on {url}", *rows, "", *_to_try(url, str(accounts[0]["key"]))])
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _reader(account: Account) -> str:
    """Return the account's key that may only read."""
    keys = [k.value for k in account.keyring.keys.values() if k.scopes <= set(READS)]
    return next(iter(keys), "")


def _to_try(url: str, key: str) -> list[str]:
    return [
        f"See     {url}/  accounts, requests with their answers, switches",
        f"Read    curl -H 'X-API-KEY: {key}' '{url}/api/v5/orders?limit=20'",
        f"Write   curl -H 'X-API-KEY: {key}' -d site=main "
        f'--data-urlencode \'order={{"firstName": "Ana"}}\' {url}/api/v5/orders/create',
        f"Python  import retailcrm; retailcrm.v5('{url}', '{key}').orders().get_response()",
        f"Mirror  celery -A sync mirror store add demo {url}",
        "Ctrl-C stops it; nothing is kept unless --journal names a file.",
    ]


async def serve(sandbox: Sandbox, options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT, then end at once: nothing has to be finished."""
    sock = listen(options.host, options.port)
    served = server(sandbox, allowed=options.allow)
    task = asyncio.create_task(served._serve([sock]))
    ended = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, ended.set)
    while not served.started and not task.done():
        await asyncio.sleep(0.005)
    announce(sandbox, f"http://{options.host}:{sock.getsockname()[1]}", as_json=options.json)
    if sandbox.knobs.churn_per_second > 0:
        sandbox.churn.start()
    await asyncio.wait(
        [task, asyncio.create_task(ended.wait())], return_when=asyncio.FIRST_COMPLETED
    )
    await sandbox.churn.stop()
    served.should_exit = served.force_exit = True
    await asyncio.wait([task], timeout=1)


def main(arguments: list[str] | None = None) -> int:
    asked = parser()
    options = asked.parse_args(arguments)
    try:
        sandbox = build(options)
    except ValueError as error:
        asked.error(str(error))
    try:
        asyncio.run(serve(sandbox, options))
    except OSError as error:
        asked.exit(1, f"Port {options.port} cannot be listened at: {error.strerror}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
