"""Command sandbox: a made-up RetailCRM for people who write an integration."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

import click

from sync.commands.shell import NotReady, examples


@click.command(
    epilog=examples("sandbox", "sandbox --accounts shop --orders 500 --latency 60,250 --rate 0")
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8090, show_default=True)
@click.option("--accounts", help="Their names, comma-separated.  [default: demo,tienda]")
@click.option("--orders", type=click.IntRange(0), default=6_000, show_default=True, help="Of all.")
@click.option("--customers", type=click.IntRange(0), default=2_000, show_default=True)
@click.option(
    "--rate", type=float, default=10, show_default=True, help="Requests a second; 0: any."
)
@click.option("--latency", default="0", show_default=True, metavar="MS | LOW,HIGH")
@click.option(
    "--faults", default="", metavar="KIND=SHARE,…", help="Broken answers: 500=0.02,cut=0.01"
)
@click.option(
    "--churn", type=float, default=0, show_default=True, help="Changes a second by others."
)
@click.option(
    "--journal", metavar="FILE", help="Live on after a restart: what happened is kept there."
)
@click.option(
    "--trigger", multiple=True, metavar="NAME=URL", help="Call this URL when a record changes."
)
@click.option(
    "--allow", multiple=True, metavar="NETWORK", help="Who reaches the page, beside this machine."
)
def sandbox(**options: object) -> None:
    """Serve a made-up RetailCRM on this machine, until Ctrl-C: its API to read and to write.

    It prints its address and the accounts' keys. The page at its address shows the accounts, the
    last requests with their answers, and switches for limits, latency, faults and lateness. The
    API's official clients work with it unchanged.
    """
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise NotReady(
            f"The sandbox is not installed ({missing[0]} is missing). "
            "From the checkout: pip install -c ops/constraints.txt -e '.[sandbox]'"
        )
    arguments = []
    for name, value in options.items():
        for each in value if isinstance(value, tuple) else (value,):
            if each not in (None, ""):
                arguments += [f"--{name}", str(each)]
    # A process of its own program: the service does not import the sandbox.
    os.execv(sys.executable, [sys.executable, "-m", "sync.sandbox", *arguments])  # noqa: S606
