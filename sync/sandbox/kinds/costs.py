"""Costs; here they always belong to orders, though the API has others too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sync.sandbox import shapes
from sync.sandbox.account import Account
from sync.sandbox.calls import Call
from sync.sandbox.filters import among, bounds, idle, since, text, until
from sync.sandbox.kind import Kind, Left, Seeding
from sync.sandbox.lists import CREATED, ListMethod
from sync.sandbox.php import Json, loose
from sync.sandbox.records import Record
from sync.sandbox.shapes import (
    Done,
    Reading,
    Shape,
    Write,
    checked,
    code,
    day,
    editing,
    lists,
    making,
    number,
    several,
    user,
)
from sync.sandbox.shop import short
from sync.sandbox.singles import SingleMethod, find
from sync.sandbox.writes import Upload, id_of, known, listed

FILTERS = {
    **among("createdBy", orderIds="order.id", orderNumber="order.number", sites="sites[]",
            costItems="costItem", users="userId", orderExternalIds="order.externalId"),
    **text("comment"), **since(dateFrom="dateTo"), **until(dateTo="dateFrom"),
    **bounds(Summ="summ"), **idle("costGroups"),
}  # fmt: skip


def of_order(seeding: Seeding, order: Json, die: float) -> Left:
    if not 0.2 < die < 0.4:
        return
    account, when = seeding.account, order["createdAt"]
    cost: Json = {
        "id": account.store.take_id("costs"), "dateFrom": when[:10], "dateTo": when[:10],
        "summ": loose(order["purchaseSumm"]), "costItem": "products-purchase-price",
        "createdAt": when, "createdBy": str(seeding.rng.choice(account.user_ids)),
        "order": short(order), "sites": [order["site"]],
    }  # fmt: skip
    if die < 0.25:
        cost |= {"comment": "", "summ": float(cost["summ"])}
    yield "costs", account.store.record(cost, site=order["site"])


# --- writes; no history tells of them

COST = Shape(
    {
        **number("summ"), **day("dateFrom", "dateTo"), **shapes.text("comment"), **lists("sites"),
        "costItem": code("cost-items"), "userId": user(),
        "order": known("orders", by=("id", "externalId", "number")),
    },
    needs=("dateFrom", "dateTo", "summ", "costItem"),
)  # fmt: skip


def _held(account: Account, form: Json) -> Json:
    held = {k: v for k, v in form.items() if k != "order"}
    if form.get("order") is not None:
        order = account.collections["orders"].load(form["order"])
        held |= {"order": short(order), "sites": form.get("sites") or [order["site"]]}
    return held


def _make(reading: Reading, row: Any) -> Callable[[], int]:
    account, form = reading.call.account, COST.read(reading, row)

    def save() -> int:
        with account.saving("api") as save:
            held = {k: v for k, v in _held(account, form).items() if v is not None}
            cost: Json = {"id": account.store.take_id("costs"), "createdAt": save.text,
                          "sites": [], **held}  # fmt: skip
            save.put("costs", account.store.record(cost, site=next(iter(cost["sites"]), None)))
            return int(cost["id"])

    return save


def create(call: Call, value: Any) -> Done:
    reading = Reading(call, creating=True)
    save = _make(reading, value)
    reading.refuse("Cost")
    return Done({"id": save()})


def edit(call: Call, value: Any) -> Done:
    record = find(call, "costs", call.args[0], by_external=False)
    form = checked(call, COST, value, "Cost", makes=False)
    with call.account.saving("api") as save:
        cost = call.account.collections["costs"].load(record)
        held = {**cost, **_held(call.account, form)}
        kept = {k: v for k, v in held.items() if v is not None}
        save.put("costs", call.account.store.record(kept, site=record.site))
    return Done({"id": record.id})


def _drop(call: Call, records: list[Record]) -> None:
    with call.account.saving("api") as save:
        for record in records:
            save.drop("costs", record.id, "removed")


def delete(call: Call, _: Any) -> Done:
    _drop(call, [find(call, "costs", str(id_of(call)), by_external=False)])
    return Done()


def delete_some(call: Call, rows: Any) -> Done:
    """Delete by `ids`; those that there are not are named."""
    live = call.account.collections["costs"].truth.live
    wanted = [shapes.as_whole(row) for row in listed(rows) if str(row).isdigit()]
    found = [live[i] for i in dict.fromkeys(wanted) if i in live and call.key.sees(live[i].site)]
    _drop(call, found)
    lost = [i for i in wanted if i not in {record.id for record in found}]
    return Done({"count": len(found), "notRemovedIds": lost})


COSTS = Kind(
    "costs",
    scope="cost_read",
    methods={
        "costs": ListMethod("costs", "costs", FILTERS, created=CREATED),
        "costs/{id}": SingleMethod("costs", "cost"),
    },
    writes={
        "costs/create": making(create, "cost", COST),
        "costs/{id}/edit": editing(edit, "cost", COST),
        "costs/{id}/delete": Write(delete),
        "costs/delete": Write(
            delete_some, "ids", form=lambda account: {"ids": account.ids("costs")[-1:]}
        ),
        "costs/upload": several(Upload("Costs", _make, bare=True), "costs", COST, status=201),
    },
    after=("packs",),
    left_by={"orders": of_order},
)
