"""Seeding of orders.

One pass creates each order twice, as it was created and as it is now, with the history entries in
between.
"""

from __future__ import annotations

from random import Random

from sync.sandbox import shop
from sync.sandbox.account import Account
from sync.sandbox.clock import doubled_hours
from sync.sandbox.history_format import Word, order_stub
from sync.sandbox.kind import Seeding
from sync.sandbox.php import Json
from sync.sandbox.records import Gone, Record


def seed(seeding: Seeding) -> None:
    """Create the orders of two years; some were deleted since and are known to the history only."""
    account, rng, persons = seeding.account, seeding.rng, seeding.persons
    count, now, drafts = seeding.orders, account.clock.now(), account.writer.drafts("orders")
    collection = account.collections["orders"]
    times = moments(account, rng, count + count // 80, now, shop.DAYS)
    departed = set(rng.sample(range(len(times)), count // 80)) if count >= 80 else set()
    companies = {r.customer: account.collections["companies"].load(r)
                 for r in account.collections["companies"].truth.live.values()}  # fmt: skip
    live: list[Record] = []
    known = 0  # customers created so far; both lists are in the order of time
    for n, at in enumerate(times):
        when = account.local(at)
        while known < len(persons) and persons[known]["createdAt"] <= when:
            known += 1
        buyer = persons[int(known * rng.random() ** 1.8)] if known and rng.random() > 0.04 else None
        site = buyer["site"] if buyer else rng.choice(account.sites)
        made = shop.order(rng, account.shop, collection.take_id(), at=at, site=site, buyer=buyer)
        customer = contact = buyer["id"] if buyer else None
        if buyer and companies and rng.random() < 0.03:
            customer = rng.choice(list(companies))
            made |= {"orderType": "eshop-legal", "contragent": {"contragentType": "legal-entity"},
                     "company": companies[customer]}  # fmt: skip
        drafts.say(
            at, made, {"created": True} | _author("api" if made["fromApi"] else "user", made),
            Word("status", None, {"code": "new"}), whole=account.store.pack(made),
            people=(customer, contact),
        )  # fmt: skip
        progress = shop.steps(rng, account.shop, at=at, now=now, has_manager="managerId" in made)
        for step in progress:
            words = _take(account, made, step)
            author, stub = _author(step.source, made), order_stub(made)
            for word in words:
                drafts.say(step.at, made, author, word, {"order": stub, **word.about})
        record = account.store.record(made, customer=customer, contact=contact)
        if n in departed:
            left = min(now - 1, (progress[-1].at if progress else at) + 5)
            author, word = {"deleted": True} | _author("user", made), Word("id", made["id"], None)
            drafts.say(left, made, author, word, {"order": order_stub(made)})
            collection.gone[made["id"]] = Gone("history", left, None, record)
            continue
        live.append(record)
        if customer is not None:
            account.aggregates.credit(customer, made, 1)
    collection.truth.fill(live)
    drafts.publish()


def moments(account: Account, rng: Random, count: int, now: float, days: float) -> list[float]:
    """Return creation times, oldest first; some in the hour that occurs twice in autumn."""
    times = [shop.moment(rng, now, days) for _ in range(count)]
    if account.shop.awkward and times:
        for hour in doubled_hours(account.time.zone, now - days * shop.DAY, now)[: count // 20]:
            for n in range(4):
                times[rng.randrange(count)] = hour + 900.0 + 1800.0 * n
    return sorted(times)


def _author(source: str, made: Json) -> Json:
    if source == "user":
        return {"source": source, "user": {"id": made.get("managerId", 1)}}
    if source == "api":  # some are created with the reader's own key
        return {"source": source, "apiKey": {"current": made["id"] % 5 == 0}}
    return {"source": source}


def _take(account: Account, made: Json, step: shop.Step) -> list[Word]:
    """Apply one step to the order; return its history entries."""
    said: list[Word] = []
    when = account.local(step.at)
    if step.manager is not None:
        made["managerId"] = step.manager
        said.append(Word("manager", None, {"id": step.manager}))
    if step.status is not None:
        old, made["status"], made["statusUpdatedAt"] = made["status"], step.status, when
        said.append(Word("status", {"code": old}, {"code": step.status}))
        if step.status == "delivering":
            made["shipped"], made["shipmentDate"] = True, when[:10]
            said += [Word("shipment_date", None, when[:10]), Word("shipped", False, True)]
        if step.status == "returned" and made.get("fullPaidAt"):
            (payment,) = made["payments"].values()
            payment["status"], made["prepaySum"] = "returned", 0
            about = {"payment": {"id": payment["id"], "type": payment["type"]}}
            said.append(Word("payments.status", {"code": "paid"}, {"code": "returned"}, about))
        if step.status == "complete" and made["id"] % 4 == 0:  # one in four sets them
            for item in made["items"]:
                item["status"], about = "sold", {"item": {"id": item["id"]}}
                said.append(Word("order_product.status", {"code": "new"}, {"code": "sold"}, about))
    if step.paid or (step.status == "complete" and made["id"] % 10):  # one in ten stays a debt
        said += _pay(made, when)
    return said


def _pay(made: Json, when: str) -> list[Word]:
    """Pay an order whole, if it has a payment that is not paid; return the history entries."""
    if not made["payments"] or made.get("fullPaidAt"):
        return []
    (payment,) = made["payments"].values()
    about, day = {"payment": {"id": payment["id"], "type": payment["type"]}}, when[:10]
    payment |= {"status": "paid", "paidAt": f"{day} 00:00:00"}
    made |= {"fullPaidAt": when, "prepaySum": payment["amount"]}
    return [
        Word("full_paid_at", None, when),
        Word("payments.paid_at", None, payment["paidAt"], about),
        Word("payments.status", {"code": "not-paid"}, {"code": "paid"}, about),
    ]
