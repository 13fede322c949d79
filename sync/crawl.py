"""Decisions of crawls: windows, pages, proofs, moments of the next work. No I/O."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from reprlib import repr as shortened
from typing import Any

from sync.errors import UnexpectedData

WINDOW_TARGET = 5_000
"""The number of records planned for a window: 50 pages, which take five seconds."""
WINDOW_MAX = 10_000
LEAF_RECORDS = 300
"""The size up to which a window is walked again, not cut: three pages cost less than counts."""
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Days:
    """Whole store-local days, both ends inclusive; None for an open end."""

    first: dt.date | None = None
    last: dt.date | None = None

    @property
    def is_open(self) -> bool:
        """True when at least one end is open."""
        return self.first is None or self.last is None

    @property
    def is_one_day(self) -> bool:
        """True for a single day, which cannot be cut."""
        return self.first is not None and self.first == self.last

    def has(self, day: dt.date | None) -> bool:
        """Tell whether a day is one of these; of one that is not known, only where all are."""
        if day is None:
            return self.first is None and self.last is None
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)

    def within(self, other: Days) -> Days | None:
        """Return the days that are in both, None when there are none."""
        firsts = [day for day in (self.first, other.first) if day is not None]
        lasts = [day for day in (self.last, other.last) if day is not None]
        first, last = max(firsts, default=None), min(lasts, default=None)
        if first is not None and last is not None and first > last:
            return None
        return Days(first, last)

    def __str__(self) -> str:
        return f"{self.first or '…'}–{self.last or '…'}"


WHOLE = Days()


@dataclass(frozen=True, slots=True)
class Pagination:
    """The pagination block of an answer. `pages` is 0 for an empty list."""

    total: int
    page: int
    pages: int


MOST_PAGES = 1_000_000
"""The most pages that are believed: no list has a hundred million records."""
_COUNT_DIGITS = 12


def pagination_of(data: dict[str, Any], body: bytes = b"") -> Pagination:
    """Return the pagination block; UnexpectedData without one, because nothing could be proven.

    UnexpectedData also for more than MOST_PAGES. More pages than records are accepted: a walk
    ends at the first empty page (walk.py), so they cost little.
    """
    block = data.get("pagination")
    if isinstance(block, dict):
        total, pages = count_of(block.get("totalCount")), count_of(block.get("totalPageCount"))
        page = count_of(block.get("currentPage") or 1)
        if total is not None and pages is not None and page is not None:
            if pages <= MOST_PAGES:
                return Pagination(total, page, pages)
            raise UnexpectedData(f"{total} records cannot be {pages} pages", body=body)
    raise UnexpectedData(f"no usable pagination block: {shortened(block)}", body=body)


def count_of(value: Any) -> int | None:
    """Return a count of an answer, a whole number or a string of digits; None for anything else.

    Longer numbers are not converted: `1e50000000` is short, but converting it to an int would
    take hours.
    """
    if isinstance(value, str):
        is_count = value.isascii() and value.isdigit() and len(value) <= _COUNT_DIGITS
        return int(value) if is_count else None
    if isinstance(value, Decimal):  # PHP's ceil() makes 5.0
        if not value.is_finite() or abs(value.adjusted()) >= _COUNT_DIGITS or value != int(value):
            return None
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value < 10**_COUNT_DIGITS else None


def record_id_of(value: Any) -> int | None:
    """Return a value that is a valid record id, a positive bigint; None for anything else."""
    is_id = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63
    return value if is_id else None


def slices(days: Days, *, oldest: dt.date, newest: dt.date, parts: int) -> list[Days]:
    """Cut `days` into about `parts` equal runs of whole days, newest first.

    `oldest` and `newest` are used in place of open ends. The outer slices stay open, so that
    records older or newer than expected are not missed.
    """
    first, last = days.first or oldest, days.last or newest
    first = min(first, last)
    count = (last - first).days + 1
    parts = max(1, min(parts, count))
    edges = [first + _DAY * round(count * part / parts) for part in range(parts + 1)]
    runs = [Days(start, end - _DAY) for start, end in itertools.pairwise(edges) if start < end]
    runs[0] = Days(days.first, runs[0].last)
    runs[-1] = Days(runs[-1].first, days.last)
    return runs[::-1]


def cut_around(runs: Sequence[Days], whole: Sequence[Days]) -> list[Days]:
    """Cut adjoining runs (newest first) anew, so that no range in `whole` is in two parts.

    Each range becomes a part of its own, unless others overlap it. A range that is all of the runs
    is no reason not to cut them.
    """
    if not runs:
        return []
    all_days = Days(runs[-1].first, runs[0].last)
    inner = [each for each in whole if each.within(all_days) == each != all_days]
    cuts = {run.first for run in runs[:-1]} | {each.first for each in inner}
    cuts |= {each.last + _DAY for each in inner if each.last is not None}
    starts = sorted(
        cut
        for cut in cuts - {None, all_days.first}
        if cut is not None
        and not any(
            (each.first is None or each.first < cut) and (each.last is None or cut <= each.last)
            for each in inner
        )
    )
    firsts, lasts = [all_days.first, *starts], [*(cut - _DAY for cut in starts), all_days.last]
    return [Days(first, last) for first, last in zip(firsts, lasts, strict=True)][::-1]


def parts_of(total: int) -> int:
    """Return the number of windows for a list of `total` records."""
    return max(1, math.ceil(total / WINDOW_TARGET))


def pages_bound(planned: int) -> int:
    """Return the last page of a walk, in case a list grows faster than it is walked.

    The bound is twice the planned pages plus ten. Growth within it is walked; growth beyond it is
    drift, which the closing proof handles.
    """
    return 2 * planned + 10


MOST_IN_FLIGHT = 12
MOST_PAGES_A_SECOND = 40.0
"""The pages that one process can normalise, at about 20 ms of CPU each: more would only queue."""


def in_flight(*, requests_per_second: float, latency_seconds: float) -> int:
    """Return the number of pages to fetch at the same time: by Little's law, and five more.

    Two more wait for their slot, because one request at a time would limit the store by its
    latency (crm/limiter). Three more may be finished while an earlier page is still being fetched
    or committed, because pages are committed in order.
    """
    rate = min(requests_per_second, MOST_PAGES_A_SECOND)
    needed = math.ceil(rate * latency_seconds) + 5
    return max(3, min(needed, MOST_IN_FLIGHT))


# --- proofs ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Count:
    """A window counted in a bracket of the feed.

    total      the API's count of records, requested at `asked_as_of`
    mirrored   live rows of the window that were found before that request, or that the answer
               shows, counted after the feed was followed past the answer
    entered    live rows of the window that were found after the request
    contested  rows that the CRM may or may not have counted: reported as deleted but still listed,
               or found absent and not yet requested a second time; and records that the answer
               shows and that are not here yet
    accepted   the difference between total and rows that a person accepted
    """

    days: Days
    total: int
    mirrored: int
    entered: int
    asked_as_of: dt.datetime
    contested: int = 0
    accepted: int = 0

    @property
    def difference(self) -> int:
        """The total minus the rows."""
        return self.total - self.mirrored

    @property
    def proven(self) -> bool:
        """True when the mirror's window equals the CRM's, as far as departures are known.

        Every row of `mirrored` was live in the CRM when it answered: the answer shows it, or it was
        seen before and the feed, followed past the answer, reported no deletion. A subset with the
        same count is the same set. ops/docs/decisions/0003 has the full argument, 0017 why it is
        provisional.
        """
        return self.difference == self.accepted and not self.contested


class Step(Enum):
    """The next step of a window that was counted."""

    COUNTED = "counted"  # proven; seal it when the feed is clear past the count
    LATER = "later"  # contested: the count proves nothing yet
    AGAIN = "again"  # count again: a single difference may be accidental
    CUT = "cut"
    DEEP = "deep"  # walk again and compare ids and contents
    PUT_OFF = "put off"  # differs after a comparison: doubted, tried again with backoff


def next_step(
    count: Count,
    *,
    differed: int,
    walks: int,
    was_contested: bool = False,
    is_doubted: bool = False,
    can_cut: bool,
) -> Step:
    """Return the next step for a counted window.

    `differed` is the number of consecutive counts before this one that differed, `walks` the number
    of repeated walks. `was_contested`: the previous count was contested too. `is_doubted`:
    something seen after the last walk casts doubt on the window.
    """
    if count.contested:
        return Step.CUT if was_contested and can_cut else Step.LATER
    if count.proven:
        return Step.DEEP if is_doubted else Step.COUNTED
    if not differed:
        return Step.AGAIN
    if can_cut and count.total > LEAF_RECORDS:
        return Step.CUT
    # A second walk right after one that did not help would have the same result.
    return Step.PUT_OFF if walks and differed == 1 else Step.DEEP


MOST_PARTS = 32


def parts_of_contested(contested: int) -> int:
    """Return the number of parts to cut a window into so that most have no contested row."""
    return max(2, min(2 * contested, MOST_PARTS))


PUT_OFF_SECONDS = 300.0
MOST_PUT_OFF_SECONDS = 4 * 3_600.0


def put_off_seconds(
    rounds: int, *, first: float = PUT_OFF_SECONDS, most: float = MOST_PUT_OFF_SECONDS
) -> float:
    """Return the wait after so many vain rounds in a row: 5 min, 10 min … 4 h."""
    return min(first * 2.0 ** min(max(rounds, 1) - 1, 10), most)


def seconds_to_count(
    *, differed: int, walks: int, counted_seconds_ago: float | None, lateness_seconds: float
) -> float:
    """Return the seconds until a walked window is counted (again); 0 for at once."""
    if counted_seconds_ago is None or differed == 1:
        return 0.0
    # Rows can stay contested for up to the lateness bound.
    wait = put_off_seconds(walks) if differed else lateness_seconds / 8
    return max(0.0, wait - counted_seconds_ago)


def seconds_to_seal(
    *, asked_at: dt.datetime, clear_at: dt.datetime | None, lateness_seconds: float
) -> float:
    """Return the seconds until the feed may be clear past a count: as far as the feed is behind
    it, but at most the lateness bound. A feed that was not read for long catches up at once."""
    behind = lateness_seconds if clear_at is None else (asked_at - clear_at).total_seconds()
    return min(max(behind, 0.0), lateness_seconds)


LAGGING_SHARE = 0.03
"""Of sampled records: a few change unannounced; a list that lags shows in many of them."""


def lists_lag(*, untold: float, sampled: float) -> bool:
    """Tell whether more sampled records changed without an entry than a list in time would show.

    A single record never suffices; counts fade as more records are sampled (`feeds.note_sample`).
    """
    return untold > 1.5 and untold > LAGGING_SHARE * sampled


def can_seal(asked_at: dt.datetime, clear_at: dt.datetime | None) -> bool:
    """Tell whether the feed is clear past a count: all earlier entries are known."""
    return clear_at is not None and clear_at > asked_at


def partition(days: Days, deep: Sequence[Days]) -> list[tuple[Days, bool]]:
    """Cut `days` at the limits of `deep`; return (days, is deep) pairs, the oldest first.

    Only the ends that are open in `days` are open in the parts.
    """
    low, high = days.first or dt.date.min, days.last or dt.date.max
    parts: list[tuple[dt.date, dt.date, bool]] = []
    begin: dt.date | None = low
    for each in sorted(deep, key=lambda d: d.first or dt.date.min):
        first, last = max(each.first or low, low), min(each.last or high, high)
        if begin is None or first > last or last < begin:
            continue
        if first > begin:
            parts.append((begin, first - _DAY, False))
        parts.append((max(first, begin), last, True))
        begin = None if last == dt.date.max else last + _DAY
    if begin is not None and begin <= high:
        parts.append((begin, high, False))
    return [
        (Days(None if a == dt.date.min else a, None if b == dt.date.max else b), is_deep)
        for a, b, is_deep in parts
    ]


@dataclass(slots=True)
class PassCheck:
    """The check whether a pass over a list without a feed is closed, that is, missed no record.

    A pass closes in one of two ways. Both need ids in one order across page boundaries, which
    reveals a shifted page. Either the list did not change: every page and a probe before and after
    had the same total, and the pass met as many distinct ids. Or the list grew: new ids are always
    larger, so exactly the records present at the first request have ids up to the largest id of
    that moment (`newest`). When the pass met as many of these ids as the first total, it met all of
    them, and it is closed for the moment when it began. New records move the rows of a descending
    list to later pages, where rows are met twice; in an ascending list they come last.

    `newest` is the first id of a list that descends; of one that ascends it stands on the last
    page, which is asked for first (`begin`). `unusable` records became no row.
    """

    totals: list[int] = field(default_factory=list)
    ids: set[Any] = field(default_factory=set)
    pages: int = 0
    unusable: int = 0
    newest: Any = None
    _order: int = 0
    _last: Any = None
    _monotone: bool = True
    problem: str = ""

    def begin(self, last_page: Sequence[Any], total: int) -> None:
        """Add the last page of an ascending list, requested before any other page."""
        self.totals.append(total)
        self.newest = max((key for key in last_page if isinstance(key, int)), default=None)

    def add(self, keys: Sequence[Any], total: int, *, unusable: Iterable[str] = ()) -> None:
        """Take the keys of the next page in the order sent; those met before moved down to it.

        `unusable` are the names of those of its records that became no row: they were there.
        """
        self.totals.append(total)
        self.pages += 1
        others = set(unusable)
        self.unusable += len(others)
        self.ids |= others
        if self.pages == 1 and self.newest is None:
            self.newest = max((key for key in keys if isinstance(key, int)), default=None)
        for key in keys:
            if key in self.ids:
                continue
            if self._last is not None:
                direction = 1 if key > self._last else -1
                if self._order == 0:
                    self._order = direction
                elif direction != self._order:
                    self._monotone = False
            self._last = key
            self.ids.add(key)

    def add_refusal(self) -> None:
        """Take a page beyond the end: the list became shorter, and the totals do not agree."""
        self.add([], -1)

    def add_total(self, total: int) -> None:
        """Add the total of a probe."""
        self.totals.append(total)

    @property
    def is_closed(self) -> bool:
        """True when this pass alone proves the list complete."""
        if not self._monotone and self.pages > 1:
            self._counts_agree()
            return False
        return self._counts_agree() or self.holds_its_beginning

    @property
    def grew(self) -> bool:
        """True when the list became longer while it was read, and never shorter."""
        pairs = list(itertools.pairwise(self.totals))
        return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)

    @property
    def ascends(self) -> bool:
        """True when the list is oldest first."""
        return self._monotone and self._order == 1

    def agrees_with(self, before: PassCheck | None) -> bool:
        """Tell whether two passes in a row met the same ids: the proof for lists without order."""
        return before is not None and self._counts_agree() and self.ids == before.ids

    @property
    def holds_its_beginning(self) -> bool:
        """True when the list grew and all records present at the first request were met."""
        if not self.grew or not self._monotone or self.newest is None:
            return False
        known = [key for key in self.ids if isinstance(key, int) and key <= self.newest]
        return len(known) == self.totals[0]

    def _counts_agree(self) -> bool:
        distinct = sorted(set(self.totals))
        if len(distinct) != 1:
            self.problem = f"the total moved: {distinct[:5]}"
        elif len(self.ids) != distinct[0]:
            self.problem = f"{len(self.ids)} distinct records of {distinct[0]}"
        elif not self._monotone and self.pages > 1:
            self.problem = "ids in no order across pages"
            return True
        else:
            return True
        return False


def months_of_turn(turn: int, *, oldest: dt.date, newest: dt.date, turns: int) -> list[Days]:
    """Return the calendar months of one turn out of `turns`, newest first.

    A month always belongs to the same turn. The oldest month has an open beginning and the newest
    an open end, so that no day is left out; a caller with limits cuts them (`partition`).
    """
    first, last = oldest.year * 12 + oldest.month - 1, newest.year * 12 + newest.month - 1
    months = []
    for number in range(last, first - 1, -1):
        if number % turns == turn:
            begin = dt.date(number // 12, number % 12 + 1, 1)
            after = dt.date((number + 1) // 12, (number + 1) % 12 + 1, 1)
            months.append(
                Days(
                    None if number == first else begin,
                    None if number == last else after - _DAY,
                )
            )
    return months


# --- when ------------------------------------------------------------------------------------


def next_on_grid(now: dt.datetime, *, every_seconds: float, offset: int) -> dt.datetime:
    """Return the next moment of a fixed grid; `offset` spreads the stores evenly over it."""
    epoch = now.timestamp()
    shift = (offset * 0.618_033_988) % 1.0 * every_seconds
    turn = math.floor((epoch - shift) / every_seconds) + 1
    return dt.datetime.fromtimestamp(turn * every_seconds + shift, dt.UTC)


def seconds_to_turn(
    now: dt.datetime, *, began_seconds_ago: float, every_seconds: float, offset: int
) -> float:
    """Return the seconds until the next turn after the current work began; 0 when it is overdue.

    Counting from the beginning of the work means that long work does not skip the next turn.
    """
    began = now - dt.timedelta(seconds=began_seconds_ago)
    due = next_on_grid(began, every_seconds=every_seconds, offset=offset)
    return max(0.0, (due - now).total_seconds())


def retry_seconds(attempts: int, *, jitter: float, most: float = 300.0) -> float:
    """Return the backoff: 1 s, 2 s, 4 s … 300 s, each ±25 % by `jitter`, which is from 0 to 1."""
    return float(min(most, 2 ** min(attempts - 1, 12)) * (0.75 + jitter / 2))


def next_night(now: dt.datetime, *, offset: int) -> dt.datetime:
    """Return the moment of the next nightly reconcile, between 01:00 and 04:00 UTC by store."""
    start = now.replace(hour=1, minute=0, second=0, microsecond=0)
    moment = start + dt.timedelta(seconds=(offset * 6_367) % 10_800)
    return moment if moment > now else moment + _DAY
