"""Customers: create, change, delete, merge."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

from sync.sandbox import people, shop
from sync.sandbox.account import Account
from sync.sandbox.filters import CONTRAGENT, among, bounds, custom_fields, flag, idle, text
from sync.sandbox.history_format import Word, customer_stub, merged, words
from sync.sandbox.kind import Kind, Seeding
from sync.sandbox.kinds.orders import move_orders
from sync.sandbox.lists import FeedMethod, ListMethod
from sync.sandbox.php import Json, Refusal
from sync.sandbox.records import Gone, Record
from sync.sandbox.saves import Save
from sync.sandbox.singles import SingleMethod

FILTERS = {
    **among("sex", "browserId", "discountCardNumber", externalIds="externalId", sites="site",
            managers="managerId", countries="address.countryIso", segment="segments[].code",
            tags="tags[].name", mgChannels="mgCustomers[].mgChannel.id",
            mgCustomerId="mgCustomers[].id", sourceName="source.source", mediumName="source.medium",
            campaignName="source.campaign", keywordName="source.keyword"),
    **text("email", name=("firstName", "lastName", "patronymic", "phones[].number"),
           city="address.city", region="address.region"),
    **flag("isContact", "vip", "bad"), **custom_fields(),
    **bounds(OrdersCount="ordersCount", AverageSumm="averageSumm", TotalSumm="totalSumm",
             CostSumm="costSumm"),
    **CONTRAGENT,
    **idle("online", "emailMarketingUnsubscribed", "notes", "classSegment", "attachments",
           "tasksCounts", "managerGroups", "firstWebVisitFrom", "firstWebVisitTo",
           "lastWebVisitFrom", "lastWebVisitTo", "firstOrderFrom", "firstOrderTo", "lastOrderFrom",
           "lastOrderTo", "commentary", "adContentName", "attachedTags", "subscriptions"),
}  # fmt: skip


def create_customer(
    account: Account, *, source: str = "user", silent: bool = False, **fields: Any
) -> int:
    """Create a customer; fields, named as in the API, override the generated ones."""
    with account.saving(source, silent=silent) as save:
        rng = account.rng
        site = fields.get("site") or rng.choice(account.sites)
        person = people.customer(
            rng, account.language, account.store.take_id("customers"), created=save.text,
            site=site, manager=rng.choice(account.user_ids),
            external=account.count(f"customer of {site}"), awkward=0,
        )  # fmt: skip
        _add(account, save, merged(person, fields))
        return int(person["id"])


def undelete_customer(account: Account, customer_id: int, *, source: str = "user") -> int:
    """Create a deleted or merged customer again under its old id."""
    with account.saving(source) as save:
        customers = account.collections["customers"]
        gone = customers.gone.get(int(customer_id))
        if gone is None or gone.last is None:
            raise Refusal(404, f"no deleted customer {customer_id}")
        _add(account, save, customers.load(gone.last))
        return int(customer_id)


def _add(account: Account, save: Save, person: Json) -> None:
    person |= account.aggregates.of(person["id"])
    save.came("customers", account.store.record(person), Word("id", None, person["id"]))


def update_customer(
    account: Account, customer_id: int, *, source: str = "user", silent: bool = False,
    **changes: Any,
) -> int:  # fmt: skip
    """Change fields (objects merge, None removes); `silent` writes no history."""
    with account.saving(source, silent=silent) as save:
        before, old = account.store.loaded("customers", customer_id)
        new = merged(old, changes)
        record = account.store.record(new)
        save.put("customers", record)
        stub = customer_stub(new)
        for word in words("customer", old, new):
            if word.field.startswith("address."):
                word.about["address"] = {"id": new["address"]["id"], "isMain": True}
            save.say("customers", record, word, stub=stub)
        return before.id


def delete_customer(account: Account, customer_id: int, *, source: str = "user") -> int:
    """Delete a customer; its orders keep its id."""
    with account.saving(source) as save:
        _remove(account, save, account.must("customers", customer_id), "history")
        return int(customer_id)


def merge_customers(
    account: Account, into: int, sources: list[int], *, write_order_history: bool | None = None
) -> int:
    """Merge customers: the sources are deleted with combinedTo, the survivor gets their orders."""
    loud = write_order_history
    if loud is None:
        loud = account.knobs.merge_writes_order_history
    with account.saving("user") as save:
        survivor = account.must("customers", into)
        removed = [account.must("customers", s) for s in sources if int(s) != survivor.id]
        for source in removed:
            _remove(account, save, source, "combined", survivor)
        for source in removed:
            move_orders(account, save, source.id, survivor, loud=loud)
        account.aggregates.refresh(save, survivor.id)
        return survivor.id


def merge_chain(account: Account, length: int = 3) -> list[int]:
    """Merge several times, each survivor being the next source; return the ids, survivor last."""
    live = account.collections["customers"].truth.live
    chain = account.rng.sample(sorted(live), min(length, len(live) - 1) + 1)
    for source, into in pairwise(chain):
        merge_customers(account, into, [source])
    return chain


def _remove(
    account: Account, save: Save, record: Record, reason: str, survivor: Record | None = None
) -> None:
    about: Json = {}
    if survivor is not None:
        kept = account.collections["customers"].load(survivor)
        about["combinedTo"] = customer_stub(kept) | {"type": "customer"}
    word, into = Word("id", record.id, None, about), survivor.id if survivor else None
    save.went("customers", record, reason, word, survivor=into)


# --- churn


def _any(account: Account, rng: Random) -> int:
    return account.collections["customers"].pick(rng)


def _work_on(account: Account, rng: Random) -> None:
    customer = _any(account, rng)
    email = f"c{customer}.{rng.randint(1, 99)}@example.com"
    update_customer(account, customer, email=email, vip=rng.random() < 0.5)


def _merge_two(account: Account, rng: Random) -> None:
    into, source = _any(account, rng), _any(account, rng)
    if into == source:
        raise IndexError("one customer cannot be merged with itself")
    merge_customers(account, into, [source])


def _touch_silently(account: Account, rng: Random) -> None:
    customer = _any(account, rng)
    update_customer(account, customer, silent=True, cumulativeDiscount=rng.randint(0, 15))


# --- seeding


def seed(seeding: Seeding) -> None:
    """Create live customers, oldest first, and some that exist in the history only.

    They are stored at the end of seeding, with the sums of their orders.
    """
    account, rng, count = seeding.account, seeding.rng, seeding.customers
    now, drafts = account.clock.now(), account.writer.drafts("customers")
    collection, segments = account.collections["customers"], account.entities("segments")
    times = sorted(shop.moment(rng, now, shop.DAYS + 60) for _ in range(count + count // 50))
    departed = set(rng.sample(range(len(times)), count // 50)) if count >= 50 else set()
    for n, at in enumerate(times):
        site = rng.choice(account.sites)
        person = people.customer(
            rng, account.language, collection.take_id(), created=account.local(at), site=site,
            manager=rng.choice(account.user_ids), external=account.count(f"customer of {site}"),
            awkward=account.shop.awkward,
        )  # fmt: skip
        if rng.random() < 0.4:
            person["segments"] = [rng.choice(segments)]
        drafts.lifespan(at, person, "created", account.store.pack(person))
        if rng.random() < 0.25:
            old, new = person["email"] or None, f"new{person['id']}@example.com"
            person["email"] = new
            later = at + rng.random() * (now - at) / 2
            drafts.said(later, person, Word("email", old, new), {"source": "code"})
        if n in departed:
            left = now - rng.random() * (now - at) / 2
            record = account.store.record(person)
            drafts.lifespan(left, person, "deleted", record.blob)
            collection.gone[person["id"]] = Gone("history", left, None, record)
        else:
            seeding.persons.append(person)
    drafts.publish()


CUSTOMERS = Kind(
    "customers",
    scope="customer_read",
    subject="customer",
    methods={
        "customers": ListMethod(
            "customers", "customers", FILTERS, created=("dateFrom", "dateTo")
        ),
        "customers/{id}": SingleMethod("customers", "customer", by_external=True),
        "customers/history": FeedMethod("customers", "customerId", "customerExternalId"),
    },
    mutations=(
        create_customer, update_customer, delete_customer, undelete_customer, merge_customers,
        merge_chain,
    ),
    churn={
        "create_customer": lambda account, _: create_customer(account),
        "update_customer": _work_on,
        "delete_customer": lambda account, rng: delete_customer(account, _any(account, rng)),
        "merge_customers": _merge_two,
        "merge_chain": lambda account, _: merge_chain(account),
        "touch_silently": _touch_silently,
    },
    after=("segments", "customers-corporate"),
    seed=seed,
)  # fmt: skip
