"""The lesser methods: loyalty cursors, carts, favourites, downloads, look-ups."""

from __future__ import annotations

import base64
import dataclasses
from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime

import orjson

from sync.sandbox.calls import Call
from sync.sandbox.clock import offset_text
from sync.sandbox.lists import LIMITS, answer, page, paging
from sync.sandbox.php import Json, Refusal, values
from sync.sandbox.records import Record
from sync.sandbox.singles import as_json, find


def bonus_operations(call: Call) -> bytes:
    """All operations, oldest first. The cursor is [last id, its time], and opaque to callers."""
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
        last = [chosen[-1], made.replace(tzinfo=account.zone).isoformat(" ")]
        block = {"nextCursor": base64.b64encode(orjson.dumps(last)).decode()}
    elif given:
        block = {"nextCursor": given}
    return b'{"success":true,"pagination":%b,"bonusOperations":[%b]}' % (
        orjson.dumps(block),
        b",".join(rows),
    )


def bonus_details(call: Call) -> bytes:
    """Bonuses of an account that wait or burn, by day."""
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


def loyalty(call: Call) -> bytes:
    record = find(call, "loyalties", call.args[0], by_external=False)
    blob = call.account.collections["loyalties"].bytes_of(record)
    return b'{"success":true,"loyalty":%b,"requiredFields":[]}' % blob


def cart(call: Call) -> bytes:
    """Every fifth customer left something in the cart; times here carry their offset."""
    customer = _visitor(call)
    account = call.account
    shelf = account.shop.articles[call.args[0]]
    found: Json = {"currency": account.currency, "externalId": f"cart-{customer.id}",
                   "customer": {"id": customer.id, "site": customer.site}}  # fmt: skip
    if customer.id % 5:
        return as_json(
            cart={**found, "clearedAt": offset_text(call.now - 86400, account.zone), "items": []}
        )
    article = shelf[customer.id % len(shelf)]
    items = [{"id": "1", "offer": article.offer, "quantity": 2, "price": article.price}]
    dropped = offset_text(call.now - 7200, account.zone)
    link = f"https://{call.args[0]}.example.com/cart/{customer.id}"
    return as_json(cart={**found, "droppedAt": dropped, "link": link, "items": items})


def favorites(call: Call) -> bytes:
    customer = _visitor(call)
    shelf = call.account.shop.articles[call.args[0]]
    article = shelf[customer.id % len(shelf)]
    when = call.account.local(call.now - 86400)
    rows = (
        [{"offer": {"id": article.offer["id"]}, "createdAt": when}] if customer.id % 3 == 0 else []
    )
    return as_json(favorites=rows)


def _visitor(call: Call) -> Record:
    site, text = call.args
    if site not in call.account.shop.articles or not call.key.sees(site):
        raise Refusal(404, "Not found")
    params = {**call.params, "site": site}
    asked = dataclasses.replace(call, params=params, args=(text,))
    return find(asked, "customers", text, by_external=True)


def integration_module(call: Call) -> bytes:
    code = call.args[0]
    if code not in ("mg-bot", "courier-service"):
        raise Refusal(404, "Not found")
    return as_json(
        integrationModule={
            "code": code, "integrationCode": code, "active": True, "freeze": False, "name": code,
            "native": False, "baseUrl": f"https://{code}.example.com",
            "actions": {"activity": "/activity"},
            "availableCountries": [], "accountUrl": f"https://{code}.example.com/settings",
            "integrations": {},
        }
    )  # fmt: skip


def features(call: Call) -> bytes:
    asked = values(call.params.get("features", {}))
    return as_json(features=[{"code": code, "available": not code.endswith("2")} for code in asked])


def manager_by_phone(call: Call) -> bytes:
    """Who looks after the customer with this phone."""
    phone = str(call.params.get("phone", "")).lstrip("+")
    account, people = call.account, call.account.collections["customers"]
    users = account.collections["users"]
    manager = users.load(users.truth.live[account.user_ids[0]])
    found: Json = {"manager": {k: manager[k] for k in ("id", "firstName", "lastName", "email")}}
    if phone:
        for record in people.truth.live.values():
            person = people.load(record)
            if any(p["number"].lstrip("+") == phone for p in person["phones"]):
                found["customer"] = {
                    k: person[k] for k in ("id", "firstName", "lastName") if k in person
                }
                break
    base = f"https://{account.name}.retailcrm.ru"
    found["links"] = {"newOrderLink": f"{base}/orders/add?phone={phone}",
                      "newCustomerLink": f"{base}/customers/add?phone={phone}"}  # fmt: skip
    return as_json(**found)


def sms_status(call: Call) -> bytes:
    when = call.account.local(call.now - 60)
    return as_json(
        verification={"createdAt": when, "verifiedAt": when, "checkId": call.args[0],
            "actionType": "register"}
    )  # fmt: skip


def nothing_here(_: Call) -> bytes:
    """A method whose objects this account has none of."""
    raise Refusal(404, "Not found")


@dataclass(frozen=True)
class Download:
    """A binary answer; not JSON."""

    collection: str
    by_external: bool = False

    def __call__(self, call: Call) -> bytes:
        record = find(call, self.collection, call.args[0], by_external=self.by_external)
        return b"%%PDF-1.4 sandbox %d" % record.id


def recalculate(call: Call) -> bytes:
    """GET with a side effect; again within a minute it is refused."""
    account = call.account
    last = account.counters.get("statistic", 0)
    if call.now - last < 60:
        raise Refusal(400, "Statistic update is already queued")
    account.counters["statistic"] = int(call.now)
    return as_json()
