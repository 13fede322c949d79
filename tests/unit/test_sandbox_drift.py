"""Drift: lists that lag, saves that commit late, histories that forget or hide."""

from __future__ import annotations

import pytest

from sync.sandbox import Account, Clock, Sandbox
from sync.sandbox.limit import Arrival, SlidingWindow, busiest_second

NOW = 1_790_000_000.0


@pytest.fixture
def sandbox() -> Sandbox:
    made = Sandbox(seed=7, clock=Clock(NOW))
    made.account("demo", orders=60, customers=60, awkward=0)
    return made


@pytest.fixture
def account(sandbox: Sandbox) -> Account:
    return sandbox.accounts["demo"]


def listed(sandbox: Sandbox, order: int) -> list[str]:
    """Statuses of the order in its list: one, or none."""
    return [o["status"] for o in sandbox.get(f"orders?filter[ids][]={order}")[1]["orders"]]


def told(sandbox: Sandbox, since: int) -> list[int]:
    body = sandbox.get(f"orders/history?limit=100&filter[sinceId]={since}")[1]
    return [entry["id"] for entry in body["history"]]


def newest(sandbox: Sandbox) -> int:
    account = sandbox.accounts["demo"]
    return account.histories["orders"].newest_id(sandbox.clock.now())


def test_a_list_lags_behind_the_history(sandbox: Sandbox, account: Account) -> None:
    """History and GET by id show a save at once; lists and filter[ids] as many seconds later."""
    sandbox.knobs.turn(list_lag_seconds=5)
    before = newest(sandbox)
    order = account.create_order()
    assert told(sandbox, before) == [before + 1]
    assert sandbox.get(f"orders/{order}?by=id")[0] == 200
    assert listed(sandbox, order) == []
    assert sandbox.get("orders")[1]["pagination"]["totalCount"] == 60
    sandbox.clock.advance(4.9)
    assert listed(sandbox, order) == []
    sandbox.clock.advance(0.2)
    assert listed(sandbox, order) == ["new"]
    assert sandbox.get("orders")[1]["pagination"]["totalCount"] == 61


def test_a_lagging_list_shows_each_state_in_its_turn(sandbox: Sandbox, account: Account) -> None:
    """Updates and deletions lag too, each by its own time."""
    order = account.create_order()
    sandbox.knobs.turn(list_lag_seconds=10)
    account.update_order(order, status="delivering")
    sandbox.clock.advance(6)
    account.delete_order(order)
    assert listed(sandbox, order) == ["new"]
    sandbox.clock.advance(5)
    assert listed(sandbox, order) == ["delivering"]
    assert sandbox.get(f"orders/{order}?by=id")[0] == 404
    sandbox.clock.advance(6)
    assert listed(sandbox, order) == []


def test_a_lag_switched_off_lets_the_old_changes_come_in_order(
    sandbox: Sandbox, account: Account
) -> None:
    """A later change of the same record never overtakes an earlier one."""
    sandbox.knobs.turn(list_lag_seconds=10)
    order = account.create_order()
    sandbox.knobs.turn(list_lag_seconds=0)
    account.update_order(order, status="complete")
    assert listed(sandbox, order) == []
    sandbox.clock.advance(11)
    assert listed(sandbox, order) == ["complete"]


def test_a_long_transaction_publishes_its_ids_after_larger_ones(
    sandbox: Sandbox, account: Account
) -> None:
    """Its history ids are allotted first and seen last; until then nobody sees the order."""
    before = newest(sandbox)
    sandbox.knobs.turn(history_publish_delay=8, history_publish_share=1)
    slow = account.create_order()
    sandbox.knobs.turn(history_publish_delay=0)
    quick = account.create_order()
    assert told(sandbox, before) == [before + 2]
    assert sandbox.get(f"orders/{slow}?by=id")[0] == 404
    assert (listed(sandbox, slow), listed(sandbox, quick)) == ([], ["new"])
    sandbox.clock.advance(9)
    assert told(sandbox, before) == [before + 1, before + 2]
    assert told(sandbox, before + 2) == []
    assert listed(sandbox, slow) == ["new"]
    assert sandbox.get(f"orders/{slow}?by=id")[0] == 200


def test_a_second_save_waits_for_the_first_of_the_same_record(
    sandbox: Sandbox, account: Account
) -> None:
    """As two transactions that lock one row: the entries of a record never change places."""
    order = account.create_order()
    before = newest(sandbox)
    sandbox.knobs.turn(history_publish_delay=8, history_publish_share=1)
    account.update_order(order, status="assembling")
    sandbox.knobs.turn(history_publish_delay=0)
    account.update_order(order, status="complete")
    assert told(sandbox, before) == []
    assert sandbox.get(f"orders/{order}?by=id")[1]["order"]["status"] == "new"
    sandbox.clock.advance(9)
    assert told(sandbox, before) == [before + 1, before + 2]
    assert sandbox.get(f"orders/{order}?by=id")[1]["order"]["status"] == "complete"


def test_old_entries_can_be_gone(sandbox: Sandbox) -> None:
    """With a retention, the history begins later, and counts only what is left."""
    whole = sandbox.get("orders/history?limit=20")[1]
    sandbox.knobs.turn(history_retention=90 * 86400)
    kept = sandbox.get("orders/history?limit=20")[1]
    assert kept["history"][0]["id"] > whole["history"][0]["id"]
    assert kept["pagination"]["totalCount"] < whole["pagination"]["totalCount"]
    assert kept["history"][0]["createdAt"] >= sandbox.accounts["demo"].local(NOW - 90 * 86400)


def test_hidden_entries_are_counted_and_not_shown(sandbox: Sandbox) -> None:
    """totalCount is no promise of rows; the chain still ends in an empty page."""
    sandbox.knobs.turn(history_hidden_share=0.3)
    since, shown = 0, 0
    total = sandbox.get("orders/history")[1]["pagination"]["totalCount"]
    while True:
        body = sandbox.get(f"orders/history?limit=100&filter[sinceId]={since}")[1]
        if not body["history"]:
            break
        shown += len(body["history"])
        since = body["history"][-1]["id"]
    assert 0.5 * total < shown < 0.9 * total


def test_no_sliding_second_holds_more_than_the_rate() -> None:
    """Strict: ten at the end of one second and ten at the start of the next are too many."""
    window = SlidingWindow()
    granted = [at / 1000 for at in range(0, 3000, 7) if window.grants("a", "", 10, at / 1000)]
    for at in granted:
        assert sum(at - 1 < other <= at for other in granted) <= 10
    assert len(granted) == 30
    assert window.grants("b", "", 10, 2.999)
    assert window.grants("a", "telephony", 40, 2.999)


def test_a_refused_request_does_not_count() -> None:
    """Who goes on asking at 20 a second still gets 10."""
    window = SlidingWindow()
    assert sum(window.grants("a", "", 10, at / 20) for at in range(100)) == 50


def test_the_busiest_second_is_measured_per_client_and_over_any_second() -> None:
    """Arrivals at 0.9, 1.0 and 1.85 share a second, 1.95 begins another."""
    arrivals = [Arrival(at, at, "a", None, "/", {}) for at in (0.9, 1.0, 1.85, 1.95)]
    assert busiest_second(arrivals) == 3
    assert busiest_second([*arrivals, Arrival(1.0, 1.0, "b", None, "/", {})]) == 3


def test_an_unknown_knob_or_value_is_an_error_and_turns_nothing(sandbox: Sandbox) -> None:
    """A test with a misspelt knob would prove nothing."""
    with pytest.raises(ValueError, match="there is no knob"):
        sandbox.knobs.turn(rate=5, lag=1)
    with pytest.raises(ValueError, match="order_of_lists"):
        sandbox.knobs.turn(order_of_lists="sideways")
    assert sandbox.knobs.rate == 0


@pytest.mark.parametrize("seed", range(4))
def test_when_all_has_settled_lists_are_the_truth(seed: int) -> None:
    """Whatever lagged or committed late on the way: nothing is lost, nothing comes back."""
    sandbox = Sandbox(seed=seed, clock=Clock(NOW))
    account = sandbox.account("demo", orders=60, customers=40, awkward=0)
    for lag, delay in ((0, 0), (5, 0), (0, 7), (5, 7), (1, 3), (0, 0)):
        sandbox.knobs.turn(
            list_lag_seconds=lag, history_publish_delay=delay, history_publish_share=0.3
        )
        for _ in range(30):
            sandbox.churn.many(4)
            sandbox.clock.advance(0.4)
            sandbox.get("orders")
    sandbox.clock.advance(20)
    for name in ("orders", "customers"):
        view = account.collections[name].view(sandbox.clock.now())
        assert view is account.collections[name].truth
        assert account.collections[name].pending(sandbox.clock.now()) == 0
        assert view.order == sorted((r.created, r.id) for r in view.live.values())
    history = account.histories["orders"]
    assert history.pending(sandbox.clock.now()) == 0
    assert [e.id for e in history.entries] == list(range(1, history.next_id))


def test_what_a_chain_with_a_trailing_window_reads_is_every_entry(sandbox: Sandbox) -> None:
    """An entry is late by no more than its delay: who reads that far back misses nothing."""
    sandbox.knobs.turn(history_publish_delay=3, history_publish_share=0.5)
    account = sandbox.accounts["demo"]
    read: set[int] = set()
    marks: list[tuple[float, int]] = [(sandbox.clock.now(), newest(sandbox))]
    for _ in range(200):
        sandbox.churn.many(2)
        sandbox.clock.advance(0.25)
        now = sandbox.clock.now()
        since = max(mark for at, mark in marks if at <= now - 4 or at == marks[0][0])
        read |= set(told(sandbox, since))
        marks.append((now, newest(sandbox)))
    sandbox.clock.advance(10)
    read |= set(told(sandbox, max(mark for at, mark in marks if at <= NOW + 45)))
    everything = {e.id for e in account.histories["orders"].entries if e.id > marks[0][1]}
    assert read == everything
