"""How far the tail of a feed may go."""

from __future__ import annotations

from sync.work.feed.history import Entry, Stored
from sync.work.feed.tail import passable

BOUND = 60.0


def stored(*entries: tuple[int, float, bool]) -> list[Stored]:
    """Entries by id: for how many seconds each is known, and whether a re-read is owed."""
    return [
        Stored(Entry(number, 1, None, None, False, False, None), seconds, owed)
        for number, seconds, owed in entries
    ]


def passed(*entries: tuple[int, float, bool]) -> list[int]:
    return [each.entry.id for each in passable(stored(*entries), bound=BOUND)]


def test_an_entry_is_passed_once_it_has_been_known_for_the_bound() -> None:
    assert passed((1, 61, False), (2, 60, False), (3, 59, False)) == [1, 2]


def test_a_late_entry_is_not_waited_for() -> None:
    """What came after it has been known for long enough, and its record is read once more."""
    assert passed((1, 70, False), (2, 3, True), (3, 65, False), (4, 5, False)) == [1, 2, 3]


def test_a_late_entry_whose_record_nothing_reads_again_is_waited_for() -> None:
    assert passed((1, 70, False), (2, 3, False), (3, 65, False)) == [1]


def test_nothing_is_passed_that_may_still_come() -> None:
    """A late entry at the end: ids before it may be later still."""
    assert passed((1, 70, False), (2, 3, True)) == [1]
    assert passed((5, 3, True), (6, 50, False)) == []
