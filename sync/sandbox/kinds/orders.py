"""Orders: their lists, history, writes and churn; what happens to them is in order_edits.py."""

from __future__ import annotations

from random import Random

from sync.sandbox.account import Account
from sync.sandbox.calls import Call
from sync.sandbox.filters import CONTRAGENT, among, bounds, custom_fields, dates, flag, idle, text
from sync.sandbox.kind import Kind
from sync.sandbox.kinds import seed_orders
from sync.sandbox.kinds.order_edits import (
    create_order,
    delete_order,
    import_orders,
    merge_orders,
    move_order,
    reassign_order,
    redate_order,
    undelete_order,
    update_order,
)
from sync.sandbox.kinds.order_writes import WRITES
from sync.sandbox.lists import CREATED, FeedMethod, ListMethod
from sync.sandbox.php import Json, values
from sync.sandbox.singles import Download, SingleMethod, as_json

FILTERS = {
    **among(externalIds="externalId", numbers="number", sites="site", customerId="_customer",
            extendedStatus="status", orderTypes="orderType", orderMethods="orderMethod",
            managers="managerId", countries="countryIso", index="delivery.address.index",
            paymentStatuses="payments[].status", paymentTypes="payments[].type",
            deliveryTypes="delivery.code", deliveryServices="delivery.service.code",
            shipmentStores="shipmentStore", sourceName="source.source", mediumName="source.medium",
            campaignName="source.campaign", keywordName="source.keyword"),
    **idle("customerExternalId", "metro", "deliveryTimeFrom", "deliveryTimeTo", "vip", "bad",
           "online", "deliveryStates", "minMarginSumm", "maxMarginSumm", "minCostSumm",
           "maxCostSumm", "trackNumber", "deliveryExternalId", "attachments",
           "receiptFiscalDocumentAttribute", "receiptStatus", "receiptOperation",
           "receiptOrderStatus", "tasksCounts", "customerType", "companyName", "couriers",
           "managerGroups", "mgChannels", "firstWebVisitFrom", "firstWebVisitTo",
           "lastWebVisitFrom", "lastWebVisitTo", "firstOrderFrom", "firstOrderTo", "lastOrderFrom",
           "lastOrderTo", "dpdParcelDateFrom", "dpdParcelDateTo", "adContentName",
           "uploadedToExtStoreSys"),
    **text("email", "customerComment", "managerComment",
           customer=("firstName", "lastName", "patronymic", "phone"), city="delivery.address.city",
           region="delivery.address.region", product="items[].offer.name"),
    **flag("call", "expired", "shipped"), **custom_fields(),
    **dates(statusUpdatedAt="statusUpdatedAt", fullPaidAt="fullPaidAt", paidAt="payments[].paidAt",
            deliveryDate="delivery.date", shipmentDate="shipmentDate"),
    **bounds(Price="totalSumm", PrepaySumm="prepaySum", DeliveryCost="delivery.cost",
             DeliveryNetCost="delivery.netCost", PurchaseSumm="purchaseSumm"),
    **CONTRAGENT,
}  # fmt: skip


# --- churn

_NEXT = ("availability-confirmed", "client-confirmed", "assembling", "delivering", "complete")


def _work_on(account: Account, rng: Random, order_id: int) -> None:
    """Do one of the things a manager does to an order, most often set its next status."""
    _, order = account.store.loaded("orders", order_id)
    match rng.randint(0, 5):
        case 0 | 1 | 2:
            here = _NEXT.index(order["status"]) if order["status"] in _NEXT else -1
            update_order(account, order_id, status=_NEXT[(here + 1) % len(_NEXT)])
        case 3:
            lines = order["items"]
            lines[0]["quantity"] = quantity = rng.randint(1, 6)
            for tranche in lines[0]["prices"]:
                tranche["quantity"] = quantity
            update_order(account, order_id, items=lines)
        case 4:
            update_order(
                account, order_id, managerComment=f"note {rng.randint(1, 999)}",
                managerId=rng.choice(account.user_ids), source="api",
            )  # fmt: skip
        case _:
            payments = order["payments"] or {}
            for payment in payments.values():
                payment["status"] = "paid" if payment["status"] != "paid" else "not-paid"
            update_order(
                account, order_id, payments=payments, customFields={"score": rng.randint(0, 9)}
            )


def _any(account: Account, rng: Random) -> int:
    return account.collections["orders"].pick(rng)


def _bring_back(account: Account, rng: Random) -> None:
    undelete_order(account, account.collections["orders"].pick_gone(rng))


# --- methods


def statuses(call: Call) -> bytes:
    """Answer the statuses method; `ids[]` and `externalIds[]` are top-level parameters here."""
    ids = set(values(call.params.get("ids", {})))
    external = set(values(call.params.get("externalIds", {})))
    orders = call.account.collections["orders"]
    rows: list[Json] = []
    wanted = [int(i) for i in ids if i.isdigit()]
    if external:
        wanted += [r.id for r in orders.truth.live.values() if r.external in external]
    for order_id in dict.fromkeys(wanted):
        record = orders.get(order_id, call.now)
        if record is None or not call.key.sees(record.site):
            continue
        order = orders.load(record)
        status = call.account.references["statuses"].get(order["status"], {})
        row: Json = {k: order[k] for k in ("id", "externalId", "status") if k in order}
        rows.append({**row, "group": status.get("group", "new")})
    return as_json(orders=rows)


ORDERS = Kind(
    "orders",
    scope="order_read",
    subject="order",
    methods={
        "orders": ListMethod(
            "orders", "orders", FILTERS, created=CREATED, buyer="customerExternalId"
        ),
        "orders/{id}": SingleMethod("orders", "order", by_external=True),
        "orders/history": FeedMethod("orders", "orderId", "orderExternalId"),
        "orders/statuses": statuses,
        "orders/{id}/plates/{plate}/print": Download("orders", by_external=True),
    },
    writes=WRITES,
    mutations=(
        create_order, update_order, redate_order, move_order, reassign_order, import_orders,
        delete_order, undelete_order, merge_orders,
    ),
    churn={
        "create_order": lambda account, _: create_order(account),
        "update_order": lambda account, rng: _work_on(account, rng, _any(account, rng)),
        "delete_order": lambda account, rng: delete_order(account, _any(account, rng)),
        "redate_order": lambda account, rng: redate_order(account, _any(account, rng)),
        "move_order": lambda account, rng: move_order(account, _any(account, rng)),
        "reassign_order": lambda account, rng: reassign_order(account, _any(account, rng)),
        "undelete_order": _bring_back,
    },
    after=("products", "contacts"),
    seed=seed_orders.seed,
)  # fmt: skip
