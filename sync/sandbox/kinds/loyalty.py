"""Loyalty programmes, their accounts, and bonus operations."""

from __future__ import annotations

import base64
from bisect import bisect_right
from datetime import datetime
from typing import Any

import orjson

from sync.sandbox import shapes
from sync.sandbox.account import Account
from sync.sandbox.calls import Call
from sync.sandbox.filters import among, bounds, custom_fields, flag, idle, moments, text
from sync.sandbox.forms import INPUT, missing
from sync.sandbox.kind import Kind, Left, Seeding
from sync.sandbox.kinds.notes import stub
from sync.sandbox.lists import CREATED, LIMITS, ListMethod, answer, page, paging
from sync.sandbox.php import Json, Refusal, loose, values
from sync.sandbox.records import Record
from sync.sandbox.shapes import Done, Shape, Write, checked, editing
from sync.sandbox.singles import SingleMethod, find
from sync.sandbox.writes import known

FILTERS = {
    **among("status", "id", customerId="customer.id", customerExternalId="customer.externalId",
            loyalties="loyalty.id", sites="customer.site", level="level.id"),
    **text("phoneNumber", "cardNumber", customer="customer.firstName"), **custom_fields(),
    **bounds(Amount="amount", OrdersSum="ordersSum"), **idle("burnDateFrom", "burnDateTo"),
}  # fmt: skip
_TYPES = ("credit_for_order", "charge_for_order", "credit_manual", "burn")


def create_bonus(
    account: Account, loyalty_account: int, amount: float, kind: str = "credit_manual",
    bonus: Json | None = None,
) -> int:  # fmt: skip
    """Credit or charge bonuses; only the operations show the change of the balance."""
    with account.saving(silent=True) as save:
        before, held = account.store.loaded("loyalty-accounts", loyalty_account)
        held["amount"] = loose(held["amount"] + amount)
        save.put("loyalty-accounts", account.store.record(held, site=before.site))
        record = _operation(account, before.id, kind, amount, save.text, bonus)
        save.put("bonus-operations", record)
        return record.id


def _operation(
    account: Account, loyalty_account: int, kind: str, amount: float, when: str,
    bonus: Json | None = None,
) -> Record:  # fmt: skip
    """Return an operation. The API sends no id of it; the id here is only part of the cursor."""
    made: Json = {"type": kind, "createdAt": when, "amount": amount}
    if kind.startswith("credit"):
        made["bonus"] = bonus or {"activationDate": when[:10]}
    made |= {"loyaltyAccount": {"id": loyalty_account}, "loyalty": {"id": 3}}
    number, packed = account.store.take_id("bonus-operations"), account.store.pack(made)
    return Record(number, when, None, None, packed, customer=loyalty_account)


# --- seeding


def seed(seeding: Seeding) -> None:
    """Create two programmes: one that is active, and one that is not."""
    account = seeding.account
    when = account.local(account.started)
    account.store.fill(
        "loyalties",
        [
            {"levels": [{"type": "bonus_converting", "id": 17, "name": "Basic", "sum": 0,
                         "privilegeSize": 20, "privilegeSizePromo": 10}],
             "active": True, "blocked": False, "currency": account.currency, "id": 3,
             "name": "Club",
             "confirmSmsCharge": False, "confirmSmsRegistration": False, "createdAt": when,
             "activatedAt": when},
            {"levels": [], "active": False, "blocked": True, "currency": account.currency, "id": 4,
             "name": "Old club", "confirmSmsCharge": False, "confirmSmsRegistration": False,
             "createdAt": when, "blockedAt": when},
        ],
    )  # fmt: skip


def of_customer(seeding: Seeding, person: Json, die: float) -> Left:
    """Create an account with some operations for two customers in five."""
    if not 0.2 < die < 0.6:
        return
    account, rng, when = seeding.account, seeding.rng, person["createdAt"]
    _, club = account.store.loaded("loyalties", 3)
    number = account.store.take_id("loyalty-accounts")
    held: Json = {
        "active": True, "id": number, "phoneNumber": f"8900{number:07d}", "amount": 0,
        "ordersSum": person["totalSumm"], "nextLevelSum": 100000, "createdAt": when,
        "activatedAt": when,
        "customFields": [], "customer": {**stub(person), "firstName": person["firstName"]},
        "level": club["levels"][0], "status": "activated",
        "loyalty": {k: v for k, v in club.items() if k != "levels"},
    }  # fmt: skip
    for _ in range(rng.randint(0, 4)):
        kind = rng.choice(_TYPES)
        amount = loose(rng.uniform(5, 400)) * (1 if kind.startswith("credit") else -1)
        held["amount"] = loose(held["amount"] + amount)
        yield "bonus-operations", _operation(account, number, kind, amount, when)
    yield "loyalty-accounts", account.store.record(held, site=person["site"])


# --- methods


def _own_operation(_: Call, operation: Json) -> Json:
    """Return an operation as the list of one account sends it: without account and programme."""
    return {k: v for k, v in operation.items() if k not in ("loyaltyAccount", "loyalty")}


def bonus_operations(call: Call) -> bytes:
    """List all operations, oldest first. The cursor is [last id, its time], opaque to callers."""
    limit = paging(call, LIMITS).limit
    account = call.account
    operations = account.collections["bonus-operations"].view(call.now, call.replica)
    since, given = 0, call.params.get("cursor")
    if given:
        try:
            since = int(orjson.loads(base64.b64decode(str(given)))[0])
        except (ValueError, IndexError, TypeError):
            raise Refusal(400, "Errors in the input parameters", errors={"cursor": "?"}) from None
    ids = sorted(operations.live)
    chosen = ids[bisect_right(ids, since) :][:limit]
    wanted = call.filter().get("loyalties")
    if wanted is not None and "3" not in values(wanted):
        chosen = []
    collection = account.collections["bonus-operations"]
    rows = [collection.bytes_of(operations.live[i]) for i in chosen]
    block: Json | list[str] = []
    if chosen:
        made = datetime.fromisoformat(operations.live[chosen[-1]].created)
        last = [chosen[-1], made.replace(tzinfo=account.time.zone).isoformat(" ")]
        block = {"nextCursor": base64.b64encode(orjson.dumps(last)).decode()}
    elif given:
        block = {"nextCursor": given}
    return b'{"success":true,"pagination":%b,"bonusOperations":[%b]}' % (
        orjson.dumps(block),
        b",".join(rows),
    )


def bonus_details(call: Call) -> bytes:
    """List the bonuses of an account that are not active yet or will expire, by day."""
    account = find(call, "loyalty-accounts", call.args[0], by_external=False)
    asked = paging(call, LIMITS)
    collection = call.account.collections["bonus-operations"]
    days: dict[str, float] = {}
    for record in collection.view(call.now, call.replica).live.values():
        if record.customer == account.id:
            operation = collection.load(record)
            if operation["amount"] > 0:
                day = operation["createdAt"][:10]
                days[day] = round(days.get(day, 0) + operation["amount"], 2)
    rows = [orjson.dumps({"date": d, "amount": a}) for d, a in sorted(days.items())]
    body = answer(call, "bonuses", page(call, rows, asked), asked, len(rows))
    total = orjson.dumps({"totalAmount": round(sum(days.values()), 2)})
    return b'{"statistic":%b,%b' % (total, body[1:])


def programme(call: Call) -> bytes:
    record = find(call, "loyalties", call.args[0], by_external=False)
    blob = call.account.collections["loyalties"].bytes_of(record)
    return b'{"success":true,"loyalty":%b,"requiredFields":[]}' % blob


# --- writes; no history tells of them

ACCOUNT = {**shapes.text("phoneNumber", "cardNumber"), **shapes.custom_fields("loyalty_account")}
NEW_ACCOUNT = Shape({**ACCOUNT, "customer": known("customers")}, needs=("customer",))


def create_account(call: Call, value: Any) -> Done:
    """Open an account in the active programme; it is activated apart."""
    site = call.site()
    form = checked(call, NEW_ACCOUNT, value, "LoyaltyAccount", makes=True)
    account, person = call.account, form.pop("customer")
    held_already = account.collections["loyalty-accounts"]
    if any(held_already.load(r)["customer"]["id"] == person.id
           for r in held_already.truth.live.values()):  # fmt: skip
        said = {"customer": "The customer has a loyalty account already."}
        raise Refusal(400, "LoyaltyAccount is not loaded", errors=said)
    whole = account.collections["customers"].load(person)
    _, club = account.store.loaded("loyalties", 3)
    with account.saving("api") as save:
        held: Json = {
            "active": False, "id": account.store.take_id("loyalty-accounts"), "amount": 0,
            "ordersSum": whole["totalSumm"], "nextLevelSum": 100000, "createdAt": save.text,
            "customer": {**stub(whole), "firstName": whole.get("firstName", "")},
            "level": club["levels"][0], "status": "not_confirmed",
            "loyalty": {k: v for k, v in club.items() if k != "levels"},
        }  # fmt: skip
        held |= {k: v for k, v in form.items() if v is not None}
        held["customFields"] = held.get("customFields") or []
        save.put("loyalty-accounts", account.store.record(held, site=person.site))
    return Done({"site": site, "loyaltyAccount": held, "warnings": []})


def _save_account(call: Call, **changes: Any) -> Json:
    record = find(call, "loyalty-accounts", call.args[0], by_external=False)
    held = call.account.collections["loyalty-accounts"].load(record)
    held = {k: v for k, v in {**held, **changes}.items() if v is not None}
    with call.account.saving("api") as save:
        save.put("loyalty-accounts", call.account.store.record(held, site=record.site))
    return held


def edit_account(call: Call, value: Any) -> Done:
    find(call, "loyalty-accounts", call.args[0], by_external=False)
    form = checked(call, Shape(ACCOUNT), value, "LoyaltyAccount", makes=False)
    return Done({"loyaltyAccount": _save_account(call, **form)})


def activate(call: Call, _: Any) -> Done:
    when = call.account.local(call.now)
    held = _save_account(call, active=True, status="activated", activatedAt=when)
    return Done({"loyaltyAccount": held})


BONUS = Shape(
    {**shapes.number("amount"), **shapes.day("activationDate", "expireDate"),
     **shapes.text("comment")},
    needs=("amount",),
)  # fmt: skip


def _asked(call: Call) -> tuple[Record, Json, Json]:
    """Return the account, its content, and the bonus of parameters that are no JSON."""
    record = find(call, "loyalty-accounts", call.args[0], by_external=False)
    held = call.account.collections["loyalty-accounts"].load(record)
    if "amount" not in call.params:
        raise missing("amount")
    form = checked(call, BONUS, call.params, "LoyaltyBonus", makes=True)
    if form["amount"] <= 0:
        raise Refusal(400, INPUT, errors={"amount": "This value should be positive."})
    if not held["active"]:  # the text is not known, as that of a balance that is too small
        raise Refusal(400, "Loyalty account is not active")
    return record, held, form


def credit(call: Call, _: Any) -> Done:
    record, _, form = _asked(call)
    bonus: Json = {
        "activationDate": form.get("activationDate") or call.account.local(call.now)[:10]
    }
    if form.get("expireDate"):
        bonus["expireDate"] = form["expireDate"]
    create_bonus(call.account, record.id, form["amount"], bonus=bonus)
    return Done({"loyaltyBonus": {"amount": form["amount"], **bonus}})


def charge(call: Call, _: Any) -> Done:
    record, held, form = _asked(call)
    if form["amount"] > held["amount"]:
        raise Refusal(400, INPUT, errors={"amount": "There are not so many bonuses."})
    create_bonus(call.account, record.id, -form["amount"], "charge_manual")
    return Done()


def _outsider(account: Account) -> int:
    """Return a customer without a loyalty account."""
    inside = {a["customer"]["id"] for a in account.entities("loyalty-accounts")}
    return next(i for i in account.ids("customers") if i not in inside)


LOYALTY_ACCOUNTS = Kind(
    "loyalty-accounts",
    scope="loyalty_read",
    methods={
        "loyalty/accounts": ListMethod(
            "loyalty-accounts", "loyaltyAccounts", FILTERS, created=CREATED
        ),
        "loyalty/account/{id}": SingleMethod("loyalty-accounts", "loyaltyAccount"),
    },
    writes={
        "loyalty/account/create": Write(
            create_account, "loyaltyAccount",
            form=lambda account: {"loyaltyAccount": {"customer": {"id": _outsider(account)}}},
        ),
        "loyalty/account/{id}/edit": editing(edit_account, "loyaltyAccount", Shape(ACCOUNT)),
        "loyalty/account/{id}/activate": Write(activate),
        "loyalty/account/{id}/bonus/credit": Write(credit, form=lambda _: {"amount": "5"}),
        "loyalty/account/{id}/bonus/charge": Write(charge, form=lambda _: {"amount": "1"}),
    },
    after=("customer-notes", "loyalties"),
    left_by={"customers": of_customer},
)  # fmt: skip
LOYALTIES = Kind(
    "loyalties",
    scope="loyalty_read",
    methods={
        "loyalty/loyalties": ListMethod(
            "loyalties", "loyalties", flag("active", "blocked") | idle("sites"), order="oldest"
        ),
        "loyalty/loyalties/{id}": programme,
    },
    seed=seed,
)  # fmt: skip
OPERATIONS = Kind(
    "bonus-operations",
    scope="loyalty_read",
    methods={
        "loyalty/account/{id}/bonus/operations": ListMethod(
            "bonus-operations", "bonusOperations", moments(createdAt="createdAt"),
            order="id_desc", parent="loyalty-accounts", shape=_own_operation,
        ),
        "loyalty/account/{id}/bonus/{status}/details": bonus_details,
        "loyalty/bonus/operations": bonus_operations,
    },
    mutations=(create_bonus,),
)  # fmt: skip
