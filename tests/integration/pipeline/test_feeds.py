"""Feeds: head and tail, late ids, lagging lists, gaps, and what coverage says meanwhile."""

from __future__ import annotations

import datetime as dt

import httpx
import pytest

from sync.work import context
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror, sandbox_then


def test_an_idle_feed_costs_one_request(mirror: Mirror) -> None:
    """Its head asks for what is new; there is nothing, and the tail stands at the head."""
    mirror.wire.paths.clear()
    mirror.work("order_history", "feed")
    assert len(mirror.wire.paths) == 1


def test_an_entry_published_late_is_found_at_the_next_look(mirror: Mirror) -> None:
    """A long transaction's id becomes visible after larger ones were followed: the look after that
    asks from before it."""
    first, second = sorted(mirror.truth("orders"))[:2]
    knobs = mirror.sandbox.knobs
    knobs.turn(history_publish_delay=30, history_publish_share=1)
    mirror.account.update_order(first, managerComment="late")
    knobs.turn(history_publish_delay=0)
    mirror.account.update_order(second, managerComment="prompt")
    mirror.work("order_history", "feed")
    assert mirror.live("orders")[second]["managerComment"] == "prompt"
    complete = mirror.coverage("orders").complete_as_of
    mirror.pass_time(31)
    mirror.work("order_history", "feed")
    assert mirror.live("orders")[first]["managerComment"] == "late"
    assert (
        mirror.value(
            "SELECT late_entries FROM sync.feed"
            " WHERE store_id = :store AND resource = 'order_history'"
        )
        >= 1
    )
    assert complete.timestamp() < mirror.now() - 31 - 60, "coverage did not claim the late one"
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()


def test_a_list_that_lags_behind_its_history_is_read_again(mirror: Mirror) -> None:
    """The entry was seen at once, the re-read still showed the old record: the tail's second
    read brings the new one."""
    order = min(mirror.truth("orders"))
    mirror.sandbox.knobs.turn(list_lag_seconds=20)
    mirror.account.update_order(order, managerComment="lagging")
    mirror.work("order_history", "feed")
    assert mirror.live("orders")[order].get("managerComment") != "lagging"
    mirror.pass_time(61)
    mirror.work("order_history", "feed")
    assert mirror.live("orders")[order]["managerComment"] == "lagging"
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()


def test_coverage_waits_for_the_tail(mirror: Mirror) -> None:
    """Complete as of a minute before the head's last end, not as of the end itself."""
    mirror.work("order_history", "feed")
    age = mirror.now() - mirror.coverage("orders").complete_as_of.timestamp()
    assert 59 < age < 75


def test_a_burst_is_followed_page_by_page(mirror: Mirror) -> None:
    """Several hundred entries at once: a hundred a request, one transaction each."""
    orders = sorted(mirror.truth("orders"))
    for turn in range(8):
        for order in orders:
            mirror.account.update_order(order, managerComment=f"turn {turn}")
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()


def test_a_bookmark_stands_where_its_slice_ended(
    open_mirror: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Amid a long import there is more history of the last minutes than a slice can follow: the
    rest is followed like what comes later, and nothing is lost."""
    mirror = open_mirror()
    orders = sorted(mirror.truth("orders"))
    for turn in range(16):
        for order in orders:
            mirror.account.update_order(order, managerComment=f"turn {turn}")
    with monkeypatch.context() as short:
        short.setattr(context, "SLICE_SECONDS", 0.03)
        mirror.work("order_history", "feed")
    mirror.settle()
    feed = mirror.rows("SELECT bookmark, head_id FROM sync.feed WHERE resource = 'order_history'")
    assert 0 < feed[0].bookmark < feed[0].head_id - 100
    mirror.assert_equal_to_oracle()
    assert mirror.coverage("order_history").state == "following"


def test_a_history_without_end_ends_with_the_slice(
    open_mirror: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer says that there is more: the feed goes on from where it was, as always."""
    mirror = open_mirror()
    asked: list[int] = []

    def endless(request: httpx.Request) -> httpx.Response | None:
        if request.url.path != "/api/v5/orders/history":
            return None
        after = int(request.url.params.get("filter[sinceId]") or 1_000_000)
        asked.append(after)
        if len(asked) > 300:
            return None
        entries = [
            {"id": after + number, "createdAt": "2026-01-01 10:00:00", "field": "x",
             "order": {"id": 10**9 + after + number}}
            for number in range(1, 101)
        ]  # fmt: skip
        block = {"limit": 100, "totalCount": 10**6, "currentPage": 1, "totalPageCount": 10**4}
        return httpx.Response(200, json={"success": True, "history": entries, "pagination": block})

    mirror.wire.answers = endless
    monkeypatch.setattr(context, "SLICE_SECONDS", 0.1)
    heads = []
    for _ in range(2):
        before = len(asked)
        mirror.work("order_history", "feed")
        assert len(asked) - before < 30
        heads.append(mirror.value("SELECT head_id FROM sync.feed WHERE resource = 'order_history'"))
    assert 1_000_000 < heads[0] < heads[1]


@pytest.mark.parametrize(
    "said", [2**63, 10**4_000, -1, True, "7", None], ids=lambda said: str(said)[:20]
)
def test_an_entry_that_names_no_possible_record_disturbs_no_other(
    mirror: Mirror, said: object
) -> None:
    """Neither as its subject nor as the survivor of a merge."""
    order = min(mirror.truth("orders"))
    mirror.account.update_order(order, managerComment="well")
    newest = mirror.value("SELECT head_id FROM sync.feed WHERE resource = 'order_history'")
    about = {"createdAt": "2026-01-01 10:00:00", "field": "x"}
    entries = [
        {"id": newest + 1, "order": {"id": said}, **about},
        {"id": newest + 2, "order": {"id": order}, "combinedTo": {"id": said}, **about},
        {"id": newest + 3, "order": {"id": order}, "created": True, **about},
    ]
    block = {"limit": 100, "totalCount": 3, "currentPage": 1, "totalPageCount": 1}
    first = [{"success": True, "history": entries, "pagination": block}]

    def odd(request: httpx.Request) -> httpx.Response | None:
        if request.url.path == "/api/v5/orders/history" and first:
            return httpx.Response(200, json=first.pop())
        return None

    mirror.wire.answers = odd
    mirror.work("order_history", "feed")
    assert not first
    assert mirror.lane("order_history", "feed").error is None
    assert mirror.live("orders")[order]["managerComment"] == "well"


def test_a_gap_in_the_history_takes_coverage_back_until_reconciled(mirror: Mirror) -> None:
    """Nothing that was known is there after a long pause, minute after minute: what it told since
    then may be gone as well."""
    created = mirror.account.create_order(customer=0)
    edited = min(mirror.truth("orders"))
    mirror.account.update_order(edited, managerComment="told by no entry")
    before = mirror.coverage("orders").complete_as_of
    mirror.pass_time(7_200)
    mirror.sandbox.knobs.turn(history_retention=3_600)
    mirror.work("order_history", "feed")
    assert mirror.drifts("order_history") == [], "one answer is not a fact"
    mirror.pass_time(301)
    mirror.work("order_history", "feed")
    assert mirror.coverage("orders").complete_as_of <= before
    assert mirror.drifts("order_history") == ["gap"]
    assert ("orders", "reconcile", "plan") in mirror.open_crawls()
    assert created not in mirror.live("orders")
    mirror.settle(most=60)
    assert mirror.live("orders")[edited]["managerComment"] == "told by no entry"
    mirror.assert_equal_to_oracle()
    assert mirror.coverage("orders").state == "following"


def test_a_gap_is_bridged_within_what_the_store_mirrors(open_mirror: Open) -> None:
    """A store that mirrors from a day on loads nothing older for it, and is proven again."""
    sandbox = sandbox_then()
    account = sandbox.account("demo", orders=45, customers=20, products=6, awkward=0)
    made = sorted(record["createdAt"][:10] for record in sandbox.truth("demo", "orders"))
    since = dt.date.fromisoformat(made[len(made) // 2])
    mirror = open_mirror(sandbox=sandbox, account=account, since=since)
    mirror.settle()
    before = set(mirror.live("orders"))
    assert 0 < len(before) < len(made)
    mirror.pass_time(7_200)
    mirror.account.update_order(max(before), managerComment="told by no entry")
    mirror.pass_time(7_200)
    mirror.sandbox.knobs.turn(history_retention=3_600)
    mirror.work("order_history", "feed")
    mirror.pass_time(301)
    mirror.work("order_history", "feed")
    assert mirror.drifts("order_history") == ["gap"]
    mirror.settle(most=60)
    assert set(mirror.live("orders")) == before
    assert mirror.live("orders")[max(before)]["managerComment"] == "told by no entry"
    assert mirror.coverage("orders").state == "following"
    assert mirror.coverage("orders").complete_as_of is not None


def test_one_empty_answer_does_not_have_the_tail_pass_what_it_has_not_read(mirror: Mirror) -> None:
    """The list lagged behind, and the second reading met a bad moment of the history: it is the
    second reading that brings the change, so it is not skipped for one wrong answer."""
    order = min(mirror.truth("orders"))
    mirror.sandbox.knobs.turn(list_lag_seconds=20)
    mirror.account.update_order(order, managerComment="lagging")
    mirror.work("order_history", "feed")
    feed = mirror.rows("SELECT head_id, tail_id FROM sync.feed WHERE resource = 'order_history'")[0]
    assert feed.tail_id < feed.head_id
    wrong = [1]

    def empty_once(request: httpx.Request) -> httpx.Response | None:
        after = request.url.params.get("filter[sinceId]")
        if request.url.path != "/api/v5/orders/history" or after != str(feed.tail_id) or not wrong:
            return None
        wrong.clear()
        block = {"limit": 100, "totalCount": 0, "currentPage": 1, "totalPageCount": 0}
        return httpx.Response(200, json={"success": True, "history": [], "pagination": block})

    mirror.wire.answers = empty_once
    mirror.pass_time(61)
    mirror.work("order_history", "feed")
    assert not wrong
    assert mirror.live("orders")[order]["managerComment"] == "lagging"


def test_a_pause_without_a_gap_changes_nothing(mirror: Mirror) -> None:
    """A worker that was off for a night goes on from the checkpoint."""
    order = min(mirror.truth("orders"))
    mirror.account.update_order(order, managerComment="in the night")
    mirror.pass_time(30_000)
    mirror.work("order_history", "feed")
    assert mirror.drifts("order_history") == []
    assert mirror.live("orders")[order]["managerComment"] == "in the night"


def test_totals_of_customers_follow_their_orders(mirror: Mirror) -> None:
    """A customer's sums change without an entry: the order's entry has it read again."""
    customer = min(mirror.truth("customers"))
    mirror.account.create_order(customer=customer)
    mirror.come_to_rest()
    want = mirror.sandbox.truth("demo", "customers")
    have = mirror.value(
        "SELECT raw->>'ordersCount' FROM crm.customers WHERE store_id = :store AND id = :id",
        id=customer,
    )
    assert int(have) == next(c["ordersCount"] for c in want if c["id"] == customer)


def test_known_entries_of_the_hour_that_comes_twice_come_again_unchanged(open_mirror: Open) -> None:
    """The entries before prove that it is the later reading; an answer by itself has the earlier.
    Taken for another history, a quiet one would be begun anew at every look, for months."""
    mirror = open_mirror(zone="Europe/Madrid")
    earlier, later = mirror.account.histories["orders"].entries[-2:]
    earlier.created_at, later.created_at = "2026-10-25 02:45:00", "2026-10-25 02:10:00"
    mirror.settle()
    order = min(mirror.truth("orders"))
    mirror.account.update_order(order, managerComment="after the change of clocks")
    mirror.come_to_rest()
    assert mirror.value(
        "SELECT created_at FROM crm.order_history WHERE store_id = :store AND id = :id", id=later.id
    ) == dt.datetime(2026, 10, 25, 1, 10, tzinfo=dt.UTC)
    assert mirror.live("orders")[order]["managerComment"] == "after the change of clocks"
    assert mirror.rows("SELECT detail FROM sync.doubt WHERE store_id = :store") == []
    assert mirror.errors() == []


@pytest.mark.parametrize("minute", [20, 80], ids=["the first 02:20", "the second 02:20"])
def test_the_night_the_clocks_go_back(open_mirror: Open, minute: int) -> None:
    """A load begins in the hour that comes twice, entries come late, records change and go: no
    entry's time is certain, and nothing is lost or doubted for that."""
    moment = dt.datetime(2026, 10, 25, tzinfo=dt.UTC) + dt.timedelta(minutes=minute)
    mirror = open_mirror(zone="Europe/Madrid", sandbox=sandbox_then(moment=moment))
    knobs = mirror.sandbox.knobs
    orders = iter(sorted(mirror.truth("orders")))
    for step in range(12):
        knobs.turn(history_publish_delay=30, history_publish_share=step % 3 == 0)
        mirror.account.update_order(next(orders), managerComment=f"step {step}")
        knobs.turn(history_publish_delay=0)
        mirror.account.delete_order(next(orders))
        mirror.feeds()
        mirror.walks()
        mirror.pass_time(600 if step else 40)
    mirror.settle()
    mirror.assert_equal_to_oracle()
    assert mirror.rows("SELECT detail FROM sync.doubt WHERE store_id = :store") == []
    assert mirror.errors() == []
