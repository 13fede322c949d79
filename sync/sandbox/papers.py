"""Generator of what people and orders leave behind: packs, tasks, notes, costs, files, bonuses."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import orjson

from sync.sandbox.history import Entry
from sync.sandbox.php import Json, loose
from sync.sandbox.records import Record

if TYPE_CHECKING:
    from sync.sandbox.account import Account

_TYPES = ("credit_for_order", "charge_for_order", "credit_manual", "burn")


def pile(
    account: Account, rng: Random, orders: list[Json], customers: list[Json], firms: list[Json]
) -> None:
    """About one of each for every few orders; the lists are samples, oldest first."""
    rows: dict[str, list[Record]] = {}
    for number, order in enumerate(orders):
        # Tasks are few beyond the first orders: their comments cost a mirror a request each.
        share = 0.15 if number < 200 else 0.005
        for name, record in _of_order(account, rng, order, tasks=share):
            rows.setdefault(name, []).append(record)
    for customer in customers:
        for name, record in _of_customer(account, rng, customer):
            rows.setdefault(name, []).append(record)
    for firm in firms:
        whose: Json = {"site": firm["site"], "id": firm["id"], "type": "customer_corporate"}
        record = account.new_note("corporate-notes", whose, "note", firm["createdAt"])
        rows.setdefault("corporate-notes", []).append(record)
    for name, records in rows.items():
        account.fill_records(name, records)
    for history in ("packs", "tasks"):
        for record in rows.get(history, ()):
            _created_entry(account, history, record)


def _of_order(
    account: Account, rng: Random, order: Json, *, tasks: float
) -> list[tuple[str, Record]]:
    made: list[tuple[str, Record]] = []
    site, when = order["site"], order["createdAt"]
    short: Json = {k: order[k] for k in ("id", "number", "externalId") if k in order}
    dice = rng.random()
    if dice < 0.5:
        made.append(("packs", account.new_pack(rng, order, order["items"][0])))
    if 0.2 < dice < 0.4:
        cost: Json = {
            "id": account.collections["costs"].take_id(), "dateFrom": when[:10],
            "dateTo": when[:10],
            "summ": loose(order["purchaseSumm"]), "costItem": "products-purchase-price",
            "createdAt": when,
            "createdBy": str(rng.choice(account.user_ids)), "order": short, "sites": [site],
        }  # fmt: skip
        if dice < 0.25:
            cost |= {"comment": "", "summ": float(cost["summ"])}
        made.append(("costs", account.record(cost, site=site)))
    if 0.3 < dice < 0.3 + tasks:
        task = account.new_task(rng, created=when, order={**short, "site": site})
        made.append(("tasks", account.record(task, site=None)))
        for n in range(rng.randint(0, 2)):
            comment = {
                "id": account.collections["task-comments"].take_id(),
                "creator": rng.choice(account.user_ids),
                "text": f"Тест {n}", "createdAt": when, "updatedAt": when,
            }  # fmt: skip
            made.append(("task-comments", account.record(comment, customer=task["id"])))
    if 0.4 < dice < 0.5:
        file: Json = {
            "id": account.collections["files"].take_id(), "filename": f"scan {order['id']}.pdf",
            "type": "application/pdf", "createdAt": when, "size": rng.randint(14, 90_000),
            "attachment": [{"order": {**short, "site": site}}] if dice < 0.48 else [],
        }  # fmt: skip
        made.append(("files", account.record(file, site=site)))
    if 0.6 < dice < 0.7:
        shipment: Json = {
            "id": account.collections["shipments"].take_id(),
            "externalId": str(13_000_000 + order["id"]),
            "deliveryType": order["delivery"]["code"], "store": f"{site}-store",
            "managerId": rng.choice(account.user_ids),
            "status": rng.choice(("processing", "completed")),
            "date": when[:10], "time": {"from": "18:00", "to": "22:00"}, "orders": [short],
            "extraData": [],
        }  # fmt: skip
        made.append(("shipments", account.record(shipment, site=site)))
    return made


def _of_customer(account: Account, rng: Random, customer: Json) -> list[tuple[str, Record]]:
    made: list[tuple[str, Record]] = []
    dice, when = rng.random(), customer["createdAt"]
    whose: Json = {k: customer[k] for k in ("site", "id", "externalId", "type") if k in customer}
    if dice < 0.3:
        made.append(("customer-notes", account.new_note("customer-notes", whose, "note", when)))
    if 0.2 < dice < 0.6 and customer["type"] == "customer":
        club = account.collections["loyalties"].load(account.must("loyalties", 3))
        number = account.collections["loyalty-accounts"].take_id()
        held: Json = {
            "active": True, "id": number, "phoneNumber": f"8900{number:07d}", "amount": 0,
            "ordersSum": customer["totalSumm"], "nextLevelSum": 100000, "createdAt": when,
            "activatedAt": when,
            "customFields": [], "customer": {**whose, "firstName": customer["firstName"]},
            "level": club["levels"][0], "status": "activated",
            "loyalty": {k: v for k, v in club.items() if k != "levels"},
        }  # fmt: skip
        for _ in range(rng.randint(0, 4)):
            kind = rng.choice(_TYPES)
            amount = loose(rng.uniform(5, 400)) * (1 if kind.startswith("credit") else -1)
            held["amount"] = loose(held["amount"] + amount)
            made.append(("bonus-operations", account.new_operation(number, kind, amount, when)))
        made.append(("loyalty-accounts", account.record(held, site=customer["site"])))
    return made


def _created_entry(account: Account, history: str, record: Record) -> None:
    entity = account.collections[history].load(record)
    at = account.clock.now() - 86400
    if history == "packs":
        body: Json = {"created": True, "source": "user", "user": {"id": 1}, "field": "store",
                      "oldValue": None, "newValue": {"code": entity["store"]},
                      "pack": entity | {"store": {"code": entity["store"]}}}  # fmt: skip
    else:
        body = {"created": True, "source": "rule", "field": "id", "oldValue": None,
                "newValue": record.id, "task": entity}  # fmt: skip
    text = entity.get("createdAt") or account.local(at)
    packed = account.press.pack(orjson.dumps(body)[1:-1])
    entry = Entry(0, at, text, record.id, record.site, packed)
    account.histories[history].append(entry, now=at, committed=at)
