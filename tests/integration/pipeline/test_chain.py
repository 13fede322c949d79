"""The chain of a history in disorder: late and out of order, cut, restarted, unreadable."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import httpx
import orjson
import pytest
import sqlalchemy as sa

from sync.resources import RESOURCES
from sync.rows.sql import move_sql
from sync.state import feeds
from sync.work import context
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror, small
from tests.integration.pipeline.test_page_sizes import answering_up_to

HISTORY = "/api/v5/orders/history"
INTERVAL = 15


def hide(mirror: Mirror, seconds: float, *, last: int = 1) -> list[int]:
    """Have the newest entries of the order history published so many seconds from now.

    What they tell of shows in the lists at once.
    """
    history = mirror.account.histories["orders"]
    now = mirror.sandbox.clock.now()
    entries = history.entries[-last:]
    for entry in entries:
        history._late[entry.id] = now + seconds
    return [entry.id for entry in entries]


def feed(mirror: Mirror) -> Any:
    """The row of the order history's feed."""
    [row] = mirror.rows("SELECT * FROM sync.feed WHERE resource = 'order_history'")
    return row


def look(mirror: Mirror, *, after: float = 0.0) -> None:
    """Let time pass, and look at the order history once."""
    mirror.pass_time(after)
    mirror.work("order_history", "feed")


def answers(mirror: Mirror, change: Any) -> None:
    """Pass every answer of the order history through `change`, which is given its JSON."""

    def changed(request: httpx.Request) -> httpx.Response | None:
        if request.url.path != HISTORY:
            return None
        data = orjson.loads(mirror.wire._answer(request).content)
        change(data, request)
        return httpx.Response(200, json=data)

    mirror.wire.answers = changed


def doubts(mirror: Mirror, resource: str = "orders") -> list[str]:
    """Kinds of the doubts about a resource."""
    rows = mirror.rows("SELECT kind FROM sync.doubt WHERE resource = :r ORDER BY id", r=resource)
    return [row.kind for row in rows]


def edit(mirror: Mirror, orders: Iterable[int], comment: str) -> None:
    for order in orders:
        mirror.account.update_order(order, managerComment=comment)


def test_a_late_entry_before_many_others_does_not_let_coverage_run_ahead(mirror: Mirror) -> None:
    """Clear is the bound before the oldest entry that was not read twice, whatever its id."""
    orders = sorted(mirror.truth("orders"))
    edit(mirror, orders[:1], "late")
    hide(mirror, 40)
    mirror.sandbox.knobs.turn(list_lag_seconds=50)
    edit(mirror, orders[1:], "prompt")
    changed_at = mirror.now()
    look(mirror)
    look(mirror, after=45)
    look(mirror, after=10)
    claim = mirror.coverage("orders").complete_as_of.timestamp()
    stale = [o for o in orders[1:] if mirror.live("orders")[o].get("managerComment") != "prompt"]
    assert stale, "the lists lag: none of them has been read a second time"
    assert claim < changed_at, "coverage ran ahead of what was not read twice"
    mirror.sandbox.knobs.turn(list_lag_seconds=0)
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()


def test_a_tail_does_not_wait_for_late_entries(mirror: Mirror) -> None:
    """A few per cent late, minute after minute: the claim stays about twice the bound old."""
    orders = sorted(mirror.truth("orders"))
    ages = []
    for turn in range(24):
        edit(mirror, orders[:20], f"turn {turn}")
        hide(mirror, 35)
        look(mirror, after=INTERVAL)
        mirror.work("customer_history", "feed")
        ages.append(mirror.now() - mirror.coverage("orders").complete_as_of.timestamp())
    assert max(ages) < 2 * 60 + 3 * INTERVAL, ages
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()


def test_an_import_that_is_uncommitted_while_the_bookmark_is_set(open_mirror: Open) -> None:
    """Three hundred ids of one transaction, published after larger ones: all are read."""
    mirror = open_mirror()
    orders = sorted(mirror.truth("orders"))
    for turn in range(8):
        edit(mirror, orders[:40], f"import {turn}")
    history = mirror.account.histories["orders"]
    ids = hide(mirror, 50, last=320)
    edit(mirror, orders[40:], "prompt")
    assert min(ids) < history.newest_id(mirror.sandbox.clock.now())
    mirror.sandbox.knobs.turn(list_lag_seconds=50)
    edit(mirror, orders[:40], "the last word")
    hide(mirror, 50, last=40)
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_an_entry_later_than_the_bound_is_found_within_the_hour(mirror: Mirror) -> None:
    """The third reading finds it, reads its record, and the bound learns from it."""
    orders = sorted(mirror.truth("orders"))
    mirror.sandbox.knobs.turn(list_lag_seconds=0)
    edit(mirror, orders[:1], "far too late")
    [late] = hide(mirror, 600)
    for turn in range(6):
        edit(mirror, orders[1:10], f"turn {turn}")
        look(mirror, after=61)
    look(mirror, after=400)
    assert mirror.rows("SELECT 1 FROM crm.order_history WHERE id = :i", i=late) == []
    before = feed(mirror).lateness_seconds
    for _ in range(4):
        look(mirror, after=1_000)
    assert mirror.rows("SELECT 1 FROM crm.order_history WHERE id = :i", i=late) != []
    assert mirror.live("orders")[orders[0]]["managerComment"] == "far too late"
    assert before is None
    assert feed(mirror).lateness_seconds == 120
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()


def test_a_bound_that_nothing_confirms_halves_each_day(mirror: Mirror) -> None:
    """What was learnt once is unlearnt."""
    mirror.rows(
        "UPDATE sync.feed SET lateness_seconds = 480, late_at = clock_timestamp()"
        " WHERE resource = 'order_history'"
    )
    learnt = []
    for _ in range(4):
        look(mirror, after=86_500)
        learnt.append(feed(mirror).lateness_seconds)
    assert learnt == [240, 120, None, None]


def test_a_larger_bound_makes_coverage_older(mirror: Mirror) -> None:
    """It may go back: older instead of wrong."""
    look(mirror, after=INTERVAL)
    before = mirror.coverage("orders").complete_as_of
    mirror.rows("UPDATE sync.feed SET lateness_seconds = 300 WHERE resource = 'order_history'")
    look(mirror, after=INTERVAL)
    assert mirror.coverage("orders").complete_as_of < before - dt.timedelta(seconds=200)


def test_a_full_page_never_ends_a_chain(mirror: Mirror) -> None:
    """Whatever it says of the number of pages: only a short page may be the last."""
    orders = sorted(mirror.truth("orders"))
    for turn in range(12):
        edit(mirror, orders[:40], f"turn {turn}")

    def only_page(data: dict[str, Any], _: httpx.Request) -> None:
        data["pagination"]["totalPageCount"] = 1

    answers(mirror, only_page)
    look(mirror)
    newest = mirror.account.histories["orders"].newest_id(mirror.sandbox.clock.now())
    assert feed(mirror).head_id == newest


def test_a_replica_that_answers_from_the_past_ends_nothing(mirror: Mirror) -> None:
    """Known entries do not come again: it is asked again, and coverage stays where it was."""
    edit(mirror, sorted(mirror.truth("orders"))[:3], "known")
    look(mirror, after=INTERVAL)
    head_at = feed(mirror).head_at

    def stale(data: dict[str, Any], _: httpx.Request) -> None:
        data["history"] = data["history"][:-2]

    answers(mirror, stale)
    look(mirror, after=INTERVAL)
    assert feed(mirror).head_at == head_at
    assert "did not come again" in mirror.lane("order_history", "feed").error
    mirror.wire.answers = None
    look(mirror, after=INTERVAL)
    assert feed(mirror).head_at > head_at
    assert feed(mirror).broken_since is None
    assert doubts(mirror) == []


def test_one_replica_of_two_that_lags_costs_no_turn(mirror: Mirror) -> None:
    """The same look asks again: another replica answers."""
    edit(mirror, sorted(mirror.truth("orders"))[:3], "known")
    look(mirror, after=INTERVAL)
    asked = [0]

    def in_turn(data: dict[str, Any], _: httpx.Request) -> None:
        asked[0] += 1
        if asked[0] % 2:
            data["history"] = data["history"][:-2]

    answers(mirror, in_turn)
    edit(mirror, sorted(mirror.truth("orders"))[:1], "seen")
    look(mirror, after=INTERVAL)
    assert mirror.errors() == []


def test_an_empty_page_in_the_second_reading_is_asked_for_again(mirror: Mirror) -> None:
    """A page that shows nothing and says that more follows is no end, and no fault of ours."""
    orders = sorted(mirror.truth("orders"))
    edit(mirror, orders[:3], "known")
    look(mirror, after=INTERVAL)
    asked = [0]

    def empty(data: dict[str, Any], _: httpx.Request) -> None:
        asked[0] += 1
        if asked[0] > 1:
            data["history"] = []
            data["pagination"] |= {"totalCount": 500, "totalPageCount": 5}

    answers(mirror, empty)
    look(mirror, after=61)
    assert asked[0] > 1
    assert mirror.lane("order_history", "feed").parked_at is None
    mirror.wire.answers = None
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()


def _restore(mirror: Mirror, entries: int) -> None:
    """Restore the order history to before its last entries, whose ids are given out again."""
    history = mirror.account.histories["orders"]
    del history.entries[-entries:]
    history.next_id = history.entries[-1].id + 1


def test_an_account_that_was_restored_and_has_grown_past_the_head(mirror: Mirror) -> None:
    """Other entries under the same ids: all is in doubt until it was compared."""
    orders = sorted(mirror.truth("orders"))
    edit(mirror, orders[:10], "of a past that is no more")
    mirror.come_to_rest()
    _restore(mirror, 10)
    for order in orders[:10]:
        mirror.account.update_order(order, silent=True, managerComment="restored")
    edit(mirror, orders[10:40], "since then")
    before = feed(mirror).clear_at
    look(mirror, after=INTERVAL)
    assert "another one" in mirror.lane("order_history", "feed").error
    look(mirror, after=301)
    assert doubts(mirror) == ["restart"] or doubts(mirror) == ["gap"]
    mirror.pass_time(400)
    mirror.feeds()
    assert mirror.coverage("orders").complete_as_of <= before
    mirror.settle(most=30)
    mirror.assert_equal_to_oracle()
    assert doubts(mirror) == []
    assert doubts(mirror, "order_history") == []


def test_a_restored_account_is_noticed_where_pages_are_small(open_mirror: Open) -> None:
    """All known entries that a look asks for come in its first page, where others are noticed."""
    mirror = open_mirror(resources=small(page_size=100))
    mirror.settle()
    answering_up_to(mirror, 20, httpx.ReadTimeout, HISTORY)
    orders = sorted(mirror.truth("orders"))
    edit(mirror, orders[:30], "known")
    for _ in range(3):
        look(mirror, after=INTERVAL)
    assert mirror.value("SELECT size FROM sync.page_size") == 20
    mirror.come_to_rest()
    _restore(mirror, 5)
    for order in orders[25:30]:
        mirror.account.update_order(order, silent=True, managerComment="restored")
    edit(mirror, orders[30:37], "since then")
    look(mirror, after=INTERVAL)
    look(mirror, after=301)
    mirror.settle(most=30)
    assert mirror.coverage("orders").complete_as_of is not None
    mirror.assert_equal_to_oracle("orders")


def test_a_very_late_entry_is_found_where_pages_are_small(open_mirror: Open) -> None:
    """The third reading passes over no more entries than each look at the head asks for again."""
    mirror = open_mirror(resources=small(page_size=100))
    mirror.settle()
    answering_up_to(mirror, 20, httpx.ReadTimeout, HISTORY)
    orders = sorted(mirror.truth("orders"))
    edit(mirror, orders[:1], "late")
    hide(mirror, 1_000)
    edit(mirror, orders[1:21], "in time")
    for _ in range(3):
        look(mirror, after=INTERVAL)
    for _ in range(3):
        look(mirror, after=400)
    for _ in range(4):
        look(mirror, after=1_000)
    assert mirror.value("SELECT size FROM sync.page_size") == 20
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle("orders")


def test_a_history_that_restarts_below_the_head_is_noticed(mirror: Mirror) -> None:
    """Nothing comes after the head any more, and what was known does not come either."""
    edit(mirror, sorted(mirror.truth("orders"))[:20], "of a past that is no more")
    mirror.come_to_rest()
    _restore(mirror, 20)
    look(mirror, after=INTERVAL)
    look(mirror, after=301)
    assert doubts(mirror) == ["restart"]
    here = "SELECT count(*) FROM crm.order_history WHERE store_id = :store AND deleted_at IS NULL"
    assert mirror.coverage("order_history").mirrored == mirror.value(here)
    mirror.settle(most=30)
    mirror.assert_equal_to_oracle()


def test_a_parameter_that_is_ignored_is_noticed(mirror: Mirror) -> None:
    """Without sinceId the first entries come, for ever: nothing is claimed, and it is said."""

    def ignored(request: httpx.Request) -> httpx.Response | None:
        if request.url.path != HISTORY or "filter[sinceId]" not in request.url.params:
            return None
        url = request.url.copy_remove_param("filter[sinceId]")
        return mirror.wire._answer(httpx.Request("GET", url, headers=request.headers))

    edit(mirror, sorted(mirror.truth("orders")), "known")
    mirror.come_to_rest()
    before = mirror.coverage("orders").complete_as_of
    mirror.wire.answers = ignored
    for _ in range(12):
        look(mirror, after=200)
    assert mirror.coverage("orders").complete_as_of <= before
    assert mirror.coverage("order_history").state == "attention"
    assert mirror.errors() == [] or doubts(mirror) in (["gap"], ["restart"]), mirror.errors()
    assert len(mirror.open_crawls("orders")) == 1, "what may be wrong is compared once"


def test_an_idle_history_that_is_cut_at_its_old_end_is_whole(mirror: Mirror) -> None:
    """Old entries go, the newest come again: there is no gap."""
    edit(mirror, sorted(mirror.truth("orders"))[:20], "long ago")
    look(mirror, after=INTERVAL)
    look(mirror, after=4_000)
    edit(mirror, sorted(mirror.truth("orders"))[:5], "of late")
    look(mirror, after=INTERVAL)
    mirror.sandbox.knobs.turn(history_retention=3_600)
    look(mirror, after=INTERVAL)
    look(mirror, after=301)
    assert mirror.errors() == []
    assert doubts(mirror) == []


def test_an_idle_history_of_which_nothing_is_left_is_followed_again(mirror: Mirror) -> None:
    """Everything that was known is gone: compared once, then followed from what comes."""
    edit(mirror, sorted(mirror.truth("orders"))[:3], "long ago")
    mirror.come_to_rest()
    mirror.pass_time(7_200)
    mirror.sandbox.knobs.turn(history_retention=3_600)
    look(mirror)
    look(mirror, after=301)
    assert doubts(mirror) == ["restart"]
    mirror.settle(most=60)
    edit(mirror, sorted(mirror.truth("orders"))[:3], "anew")
    look(mirror, after=INTERVAL)
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()
    assert doubts(mirror) == []


@pytest.mark.parametrize("subject", [[], {}, None])
def test_an_entry_that_names_nothing_readable_is_a_doubt(mirror: Mirror, subject: Any) -> None:
    """Which record it told of nobody knows: coverage waits until all were compared."""
    order = min(mirror.truth("orders"))
    look(mirror, after=INTERVAL)

    def unreadable(data: dict[str, Any], _: httpx.Request) -> None:
        for entry in data["history"][-1:]:
            entry["order"] = subject

    mirror.account.update_order(order, managerComment="told by an entry nobody can read")
    answers(mirror, unreadable)
    look(mirror, after=INTERVAL)
    assert doubts(mirror) == ["unread"]
    mirror.pass_time(600)
    before = mirror.coverage("orders").complete_as_of
    look(mirror, after=INTERVAL)
    assert mirror.coverage("orders").complete_as_of == before
    mirror.settle(most=30)
    assert doubts(mirror) == []
    mirror.assert_equal_to_oracle()


def test_an_id_sent_as_text_names_its_record(mirror: Mirror) -> None:
    """There is one parser of a history: what its typed row has, is what it tells."""
    order = min(mirror.truth("orders"))

    def as_text(data: dict[str, Any], _: httpx.Request) -> None:
        for entry in data["history"]:
            entry["order"]["id"] = str(entry["order"]["id"])

    mirror.account.update_order(order, managerComment="named by a text")
    answers(mirror, as_text)
    look(mirror, after=INTERVAL)
    assert mirror.live("orders")[order]["managerComment"] == "named by a text"
    assert doubts(mirror) == []


def test_the_former_customer_of_an_order_is_read_again(mirror: Mirror) -> None:
    """An order given to another customer changes the sums of both, and has an entry of its own."""
    order, former = mirror.rows(
        "SELECT id, customer_id FROM crm.orders WHERE store_id = :store"
        " AND customer_id IS NOT NULL AND customer_type = 'customer' ORDER BY id LIMIT 1"
    )[0]
    new = next(c for c in sorted(mirror.truth("customers")) if c != former)
    mirror.account.update_order(order, customer=new)
    mirror.come_to_rest()
    want = {c["id"]: c["ordersCount"] for c in mirror.sandbox.truth("demo", "customers")}
    have = {
        row.id: row.count
        for row in mirror.rows(
            "SELECT id, (raw->>'ordersCount')::int AS count FROM crm.customers"
            " WHERE store_id = :store AND id = ANY(:ids)",
            ids=[former, new],
        )
    }
    assert have == {former: want[former], new: want[new]}


def test_what_a_walk_finds_changed_has_its_customers_read_again(mirror: Mirror) -> None:
    """One write path: a page of a walk compares what is stored with what came, as a feed does."""
    order, former = mirror.rows(
        "SELECT id, customer_id FROM crm.orders WHERE store_id = :store"
        " AND customer_id IS NOT NULL AND customer_type = 'customer' ORDER BY id LIMIT 1"
    )[0]
    new = next(c for c in sorted(mirror.truth("customers")) if c != former)
    mirror.account.update_order(order, customer=new, silent=True)
    mirror.queue("orders", "reconcile", deep=True)
    mirror.work("orders", "walk")
    waiting = {
        row.id for row in mirror.rows("SELECT id FROM sync.reread WHERE resource = 'customers'")
    }
    assert {former, new} <= waiting
    held = mirror.coverage("customers").complete_as_of
    mirror.pass_time(30)
    mirror.work("order_history", "feed")
    assert mirror.coverage("customers").complete_as_of <= held, "it waits for them"


def test_a_first_load_queues_nothing(open_mirror: Open) -> None:
    """The rows it inserts change no other record."""
    mirror = open_mirror()
    mirror.work("orders", "walk")
    assert len(mirror.live("orders")) == 45
    assert mirror.rows("SELECT 1 FROM sync.reread WHERE resource = 'customers'") == []


def test_as_of_moves_only_where_the_content_is_the_one_that_was_read(mirror: Mirror) -> None:
    """A row that became another one between the look and the write keeps its own moment."""
    order = min(mirror.truth("orders"))
    before = mirror.value("SELECT as_of FROM crm.orders WHERE id = :i", i=order)
    with mirror.engine.begin() as connection:
        moved = connection.exec_driver_sql(
            move_sql(RESOURCES["orders"]),
            ([order], [before + dt.timedelta(hours=1)], [b"another content"], mirror.store_id),
        ).all()
    assert moved == []
    assert mirror.value("SELECT as_of FROM crm.orders WHERE id = :i", i=order) == before


def test_a_bookmark_is_set_by_the_clock_of_the_crm(open_mirror: Open) -> None:
    """It is an hour behind: entries of its last minutes are followed all the same."""
    mirror = open_mirror()
    edit(mirror, sorted(mirror.truth("orders"))[:5], "just now")

    def behind(data: dict[str, Any], _: httpx.Request) -> None:
        for entry in data["history"]:
            entry["createdAt"] = _hour_before(entry["createdAt"])
        data["generatedAt"] = _hour_before(data["generatedAt"])

    answers(mirror, behind)
    mirror.work("order_history", "feed")
    newest = mirror.account.histories["orders"].newest_id(mirror.sandbox.clock.now())
    assert feed(mirror).bookmark <= newest - 5
    assert feed(mirror).head_id == newest


def _hour_before(text: str) -> str:
    return str(dt.datetime.fromisoformat(text) - dt.timedelta(hours=1))


def test_a_bookmark_costs_no_walk_of_the_last_minutes(
    open_mirror: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Amid a long import there is more history of the last minutes than a slice can follow: it is
    followed like what comes later, slice by slice, and nothing is lost."""
    mirror = open_mirror()
    for turn in range(16):
        edit(mirror, sorted(mirror.truth("orders")), f"turn {turn}")
    with monkeypatch.context() as short:
        short.setattr(context, "SLICE_SECONDS", 0.03)
        mirror.work("order_history", "feed")
    assert feed(mirror).head_id > feed(mirror).bookmark
    mirror.settle()
    mirror.assert_equal_to_oracle()
    assert mirror.coverage("order_history").state == "following"


def test_the_bound_of_a_store_is_its_largest(mirror: Mirror) -> None:
    """What one history taught holds for all of the store, and no less than what is set for it."""

    def bound() -> float:
        with mirror.engine.begin() as connection:
            return feeds.lateness_seconds(connection, mirror.store_id)

    assert bound() == 60
    mirror.rows("UPDATE sync.store SET least_lateness_seconds = 5 WHERE id = :store")
    assert bound() == 5
    mirror.rows("UPDATE sync.feed SET lateness_seconds = 90 WHERE resource = 'customer_history'")
    assert bound() == 90


def test_departures_are_noted_before_they_are_applied(mirror: Mirror) -> None:
    """A count needs them: which day each row left, and when by the CRM's clock."""
    gone, moved = sorted(mirror.truth("orders"))[:2]
    days = dict(
        tuple(row)
        for row in mirror.rows("SELECT id, created_on FROM crm.orders WHERE store_id = :store")
    )
    mirror.account.delete_order(gone)
    mirror.account.redate_order(moved, "2026-01-05 12:00:00")
    look(mirror, after=INTERVAL)
    noted = {
        row.id: (row.created_on, row.left_at is not None)
        for row in mirror.rows("SELECT id, created_on, left_at FROM sync.departure")
    }
    assert noted == {gone: (days[gone], True), moved: (days[moved], True)}
    with mirror.engine.begin() as connection:
        crm_at = connection.execute(
            sa.text("SELECT crm_at FROM sync.feed WHERE resource = 'order_history'")
        ).scalar_one()
    assert abs(crm_at.timestamp() - mirror.sandbox.clock.now()) < 5
