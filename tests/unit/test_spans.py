"""The places of a page are covered once, in order, whatever sizes the requests have."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sync.work.spans import BY_ID, SIZES, Spans, rest, smaller, spans_of


def covered(page: int, page_size: int, size: int, fails: list[bool], total: int) -> list[int]:
    """The places shown, in the order read, when the requests fail as told and then never again."""
    places: list[int] = []
    failures = iter(fails)
    spans: Spans = spans_of(page, page_size, size=size)
    for _ in range(1_000):
        if not spans:
            return places
        left = smaller(spans, by_ids=True) if next(failures, False) else None
        if left is not None:
            spans = left
            continue
        head = spans[0]
        places += range(head.first, min(head.reach, total))
        is_unit = head.size == page_size
        spans = rest(spans, total=None if is_unit else total, size=size)
    raise AssertionError("a page is never read to its end")


@given(
    page=st.integers(1, 5),
    page_size=st.sampled_from([250, 100, 50, 20]),
    size=st.sampled_from(SIZES),
    fails=st.lists(st.booleans(), max_size=40),
    total=st.integers(0, 1_200),
)
def test_each_place_of_a_page_is_read_once_and_in_order(
    page: int, page_size: int, size: int, fails: list[bool], total: int
) -> None:
    """No record is left out or met twice, also where sizes do not divide each other."""
    first, end = page_size * (page - 1), page_size * page
    found = covered(page, page_size, min(size, page_size), fails, total)
    assert found == list(range(first, max(first, min(end, total))))


def test_a_page_that_fails_is_halved_then_cut_into_twenties_then_read_by_ids() -> None:
    spans = spans_of(3, 100, size=100)
    sizes = []
    while True:
        sizes.append(spans[0].size)
        left = smaller(spans, by_ids=True)
        if left is None:
            break
        spans = left
    assert sizes == [100, 50, 20, BY_ID]
    assert (spans[0].first, spans[0].reach) == (200, 220)


def test_the_rest_of_a_page_goes_on_in_the_size_kept_by_now() -> None:
    spans = smaller(spans_of(1, 100, size=100), by_ids=True)
    assert spans is not None
    left = rest(spans, total=1_000, size=20)
    assert [(each.first, each.end, each.size) for each in left] == [(50, 100, 20)]


def test_a_record_in_the_middle_of_its_page_is_found_behind_those_before_it() -> None:
    """Page 3 of twenty shows the places 40 to 59; those before 50 came with a page of fifty."""
    [span] = spans_of(1, 100, size=20, done=50)
    assert (span.number, span.skipped, span.reach) == (3, 10, 60)
