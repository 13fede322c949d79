"""A CRM rougher than the documented one: late entries, replicas, wrong totals, broken records."""

from __future__ import annotations

from typing import Any

import pytest

from sync.sandbox import Account, Clock, Sandbox

NOW = 1_790_000_000.0


@pytest.fixture
def sandbox() -> Sandbox:
    made = Sandbox(seed=7, clock=Clock(NOW))
    made.account("demo", orders=130, customers=60, awkward=0)
    return made


@pytest.fixture
def account(sandbox: Sandbox) -> Account:
    return sandbox.accounts["demo"]


def told(sandbox: Sandbox, since: int, feed: str = "orders") -> list[int]:
    body = sandbox.get(f"{feed}/history?limit=100&filter[sinceId]={since}")[1]
    return [entry["id"] for entry in body["history"]]


def newest(sandbox: Sandbox) -> int:
    account = sandbox.accounts["demo"]
    return account.histories["orders"].newest_id(sandbox.clock.now())


def total(sandbox: Sandbox, query: str = "") -> int:
    return int(sandbox.get(f"orders?{query}")[1]["pagination"]["totalCount"])


def status_of(sandbox: Sandbox, order: int) -> str:
    return str(sandbox.get(f"orders?filter[ids][]={order}")[1]["orders"][0]["status"])


# --- entries published late


def test_an_entry_can_be_late_where_the_change_is_not(sandbox: Sandbox, account: Account) -> None:
    """Lists and GET show the record at once; its entry comes up to `high` seconds later."""
    before = newest(sandbox)
    sandbox.knobs.turn(entry_delay_seconds=(8, 10), entry_delay_share=1)
    order = account.create_order()
    assert total(sandbox) == 131
    assert sandbox.get(f"orders/{order}?by=id")[0] == 200
    assert told(sandbox, before) == []
    sandbox.clock.advance(7.9)
    assert told(sandbox, before) == []
    sandbox.clock.advance(2.2)
    assert told(sandbox, before) == [before + 1]


def test_late_entries_come_out_of_order(sandbox: Sandbox, account: Account) -> None:
    """Also those of one record: a delay is each entry's own."""
    before = newest(sandbox)
    order = account.create_order()
    sandbox.knobs.turn(entry_delay_seconds=9, entry_delay_share=1)
    account.update_order(order, status="assembling")
    sandbox.knobs.turn(entry_delay_share=0)
    account.update_order(order, status="complete")
    assert told(sandbox, before) == [before + 1, before + 3]
    body = sandbox.get(f"orders/history?filter[sinceId]={before}")[1]
    assert body["pagination"]["totalCount"] == 2
    assert sandbox.get("orders/history?limit=20")[1]["pagination"]["totalCount"] == before + 2
    sandbox.clock.advance(9.1)
    assert told(sandbox, before) == [before + 1, before + 2, before + 3]
    late = [e.seen_at - e.at for e in account.histories["orders"].entries[-3:]]
    assert late == [0, 9, 0]
    assert account.histories["orders"].pending(sandbox.clock.now()) == 0


def test_only_a_share_of_entries_is_late_and_a_smaller_one_later_still(
    sandbox: Sandbox, account: Account
) -> None:
    """A third within a bound, a twentieth beyond it."""
    before = newest(sandbox)
    sandbox.knobs.turn(
        entry_delay_seconds=(1, 5), entry_delay_share=0.3,
        entry_delay_long_seconds=(60, 70), entry_delay_long_share=0.05,
    )  # fmt: skip
    for _ in range(10):
        account.import_orders(orders=account.ids("orders")[:60])
    made = account.histories["orders"].next_id - before - 1
    assert made == 600
    late = account.histories["orders"].pending(sandbox.clock.now())
    assert 0.25 * made < late < 0.45 * made
    sandbox.clock.advance(5.1)
    assert 0.02 * made < account.histories["orders"].pending(sandbox.clock.now()) < 0.09 * made
    sandbox.clock.advance(65)
    assert account.histories["orders"].pending(sandbox.clock.now()) == 0


def test_a_delay_adds_to_a_late_commit(sandbox: Sandbox, account: Account) -> None:
    """The entry of a long transaction is late after its commit, not after its beginning."""
    before = newest(sandbox)
    sandbox.knobs.turn(
        history_publish_delay=5, history_publish_share=1, entry_delay_seconds=3, entry_delay_share=1
    )
    order = account.create_order()
    sandbox.clock.advance(6)
    assert sandbox.get(f"orders/{order}?by=id")[0] == 200
    assert told(sandbox, before) == []
    sandbox.clock.advance(2.1)
    assert told(sandbox, before) == [before + 1]


# --- one transaction around many saves


def test_an_import_is_one_transaction(sandbox: Sandbox, account: Account) -> None:
    """Its ids are allotted together and seen together, after larger ones of a quick save."""
    before = newest(sandbox)
    chosen = account.import_orders(100, commit_seconds=10, status="assembling")
    quick = account.create_order()
    assert len(chosen) == 100
    assert told(sandbox, before) == [before + 101]
    unseen = next(i for i in chosen if sandbox.get(f"orders/{i}?by=id")[1])
    assert status_of(sandbox, unseen) != "assembling"
    assert status_of(sandbox, quick) == "new"
    sandbox.clock.advance(10.1)
    assert told(sandbox, before) == list(range(before + 1, before + 101))
    assert {status_of(sandbox, i) for i in chosen[:9]} == {"assembling"}
    texts = {e.created_at for e in account.histories["orders"].entries if e.id > before}
    assert len(texts) == 1


def test_merges_can_come_in_chains(sandbox: Sandbox, account: Account) -> None:
    """Each survivor is the next source; the last one is alive and has all the orders."""
    chain = account.merge_chain(3)
    assert len(chain) == 4
    gone = {row["id"] for row in told_gone(sandbox)}
    assert set(chain[:-1]) <= gone
    assert chain[-1] not in gone
    assert sandbox.get(f"customers/{chain[0]}?by=id")[1]["combinedTo"]["id"] == chain[-1]


def told_gone(sandbox: Sandbox) -> list[dict[str, Any]]:
    gone = sandbox.accounts["demo"].collections["customers"].gone
    return [{"id": i} for i, g in gone.items() if g.reason == "combined"]


# --- lists that lag, and replicas


def test_a_lag_may_be_raised_and_lowered_while_saves_go_on(
    sandbox: Sandbox, account: Account
) -> None:
    """Each change is shown once, in the order of its record, and in the end all are."""
    for lag in (0, 6, 1, 9, 0, 3):
        sandbox.knobs.turn(list_lag_seconds=lag)
        for _ in range(12):
            sandbox.churn.many(3)
            sandbox.clock.advance(0.5)
            ids = [o["id"] for o in sandbox.get("orders?limit=100")[1]["orders"]]
            assert len(ids) == len(set(ids))
    sandbox.clock.advance(20)
    for name in ("orders", "customers"):
        collection = account.collections[name]
        assert collection.view(sandbox.clock.now()) is collection.truth


def test_replicas_answer_in_turn_and_one_from_the_past(sandbox: Sandbox, account: Account) -> None:
    """The list, filter[ids] and the history of every second request are 20 seconds old."""
    sandbox.knobs.turn(replica_lag_seconds=[0, 20])
    before = newest(sandbox)
    order = account.create_order()
    ids = f"orders?filter[ids][]={order}"
    assert [total(sandbox) for _ in range(4)] == [131, 130, 131, 130]
    assert [len(sandbox.get(ids)[1]["orders"]) for _ in range(4)] == [1, 0, 1, 0]
    assert [len(told(sandbox, before)) for _ in range(4)] == [1, 0, 1, 0]
    since = f"orders/history?filter[sinceId]={before}"
    counts = [sandbox.get(since)[1]["pagination"]["totalCount"] for _ in range(2)]
    assert counts == [1, 0]
    assert sandbox.get(f"orders/{order}?by=id")[0] == 200
    sandbox.clock.advance(20.1)
    assert [total(sandbox) for _ in range(2)] == [131, 131]
    assert [len(told(sandbox, before)) for _ in range(2)] == [1, 1]


def test_histories_can_be_left_out_of_the_replicas(sandbox: Sandbox, account: Account) -> None:
    """Then only lists and filter[ids] go back."""
    sandbox.knobs.turn(replica_lag_seconds=[0, 20], replica_histories=False)
    before = newest(sandbox)
    account.create_order()
    assert [len(told(sandbox, before)) for _ in range(2)] == [1, 1]
    assert [total(sandbox) for _ in range(2)] == [131, 130]


def test_a_replica_lags_behind_a_list_that_lags(sandbox: Sandbox, account: Account) -> None:
    """It shows what the list showed so many seconds ago, and catches up when it is repaired."""
    sandbox.knobs.turn(list_lag_seconds=5)
    account.create_order()
    sandbox.knobs.turn(replica_lag_seconds=[0, 20])
    account.create_order()
    seen = []
    for _ in range(3):
        seen.append([total(sandbox) for _ in range(2)])
        sandbox.clock.advance(5.1 if len(seen) == 1 else 20)
    assert seen == [[130, 130], [132, 130], [132, 132]]
    sandbox.knobs.turn(replica_lag_seconds=[])
    account.create_order()
    sandbox.clock.advance(5.1)
    assert total(sandbox) == 133
    assert account.collections["orders"].pending(sandbox.clock.now()) == 0


@pytest.mark.parametrize("seed", range(3))
def test_when_all_has_settled_every_replica_shows_the_truth(seed: int) -> None:
    """Whatever was turned on the way."""
    sandbox = Sandbox(seed=seed, clock=Clock(NOW))
    account = sandbox.account("demo", orders=60, customers=40, awkward=0)
    for lag, replicas in ((0, []), (3, [0, 7]), (0, [0, 7, 2]), (6, [2]), (1, [0, 9])):
        sandbox.knobs.turn(
            list_lag_seconds=lag, replica_lag_seconds=replicas,
            history_publish_delay=2, history_publish_share=0.2,
            entry_delay_seconds=(0, 4), entry_delay_share=0.3,
        )  # fmt: skip
        for _ in range(20):
            sandbox.churn.many(3)
            sandbox.clock.advance(0.4)
            sandbox.get("orders")
            told(sandbox, 0)
    sandbox.clock.advance(30)
    now = sandbox.clock.now()
    for name in ("orders", "customers"):
        collection = account.collections[name]
        for replica in (0.0, 2.0, 7.0, 9.0):
            view = collection.view(now, replica)
            assert view.live == collection.truth.live
            assert view.order == sorted((r.created, r.id) for r in view.live.values())
        assert collection.pending(now) == 0
    assert account.histories["orders"].pending(now) == 0


# --- answers that are wrong


def test_a_total_can_count_what_no_page_shows(sandbox: Sandbox) -> None:
    """Of windows too, but not of filter[ids]; or only where a window holds a day."""
    some = sandbox.accounts["demo"].ids("orders")[0]
    sandbox.knobs.turn(totals_off={"orders": 1})
    assert total(sandbox) == 131
    assert len(sandbox.get("orders?limit=100&page=2")[1]["orders"]) == 30
    assert total(sandbox, f"filter[ids][]={some}") == 1
    sandbox.knobs.turn(totals_off={"orders": {"add": 2, "day": "2026-03-05"}})
    assert total(sandbox) == 132
    year = "filter[createdAtFrom]=2026-01-01&filter[createdAtTo]=2026-03-05"
    assert total(sandbox, year) == len(walked(sandbox, year)) + 2
    later = "filter[createdAtFrom]=2026-03-06"
    assert total(sandbox, later) == len(walked(sandbox, later))
    sandbox.knobs.turn(totals_off={})
    assert total(sandbox) == 130


def walked(sandbox: Sandbox, query: str) -> list[int]:
    found: list[int] = []
    for page in range(1, 4):
        body = sandbox.get(f"orders?limit=100&page={page}&{query}")[1]
        found += [order["id"] for order in body["orders"]]
    return found


def test_a_poisoned_record_spoils_every_answer_that_would_hold_it(
    sandbox: Sandbox, account: Account
) -> None:
    """The page, the ids and the single one are a 500; others, and the history, are well."""
    first, second = sandbox.get("orders?limit=20")[1]["orders"][:2]
    sandbox.knobs.turn(poison={"orders": [first["id"]]})
    assert sandbox.get("orders?limit=20")[0] == 500
    assert sandbox.get("orders?limit=20&page=2")[0] == 200
    assert sandbox.get(f"orders?filter[ids][]={first['id']}&filter[ids][]={second['id']}")[0] == 500
    assert sandbox.get(f"orders?filter[ids][]={second['id']}")[0] == 200
    assert sandbox.get(f"orders/{first['id']}?by=id")[0] == 500
    account.update_order(first["id"], status="complete")
    assert sandbox.get("orders/history?limit=100")[0] == 200
    assert len(sandbox.truth("demo", "orders")) == 130
    sandbox.knobs.turn(poison={})
    assert sandbox.get("orders?limit=20")[0] == 200


def test_a_huge_record_has_a_field_of_so_many_bytes(sandbox: Sandbox) -> None:
    """In pages and singly; what the oracle calls steady leaves it out."""
    first = sandbox.get("orders?limit=20")[1]["orders"][0]["id"]
    sandbox.knobs.turn(huge={"orders": {str(first): 1 << 20}})
    page = sandbox.get("orders?limit=20")[1]["orders"]
    assert [len(order.get("padding", "")) for order in page] == [1 << 20] + [0] * 19
    assert len(sandbox.get(f"orders/{first}?by=id")[1]["order"]["padding"]) == 1 << 20
    assert "padding" not in sandbox.truth("demo", "orders", steady=True)[0]
    assert sandbox.knobs.as_json()["huge"] == {"orders": {str(first): 1 << 20}}


def test_filter_ids_can_be_answered_in_smaller_pages(sandbox: Sandbox) -> None:
    """Whatever limit asked for; the block says so, and the rest is on the next page."""
    ids = sandbox.accounts["demo"].ids("orders")[:80]
    query = "&".join(f"filter[ids][]={i}" for i in ids)
    sandbox.knobs.turn(ids_page_size=50)
    body = sandbox.get(f"orders?limit=100&{query}")[1]
    assert len(body["orders"]) == 50
    pages = {"limit": 50, "totalCount": 80, "currentPage": 1, "totalPageCount": 2}
    assert body["pagination"] == pages
    assert len(sandbox.get(f"orders?limit=100&page=2&{query}")[1]["orders"]) == 30
    assert len(sandbox.get("orders?limit=100")[1]["orders"]) == 100


def test_filter_ids_can_be_ignored(sandbox: Sandbox) -> None:
    """By the lists named: they answer as if nothing was asked."""
    some = sandbox.accounts["demo"].ids("orders")[0]
    sandbox.knobs.turn(ignore_ids_filter=["orders", "costs"])
    assert total(sandbox, f"filter[ids][]={some}") == 130
    person = sandbox.accounts["demo"].ids("customers")[0]
    body = sandbox.get(f"customers?filter[ids][]={person}")[1]
    assert [c["id"] for c in body["customers"]] == [person]


def test_since_id_can_be_ignored(sandbox: Sandbox) -> None:
    """By the histories named: they begin at the oldest entry every time."""
    sandbox.knobs.turn(ignore_since_id=["orders/history"])
    assert told(sandbox, 200)[0] == 1
    assert told(sandbox, 30, "customers")[0] == 31


def test_the_number_of_pages_of_a_history_can_lie(sandbox: Sandbox) -> None:
    """A full page says that it is the last, though more follows."""
    sandbox.knobs.turn(history_total_pages_lie=True)
    body = sandbox.get("orders/history?limit=100&filter[sinceId]=0")[1]
    assert len(body["history"]) == 100
    assert body["pagination"]["totalPageCount"] == 1
    assert body["pagination"]["totalCount"] > 100
    assert sandbox.get("orders?limit=100")[1]["pagination"]["totalPageCount"] == 2


def test_an_entry_can_have_a_shape_nobody_expects(sandbox: Sandbox) -> None:
    """Its subject's id a text, or an empty list in its place: named, or a share by turns."""
    sandbox.knobs.turn(unreadable_entries={"orders": {"5": "text", "6": "list"}})
    entries = sandbox.get("orders/history?limit=100")[1]["history"]
    odd = {e["id"]: e["order"] for e in entries if not readable(e)}
    assert set(odd) == {5, 6}
    assert isinstance(odd[5]["id"], str)
    assert odd[6] == []
    sandbox.knobs.turn(unreadable_entries={}, unreadable_entry_share=0.2)
    entries = sandbox.get("orders/history?limit=100")[1]["history"]
    shapes = [type(e["order"]).__name__ for e in entries if not readable(e)]
    assert 8 < len(shapes) < 35
    assert set(shapes) == {"dict", "list"}
    with pytest.raises(ValueError, match="the shape of an entry"):
        sandbox.knobs.turn(unreadable_entries={"orders": {5: "upside down"}})


def readable(entry: dict[str, Any]) -> bool:
    return isinstance(entry["order"], dict) and isinstance(entry["order"]["id"], int)


# --- an account restored, a clock that is off, a history that forgets


def test_a_restored_account_is_as_it_was_and_grows_on_under_the_same_ids(
    sandbox: Sandbox, account: Account
) -> None:
    """Records, histories and the next ids go back; later ones take the ids of what was undone."""
    before = newest(sandbox)
    kept, changed = account.create_order(), account.ids("orders")[0]
    was = sandbox.get(f"orders/{changed}?by=id")[1]["order"]
    persons = sandbox.truth("demo", "customers")
    backup = account.back_up()
    undone = account.create_order(number="undone")
    account.update_order(changed, managerComment="undone")
    account.delete_order(kept)
    said = sandbox.get(f"orders/history?filter[sinceId]={before}")[1]["history"]
    sandbox.clock.advance(60)
    account.restore(backup)
    assert total(sandbox) == 131
    assert sandbox.get(f"orders/{kept}?by=id")[0] == 200
    assert sandbox.get(f"orders/{undone}?by=id")[0] == 404
    assert sandbox.get(f"orders/{changed}?by=id")[1]["order"] == was
    assert sandbox.truth("demo", "customers") == persons
    assert newest(sandbox) == before + 1
    assert account.create_order(number="other") == undone
    account.update_order(changed, managerComment="other")
    again = sandbox.get(f"orders/history?filter[sinceId]={before}")[1]["history"]
    assert [e["id"] for e in again] == [before + 1, before + 2, before + 3]
    assert [e["id"] for e in said] == [before + 1, before + 2, before + 3, before + 4]
    assert [again[n]["createdAt"] == said[n]["createdAt"] for n in range(3)] == [True, False, False]


def test_a_narrow_keys_history_goes_back_with_the_account(
    sandbox: Sandbox, account: Account
) -> None:
    """Nothing of what was undone is remembered for it."""
    key = account.add_key("narrow", sites=["outlet"])
    backup = account.back_up()
    account.create_order(customer=0, site="outlet")
    path = "orders/history?filter[sinceId]=0&limit=20"
    counted = sandbox.get(path, key=key)[1]["pagination"]["totalCount"]
    account.restore(backup)
    assert sandbox.get(path, key=key)[1]["pagination"]["totalCount"] == counted - 1


def test_the_crms_clock_can_be_off(sandbox: Sandbox, account: Account) -> None:
    """Dates it writes are ahead; lags and commits go by ours."""
    sandbox.knobs.turn(clock_offset_seconds=90, list_lag_seconds=5)
    before = newest(sandbox)
    order = account.create_order()
    body = sandbox.get(f"orders/history?filter[sinceId]={before}")[1]
    ahead = account.local(NOW)
    sandbox.knobs.turn(clock_offset_seconds=0)
    assert ahead > account.local(NOW)
    assert body["generatedAt"] == body["history"][0]["createdAt"] == ahead
    assert sandbox.get(f"orders/{order}?by=id")[1]["order"]["createdAt"] == ahead
    later = f"orders/history?filter[startDate]={account.local(NOW + 1)}"
    assert [e["id"] for e in sandbox.get(later)[1]["history"]] == [before + 1]
    sandbox.clock.advance(5.1)
    assert total(sandbox) == 131


def test_a_retention_empties_an_idle_history(sandbox: Sandbox, account: Account) -> None:
    """Also the entry a reader stands at is gone; what comes later is there."""
    head = newest(sandbox)
    sandbox.knobs.turn(history_retention=60)
    sandbox.clock.advance(61)
    body = sandbox.get("orders/history?limit=20")[1]
    assert (body["history"], body["pagination"]["totalCount"]) == ([], 0)
    assert told(sandbox, head - 30) == []
    account.create_order()
    assert told(sandbox, head - 30) == told(sandbox, head) == [head + 1]
