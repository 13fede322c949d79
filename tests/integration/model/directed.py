"""Worlds that are told what happens, each of them such that one rule is needed.

A first walk of so small a list asks for three pages, of which it commits the first before it asks
for the others, and for a total. The worlds are judged as the machine's
are: `look` and `walk` ask each time whether what coverage claims is so, and `World.settle` compares
everything at the end.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx

from tests.integration.model.world import Script, World
from tests.integration.pipeline.harness import FOLLOWED

HOUR = 3_600.0
Directed = Callable[[World], None]


def look(world: World, *, after: float = 0, check: bool = True) -> None:
    """Time passes, and every feed has a turn."""
    world.mirror.pass_time(after)
    for history in FOLLOWED.values():
        world.slice(history, "feed")
    if check:
        world.check()


def walk(world: World, *happens: Any) -> None:
    """A slice of orders' walk; during it, (n-th page, acts)."""
    world.slice("orders", "walk", Script([("page", nth, acts) for nth, acts in happens]))
    world.check()


def edit(world: World, orders: list[int], text: str) -> None:
    """One save an order."""
    world.mirror.pass_time(1)
    for order in orders:
        world.edit_order(order, managerComment=text)


def late(world: World, seconds: float, share: float = 1.0) -> None:
    """Entries are published so late from now on."""
    world.knob(entry_delay_seconds=(seconds, seconds), entry_delay_share=share)


def orders_of(world: World) -> list[int]:
    return sorted(world.account.collections["orders"].truth.live)


FEED = ("feed", "order_history")


def an_edit_during_the_walk(world: World) -> None:
    """Its page was committed, and the walk takes long; the feed begins before the walk did."""
    walk(world, (3, [("update_order", 0, 1), ("time", 1_000)]))
    for _ in range(4):
        look(world, after=30)
        walk(world)


def an_edit_between_fetch_and_commit(world: World) -> None:
    """The feed wrote the newer record, twice; the page in hand has the older one."""
    walk(world, (1, [("update_order", 0, 1), FEED, ("time", 61), FEED]))
    for _ in range(4):
        look(world, after=30)
        walk(world)


def a_deletion_between_fetch_and_commit(world: World) -> None:
    """The feed knows that a record is gone before the page that shows it is written.

    It is none of the newest, which a count shows: nor is the one that moves up past the walker.
    """
    walk(world, (2, [("delete_order", 25, 0), FEED]))
    for _ in range(4):
        look(world, after=30)
        walk(world)


def a_change_of_mind(world: World) -> None:
    """A, B before a walk's page, and A again, read by the feed, before B is written."""
    world.settle()
    world.mirror.queue("orders", "backfill")
    flip = ("flip_order", 1, 0)
    world.act(flip)
    walk(world, (3, [flip, FEED, ("time", 61), FEED]))
    for _ in range(4):
        look(world, after=30)
        walk(world)


def a_holder_that_sleeps(world: World) -> None:
    """Another took its lease over and worked on; then it wakes up, with pages in hand."""
    walk(world, (2, [("take_over",)]))


def a_departure_hides_a_lost_row(world: World) -> None:
    """A deletion between two pages moves a row past the walker, and is published late, but by less
    than half of the bound: the count agrees, one row too few here and one too many."""
    world.slice("order_history", "feed")
    late(world, 25)
    walk(world, (2, [("delete_order", 0, 0)]))
    for _ in range(12):
        look(world, after=10)
        walk(world)


def entries_before_many_others(world: World) -> None:
    """One is published late, further back than a look reaches: the tail will read it."""
    world.settle()
    first, *others = orders_of(world)
    late(world, 50)
    edit(world, [first], "late")
    late(world, 0, share=0)
    edit(world, others, "at once")
    look(world, after=30)
    for _ in range(16):
        look(world, after=5)


def an_entry_later_than_the_bound(world: World) -> None:
    """The tail has passed it: the third reading finds it within the hour."""
    world.settle()
    first, *others = orders_of(world)
    late(world, 200)
    edit(world, [first], "later than the bound")
    late(world, 0, share=0)
    edit(world, others, "at once")
    for _ in range(4):
        look(world, after=61, check=False)
        assert {wrong.id for wrong in world.wrong_claims()} <= {first}
    look(world, after=HOUR, check=False)
    for _ in range(4):
        look(world, after=61)


def lists_that_lag_longer_than_the_bound(world: World) -> None:
    """The tail reads the old records a second time; a sample of them shows it within the hour."""
    world.settle()
    world.knob(list_lag_seconds=150)
    edit(world, orders_of(world)[:20], "shown late")
    for _ in range(4):
        look(world, after=61, check=False)
    world.knob(list_lag_seconds=0)
    look(world, after=HOUR, check=False)
    for _ in range(4):
        look(world, after=61, check=False)
    look(world, after=61)


def an_account_that_was_restored(world: World) -> None:
    """Other entries under the same ids, beyond the head: what was undone is in doubt until it was
    compared."""
    world.settle()
    world.account.back_up()
    edit(world, orders_of(world)[:10], "undone")
    for _ in range(3):
        look(world, after=61)
    world.mirror.pass_time(1)
    world.account.restore()
    edit(world, orders_of(world)[20:40], "of the new past")
    for _ in range(9):
        look(world, after=61)
    for _ in range(6):
        walk(world)
        look(world, after=61)


def orders_given_to_others(world: World) -> None:
    """The sums of both customers change, and neither's history tells."""
    world.settle()
    orders = world.account.collections["orders"].truth.live
    [heir, *_] = sorted(world.account.collections["customers"].truth.live)
    world.mirror.pass_time(1)
    for order in [key for key, record in orders.items() if record.customer not in (None, heir)]:
        world.edit_order(order, customer={"id": heir})
    for _ in range(5):
        look(world, after=31)


def a_replica_that_lacks_a_record(world: World) -> None:
    """Neither its lists nor its 404 say that the record is gone: it is asked once more."""
    world.settle()
    mirror, hidden = world.mirror, orders_of(world)[5]

    def lacking(request: httpx.Request) -> httpx.Response | None:
        if request.url.path == f"/api/v5/orders/{hidden}":
            return httpx.Response(404, json={"success": False, "errorMsg": "Not found"})
        if request.url.path != "/api/v5/orders":
            return None
        response = mirror.wire._answer(request)
        data = json.loads(response.content)
        kept = [order for order in data["orders"] if order["id"] != hidden]
        if len(kept) < len(data["orders"]) or "filter[ids][]" not in request.url.params:
            data["pagination"]["totalCount"] -= 1
        return httpx.Response(200, json=data | {"orders": kept})

    mirror.queue("orders", "reconcile", deep=True)
    mirror.wire.answers = lacking
    walk(world)
    look(world, after=5)
    mirror.wire.answers = None
    for _ in range(6):
        look(world, after=20)
        walk(world)


def a_total_from_the_past(world: World) -> None:
    """A row is lost to a deletion between two pages, and another arrives; a replica that lags tells
    the total without it: the count agrees, and no departure speaks against it."""
    world.slice("order_history", "feed")
    arrival = [
        ("time", 25), ("knob", {"replica_lag_seconds": [20], "replica_histories": False}),
        ("create_order", 0, 0), ("knob", {"replica_lag_seconds": []}), FEED, ("time", 10), FEED,
        ("knob", {"replica_lag_seconds": [20]}),
    ]  # fmt: skip
    walk(world, (3, [("delete_order", 0, 0), FEED]), (4, arrival))
    world.knob(replica_lag_seconds=[])
    for _ in range(12):
        look(world, after=10)
        walk(world)


DIRECTED: tuple[Directed, ...] = (
    an_edit_during_the_walk,
    an_edit_between_fetch_and_commit,
    a_deletion_between_fetch_and_commit,
    a_change_of_mind,
    a_holder_that_sleeps,
    a_departure_hides_a_lost_row,
    entries_before_many_others,
    an_entry_later_than_the_bound,
    lists_that_lag_longer_than_the_bound,
    an_account_that_was_restored,
    orders_given_to_others,
    a_replica_that_lacks_a_record,
    a_total_from_the_past,
)
