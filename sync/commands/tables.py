"""The tables of `status` in a terminal: the verdict, its causes, then stores or resources.

With a height, everything fits it: causes and lines that have no room are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from sync.forecast import duration
from sync.state.status import Progress, ResourceStatus, StoreStatus, state_of, trouble_first
from sync.state.stores import Store
from sync.telemetry import plain
from sync.verdict import Verdict
from sync.work.outlook import Outlook

CAUSES = 9
"""Most causes shown where nothing limits the height: what matters has to be within 24 lines."""
_COLOURS = {
    "following": "green", "fresh": "green", "well": "green", "loading": "cyan", "pending": "cyan",
    "attention": "bold red", "stopped": "bold red", "failing": "yellow", "waits": "yellow",
    "unavailable": "yellow",
    "disabled": "dim",
}  # fmt: skip
_LEVELS = {"down": "bold red", "attention": "bold red", "waiting": "yellow", "new": "yellow"}
_RIGHT = {"mirrored", "expected", "lag", "rejects", "rows", "complete"}
_ALWAYS = {"attention", "loading", "following"}


def rendered(seen: Outlook, *, show_all: bool, height: int | None = None) -> Any:
    """Return what `status` prints; `height` is the number of lines that there are."""
    one_line = height is not None
    verdict = seen.verdict
    top: list[Any] = [Text(plain(verdict.text), style=_LEVELS.get(verdict.level, "bold green"))]
    if verdict.level == "empty":
        top.append(Text("Add one: celery -A sync mirror store add NAME URL"))
        return Group(*top)
    room = CAUSES if height is None else max(2, (height - 6) // 2)
    top += _causes(verdict, most=room, one_line=one_line)
    left = None if height is None else height - len(top) - 4
    if len(seen.stores) == 1:
        body = _one_store(seen.stores[0], show_all=show_all, room=left)
    else:
        is_down = verdict.level == "down"
        body = [_stores(seen.stores, room=left, is_down=is_down)] if seen.stores else []
    return Group(*top, Text(""), *body)


def _causes(verdict: Verdict, *, most: int, one_line: bool) -> list[Any]:
    """Return the causes that the first line does not tell already, the first ones of them."""
    others = [cause for cause in verdict.causes if cause.line not in verdict.text]
    shown = [
        Text(
            f"· {plain(cause.line)}",
            style="dim" if cause.need.is_passing else "",
            no_wrap=one_line,
            overflow="ellipsis" if one_line else "fold",
        )
        for cause in others[:most]
    ]
    if len(others) > most:
        shown.append(Text(f"  and {len(others) - most} more: status NAME, or --json", style="dim"))
    return shown


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in _RIGHT else "left",
            overflow="ellipsis",
            no_wrap=True,
        )
    return table


def _stores(told: Sequence[StoreStatus], *, room: int | None, is_down: bool) -> Any:
    """Return a line for each store, those in need first."""
    table = _table("store", "state", "complete", "rows", "lag", "note")
    shown = told if room is None or len(told) <= room else told[: max(room - 1, 1)]
    for each in shown:
        lag = each.lag_seconds
        table.add_row(
            Text(plain(_called(each.store))),
            _state(state_of(each, is_down=is_down)),
            f"{each.complete} of {len(each.wanted)}",
            f"{each.rows:,}",
            "" if lag is None else duration(lag),
            Text(plain(_note(each))),
        )
    if len(shown) < len(told):
        table.add_row(Text(f"… {len(told) - len(shown)} more", style="dim"))
    return table


def _called(store: Store) -> str:
    return store.name if store.title is None else f"{store.name} · {store.title}"


def _note(each: StoreStatus) -> str:
    if troubles := each.troubles:
        first = min(troubles, key=lambda trouble: trouble.need)
        also = f" (and {len(troubles) - 1} more)" if len(troubles) > 1 else ""
        return f"{first.resource} {first.text}".strip() + also
    if each.load is not None:
        return each.load.words or "queued"
    return each.stopped_words or each.lateness_words


def _one_store(each: StoreStatus, *, show_all: bool, room: int | None) -> list[Any]:
    title = f"{_called(each.store)}  {each.store.url}  {each.store.zone}"
    if not each.store.enabled:
        title += f"  disabled: {each.stopped_words}"
    if each.load is not None and each.load.words:
        title += f"  loading: {each.load.words}"
    table = _table("resource", "state", "mirrored", "expected", "lag", "rejects", "note")
    table.columns[-1].no_wrap = room is not None
    table.columns[-1].overflow = "ellipsis" if room is not None else "fold"
    lines = trouble_first(each.resources)
    shown = lines if show_all else [line for line in lines if _matters(line, each)]
    if room is not None and len(shown) > room - 3:
        shown = shown[: max(room - 3, 1)]
    for line in shown:
        _add(table, line, is_stopped=each.store.error is not None)
    # As Text: brackets in an account's words are not rich markup.
    parts: list[Any] = [Text(plain(title), style="bold"), table]
    hidden = Counter(line.state for line in lines if line not in shown)
    if hidden:
        told = ", ".join(f"{count} {state}" for state, count in hidden.items())
        parts.append(Text(f"also: {told} (celery -A sync mirror status {each.store.name} --all)"))
    if each.store.enabled and each.lateness_words:
        parts.append(Text(each.lateness_words))
    return parts


def _matters(line: ResourceStatus, each: StoreStatus) -> bool:
    """Tell whether a person wants to see a resource that was not asked for."""
    if each.store.error is not None or line.state == "disabled":
        return False  # one line has said why
    at_work = line.progress is not None and line.progress.seconds is not None
    return line.state in _ALWAYS or at_work or (line.state != "unavailable" and bool(line.error))


def _add(table: Table, line: ResourceStatus, *, is_stopped: bool) -> None:
    note = "" if is_stopped and line.state == "attention" else line.error or progress(line.progress)
    table.add_row(
        line.resource,
        _state(line.state),
        f"{line.mirrored:,}",
        "" if line.expected is None else f"{line.expected:,}",
        "" if line.lag_seconds is None else duration(line.lag_seconds),
        f"{line.rejects:,}" if line.rejects else "",
        Text(plain(note)),
    )


def _state(state: str) -> Text:
    return Text(state, style=_COLOURS.get(state, ""))


def progress(at: Progress | None) -> str:
    """Return `load (walk): 12 of 60 pages, 1,200 rows, 9.8 pages/s, 25 s left` during work."""
    if at is None:
        return ""
    if at.seconds is None:
        return f"{at.kind} queued"
    way = at.way
    of = f" of {way.total:,}" if way.total else ""
    text = f"{at.kind} ({at.phase}): {at.pages_done:,}{of} pages, {at.rows:,} rows"
    if way.per_second:
        text += f", {way.per_second:.1f} pages/s"
    left = at.left_seconds
    return text if left is None else f"{text}, {duration(left)} left"
