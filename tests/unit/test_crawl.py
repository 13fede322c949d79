"""Rules of what to ask for next, and of when it is enough."""

from __future__ import annotations

import datetime as dt
import itertools
import time
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sync import crawl
from sync.crawl import (
    WHOLE,
    Count,
    Days,
    PassCheck,
    Step,
    can_seal,
    cut_around,
    next_step,
    pagination_of,
    partition,
    seconds_to_count,
    seconds_to_seal,
    slices,
)
from sync.crm.decode import decode
from sync.errors import UnexpectedData

DAY = dt.timedelta(days=1)
NOON = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
days = st.dates(dt.date(2015, 1, 1), dt.date(2030, 1, 1))
ends = st.none() | days


@given(ends, ends, days, days, st.integers(1, 40))
def test_slices_cover_every_day_once(
    first: dt.date | None, last: dt.date | None, oldest: dt.date, newest: dt.date, parts: int
) -> None:
    """Nothing falls between windows, nothing is in two, and open ends stay open."""
    assume(first is None or last is None or first <= last)
    runs = slices(Days(first, last), oldest=oldest, newest=newest, parts=parts)
    ascending = runs[::-1]
    assert (ascending[0].first, ascending[-1].last) == (first, last)
    for one, next_one in itertools.pairwise(ascending):
        assert one.last is not None
        assert next_one.first == one.last + DAY
    for run in ascending:
        assert run.first is None or run.last is None or run.first <= run.last
    assert len(runs) <= parts


@given(ends, ends, st.integers(1, 9), st.lists(st.tuples(ends, ends), max_size=4))
def test_days_that_belong_together_stay_in_one_part(
    first: dt.date | None, last: dt.date | None, parts: int, some: list[tuple[Any, Any]]
) -> None:
    """The parts cover every day once, and no range of accepted days lies in two of them."""
    assume(first is None or last is None or first <= last)
    whole = [Days(a, b) for a, b in some if a is None or b is None or a <= b]
    day = dt.date(2020, 6, 1)
    end = last or day + 700 * DAY
    runs = slices(Days(first, last), oldest=first or day, newest=end, parts=parts)
    ascending = cut_around(runs, whole)[::-1]
    assert (ascending[0].first, ascending[-1].last) == (first, last)
    for one, next_one in itertools.pairwise(ascending):
        assert one.last is not None
        assert next_one.first == one.last + DAY
    for each in whole:
        if each.within(Days(first, last)) == each != Days(first, last):
            assert sum(each.within(run) is not None for run in ascending) == 1


def test_an_accepted_range_is_a_part_of_its_own() -> None:
    """Its count is judged by itself; a range that is all of the days does not stop the cut."""
    june = [Days(dt.date(2026, 6, 16), None), Days(None, dt.date(2026, 6, 15))]
    gap = Days(dt.date(2026, 6, 10), dt.date(2026, 6, 20))
    assert cut_around(june, [gap]) == [
        Days(dt.date(2026, 6, 21), None),
        gap,
        Days(None, dt.date(2026, 6, 9)),
    ]
    assert cut_around(june, [WHOLE]) == june
    assert cut_around([], [gap]) == []


def test_slices_are_newest_first_and_about_equal() -> None:
    """New records matter most, so their windows are walked first."""
    runs = slices(
        Days(dt.date(2026, 1, 1), dt.date(2026, 1, 10)),
        oldest=dt.date(2000, 1, 1),
        newest=dt.date(2030, 1, 1),
        parts=2,
    )
    assert [str(run) for run in runs] == ["2026-01-06–2026-01-10", "2026-01-01–2026-01-05"]


def test_one_day_is_not_cut() -> None:
    """Filters take whole days: a day too big is closed by other means."""
    day = Days(dt.date(2026, 1, 1), dt.date(2026, 1, 1))
    assert day.is_one_day
    assert not day.is_open
    assert slices(day, oldest=dt.date(2020, 1, 1), newest=dt.date(2027, 1, 1), parts=9) == [day]


def test_the_whole_is_open_at_both_ends() -> None:
    """What is older or newer than expected is in it, too."""
    assert WHOLE.is_open
    assert not WHOLE.is_one_day
    assert str(WHOLE) == "…–…"


@pytest.mark.parametrize(("total", "parts"), [(0, 1), (1, 1), (5_000, 1), (5_001, 2), (25_000, 5)])
def test_windows_hold_some_thousands(total: int, parts: int) -> None:
    """A lost row costs at most one window's pages again."""
    assert crawl.parts_of(total) == parts


def test_a_walk_has_an_end_whatever_the_list_does() -> None:
    """Growth within twice the plan is walked, beyond it the walk gives up."""
    assert crawl.pages_bound(0) == 10
    assert crawl.pages_bound(50) == 110


def test_a_pagination_block_is_read() -> None:
    """Numbers as numbers or text; an absent page is the first."""
    block = {"totalCount": "45", "totalPageCount": 3}
    found = pagination_of({"pagination": block})
    assert (found.total, found.page, found.pages) == (45, 1, 3)


@pytest.mark.parametrize(
    "data", [{}, {"pagination": []}, {"pagination": {"totalCount": "many", "totalPageCount": 1}}]
)
def test_without_a_pagination_block_nothing_can_be_proven(data: dict[str, object]) -> None:
    """A list that does not say how long it is is unexpected, never empty."""
    with pytest.raises(UnexpectedData) as found:
        pagination_of(data, b"the body")
    assert found.value.body == b"the body"


@pytest.mark.parametrize(
    "count",
    [
        b"1e50000000",
        b"1E+400",
        b"-1",
        b"45.5",
        b"0.5",
        b"1e-50000000",
        b"true",
        b"null",
        b"[]",
        b"1000000000000",
        b"9" * 4_000,
        b"9" * 5_000,
        b"0." + b"0" * 100_000 + b"1",
        b'"1e5"',
        b'"-1"',
        b'"4 5"',
        '"٤٥"'.encode(),
        b'"' + b"1" * 13 + b'"',
    ],
    ids=lambda count: count.decode()[:16],
)
@pytest.mark.parametrize("name", [b"totalCount", b"totalPageCount"])
def test_a_number_no_list_can_have_is_unexpected_and_costs_nothing(
    name: bytes, count: bytes
) -> None:
    """An int of fifty million digits takes hours to make, with every other thread waiting."""
    numbers = {b"totalCount": b"45", b"totalPageCount": b"3", name: count}
    block = b",".join(b'"%b":%b' % each for each in numbers.items())
    body = b'{"pagination":{%b}}' % block
    began = time.process_time()
    with pytest.raises(UnexpectedData) as found:
        pagination_of(decode(body), body)
    assert time.process_time() - began < 1
    assert found.value.body == body
    assert len(str(found.value)) < 500


@pytest.mark.parametrize("count", [b"45", b'"45"', b"45.0", b"4.5e1"])
def test_a_whole_number_is_a_count_however_it_is_written(count: bytes) -> None:
    """PHP's ceil() makes a float."""
    body = b'{"pagination":{"totalCount":%b,"totalPageCount":3}}' % count
    assert pagination_of(decode(body)).total == 45


@pytest.mark.parametrize(("total", "pages"), [(10**11, 1_000_001), (0, 10**9)])
def test_pages_that_cannot_be_are_unexpected(total: int, pages: int) -> None:
    """A list of pages without end is none."""
    with pytest.raises(UnexpectedData, match="cannot be"):
        pagination_of({"pagination": {"totalCount": total, "totalPageCount": pages}})


@pytest.mark.parametrize(
    ("total", "pages"), [(0, 0), (0, 1), (7, 1), (3, 4), (8, 8), (10**11, 1_000_000)]
)
def test_pages_that_can_be_are_believed(total: int, pages: int) -> None:
    found = pagination_of({"pagination": {"totalCount": total, "totalPageCount": pages}})
    assert (found.total, found.pages) == (total, pages)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(7, 7), (2**63 - 1, 2**63 - 1), (2**63, None), (0, None), (-1, None), (True, None),
     ("7", None), (None, None), (10**4_000, None)],
)  # fmt: skip
def test_an_id_named_in_passing_is_one_a_record_may_have(
    value: object, expected: int | None
) -> None:
    assert crawl.record_id_of(value) == expected


def test_a_count_proves_only_what_was_there_before_it_was_asked() -> None:
    """Rows that entered after the question are no part of the answer."""
    assert Count(WHOLE, 10, 10, 3, NOON).proven
    missing = Count(WHOLE, 10, 8, 2, NOON)
    assert not missing.proven
    assert missing.difference == 2


def _pass(*pages: list[int], totals: list[int] | None = None) -> PassCheck:
    check = PassCheck()
    total = sum(len(page) for page in pages)
    for page, said in zip(pages, totals or [total] * len(pages), strict=True):
        check.add(page, said)
    return check


def test_a_pass_in_order_with_one_total_is_closed() -> None:
    """Ascending or descending: a shifted page would repeat an id or break the order."""
    assert _pass([1, 2], [3, 5]).is_closed
    assert _pass([9, 8], [7]).is_closed
    assert _pass([]).is_closed


def test_a_pass_whose_total_moved_is_open() -> None:
    """Something came or went under the pass."""
    moved = _pass([1, 2], [3], totals=[3, 4])
    assert not moved.is_closed
    assert moved.problem == "the total moved: [3, 4]"


def test_a_probe_after_the_pass_may_open_it() -> None:
    """The list has to be as long at the end as at the beginning."""
    check = _pass([1, 2], [3])
    check.add_total(2)
    assert not check.is_closed


@given(st.data(), st.integers(1, 60), st.integers(1, 9), st.booleans())
def test_a_pass_that_holds_its_beginning_has_met_all_that_was_there(
    data: st.DataObject, length: int, size: int, ascends: bool
) -> None:
    """Records come, with ids above all others, and go, between any two pages: whenever the pass
    says so, every record that was there at its first request was met."""
    records = list(range(1, length + 1))
    following = length + 1
    check = PassCheck()

    def page(number: int) -> list[int]:
        shown = records if ascends else records[::-1]
        return shown[size * (number - 1) : size * number]

    beginning = set(records)
    if ascends:
        check.begin(page(-(-len(records) // size)), len(records))
    number, met = 1, set[int]()
    while keys := page(number):
        check.add(keys, len(records))
        met |= set(keys)
        number += 1
        for _ in range(data.draw(st.integers(0, 2))):
            records.append(following)
            following += 1
        for _ in range(data.draw(st.integers(0, 2))):
            if len(records) > 1:
                records.pop(data.draw(st.integers(0, len(records) - 1)))
        if number > 100:
            break
    check.add_total(len(records))
    if check.holds_its_beginning:
        assert met >= beginning


@pytest.mark.parametrize("order", [1, -1])
def test_a_pass_over_a_list_that_only_grew_is_closed(order: int) -> None:
    """Newest first the rows move down and are met twice, oldest first they are the last ones."""
    if order == -1:
        check = _pass([6, 5], [5, 4], [4, 3], [3, 2, 1], totals=[6, 7, 8, 9])
    else:
        check = PassCheck()
        check.begin([5, 6], 6)
        for keys, total in (([1, 2], 6), ([3, 4], 7), ([5, 6], 8), ([7, 8], 9)):
            check.add(keys, total)
    assert check.is_closed
    assert check.holds_its_beginning
    check.ids.discard(4)
    assert not check.holds_its_beginning


def test_a_pass_that_met_a_record_twice_missed_another() -> None:
    """Fewer distinct ids than the total: a page shifted."""
    check = _pass([1, 2], [2, 3])
    assert not check.is_closed
    assert check.problem == "3 distinct records of 4"


def test_ids_in_no_order_need_a_second_pass_that_agrees() -> None:
    """Where no order shows a shift, two passes in a row have to give the same ids."""
    first, second = _pass([1, 5], [3]), _pass([5, 3], [1])
    assert not first.is_closed
    assert first.problem == "ids in no order across pages"
    assert not second.agrees_with(None)
    assert second.agrees_with(first)
    assert not _pass([1, 5], [4]).agrees_with(first)


def test_one_page_needs_no_order() -> None:
    """There is no boundary for anything to move across."""
    assert _pass([3, 1, 2]).is_closed


@given(st.floats(1.5e9, 1.9e9), st.integers(0, 500))
def test_a_grid_is_fixed_and_ahead(epoch: float, offset: int) -> None:
    """Whenever a lane is asked for, its next turn is on its own grid and within one interval."""
    now = dt.datetime.fromtimestamp(epoch, dt.UTC)
    turn = crawl.next_on_grid(now, every_seconds=15, offset=offset)
    assert 0 < (turn - now).total_seconds() <= 15.001
    later = crawl.next_on_grid(turn + DAY / 2_880, every_seconds=15, offset=offset)
    assert (later - turn).total_seconds() % 15 == pytest.approx(0, abs=0.01) or (
        later - turn
    ).total_seconds() % 15 == pytest.approx(15, abs=0.01)


@given(st.floats(1.5e9, 1.9e9), st.floats(0, 0.999), st.floats(0, 0.999), st.integers(0, 500))
def test_a_look_longer_than_what_is_left_of_its_interval_costs_no_turn(
    epoch: float, late: float, took: float, offset: int
) -> None:
    """Begun `late` after its turn, it is due again one interval after that turn, or at once."""
    moment = dt.datetime.fromtimestamp(epoch, dt.UTC)
    turn = crawl.next_on_grid(moment, every_seconds=1, offset=offset)
    began = turn + dt.timedelta(seconds=late + 1e-4)
    now = began + dt.timedelta(seconds=took)
    wait = crawl.seconds_to_turn(now, began_seconds_ago=took, every_seconds=1, offset=offset)
    if (began - turn).total_seconds() < 1 - 1e-3:
        next_turn = (turn - now).total_seconds() + 1
        assert wait == pytest.approx(max(0, next_turn), abs=1e-3)


def test_stores_are_spread_over_the_grid() -> None:
    """Feeds of many stores do not all ask in the same second."""
    turns = {crawl.next_on_grid(NOON, every_seconds=60, offset=n).second for n in range(20)}
    assert len(turns) > 10


def test_a_retry_waits_longer_each_time_and_not_for_ever() -> None:
    """1 s, 2 s, 4 s … up to the longest, within a quarter of it."""
    assert [crawl.retry_seconds(n, jitter=0.5) for n in (1, 2, 3)] == [1, 2, 4]
    assert crawl.retry_seconds(50, jitter=1) == 375
    assert crawl.retry_seconds(1, jitter=0) == 0.75
    assert crawl.retry_seconds(50, jitter=0.5, most=60) == 60


@pytest.mark.parametrize("hour", [0, 1, 3, 12, 23])
def test_the_night_comes_between_one_and_four(hour: int) -> None:
    """Stores reconcile when their shops are quiet, each at its own minute, and never twice."""
    now = NOON.replace(hour=hour)
    night = crawl.next_night(now, offset=7)
    assert dt.timedelta(0) < night - now <= DAY
    assert 1 <= night.hour < 4
    assert crawl.next_night(night, offset=7) == night + DAY


@pytest.mark.parametrize(
    ("rate", "latency", "pages"), [(10, 0, 5), (10, 0.3, 8), (10, 5, 12), (0.1, 0, 5)]
)
def test_pages_under_way_follow_from_rate_and_latency(
    rate: float, latency: float, pages: int
) -> None:
    """Enough to fill the budget, never more than memory allows."""
    assert crawl.in_flight(requests_per_second=rate, latency_seconds=latency) == pages


# --- proofs


def counted(total: int, mirrored: int, **also: int) -> Count:
    """A window counted."""
    return Count(WHOLE, total, mirrored, 0, NOON, **also)


def step(count: Count, **about: Any) -> Step:
    """What follows from a count, of a window that cannot be cut unless said."""
    return next_step(count, **({"differed": 0, "walks": 0, "can_cut": False} | about))


def test_contested_rows_judge_nothing() -> None:
    """Told gone and still listed: the total may count them or not, whatever the numbers say."""
    contested = counted(10, 10, contested=1)
    assert not contested.proven
    assert step(contested) is Step.LATER
    assert step(contested, can_cut=True) is Step.LATER
    assert step(contested, can_cut=True, was_contested=True) is Step.CUT
    assert step(contested, was_contested=True) is Step.LATER


def test_what_was_accepted_is_what_a_total_is_compared_with() -> None:
    """Neither more nor less."""
    assert counted(11, 10, accepted=1).proven
    assert not counted(12, 10, accepted=1).proven
    assert not counted(10, 10, accepted=1).proven


def test_a_window_that_differs_is_counted_again_cut_walked_and_put_off() -> None:
    """One odd answer is not a fact; what was walked in vain is tried less and less often."""
    odd, large = counted(11, 10), counted(1_000, 10)
    assert step(odd) is Step.AGAIN
    assert step(odd, differed=1) is Step.DEEP
    assert step(odd, differed=1, can_cut=True) is Step.DEEP, "three pages cost less than counts"
    assert step(large, differed=1, can_cut=True) is Step.CUT
    assert step(odd, differed=1, walks=1) is Step.PUT_OFF
    assert step(odd, differed=2, walks=1) is Step.DEEP, "its time has come"
    assert step(counted(10, 10), walks=1) is Step.COUNTED
    assert step(counted(10, 10), walks=1, is_doubted=True) is Step.DEEP


def test_windows_wait_longer_and_longer() -> None:
    """5, 10, 20 minutes … 4 hours; contested ones for an eighth of the lateness bound."""
    waits = [crawl.put_off_seconds(walks) / 60 for walks in range(1, 10)]
    assert waits == [5, 10, 20, 40, 80, 160, 240, 240, 240]

    def left(differed: int, ago: float | None) -> float:
        return seconds_to_count(
            differed=differed, walks=2, counted_seconds_ago=ago, lateness_seconds=80
        )

    assert left(0, None) == left(1, 0) == 0
    assert left(0, 4) == 6
    assert left(2, 100) == 500
    assert left(2, 1_000) == 0


def test_a_count_is_sealed_when_the_feed_is_clear_past_it() -> None:
    """Not before, and never without a feed."""
    later = NOON + dt.timedelta(seconds=1)
    assert can_seal(NOON, later)
    assert not can_seal(NOON, NOON)
    assert not can_seal(NOON, None)
    assert seconds_to_seal(asked_at=later, clear_at=NOON, lateness_seconds=60) == 1
    assert seconds_to_seal(asked_at=NOON, clear_at=later, lateness_seconds=60) == 0
    assert seconds_to_seal(asked_at=NOON, clear_at=None, lateness_seconds=60) == 60
    assert seconds_to_seal(asked_at=NOON, clear_at=NOON - DAY, lateness_seconds=60) == 60


@given(ends, ends, st.lists(st.tuples(ends, ends), max_size=5), days)
def test_a_partition_holds_every_day_once(
    first: dt.date | None,
    last: dt.date | None,
    deep: list[tuple[dt.date | None, dt.date | None]],
    day: dt.date,
) -> None:
    """What is compared is apart from what is only counted, and nothing is beyond the limits."""
    assume(first is None or last is None or first <= last)
    wanted = [Days(a, b) for a, b in deep if a is None or b is None or a <= b]
    parts = partition(Days(first, last), wanted)
    one = Days(day, day)
    holding = [is_deep for part, is_deep in parts if part.within(one)]
    inside = Days(first, last).within(one) is not None
    assert len(holding) == inside
    if inside:
        assert holding == [any(each.within(one) for each in wanted)]
    assert (parts[0][0].first, parts[-1][0].last) == (first, last)
