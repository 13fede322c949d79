"""status: what is wrong first, then stores by need; for scripts (--json), live (--watch)."""

from __future__ import annotations

import datetime as dt
import sys
import time
from typing import Any

import click

from sync.commands.services import at_head
from sync.commands.shell import ATTENTION, UNKNOWN, examples, say, say_json
from sync.errors import TryLater
from sync.forecast import duration
from sync.state.status import ResourceStatus, StoreStatus
from sync.telemetry import plain
from sync.verdict import Cause, Need, Verdict
from sync.work.outlook import Outlook, look_out
from sync.work.services import Services

__all__ = ["as_object", "duration", "pause", "status", "utc_text"]

WATCH_SECONDS = 2.0
PIPE_SECONDS = 10.0


@click.command(
    epilog=examples(
        "status", "status shop --watch", "status shop --all", "status --json | jq '.verdict'"
    )
)
@click.argument("name", required=False)
@click.option("--all", "show_all", is_flag=True, help="Every resource, also those that are well.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with all of it.")
@click.option("--watch", is_flag=True, help="Repeat until Ctrl-C.")
def status(name: str | None, show_all: bool, as_json: bool, watch: bool) -> None:
    """Show whether all is well, and if not, what to do first; then a line for each store.

    With NAME: its resources, those in trouble and those at work first.

    Exit status 0: nothing needs attention; 1: something does; 3: it could not find out.
    """
    found = at_head()
    if watch:
        raise click.exceptions.Exit(_watch(found, name, as_json=as_json, show_all=show_all))
    seen = look_out(found, name)
    _print(seen, as_json=as_json, show_all=show_all)
    raise click.exceptions.Exit(_status_of(seen))


def _status_of(seen: Outlook) -> int:
    if seen.verdict.causes and seen.verdict.causes[0].need is Need.POSTGRES:
        return UNKNOWN
    return ATTENTION if seen.verdict.is_trouble else 0


def _print(seen: Outlook, *, as_json: bool, show_all: bool) -> None:
    if as_json:
        say_json(as_object(seen))
        return
    from rich.console import Console

    from sync.commands.tables import rendered

    # A pipe has no width of its own, and cut lines would be unreadable.
    wide = Console().is_terminal
    console = Console(highlight=False) if wide else Console(highlight=False, width=160)
    console.print(rendered(seen, show_all=show_all))


def as_object(seen: Outlook) -> dict[str, Any]:
    """Return the object that --json prints; keys are added to it, and none is taken away."""
    return {
        "stores": [_store_as_json(each) for each in seen.stores],
        "verdict": _verdict_as_json(seen.verdict),
        "causes": [_cause_as_json(cause) for cause in seen.verdict.causes],
    }


def _verdict_as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "level": verdict.level,
        "well": not verdict.is_trouble,
        "text": plain(verdict.text),
    }


def _cause_as_json(cause: Cause) -> dict[str, Any]:
    return {
        "kind": cause.need.word,
        "needs_person": cause.need.is_for_a_person,
        "text": plain(cause.text),
        "stores": cause.stores,
        "resources": cause.resources,
        "depends": cause.depends,
        "command": cause.command or None,
    }


def _store_as_json(each: StoreStatus) -> dict[str, Any]:
    error, load = each.store.error, each.load
    left = None if load is None or load.left_seconds is None else round(load.left_seconds)
    return {
        "name": each.store.name,
        "title": each.store.title,
        "enabled": each.store.enabled,
        "resources": [_as_json(line) for line in each.resources],
        "error": None if error is None else plain(error),
        "load": None
        if load is None
        else {
            "pages_done": load.done,
            "pages": load.total,
            "pages_per_second": _rounded(load.per_second),
            "left_seconds": left,
        },
    }


def _as_json(line: ResourceStatus) -> dict[str, Any]:
    complete = line.complete_as_of
    return {
        "resource": line.resource,
        "state": line.state,
        "expected": line.expected,
        "mirrored": line.mirrored,
        "complete_as_of": None if complete is None else utc_text(complete),
        "lag_seconds": line.lag_seconds,
        "rejects": line.rejects,
        "error": None if line.error is None else plain(line.error),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def utc_text(moment: dt.datetime) -> str:
    """ISO 8601 in UTC, to the millisecond: 2024-01-31T10:20:30.123Z."""
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _watch(found: Services, name: str | None, *, as_json: bool, show_all: bool) -> int:
    """Show the status again and again until Ctrl-C; return the last exit status."""
    last = 0
    try:
        if as_json or not sys.stdout.isatty():
            while True:
                seen = look_out(found, name)
                last = _status_of(seen)
                if not as_json:
                    say(dt.datetime.now(dt.UTC).strftime("%H:%M:%S UTC"))
                _print(seen, as_json=as_json, show_all=show_all)
                sys.stdout.flush()
                pause(PIPE_SECONDS)
        last = _live(found, name, show_all=show_all)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:  # `| head` has closed the pipe
        sys.stderr.close()
    return last


def _live(found: Services, name: str | None, *, show_all: bool) -> int:
    from rich.live import Live
    from rich.text import Text

    from sync.commands.tables import rendered

    last = 0
    try:
        with Live(auto_refresh=False, screen=False) as live:
            while True:
                try:
                    seen = look_out(found, name)
                    last = _status_of(seen)
                    height = live.console.size.height
                    live.update(rendered(seen, show_all=show_all, height=height), refresh=True)
                except TryLater as error:  # the database is restarting: keep looking
                    last = UNKNOWN
                    live.update(Text(plain(error), style="bold red"), refresh=True)
                pause(WATCH_SECONDS)
    except KeyboardInterrupt:
        return last


def pause(seconds: float) -> None:
    """Wait between two looks; a person's Ctrl-C ends it."""
    time.sleep(seconds)  # noqa: TID251  nobody's clock but the person's who watches
