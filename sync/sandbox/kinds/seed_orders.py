"""Seeding of orders: fast and by hand.

One pass makes each order twice, as it was created and as it is now, and the entries of its history
in between.
"""

from __future__ import annotations

from random import Random

from sync.sandbox import shop
from sync.sandbox.account import Account
from sync.sandbox.clock import doubled_hours
from sync.sandbox.history_writer import Drafts
from sync.sandbox.kind import Seeding
from sync.sandbox.php import Json
from sync.sandbox.records import Gone, Record


def seed(seeding: Seeding) -> None:
    """Fill the orders of two years; some came and went, and only the history knows them."""
    account, rng, persons = seeding.account, seeding.rng, seeding.persons
    count, now, drafts = seeding.orders, account.clock.now(), account.writer.drafts("orders")
    collection = account.collections["orders"]
    times = moments(account, rng, count + count // 80, now, shop.DAYS)
    departed = set(rng.sample(range(len(times)), count // 80)) if count >= 80 else set()
    companies = {r.customer: account.collections["companies"].load(r)
                 for r in account.collections["companies"].truth.live.values()}  # fmt: skip
    live: list[Record] = []
    known = 0  # persons who exist by then; both lists go up in time
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
        whole = account.store.pack(made)
        body = b'"created":true,%b,"field":"status","oldValue":null,"newValue":{"code":"new"}'
        drafts.write(
            at, made, body % _author("api" if made["fromApi"] else "user", made),
            whole=whole, people=(customer, contact),
        )  # fmt: skip
        progress = shop.steps(rng, account.shop, at=at, now=now, has_manager="managerId" in made)
        for step in progress:
            _take(account, drafts, made, step)
        record = account.store.record(made, customer=customer, contact=contact)
        if n in departed:
            left = min(now - 1, (progress[-1].at if progress else at) + 5)
            body = b'"deleted":true,%b,"field":"id","oldValue":%d,"newValue":null,%b'
            drafts.write(left, made, body % (_author("user", made), made["id"], _stub(made)))
            collection.gone[made["id"]] = Gone("history", left, None, record)
            continue
        live.append(record)
        if customer is not None:
            account.aggregates.credit(customer, made, 1)
    collection.truth.fill(live)
    drafts.publish()


def moments(account: Account, rng: Random, count: int, now: float, days: float) -> list[float]:
    """When the orders came, oldest first; where clocks go back, some in the hour that is twice."""
    times = [shop.moment(rng, now, days) for _ in range(count)]
    if account.shop.awkward and times:
        for hour in doubled_hours(account.time.zone, now - days * shop.DAY, now)[: count // 20]:
            for n in range(4):
                times[rng.randrange(count)] = hour + 900.0 + 1800.0 * n
    return sorted(times)


def _author(source: str, made: Json) -> bytes:
    if source == "user":
        return b'"source":"user","user":{"id":%d}' % made.get("managerId", 1)
    if source == "api":
        current = b"true" if made["id"] % 5 == 0 else b"false"  # some with the reader's own key
        return b'"source":"api","apiKey":{"current":%b}' % current
    return b'"source":"%b"' % source.encode()


def _stub(made: Json) -> bytes:
    external = f'"externalId":"{made["externalId"]}",' if "externalId" in made else ""
    manager = f'"managerId":{made["managerId"]},' if "managerId" in made else ""
    return (f'"order":{{"id":{made["id"]},{external}{manager}"site":"{made["site"]}",'
            f'"status":"{made["status"]}"}}').encode()  # fmt: skip


def _take(account: Account, drafts: Drafts, made: Json, step: shop.Step) -> None:
    """Apply one step to the order and word it."""
    said: list[tuple[str, str, str, str]] = []
    when = account.local(step.at)
    if step.manager is not None:
        made["managerId"] = step.manager
        said.append(("manager", "null", f'{{"id":{step.manager}}}', ""))
    if step.status is not None:
        old, made["status"], made["statusUpdatedAt"] = made["status"], step.status, when
        said.append(("status", f'{{"code":"{old}"}}', f'{{"code":"{step.status}"}}', ""))
        if step.status == "delivering":
            made["shipped"], made["shipmentDate"] = True, when[:10]
            said.append(("shipment_date", "null", f'"{when[:10]}"', ""))
            said.append(("shipped", "false", "true", ""))
        if step.status == "returned" and made.get("fullPaidAt"):
            (payment,) = made["payments"].values()
            payment["status"] = "returned"
            about = f',"payment":{{"id":{payment["id"]},"type":"{payment["type"]}"}}'
            said.append(("payments.status", '{"code":"paid"}', '{"code":"returned"}', about))
        if step.status == "complete" and made["id"] % 4 == 0:  # only some shops track their lines
            for item in made["items"]:
                item["status"] = "sold"
                about = f',"item":{{"id":{item["id"]}}}'
                said.append(("order_product.status", '{"code":"new"}', '{"code":"sold"}', about))
    if step.paid and made["payments"]:
        (payment,) = made["payments"].values()
        about = f',"payment":{{"id":{payment["id"]},"type":"{payment["type"]}"}}'
        day = f"{when[:10]} 00:00:00"
        payment |= {"status": "paid", "paidAt": day}
        made["fullPaidAt"] = when
        said.append(("full_paid_at", "null", f'"{when}"', ""))
        said.append(("payments.paid_at", "null", f'"{day}"', about))
        said.append(("payments.status", '{"code":"not-paid"}', '{"code":"paid"}', about))
    author, stub = _author(step.source, made).decode(), _stub(made).decode()
    for field, before, after, about in said:
        values = f'"field":"{field}","oldValue":{before},"newValue":{after}'
        drafts.write(step.at, made, f"{author},{values},{stub}{about}".encode())
