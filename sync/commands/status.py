"""status: stores × resources for people, for scripts (--json), and live (--watch)."""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import click
import sqlalchemy as sa

from sync.commands.services import at_head
from sync.commands.shell import ATTENTION, examples
from sync.database.engine import reading
from sync.errors import TryLater
from sync.resources import RESOURCES
from sync.state import status as look
from sync.state.status import ResourceStatus, StoreStatus
from sync.telemetry import plain

WATCH_SECONDS = 2.0
PIPE_SECONDS = 10.0
QUIET_SECONDS = 60.0
SILENT_SECONDS = 900.0
"""Seconds without a consumed task that need a person; the same as for an account that refuses."""
_COLOURS = {
    "following": "green", "fresh": "green", "loading": "cyan", "pending": "cyan",
    "attention": "bold red", "unavailable": "yellow", "disabled": "dim",
}  # fmt: skip


@click.command(
    epilog=examples("status", "status shop --watch", "status --json | jq '.stores[].resources[]'")
)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
@click.option("--watch", is_flag=True, help="Repeat until Ctrl-C.")
def status(name: str | None, as_json: bool, watch: bool) -> None:
    """Show what is mirrored, how far, how fresh, and what needs a person.

    Exit status 0: nothing needs attention; 1: something does; 3: it could not find out.
    """
    engine = at_head().engine
    if not watch:
        told, silent = _look(engine, name)
        _print(told, silent, as_json=as_json)
        raise click.exceptions.Exit(_status_of(told, silent))
    raise click.exceptions.Exit(_watch(engine, name, as_json=as_json))


def _look(engine: sa.Engine, name: str | None) -> tuple[list[StoreStatus], float | None]:
    """Return the statuses, and the seconds that no worker has consumed (None when one does)."""
    with reading(engine) as connection:
        told = look.statuses(connection, look.chosen(connection, name), order=list(RESOURCES))
        ages = [look.consumed_seconds_ago(connection, queue=queue) for queue in ("feeds", "crawls")]
    oldest = max((float("inf") if age is None else age for age in ages), default=0.0)
    return told, oldest if oldest > QUIET_SECONDS else None


def _status_of(told: Sequence[StoreStatus], silent: float | None) -> int:
    enabled = [each for each in told if each.store.enabled]
    long_silent = silent is not None and SILENT_SECONDS < silent < float("inf")
    needy = any(each.needs_attention for each in told) or (bool(enabled) and long_silent)
    return ATTENTION if needy else 0


def _print(told: Sequence[StoreStatus], silent: float | None, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(as_object(told), ensure_ascii=False))
    else:
        from rich.console import Console

        # A pipe has no width of its own, and cut lines would be unreadable.
        wide = Console().is_terminal
        console = Console(highlight=False) if wide else Console(highlight=False, width=160)
        console.print(_rendered(told))
    if silent is not None and any(each.store.enabled for each in told):
        click.echo(_silence(silent), err=True)


def _silence(silent: float) -> str:
    ago = "yet" if silent == float("inf") else f"for {silent / 60:.0f} min"
    return (
        f"No worker has consumed both queues {ago}: celery -A sync worker -Q feeds,crawls, "
        "and celery -A sync beat"
    )


def as_object(told: Sequence[StoreStatus]) -> dict[str, Any]:
    """Return the object that --json prints; its shape is a promise to scripts."""
    return {
        "stores": [
            {
                "name": each.store.name,
                "enabled": each.store.enabled,
                "resources": [_as_json(line) for line in each.resources],
            }
            for each in told
        ]
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


def utc_text(moment: dt.datetime) -> str:
    """ISO 8601 in UTC, to the millisecond: 2024-01-31T10:20:30.123Z."""
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _rendered(told: Sequence[StoreStatus]) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    if not told:
        return Text("No store has been added yet: celery -A sync mirror store add NAME URL")
    parts: list[Any] = []
    for each in told:
        title = f"{each.store.name}  {each.store.url}  {each.store.zone}"
        if not each.store.enabled:
            title += "  disabled"
        # As Text: brackets in an account's words are not rich markup.
        table = Table(title=Text(plain(title)), title_justify="left", box=None, pad_edge=False)
        for column in ("resource", "state", "mirrored", "expected", "lag", "rejects", "note"):
            table.add_column(
                column,
                justify="right" if column in {"mirrored", "expected", "lag", "rejects"} else "left",
                overflow="fold" if column == "note" else "ellipsis",
                no_wrap=column != "note",
            )
        for line in each.resources:
            table.add_row(
                line.resource,
                Text(line.state, style=_COLOURS.get(line.state, "")),
                f"{line.mirrored:,}",
                "" if line.expected is None else f"{line.expected:,}",
                "" if line.lag_seconds is None else duration(line.lag_seconds),
                f"{line.rejects:,}" if line.rejects else "",
                Text(plain(line.error or _progress(line))),
            )
        late = [Text(each.lateness_words)] if each.store.enabled and each.lateness_words else []
        parts += [table, *late, Text("")]
    return Group(*parts[:-1])


def _progress(line: ResourceStatus) -> str:
    """Return `load: 12 of 60 pages, 1,200 rows, 25 s left` while work is under way."""
    at = line.progress
    if at is None:
        return ""
    if at.seconds is None:
        return f"{at.kind} queued"
    pages = f"{at.pages_done:,}" + (f" of {at.pages_planned:,}" if at.pages_planned else "")
    text = f"{at.kind} ({at.phase}): {pages} pages, {at.rows:,} rows"
    left = at.left_seconds
    return text if left is None else f"{text}, {duration(left)} left"


def duration(seconds: float) -> str:
    """Format seconds as `4 s`, `3 min`, `2.5 h`, `3 d`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"


def _watch(engine: sa.Engine, name: str | None, *, as_json: bool) -> int:
    """Show the status again and again until Ctrl-C; return the last exit status."""
    last = 0
    try:
        if as_json or not sys.stdout.isatty():
            while True:
                told, silent = _look(engine, name)
                last = _status_of(told, silent)
                if not as_json:
                    click.echo(dt.datetime.now(dt.UTC).strftime("%H:%M:%S UTC"))
                _print(told, silent, as_json=as_json)
                sys.stdout.flush()
                pause(PIPE_SECONDS)
        last = _live(engine, name)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:  # `| head` has closed the pipe
        sys.stderr.close()
    return last


def _live(engine: sa.Engine, name: str | None) -> int:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    last = 0
    try:
        with Live(auto_refresh=False, screen=False) as live:
            while True:
                try:
                    told, silent = _look(engine, name)
                    last = _status_of(told, silent)
                    parts = [_rendered(told)]
                    if silent is not None:
                        parts.append(Text(_silence(silent), style="bold red"))
                    live.update(Group(*parts), refresh=True)
                except TryLater as error:  # the database is restarting: keep looking
                    live.update(Text(plain(error), style="bold red"), refresh=True)
                pause(WATCH_SECONDS)
    except KeyboardInterrupt:
        return last


def pause(seconds: float) -> None:
    """Wait between two looks; a person's Ctrl-C ends it."""
    time.sleep(seconds)  # noqa: TID251  nobody's clock but the person's who watches
