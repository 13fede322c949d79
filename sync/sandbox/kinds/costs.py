"""Costs; here they always belong to orders, though the API has others too."""

from __future__ import annotations

from sync.sandbox.filters import among, bounds, idle, since, text, until
from sync.sandbox.kind import Kind, Left, Seeding
from sync.sandbox.lists import CREATED, ListMethod
from sync.sandbox.php import Json, loose
from sync.sandbox.shop import short
from sync.sandbox.singles import SingleMethod

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


COSTS = Kind(
    "costs",
    scope="cost_read",
    methods={
        "costs": ListMethod("costs", "costs", FILTERS, created=CREATED),
        "costs/{id}": SingleMethod("costs", "cost"),
    },
    after=("packs",),
    left_by={"orders": of_order},
)
