"""Seeding of orders: fast and by hand.

One pass makes each order twice, as it was created and as it is now, and the entries of its history
in between; ids of entries are allotted at the end, in the order of time.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from sync.sandbox import shop
from sync.sandbox.clock import doubled_hours
from sync.sandbox.history import Entry
from sync.sandbox.php import Json
from sync.sandbox.records import Gone, Record

if TYPE_CHECKING:
    from sync.sandbox.account import Account

Draft = tuple[float, Entry]


def orders(
    account: Account, rng: Random, count: int, persons: list[Json], *, days: float
) -> list[Draft]:
    """Fill the orders of the last `days`; some came and went, and only the history knows them."""
    now = account.clock.now()
    collection = account.collections["orders"]
    times = [shop.moment(rng, now, days) for _ in range(count + count // 80)]
    if account.shop.awkward and times:
        for hour in doubled_hours(account.zone, now - days * shop.DAY, now)[: len(times) // 20]:
            for n in range(4):  # both readings of the hour that happens twice
                times[rng.randrange(len(times))] = hour + 900.0 + 1800.0 * n
    times.sort()
    departed = set(rng.sample(range(len(times)), count // 80)) if count >= 80 else set()
    firms = list(account.collections["customers-corporate"].truth.live.values())
    drafts: list[Draft] = []
    live: list[Record] = []
    known = 0  # persons who exist by then; both lists go up in time
    for n, at in enumerate(times):
        while known < len(persons) and persons[known]["createdAt"] <= account.local(at):
            known += 1
        buyer, firm = _buyer(rng, persons, known, firms)
        site = (
            buyer["site"]
            if buyer and buyer["site"] in account.shop.articles
            else rng.choice(account.sites)
        )
        made = shop.order(rng, account.shop, collection.take_id(), at=at, site=site, buyer=buyer)
        if firm is not None:
            made |= {"orderType": "eshop-legal", "contragent": {"contragentType": "legal-entity"}}
        contact = buyer["id"] if buyer else None
        customer = firm.id if firm is not None else contact
        slots = {"customer": customer, "contact": contact}
        whole = account.pack(made)
        drafts.append((at, _created(account, at, made, whole, customer, contact)))
        progress = shop.steps(rng, account.shop, at=at, now=now, has_manager="managerId" in made)
        for step in progress:
            drafts += ((step.at, entry) for entry in _step(account, made, step))
        record = account.record(made, **slots)
        if n in departed:
            gone_at = min(now - 1, (progress[-1].at if progress else at) + 5)
            body = b'"deleted":true,"source":"user","user":{"id":%d},"field":"id","oldValue":%d,"newValue":null,%b' % (
                account.user_ids[0], made["id"], _stub(made))  # fmt: skip
            drafts.append((gone_at, _bare(account, gone_at, made, body)))
            collection.gone[made["id"]] = Gone("history", gone_at, None, record)
            continue
        live.append(record)
        if customer is not None:
            account.credit(customer, made, 1)
    collection.truth.fill(live)
    return drafts


def _buyer(
    rng: Random, persons: list[Json], known: int, firms: list[Record]
) -> tuple[Json | None, Record | None]:
    """Few buy often, most once or twice; some orders name nobody, some a company and its contact."""
    if not known or rng.random() < 0.04:
        return None, None
    buyer = persons[int(known * rng.random() ** 1.8)]
    return buyer, rng.choice(firms) if firms and rng.random() < 0.03 else None


def _stub(made: Json) -> bytes:
    external = f'"externalId":"{made["externalId"]}",' if "externalId" in made else ""
    manager = f'"managerId":{made["managerId"]},' if "managerId" in made else ""
    return (f'"order":{{"id":{made["id"]},{external}{manager}"site":"{made["site"]}",'
            f'"status":"{made["status"]}"}}').encode()  # fmt: skip


def _bare(account: Account, at: float, made: Json, body: bytes) -> Entry:
    return Entry(0, at, account.local(at), made["id"], made["site"], account.press.pack(body))


def _created(
    account: Account, at: float, made: Json, whole: bytes, customer: int | None, contact: int | None
) -> Entry:
    author = (
        b'"source":"api","apiKey":{"current":false}'
        if made["fromApi"]
        else b'"source":"user","user":{"id":1}'
    )
    body = (
        b'"created":true,' + author + b',"field":"status","oldValue":null,"newValue":{"code":"new"}'
    )
    return Entry(0, at, account.local(at), made["id"], made["site"], account.press.pack(body),
    whole, customer, contact)  # fmt: skip


def _step(account: Account, made: Json, step: shop.Step) -> list[Entry]:
    """Apply one step to the order and word it."""
    author = {"user": f'"source":"user","user":{{"id":{made.get("managerId", 1)}}}',
              "api": '"source":"api","apiKey":{"current":false}'}.get(step.source,
              f'"source":"{step.source}"')  # fmt: skip
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
        if step.status == "complete":
            for item in made["items"]:
                item["status"] = "sold"
                if made["id"] % 4:
                    continue  # only some shops track their lines
                said.append(
                    (
                        "order_product.status",
                        '{"code":"new"}',
                        '{"code":"sold"}',
                        f',"item":{{"id":{item["id"]}}}',
                    )
                )
    if step.paid and made["payments"]:
        (payment,) = made["payments"].values()
        about = f',"payment":{{"id":{payment["id"]},"type":"{payment["type"]}"}}'
        payment |= {"status": "paid", "paidAt": when[:10] + " 00:00:00"}
        made["fullPaidAt"] = when
        said.append(("full_paid_at", "null", f'"{when}"', ""))
        said.append(("payments.paid_at", "null", f'"{when[:10]} 00:00:00"', about))
        said.append(("payments.status", '{"code":"not-paid"}', '{"code":"paid"}', about))
    stub = _stub(made).decode()
    return [
        _bare(account, step.at, made,
              f'{author},"field":"{field}","oldValue":{old},"newValue":{new},{stub}{about}'.encode())
        for field, old, new, about in said
    ]  # fmt: skip
