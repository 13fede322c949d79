"""Threads of one slice ask for their slots in the order of their pages."""

from __future__ import annotations

from threading import Event, Thread

import pytest

from sync.crm.budget.order import RequestOrder
from sync.errors import TryLater


def waiting(turns: RequestOrder, count: int) -> None:
    """Return once so many threads wait for their turn."""
    while True:
        with turns._changed:
            if len(turns._waiting) == count:
                return
            turns._changed.wait(1)


def test_of_those_that_wait_the_earliest_asks_next() -> None:
    """However late it came to the gate, and one at a time."""
    turns, asked = RequestOrder(), list[int]()
    tickets = [turns.ticket() for _ in range(6)]
    held = Event()

    def ask(ticket: int) -> None:
        with turns.turn(ticket, give_up_after=30):
            if ticket == tickets[5]:
                held.wait(30)
            asked.append(ticket)

    threads = [Thread(target=ask, args=(tickets[5],))]
    threads[0].start()  # alone at the gate: it does not wait for tickets that are not there
    while turns._is_free:
        waiting(turns, 0)
    for number in (3, 0, 4, 1, 2):
        threads.append(Thread(target=ask, args=(tickets[number],)))
        threads[-1].start()
    waiting(turns, 5)
    held.set()
    for thread in threads:
        thread.join(30)
    assert asked == [tickets[5], *tickets[:5]]


def test_a_thread_gives_up_in_time_and_leaves_the_others_their_turn() -> None:
    turns = RequestOrder()
    first, second, third = turns.ticket(), turns.ticket(), turns.ticket()
    with turns.turn(first, give_up_after=30):
        with pytest.raises(TryLater), turns.turn(second, give_up_after=0.05):
            pytest.fail("two at once")
        stop = Event()
        stop.set()
        with pytest.raises(TryLater), turns.turn(third, give_up_after=30, stop=stop):
            pytest.fail("stopped")
    with turns.turn(third, give_up_after=0.05):
        pass


def test_an_error_while_asking_ends_the_turn() -> None:
    turns = RequestOrder()
    with pytest.raises(TryLater), turns.turn(turns.ticket(), give_up_after=30):
        raise TryLater("Redis is away")
    with turns.turn(turns.ticket(), give_up_after=0.05):
        pass
