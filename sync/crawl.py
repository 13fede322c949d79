"""What to ask for next, and when it is enough: windows, pages, proofs. Decisions only, no I/O."""

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

WINDOW_TARGET = 2_500
"""Records a planned window should hold: 25 pages, so that a lost row costs few pages again."""
WINDOW_MAX = 5_000
LEAF_RECORDS = 300
"""A window this small is walked again rather than halved: three pages cost less than the counts."""
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Days:
    """Whole store-local days, both ends inclusive; None for an open end."""

    first: dt.date | None = None
    last: dt.date | None = None

    @property
    def is_open(self) -> bool:
        """Whether one end is open."""
        return self.first is None or self.last is None

    @property
    def is_one_day(self) -> bool:
        """Whether it cannot be split."""
        return self.first is not None and self.first == self.last

    def within(self, other: Days) -> Days | None:
        """The days that are in both, None when there are none."""
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
    """What an answer says of its list. `pages` is 0 for an empty one."""

    total: int
    page: int
    pages: int


MOST_PAGES = 1_000_000
"""A hundred million records, a day of requests: no list is that long, so the number is wrong."""
_COUNT_DIGITS = 12


def pagination_of(data: dict[str, Any], body: bytes = b"") -> Pagination:
    """The pagination block; UnexpectedData without one, for then nothing could be proven.

    Also when its pages are without end. More pages than records are believed: asking for them
    costs little, and a walk ends at the first empty one (walk.py).
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
    """A count as an answer writes it: a whole number, or its digits; None for anything else.

    What is longer than any count is not converted: `1e50000000` is a short text, and an int that
    takes hours to make.
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
    """An id as a record may have one, where an answer names it in passing; None for all else."""
    is_id = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63
    return value if is_id else None


def slices(days: Days, *, oldest: dt.date, newest: dt.date, parts: int) -> list[Days]:
    """Cut `days` into about `parts` equal runs of whole days, newest first.

    `oldest` and `newest` stand for open ends, which the outer slices keep open, so that nothing
    older or newer than expected falls between.
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


def parts_of(total: int) -> int:
    """How many windows a list of `total` records is cut into."""
    return max(1, math.ceil(total / WINDOW_TARGET))


def pages_bound(planned: int) -> int:
    """The page a walk gives up at: a list that grows faster than it is walked must end somewhere.

    Twice what was planned and ten pages more: growth within that is walked, beyond it is drift
    that the closing proof deals with.
    """
    return 2 * planned + 10


MOST_IN_FLIGHT = 12
MOST_PAGES_A_SECOND = 40.0
"""What one process can make rows of, at about 20 ms of CPU a page: more would wait in memory."""


def in_flight(*, requests_per_second: float, latency_seconds: float) -> int:
    """How many pages to have under way: Little's law, and five more.

    Two that wait for their slot, because a store with one ask outstanding gets only what its
    latency allows (crm/limiter); three that are done while an earlier one is still being awaited
    or committed, since pages are taken in order.
    """
    rate = min(requests_per_second, MOST_PAGES_A_SECOND)
    needed = math.ceil(rate * latency_seconds) + 5
    return max(3, min(needed, MOST_IN_FLIGHT))


# --- proofs ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Count:
    """A window counted in a bracket of the feed.

    total      records by the API, asked at `asked_as_of`
    mirrored   live rows of the window that were found before it was asked, counted after the feed
               was followed past the answer
    entered    live rows of the window found after it was asked
    contested  live rows that the CRM may or may not have counted: told to be gone and still
               listed, or found absent and not yet asked for a second time
    accepted   what a person accepted that the total is above the rows
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
        """By how many the total is above the rows."""
        return self.total - self.mirrored

    @property
    def proven(self) -> bool:
        """Whether the mirror's window is the CRM's, so far as departures are known.

        Every row of `mirrored` was live in the CRM when it answered: it was seen before, and the
        feed, followed past the answer, told of no deletion. A subset with the same count is the
        same set. ops/decisions/0003 has the argument in full, 0017 why it is provisional.
        """
        return self.difference == self.accepted and not self.contested


class Step(Enum):
    """What happens to a window that was counted."""

    COUNTED = "counted"  # proven, and sealed when the feed is clear past the count
    LATER = "later"  # contested: its count says nothing yet
    AGAIN = "again"  # one odd answer is not a fact
    CUT = "cut"
    DEEP = "deep"  # walked again, ids and contents compared
    PUT_OFF = "put off"  # differs although it was compared: doubted, tried less and less often


def next_step(
    count: Count,
    *,
    differed: int,
    walks: int,
    was_contested: bool = False,
    is_doubted: bool = False,
    can_cut: bool,
) -> Step:
    """The next step for a counted window.

    `differed` counts in a row differed before this one. `walks`: how often it was walked again.
    `was_contested` the last time, too. `is_doubted` by what was seen after its last walk.
    """
    if count.contested:
        return Step.CUT if was_contested and can_cut else Step.LATER
    if count.proven:
        return Step.DEEP if is_doubted else Step.COUNTED
    if not differed:
        return Step.AGAIN
    if can_cut and count.total > LEAF_RECORDS:
        return Step.CUT
    # Right after a walk that changed nothing it would be the same again.
    return Step.PUT_OFF if walks and differed == 1 else Step.DEEP


MOST_PARTS = 32


def parts_of_contested(contested: int) -> int:
    """How many parts leave most of them without one of so many contested rows."""
    return max(2, min(2 * contested, MOST_PARTS))


PUT_OFF_SECONDS = 300.0
MOST_PUT_OFF_SECONDS = 4 * 3_600.0


def put_off_seconds(
    rounds: int, *, first: float = PUT_OFF_SECONDS, most: float = MOST_PUT_OFF_SECONDS
) -> float:
    """5 min, 10 min … 4 h: until what came to nothing so many times in a row is tried again."""
    return min(first * 2.0 ** min(max(rounds, 1) - 1, 10), most)


def seconds_to_count(
    *, differed: int, walks: int, counted_seconds_ago: float | None, lateness_seconds: float
) -> float:
    """How long until a walked window is counted (again); 0 for at once."""
    if counted_seconds_ago is None or differed == 1:
        return 0.0
    # Contested rows stay so for up to the lateness bound.
    wait = put_off_seconds(walks) if differed else lateness_seconds / 8
    return max(0.0, wait - counted_seconds_ago)


def seconds_to_seal(
    *, asked_at: dt.datetime, clear_at: dt.datetime | None, lateness_seconds: float
) -> float:
    """How long until the feed may be clear past a count: as far as it is behind it, and no longer
    than the lateness bound. A feed that has not been looked at for long catches up at once."""
    behind = lateness_seconds if clear_at is None else (asked_at - clear_at).total_seconds()
    return min(max(behind, 0.0), lateness_seconds)


LAGGING_SHARE = 0.03
"""Of sampled records: a few change unannounced; a list that lags shows in many of them."""


def lists_lag(*, untold: float, sampled: float) -> bool:
    """Whether so many sampled records changed without an entry that lists must have lagged.

    One never suffices; counts fade as more records are sampled (`feeds.note_sample`).
    """
    return untold > 1.5 and untold > LAGGING_SHARE * sampled


def can_seal(asked_at: dt.datetime, clear_at: dt.datetime | None) -> bool:
    """Whether all that was published before a count is known."""
    return clear_at is not None and clear_at > asked_at


def partition(days: Days, deep: Sequence[Days]) -> list[tuple[Days, bool]]:
    """Cut `days` so that those in `deep` are apart: (days, is deep), the oldest first.

    The outer parts are open where `days` is, and nowhere else.
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
    """Whether a pass over a list without a feed was closed.

    Closed in one of two ways, both with ids in one order across page boundaries, so that a shifted
    page would show. It held still: one total on every page and on a probe before and after, and
    as many distinct ids. Or it grew: ids only grow, so all that was there at the first request is
    at or below the largest id of that moment (`newest`), and nothing else ever will be. Of the ids
    met, those up to `newest` were therefore there; when they are as many as the first total said,
    they are all that was there, and the pass is closed for what was there when it began. What came
    meanwhile moves rows of a list that is newest first to later pages, where they are met twice,
    and stands behind all others in a list that is oldest first.

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
        """Take the last page of a list that ascends, as it was before anything else was read."""
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
        """Take the total of a probe."""
        self.totals.append(total)

    @property
    def is_closed(self) -> bool:
        """Whether this pass alone proves the list."""
        if not self._monotone and self.pages > 1:
            self._counts_agree()
            return False
        return self._counts_agree() or self.holds_its_beginning

    @property
    def grew(self) -> bool:
        """Whether the list became longer while it was read, and never shorter."""
        pairs = list(itertools.pairwise(self.totals))
        return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)

    @property
    def ascends(self) -> bool:
        """Whether the list is oldest first."""
        return self._monotone and self._order == 1

    def agrees_with(self, before: PassCheck | None) -> bool:
        """Whether two passes in a row closed on the same ids: the proof where no order holds."""
        return before is not None and self._counts_agree() and self.ids == before.ids

    @property
    def holds_its_beginning(self) -> bool:
        """Whether it grew, and all that was there at its first request was met."""
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
    """The calendar months of one turn out of `turns`, newest first.

    Each month belongs to one turn for ever. The oldest month is open below and the newest above, so
    that nothing lies outside; whoever has a limit cuts them there (`partition`).
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
    """The next moment of a fixed grid; `offset` spreads stores over it, so they do not bunch."""
    epoch = now.timestamp()
    shift = (offset * 0.618_033_988) % 1.0 * every_seconds
    turn = math.floor((epoch - shift) / every_seconds) + 1
    return dt.datetime.fromtimestamp(turn * every_seconds + shift, dt.UTC)


def seconds_to_turn(
    now: dt.datetime, *, began_seconds_ago: float, every_seconds: float, offset: int
) -> float:
    """Seconds until the turn after the one whose work began so long ago; 0 when it is late.

    Work that takes most of an interval does not cost the next turn.
    """
    began = now - dt.timedelta(seconds=began_seconds_ago)
    due = next_on_grid(began, every_seconds=every_seconds, offset=offset)
    return max(0.0, (due - now).total_seconds())


def retry_seconds(attempts: int, *, jitter: float, most: float = 300.0) -> float:
    """1 s, 2 s, 4 s … 300 s, each within ±25 %; `jitter` is a random number from 0 to 1."""
    return float(min(most, 2 ** min(attempts - 1, 12)) * (0.75 + jitter / 2))


def next_night(now: dt.datetime, *, offset: int) -> dt.datetime:
    """The next nightly reconcile, 01:00–04:00 UTC spread over stores."""
    start = now.replace(hour=1, minute=0, second=0, microsecond=0)
    moment = start + dt.timedelta(seconds=(offset * 6_367) % 10_800)
    return moment if moment > now else moment + _DAY
