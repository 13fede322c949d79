"""Command budget: show how the request budget is used, and what holds it back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from sync.commands.services import at_head
from sync.commands.shell import examples, say, say_json
from sync.commands.status import duration
from sync.crm import Report
from sync.database.engine import reading
from sync.state import stores
from sync.telemetry import plain

_TEXT = {"egress", "bucket", "store", "class"}
_FOLDED = {"egress", "store"}


@click.command(
    epilog=examples("budget", "budget --json | jq '.budgets[] | {egress, bucket, used_last_hour}'")
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
def budget(as_json: bool) -> None:
    """Show who uses the request budget, who waits for it, who is refused.

    Covers all egress addresses that share this Redis; the limits are this process's settings.

    First by address: limit and current pace, in requests a second; shares of the limit used in the
    last whole minute and hour; stores with work now; slots that were given up, slots that were used
    late, and late ones reported too late to correct the pace.

    Then by store and class of work, since the store was first seen. Counts of a store that is
    silent for a week are dropped.
    """
    found = at_head()
    with reading(found.engine) as connection:
        names = {each.id: each.name for each in stores.every(connection)}
    reports = found.limiter.reports()
    if as_json:
        say_json(as_object(reports, names))
    else:
        _print(reports, names)


def as_object(reports: Sequence[Report], names: Mapping[int, str]) -> dict[str, Any]:
    """Return the object that --json prints. Shares are fractions of the limit: 1 is all of it."""
    return {
        "budgets": [
            {
                "egress": each.egress,
                "bucket": each.bucket.value,
                "limit": each.limit,
                "pace": each.pace,
                "frozen_seconds": round(each.frozen_seconds, 3),
                "stores_with_work": each.stores_with_work,
                "used_last_minute": round(each.used_last_minute, 4),
                "used_last_hour": round(each.used_last_hour, 4),
                "lost": each.lost,
                "late": each.late,
                "overdue": each.overdue,
                "paused": [
                    {"store": _name(names, store), "seconds": round(seconds, 3)}
                    for store, seconds in each.paused_seconds.items()
                ],
                "requests": [
                    {
                        "store": _name(names, store),
                        "class": work.name.lower(),
                        "granted": usage.granted,
                        "waited_seconds": usage.waited_ms / 1000,
                        "mean_wait_seconds": round(usage.mean_wait_seconds, 3),
                        "refused": usage.refused,
                    }
                    for (store, work), usage in each.usage.items()
                ],
            }
            for each in reports
        ]
    }


def _name(names: Mapping[int, str], store: int) -> str:
    return names.get(store, f"#{store}")  # purged, or its key was used before it was added


def _print(reports: Sequence[Report], names: Mapping[int, str]) -> None:
    from rich.console import Console, Group
    from rich.text import Text

    # As in status: a pipe has no width, so one is set.
    wide = Console().is_terminal
    console = Console(highlight=False) if wide else Console(highlight=False, width=160)
    parts: list[Any] = [_table([_budget_line(each) for each in reports])]
    if lines := [line for each in reports for line in _request_lines(each, names)]:
        parts += [Text(""), _table(lines)]
    console.print(Group(*parts))
    for line in (line for each in reports for line in _held_back(each, names)):
        say(line)


def _held_back(report: Report, names: Mapping[int, str]) -> Iterator[str]:
    """Yield a sentence for each address or store that may not send now."""
    where = f"{report.egress}, {report.bucket.value}"
    if report.frozen_seconds:
        yield f"{where}: after refusals nobody sends for {_short(report.frozen_seconds)} more."
    for store, seconds in report.paused_seconds.items():
        name = _name(names, store)
        yield f"{where}: {name} was refused and is paused for {_short(seconds)} more."


def _budget_line(report: Report) -> dict[str, str]:
    return {
        "egress": report.egress,
        "bucket": report.bucket.value,
        "limit/s": f"{report.limit:g}",
        "pace/s": f"{report.pace:.1f}",
        "minute": f"{report.used_last_minute:.0%}",
        "hour": f"{report.used_last_hour:.0%}",
        "stores": f"{report.stores_with_work:,}",
        "lost": f"{report.lost:,}",
        "late": f"{report.late:,}",
        "overdue": f"{report.overdue:,}",
    }


def _request_lines(report: Report, names: Mapping[int, str]) -> list[dict[str, str]]:
    return [
        {
            "egress": report.egress,
            "bucket": report.bucket.value,
            "store": plain(_name(names, store)),
            "class": work.name.lower(),
            "granted": f"{usage.granted:,}",
            "waited": duration(usage.waited_ms / 1000),
            "mean wait": f"{usage.mean_wait_seconds:.2f} s",
            "refused": f"{usage.refused:,}" if usage.refused else "",
        }
        for (store, work), usage in sorted(
            report.usage.items(), key=lambda item: (_name(names, item[0][0]), item[0][1].value)
        )
    ]


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def _table(lines: Sequence[Mapping[str, str]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in lines[0]:
        table.add_column(
            column,
            justify="left" if column in _TEXT else "right",
            overflow="fold",  # a number cut short would read as another one
            no_wrap=column not in _FOLDED,
        )
    for line in lines:
        table.add_row(*(Text(cell) for cell in line.values()))
    return table
