"""The timeline: what was true when, and totals with it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from sync.sandbox import Account, Clock, Sandbox

NOW = 1_790_000_000.0


@pytest.fixture
def sandbox() -> Sandbox:
    made = Sandbox(seed=7, clock=Clock(NOW), timeline=True)
    made.account("demo", orders=130, customers=60, awkward=0)
    return made


@pytest.fixture
def account(sandbox: Sandbox) -> Account:
    return sandbox.accounts["demo"]


def told(account: Account, collection: str = "orders", since: int = 0) -> list[dict[str, Any]]:
    kept = account.timeline.kept(account.clock.now())
    assert kept is not None
    return [orjson.loads(line) for line in kept.lines(collection, since)]


def test_it_begins_with_what_is_there(sandbox: Sandbox, account: Account) -> None:
    """As the oracle's steady records are, all true since the same moment."""
    lines = told(account)
    true = {o["id"]: o for o in sandbox.truth("demo", "orders", steady=True)}
    assert {line["id"]: line["content"] for line in lines} == true
    assert {line["at"] for line in lines} == {NOW}
    assert [line["n"] for line in lines] == list(range(1, 131))
    people = told(account, "customers")
    true = {c["id"]: c for c in sandbox.truth("demo", "customers", steady=True)}
    assert {line["id"]: line["content"] for line in people} == true


def test_each_save_adds_a_version_and_a_deletion_is_none(account: Account) -> None:
    """In the order they were made, with the moment of each."""
    order = account.create_order()
    begin = len(told(account))
    account.clock.advance(3)
    account.update_order(order, status="complete")
    account.clock.advance(4)
    account.delete_order(order)
    lines = told(account, since=begin)
    assert [(line["at"] - NOW, line["id"]) for line in lines] == [(3, order), (7, order)]
    assert lines[0]["content"]["status"] == "complete"
    assert lines[1]["content"] is None
    assert told(account, since=lines[0]["n"]) == lines[1:]


def test_totals_are_told_beside_the_content(account: Account) -> None:
    """They change without a word in any history: the former customer's and the new one's."""
    former, new = account.create_customer(), account.create_customer()
    order = account.create_order(customer=former, status="complete")
    begin = len(told(account, "customers"))
    account.update_order(order, customer=new)
    lines = {line["id"]: line for line in told(account, "customers", begin)}
    assert lines[former]["totals"]["ordersCount"] == 0
    assert lines[new]["totals"]["ordersCount"] == 1
    assert "ordersCount" not in lines[new]["content"]
    assert told(account)[-1]["content"]["customer"] == {"type": "customer", "id": new}
    assert told(account)[-1]["totals"] == {}


def test_a_save_counts_from_its_commit_whatever_lists_and_histories_show(
    sandbox: Sandbox, account: Account
) -> None:
    """And a second save of the same record from the later of the two commits."""
    sandbox.knobs.turn(
        list_lag_seconds=30, entry_delay_seconds=50, entry_delay_share=1, clock_offset_seconds=90,
        history_publish_delay=8, history_publish_share=1,
    )  # fmt: skip
    order = account.create_order(customer=0)
    sandbox.knobs.turn(history_publish_delay=0)
    account.update_order(order, status="complete")
    other = account.create_order(customer=0)
    assert [(line["id"], line["at"] - NOW) for line in told(account)[130:]] == [
        (order, 8), (order, 8), (other, 0),
    ]  # fmt: skip


def test_a_restored_account_tells_what_became_true_again(account: Account) -> None:
    """At the moment of the restore: what was undone is dead, what was deleted is back."""
    deleted = account.create_order()
    backup = account.back_up()
    account.delete_order(deleted)
    undone = account.create_order()
    account.clock.advance(9)
    begin = len(told(account))
    account.restore(backup)
    lines = {line["id"]: line for line in told(account, since=begin)}
    assert {line["at"] - NOW for line in lines.values()} == {9}
    assert lines[undone]["content"] is None
    assert lines[deleted]["content"]["id"] == deleted
    last = {line["id"]: line.get("totals") for line in told(account, "customers")}
    for person in account.entities("customers"):
        assert last[person["id"]]["ordersCount"] == person["ordersCount"]


def test_without_the_knob_nothing_is_kept(sandbox: Sandbox, account: Account) -> None:
    """And what was kept is forgotten."""
    told(account)
    sandbox.knobs.turn(timeline=False)
    account.create_order()
    assert account.timeline.kept(NOW) is None


def test_the_order_of_a_company_names_a_company(account: Account) -> None:
    """As it is sent."""
    firm = account.create_corporate()
    order = account.ids("orders")[0]
    account.update_order(order, customer=firm)
    line = told(account)[-1]
    assert line["content"]["customer"] == {"type": "customer_corporate", "id": firm}
    sent = [o for o in oracle(account) if o["id"] == order]
    assert sent == [line["content"]]


def oracle(account: Account) -> list[dict[str, Any]]:
    sandbox = Sandbox(clock=account.clock)
    sandbox.accounts["demo"] = account
    return sandbox.truth("demo", "orders", steady=True)


def test_whatever_happens_the_last_versions_are_the_truth(sandbox: Sandbox) -> None:
    """For every collection that is kept, under every lateness."""
    account = sandbox.accounts["demo"]
    mix = {
        **sandbox.knobs.churn_mix,
        "merge_chain": 3.0, "reassign_order": 6.0, "undelete_order": 3.0,
    }  # fmt: skip
    sandbox.knobs.turn(
        churn_mix=mix, list_lag_seconds=3, history_publish_delay=4, history_publish_share=0.3,
        entry_delay_seconds=(0, 9), entry_delay_share=0.3,
    )  # fmt: skip
    for _ in range(60):
        sandbox.churn.many(5)
        account.clock.advance(0.5)
    account.import_orders(40, commit_seconds=5)
    account.clock.advance(10)
    for name in ("orders", "customers", "customers-corporate", "packs", "tasks"):
        last = {}
        for line in sorted(told(account, name), key=lambda line: line["at"]):
            last[line["id"]] = line["content"]
        true = {r["id"]: r for r in sandbox.truth("demo", name, steady=True)}
        assert {i: c for i, c in last.items() if c is not None} == true


def test_it_costs_a_reference_a_version(account: Account) -> None:
    """Records are replaced, never changed: twenty saves a second are no work for it."""
    order = account.create_order()
    account.update_order(order, status="complete")
    kept = account.timeline.kept(NOW)
    assert kept is not None
    assert kept.versions["orders"][-1].record is account.collections["orders"].truth.live[order]
    assert len(kept.versions["orders"]) == 132
