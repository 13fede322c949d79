"""Format numbers, times and states for people."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable

from sync.state.status import ResourceStatus
from sync.telemetry import scrubbed

STATES = ("attention", "loading", "pending", "unavailable", "following", "fresh", "disabled")
"""States in the order a person wants to see them: those that need action first."""
GOOD = frozenset({"following", "fresh"})
_MEANING = {
    "attention": "needs a person",
    "loading": "being loaded for the first time",
    "pending": "waiting for its first load",
    "unavailable": "the key or the account gives no access",
    "following": "complete, and every change is followed",
    "fresh": "complete, read again at its interval",
    "disabled": "turned off",
}
SPACE = "\N{NO-BREAK SPACE}"


def duration(seconds: float | None) -> str:
    """Format as `4 s`, `3 min`, `2.5 h`, `3 d`; a dash when unknown."""
    if seconds is None:
        return "–"
    if seconds < 90:
        text = f"{max(seconds, 0):.0f} s"
    elif seconds < 5_400:
        text = f"{seconds / 60:.0f} min"
    else:
        text = f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"
    return text.replace(" ", SPACE)


def number(value: float | None) -> str:
    """Format with a thin space between thousands; a dash for None."""
    return "–" if value is None else f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def size(count: float | None) -> str:
    """Format a number of bytes: `512 B`, `1.2 MB`, `3.4 GB`."""
    value, unit = float(count or 0), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return (f"{value:.0f}" if unit == "B" else f"{value:.1f}") + SPACE + unit


def moment(value: dt.datetime | None) -> str:
    """Format as `2024-01-31 10:20:30 UTC`."""
    return "–" if value is None else value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def age(value: dt.datetime | None, now: dt.datetime) -> str:
    """Format the time since `value`, in words."""
    return "never" if value is None else f"{duration((now - value).total_seconds())} ago"


def readable(value: str) -> str:
    """Return JSON text with its letters as letters, where it was kept with \\u escapes."""
    try:
        return json.dumps(json.loads(value), ensure_ascii=False)
    except ValueError:  # shortened, or no JSON
        return value


def shortened(text: str, most: int) -> str:
    """Cut a text to this many characters, its secrets removed before: half of one would stay."""
    whole = scrubbed(text)
    return whole if len(whole) <= most else f"{whole[: most - 1]}…"


def meaning(state: str) -> str:
    """Return the explanation of a state."""
    return _MEANING.get(state, state)


def state_counts(lines: Iterable[ResourceStatus]) -> list[tuple[str, int]]:
    """Return the occurring states with their counts, those that need action first."""
    states = [line.state for line in lines]
    return [(state, states.count(state)) for state in STATES if state in states]


def days(since: dt.date | None, until: dt.date | None) -> str:
    """Format the creation days of a crawl."""
    if since is None and until is None:
        return "everything"
    if since is None:
        return f"up to {until}"
    return f"from {since}" if until is None else f"{since} to {until}"


def command(*words: str) -> str:
    """Return the command line an operator types."""
    return " ".join(("celery -A sync mirror", *words))
