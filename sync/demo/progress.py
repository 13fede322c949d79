"""Progress of the load: resources complete, rows, pages; a bar in a terminal, lines in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from sync.database.engine import reading
from sync.demo.children import pause
from sync.resources import RESOURCES
from sync.state import status as look
from sync.state.status import ResourceStatus, StoreStatus

SETTLED = {"following", "fresh", "unavailable", "disabled"}
LINE_SECONDS = 5.0
LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Pages:
    """Pages and rows that some stores' first loads have read so far, all runs together."""

    pages: int
    changed: int
    entries: int


def pages(connection: sa.Connection, names: Sequence[str]) -> Pages:
    """Return what these stores' first loads have read, and the entries their feeds followed."""
    row = connection.execute(
        sa.text(
            "WITH mine AS (SELECT id FROM sync.store WHERE name = ANY (:names))"
            "SELECT coalesce(sum(pages_done), 0), coalesce(sum(rows_changed), 0),"
            # late_entries are those that only the tail met: at first it reads what the walk reads.
            " (SELECT coalesce(sum(entries - late_entries), 0) FROM sync.feed"
            " WHERE store_id IN (SELECT id FROM mine))"
            " FROM sync.crawl WHERE kind = 'load' AND store_id IN (SELECT id FROM mine)"
        ),
        {"names": list(names)},
    ).one()
    return Pages(int(row[0]), int(row[1]), int(row[2]))


def is_complete(line: ResourceStatus, *, seconds: float) -> bool:
    """Tell whether a resource is proven, and was followed to its end in the last `seconds`."""
    if line.state == "following":
        return line.lag_seconds is not None and line.lag_seconds < seconds
    return line.state in SETTLED


def watch(
    engine: sa.Engine,
    names: Sequence[str],
    check: Callable[[], None],
    *,
    began: float,
) -> list[StoreStatus]:
    """Show progress until every resource of these stores is complete or waits for a person."""
    with _shown(names) as show:
        while True:
            check()
            with reading(engine) as connection:
                told = _look(connection, names)
            seconds = time.monotonic() - began
            done = {
                each.store.name: [is_complete(r, seconds=seconds) for r in each.wanted]
                for each in told
            }
            show(told, done, seconds)
            if all(all(each) for each in done.values()) or any(
                r.parked or each.store.error for each in told for r in each.resources
            ):
                return told
            pause(LOOK_SECONDS)


def _look(connection: sa.Connection, names: Sequence[str]) -> list[StoreStatus]:
    chosen = [store for name in names for store in look.chosen(connection, name)]
    return look.statuses(connection, chosen, order=list(RESOURCES))


Show = Callable[[list[StoreStatus], dict[str, list[bool]], float], None]


@contextmanager
def _shown(names: Sequence[str]) -> Iterator[Show]:
    if not sys.stdout.isatty():
        yield _Lines()
        return
    from rich.progress import BarColumn, Progress, TextColumn

    bars = Progress(
        TextColumn("  {task.description}"), BarColumn(), TextColumn("{task.fields[told]}")
    )
    width = max(len(name) for name in names)
    tasks = {name: bars.add_task(name.ljust(width), total=None, told="") for name in names}

    def show(told: list[StoreStatus], done: dict[str, list[bool]], seconds: float) -> None:
        for each in told:
            mine = done[each.store.name]
            bars.update(
                tasks[each.store.name],
                total=len(mine),
                completed=sum(mine),
                told=f"{sum(mine)} of {len(mine)} complete, {_rows(each)}{_load(each)}"
                f" {_current(each)}",
            )

    with bars:
        yield show


class _Lines:
    """Progress as text: a line every few seconds, and one at the end."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(
        self, told: list[StoreStatus], done: dict[str, list[bool]], seconds: float
    ) -> None:
        if seconds < self._next and not all(all(each) for each in done.values()):
            return
        self._next = seconds + LINE_SECONDS
        parts = [
            f"{each.store.name}: {sum(done[each.store.name])} of {len(each.wanted)} complete,"
            f" {_rows(each)}{_load(each)}"
            for each in told
        ]
        sys.stdout.write(f"  {seconds:4.0f} s  {'   '.join(parts)}\n")
        sys.stdout.flush()


def _rows(each: StoreStatus) -> str:
    return f"{sum(line.mirrored for line in each.resources):,} rows"


def _load(each: StoreStatus) -> str:
    """Return `, 62 %, 41 min left` while the load goes on."""
    words = "" if each.load is None else each.load.words
    return f", {words}" if words else ""


def _current(each: StoreStatus) -> str:
    """Return the resource whose crawl has the most pages left."""
    going = [line for line in each.resources if line.progress and line.progress.seconds]
    if not going:
        return ""
    line = max(going, key=lambda r: r.progress.total - r.progress.pages_done if r.progress else 0)
    at = line.progress
    assert at is not None
    of = f" of {at.total:,}" if at.total else ""
    return f"· {line.resource} page {at.pages_done:,}{of}"
