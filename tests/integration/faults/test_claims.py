"""The judge of claims: what it calls wrong, of pasts made by hand and of a mirror spoiled so."""

from __future__ import annotations

import pytest

from tests.integration.faults.claims import (
    ENTRY,
    GHOST,
    MISSING,
    STALE,
    TOTALS,
    Moment,
    State,
    Timeline,
    judge_entries,
    judge_records,
)
from tests.integration.faults.rig import FEW, Rig
from tests.integration.faults.witness import Witness
from tests.integration.faults.worlds import claims_all

pytestmark = pytest.mark.in_every_run


def past(*versions: tuple[float, str | None, int]) -> Timeline:
    """One customer, id 7: from a moment on with a name and a count of orders, or dead (None)."""
    made = Timeline()
    made.learn(
        {"n": n, "at": at, "id": 7, "content": name and {"id": 7, "name": name},
         "totals": {"ordersCount": count}}
        for n, (at, name, count) in enumerate(versions, 1)
    )  # fmt: skip
    return made


def row(name: str, count: int = 0) -> dict[int, State]:
    sent = {"id": 7, "name": name, "type": "customer", "ordersCount": count}
    state = State.of(sent)
    return {7: State(state.content.replace(b',"type":"customer"', b""), state.totals)}


def kinds(timeline: Timeline, rows: dict[int, State], *, claim: float, at: float) -> list[str]:
    found = judge_records("customers", timeline, rows, complete_as_of=claim, seen_at=at)
    return [wrong.kind for wrong in found]


@pytest.mark.parametrize(
    ("here", "claim", "wrong"),
    [
        ("a", 15.0, []),  # the state of the claim's moment
        ("b", 15.0, []),  # a later one
        ("c", 15.0, [STALE]),  # one that came after the look
        ("a", 20.0, [STALE]),  # one that ended at the claim's moment
        ("a", 25.0, [STALE]),
        (None, 15.0, [MISSING]),
        (None, 5.0, []),  # born after the claim's moment
        ("a", 5.0, []),  # and here all the same
    ],
)
def test_a_row_has_a_state_of_the_claims_moment_or_later(
    here: str | None, claim: float, wrong: list[str]
) -> None:
    """Born at 10 as "a", "b" from 20 on, looked at at 30, "c" only from 40 on."""
    timeline = past((10, "a", 0), (20, "b", 0), (40, "c", 0))
    assert kinds(timeline, row(here) if here else {}, claim=claim, at=30) == wrong


@pytest.mark.parametrize(
    ("here", "claim", "wrong"),
    [
        (None, 15.0, []),  # it died after the claim's moment
        ("a", 15.0, []),  # and its death need not be known
        ("a", 25.0, [GHOST]),  # it was dead by then
        (None, 25.0, []),
        ("b", 25.0, [GHOST]),  # and came back only after the look
    ],
)
def test_what_was_dead_at_the_claims_moment_is_not_alive(
    here: str | None, claim: float, wrong: list[str]
) -> None:
    """Born at 10, dead from 20 on, back as "b" at 40; looked at at 30."""
    timeline = past((10, "a", 0), (20, None, 0), (40, "b", 0))
    assert kinds(timeline, row(here) if here else {}, claim=claim, at=30) == wrong


def test_what_came_back_may_be_here_or_not_yet() -> None:
    """Dead at 20 and back at 25: for a claim of 22, all three are true."""
    timeline = past((10, "a", 0), (20, None, 0), (25, "b", 0))
    assert kinds(timeline, row("b"), claim=22, at=30) == []
    assert kinds(timeline, {}, claim=22, at=30) == []
    assert kinds(timeline, row("a"), claim=22, at=30) == [STALE]
    assert kinds(timeline, {}, claim=26, at=30) == [MISSING]


def test_totals_are_claimed_too() -> None:
    """The sums that no history tells are of the claim's moment or later, like all else."""
    timeline = past((10, "a", 1), (20, "a", 2))
    assert kinds(timeline, row("a", 1), claim=15, at=30) == []
    assert kinds(timeline, row("a", 2), claim=15, at=30) == []
    assert kinds(timeline, row("a", 1), claim=25, at=30) == [TOTALS]


def test_a_row_of_what_never_lived_is_a_ghost() -> None:
    assert kinds(Timeline(), row("a"), claim=25, at=30) == [GHOST]


def test_an_entry_of_a_save_before_the_claims_moment_is_here() -> None:
    """Whenever it was published; and it is that entry, not another under its id."""
    entries = {
        1: Moment(7, 10, 10, "2026-01-01 00:00:10"),
        2: Moment(7, 12, 40, "2026-01-01 00:00:12"),
        3: Moment(7, 20, 20, "2026-01-01 00:00:20"),
    }
    here = {1: "2026-01-01 00:00:10", 3: "another"}
    found = judge_entries("customer_history", entries, here, complete_as_of=15)
    assert [(wrong.kind, wrong.id) for wrong in found] == [(ENTRY, 2)]
    found = judge_entries("customer_history", entries, here, complete_as_of=25)
    assert [wrong.id for wrong in found] == [2, 3]


@pytest.fixture
def loaded(rig: Rig) -> Rig:
    """A mirror of a small account in which nobody works, loaded, its worker gone."""
    rig.turn(timeline=True)
    rig.add_store(rig.open_account(orders=120, customers=40, awkward=0), only=FEW)
    rig.beat()
    rig.worker()
    rig.wait(lambda: claims_all(rig), "the load is proven")
    moment = rig.value("SELECT clock_timestamp()")
    rig.wait(lambda: rig.behind(moment) == [], "it is complete as of now")
    rig.end()
    return rig


def test_a_mirror_spoiled_by_hand_is_found_out(loaded: Rig) -> None:
    """One row of each kind of wrong, told as such.

    Of the sound mirror none, also where the CRM has gone on since the claim's moment.
    """
    witness = Witness(loaded)
    taken = witness.look()
    assert taken.wrong == []
    assert witness.differences(taken) == []
    loaded.post("orders/create", site="main", order={"items": [{"productName": "Tea"}]})
    later = witness.look()
    assert later.wrong == []
    assert MISSING in {wrong.kind for wrong in witness.differences(later)}
    [first, second, third, fourth] = ids(loaded, "SELECT id FROM crm.orders ORDER BY id LIMIT 4")
    [person] = ids(loaded, "SELECT id FROM crm.customers ORDER BY id LIMIT 1")
    [entry] = ids(loaded, "SELECT max(id) FROM crm.order_history")
    spoil = (
        f"UPDATE crm.orders SET deleted_at = now() WHERE id = {first}",
        f'UPDATE crm.orders SET raw = raw || \'{{"status": "spoiled"}}\' WHERE id = {second}',
        f"UPDATE crm.order_items SET quantity = 77 WHERE order_id = {third}",
        f"UPDATE crm.customers SET raw = raw || '{{\"ordersCount\": 99}}' WHERE id = {person}",
        f"DELETE FROM crm.order_history WHERE id = {entry}",
    )
    for statement in spoil:
        loaded.ask(statement)
    loaded.mutate("delete_order", order_id=fourth, source="api")
    loaded.ask("UPDATE sync.feed SET clear_at = clock_timestamp()")
    found = {(w.kind, w.resource, w.id) for w in witness.look().wrong}
    assert ("children", "orders", first) in found  # those of a row that is dead here
    expected = {
        (MISSING, "orders", first),
        (STALE, "orders", second),
        ("children", "orders", third),
        (GHOST, "orders", fourth),
        (TOTALS, "customers", person),
        (ENTRY, "order_history", entry),
    }
    assert expected <= found
    assert {w for w in found if w[0] == "mirrored"} == {("mirrored", "orders", 0)}


def ids(rig: Rig, sql: str) -> list[int]:
    return [row[0] for row in rig.ask(sql)]
