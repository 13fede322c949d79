"""Pages fetched ahead: in order, bounded, and no memory for pages that may never be asked for."""

from __future__ import annotations

from itertools import islice
from threading import Event, Lock

from sync.crawl import MOST_IN_FLIGHT
from sync.work.prefetch import (
    _HELD,
    IN_FLIGHT,
    MOST_AHEAD,
    MOST_BYTES_TOGETHER,
    Prefetcher,
)


def test_results_come_in_the_order_pushed_whatever_takes_longest() -> None:
    later = Event()

    def fetch(job: int) -> int:
        if job == 1:
            later.wait(10)
        if job == 3:
            later.set()
        return -job

    with Prefetcher(fetch) as ahead:
        ahead.push_each([1, 2, 3])
        assert [(job, result) for job, result, _ in ahead.results()] == [(1, -1), (2, -2), (3, -3)]


def test_a_late_page_holds_up_its_turn_alone() -> None:
    """Those behind it go on while it is waited for, as many as a second brings."""
    begun: list[int] = []
    enough = Event()

    def fetch(job: int) -> int:
        if job == 0:
            enough.wait(10)
        begun.append(job)
        if len(begun) == MOST_AHEAD - 1:
            enough.set()
        return job

    with Prefetcher(fetch) as ahead:
        ahead.push_each(range(40))
        assert [job for job, _, _ in ahead.results()] == list(range(40))
    assert begun.index(0) == MOST_AHEAD - 1


def test_a_billion_pages_cost_what_is_in_flight() -> None:
    """An answer may say any number of pages: only those that can begin are ever made."""
    begun: list[int] = []
    lock = Lock()

    def fetch(job: int) -> int:
        with lock:
            begun.append(job)
        return job

    with Prefetcher(fetch) as ahead:
        ahead.push_each(range(1_000_000_000))
        taken = [job for job, _, _ in islice(ahead.results(), 20)]
        assert taken == list(range(20))
    assert len(begun) <= 20 + IN_FLIGHT <= 20 + MOST_IN_FLIGHT


def test_a_run_of_large_pages_is_fetched_one_at_a_time() -> None:
    """A page may weigh sixteen megabytes: a dozen of them, decoded, would be all the memory."""
    running: list[int] = []
    beside: list[int] = []
    lock = Lock()

    def fetch(job: int) -> int:
        with lock:
            running.append(job)
        return 16_000_000

    with Prefetcher(fetch, size=lambda size: size) as ahead:
        ahead.push(0)
        for job, _, _ in ahead.results():
            if job == 0:
                ahead.push_each(range(1, 10))
            with lock:
                beside.append(len(running) - job - 1)
    assert running == list(range(10))
    assert max(beside) <= 1


def test_a_run_pushed_first_goes_before_what_has_not_begun_and_can_be_dropped() -> None:
    with Prefetcher[str, str](lambda job: job, width=1) as ahead:
        ahead.push_each(["a1", "a2", "a3"], of="a")
        ahead.push("last")
        results = ahead.results()
        first = next(results)[0]
        ahead.push_first("b2", of="b")
        ahead.push_first("b1", of="b")
        ahead.drop("a")
        rest = [job for job, _, _ in results]
    # a2 had begun when a was dropped.
    assert [first, *rest] == ["a1", "a2", "b1", "b2", "last"]


def test_an_error_of_a_fetch_is_handed_over_in_its_place() -> None:
    def fetch(job: int) -> int:
        if job == 2:
            raise ValueError("no page")
        return job

    with Prefetcher(fetch) as ahead:
        ahead.push_each([1, 2, 3])
        found = [result for _, result, _ in ahead.results()]
    assert found[0] == 1
    assert isinstance(found[1], ValueError)
    assert found[2] == 3


def test_a_run_behind_others_goes_after_them_and_before_what_was_pushed_later() -> None:
    """The pages of an older window wait for those of a newer one."""
    with Prefetcher[str, str](lambda job: job, width=1) as ahead:
        ahead.push("first")
        ahead.push("last")
        results = ahead.results()
        order = [next(results)[0]]
        ahead.push_each_behind(["a1", "a2"], of="a", behind=[])
        ahead.push_each_behind(["b1"], of="b", behind=["a"])
        order += [job for job, _, _ in results]
    # "last" had begun when the runs were pushed.
    assert order == ["first", "last", "a1", "a2", "b1"]


def test_what_runs_in_place_of_a_job_comes_before_all_others() -> None:
    with Prefetcher[str, str](lambda job: job) as ahead:
        ahead.push_each(["a", "b", "c"])
        order = []
        for job, _, _ in ahead.results():
            order.append(job)
            if job == "a":
                ahead.instead("a again")
    assert order == ["a", "a again", "b", "c"]


def test_slices_of_a_process_share_its_bytes_and_each_goes_on() -> None:
    """While another slice holds much, this one fetches a page at a time, the next one."""
    beside: list[int] = []
    running: list[int] = []
    lock = Lock()

    def fetch(job: int) -> int:
        with lock:
            running.append(job)
        return 1_000

    hoard = _HELD.set(-1, MOST_BYTES_TOGETHER)
    assert hoard == 0
    try:
        with Prefetcher(fetch, size=lambda size: size) as ahead:
            ahead.push_each(range(10))
            for job, _, _ in ahead.results():
                with lock:
                    beside.append(len(running) - job - 1)
    finally:
        _HELD.set(-1, 0)
    assert running == list(range(10))
    assert max(beside) <= 1
