"""Nudges coalesced: one look a second a store, a part of the budget, nothing from strangers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import ResourceClosedError

from sync.state.nudges import digest, feeds_of
from sync.web.nudges import EVERY_SECONDS, MOST_IDS, REQUESTS, Coalesced, Nudges, named_in


def test_the_first_nudge_is_acted_on_at_once_and_those_behind_it_are_one() -> None:
    waiting = Coalesced(a_second=5)
    waiting.add(1, {"orders": {7}})
    assert waiting.take(100.0) == [(1, {"orders": {7}}, 1)]
    for number in range(1_000):
        waiting.add(1, {"orders": {number}})
    assert waiting.take(100.0 + EVERY_SECONDS / 2) == []
    assert waiting.wait_seconds(100.0 + EVERY_SECONDS / 2) == pytest.approx(EVERY_SECONDS / 2)
    [(store, named, came)] = waiting.take(100.0 + EVERY_SECONDS)
    assert (store, len(named["orders"]), came) == (1, 1_000, 1_000)
    assert waiting.wait_seconds(102.0) is None


def test_stores_do_not_wait_for_each_other() -> None:
    waiting = Coalesced(a_second=50 * 2 * REQUESTS)  # fifty looks at two histories
    waiting.take(0.0)
    for store in range(10):
        waiting.add(store, {"": set()})
    assert len(waiting.take(1.0)) == 10


def test_all_stores_together_take_their_part_of_the_budget_and_no_more() -> None:
    """A thousand stores that nudge ten times a second, for a minute, at five requests a second."""
    waiting, requests = Coalesced(a_second=5), 0
    for tick in range(600):
        for store in range(1_000):
            waiting.add(store, {"": set()})
        turns = waiting.take(tick / 10)
        requests += sum(REQUESTS * len(feeds_of(named)) for _, named, _ in turns)
    assert 290 <= requests <= 306


def test_an_error_of_the_driver_ends_neither_the_answers_nor_the_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not every error of a connection is one of ours; nudges are lost, and the next ones taken."""

    def broken(_: object) -> Any:
        raise ResourceClosedError("This connection is closed")

    monkeypatch.setattr("sync.web.nudges.reading", broken)
    monkeypatch.setattr("sync.web.nudges.attempts", broken)
    services: Any = SimpleNamespace(
        settings=SimpleNamespace(rate_limit=10.0), engine=None, nudges_refused=0
    )
    taker = Nudges(services, hurry=lambda: pytest.fail("nothing was made due"))
    assert not taker.take("secret", {})
    taker.act([(1, {"orders": {7}}, 1)])


@pytest.mark.parametrize(
    ("form", "named"),
    [
        ({}, {"": set()}),
        ({"order": ["3650"]}, {"orders": {3650}}),
        ({"order": ["1,2", "3"], "customer": ["9"]}, {"orders": {1, 2, 3}, "customers": {9}}),
        # No id: the feed of orders is looked at, and nothing is read first.
        ({"order": ["A-17"]}, {"orders": set()}),
        ({"order": ["-1, 0, 1e9, ١٢, 99999999999999999999"]}, {"orders": set()}),
        ({"status": ["new"]}, {"": set()}),
    ],
)
def test_a_nudge_names_ids_or_nothing(
    form: dict[str, list[str]], named: dict[str, set[int]]
) -> None:
    assert named_in(form) == named


def test_a_nudge_names_a_few_records_at_most() -> None:
    many = ",".join(str(number) for number in range(1, 5_000))
    assert len(named_in({"order": [many]})["orders"]) == MOST_IDS


def test_what_is_kept_of_a_secret_does_not_tell_it() -> None:
    assert digest("a") != digest("b")
    assert len(digest("\udc80é")) == 32
