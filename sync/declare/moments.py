"""Local date-times to instants, and back, with rules for the two hours of a clock change.

pendulum knows the zones. Parsing the strict format here makes it fast enough: about 2 µs a value,
against 138 µs for `pendulum.from_format`; repeated values are cached.

Rules, each with a test:
- a time in the repeated hour (clocks go back) is the earlier of its two instants, unless it is the
  time of a history entry and the entries before it prove the later one (`in_order`);
- a time in the skipped hour (clocks go forward) moves forward by the gap;
- PHP's zero dates and empty text are None.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from importlib import resources
from typing import Final

import pendulum

Zone = pendulum.Timezone | pendulum.FixedTimezone

_LOCAL: Final = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})(?:[ T](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6})\d*)?)?)?"
)
_OFFSET: Final = re.compile(r"(?:Z|[+-]\d{2}(?::?\d{2})?)$")
# PHP's zero date, in its two spellings.
ZERO_DATES: Final = ("0000-00-00", "-0001-11-30")


def zone_of(name: str) -> Zone:
    """Return the zone of an IANA name; ValueError when there is no such zone."""
    try:
        return pendulum.timezone(name)
    except Exception as error:
        raise ValueError(
            f"{name!r} is not a time zone; expected a name like Europe/Moscow"
        ) from error


def spellings(name: str) -> tuple[str, ...]:
    """Return the names of a zone, to be offered to a database: its present name first.

    Names have changed (Europe/Kiev, Asia/Calcutta, US/Eastern). Not every server knows the former
    ones, and a server with old files does not know the present ones.
    """
    if name == "UTC":
        return (name,)
    current, links = _zone_names()
    target = links.get(name, name)
    present = name if name in current else target
    others = sorted(old for old, new in links.items() if new == target and old not in current)
    return tuple(dict.fromkeys((present, name, *others)))


@cache
def _zone_names() -> tuple[frozenset[str], dict[str, str]]:
    """Return the present names of places, and the link from every other name, of IANA's files.

    A place may have the clock of another (Europe/Copenhagen is a link to Europe/Berlin) and still a
    name of its own: zone.tab lists those.
    """
    folder = resources.files("tzdata") / "zoneinfo"
    places = (folder / "zone.tab").read_text("utf-8").splitlines()
    current = frozenset(line.split("\t")[2] for line in places if not line.startswith("#"))
    links = {}
    for line in (folder / "tzdata.zi").read_text("utf-8").splitlines():
        if line.startswith("L "):
            _, target, other = line.split()
            links[other] = target
    return current, links


def utc_of_local(text: str, zone: Zone) -> dt.datetime | None:
    """Parse `Y-m-d[ H:i[:s]]` in a store's zone; return the instant in UTC, or None."""
    text = text.strip()
    if not text or text.startswith(ZERO_DATES):
        return None
    match = _LOCAL.fullmatch(text)
    if match is None:
        if _has_offset(text):
            return utc_of_offset(text, zone)  # an offset is better than a guess
        raise ValueError("expected a date-time like 2026-01-31 23:59:59")
    year, month, day, hour, minute, second, fraction = match.groups()
    microsecond = int(fraction.ljust(6, "0")) if fraction else 0
    naive = dt.datetime(  # noqa: DTZ001  the zone is applied two lines below, by pendulum
        int(year),
        int(month),
        int(day),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
        microsecond,
    )
    return _instant(naive, zone)


def _instant(naive: dt.datetime, zone: Zone) -> dt.datetime:
    # fold=0 gives the earlier instant in the repeated hour; pendulum's default is the later one.
    # In the skipped hour fold=0 takes the offset before the change, which moves the time forward.
    try:
        local = naive.replace(tzinfo=zone, fold=0)
        return local.astimezone(dt.UTC)
    except (OverflowError, ValueError) as error:  # year 1 east of Greenwich, year 9999 west of it
        raise ValueError("the date is outside the calendar") from error


@lru_cache(maxsize=4_096)
def may_repeat(day: dt.date, zone: Zone) -> bool:
    """Tell whether an hour of a day in UTC, or of the nights around it, may be a repeated one."""
    noon = dt.datetime(day.year, day.month, day.day, 12, tzinfo=dt.UTC)
    before, after = (
        (noon + dt.timedelta(hours=hours)).astimezone(zone).utcoffset() for hours in (-14, 14)
    )
    return before is not None and after is not None and after < before


_OUT_OF_STEP: Final = dt.timedelta(minutes=1)
"""The step back in time between two entries that proves nothing: saves overlap."""


def in_order(
    entries: Iterable[tuple[int, dt.datetime]], zone: Zone
) -> Iterator[tuple[int, dt.datetime]]:
    """Yield the entries of a history, in the order of their ids, with their times read in order.

    Of a time in the repeated hour it is the earlier reading that comes no earlier than the entry
    before; where neither is, the earlier of both. The first entry stays as it comes: as it was read
    by itself, or as the entries before it once proved it.
    """
    before: dt.datetime | None = None
    for number, moment in entries:
        local = moment.astimezone(zone).replace(tzinfo=None)
        first, second = (
            local.replace(tzinfo=zone, fold=fold).astimezone(dt.UTC) for fold in (0, 1)
        )
        bound = before - _OUT_OF_STEP if before is not None else moment
        before = second if first < bound <= second else first
        yield number, before


def is_same_wall_time(one: dt.datetime | None, other: dt.datetime | None, zone: Zone) -> bool:
    """Tell whether two instants are written alike in a zone: one, or both of a repeated hour."""
    if one is None or other is None or one == other:
        return one == other
    return local_text(one, zone) == local_text(other, zone)


def utc_of_offset(text: str, zone: Zone) -> dt.datetime | None:
    """Parse a date-time with an offset; one without an offset is local to `zone`."""
    text = text.strip()
    if not text or text.startswith(ZERO_DATES):
        return None
    if not _has_offset(text):
        return utc_of_local(text, zone)
    try:
        return dt.datetime.fromisoformat(text).astimezone(dt.UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            "expected a date-time with offset like 2026-01-31 23:59:59+03:00"
        ) from error


def _has_offset(text: str) -> bool:
    """Tell whether an offset follows a day and a time; the `-31` of a day alone does not count."""
    match = _LOCAL.match(text)
    return bool(match and match[4] and _OFFSET.match(text, match.end()))


def local_text(moment: dt.datetime, zone: Zone) -> str:
    """Format an instant as the API's `Y-m-d H:i:s` in the store's zone, for filters."""
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def local_day(moment: dt.datetime, zone: Zone) -> dt.date:
    """Return the store-local calendar day of an instant."""
    return moment.astimezone(zone).date()


def day_of(value: object, zone: Zone) -> dt.date | None:
    """Return the store-local day of a date-time as sent, which the API's day filters compare.

    Without an offset that is the day as written, whatever hour the clocks skip.
    """
    if not isinstance(value, str):
        return None
    text = value.strip()
    try:
        if _has_offset(text):
            moment = utc_of_offset(text, zone)
            return None if moment is None else local_day(moment, zone)
        return dt.date.fromisoformat(text[:10])
    except ValueError:
        return None
