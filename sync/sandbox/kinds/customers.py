"""Customers: their lists, history, writes, churn and seeding."""

from __future__ import annotations

from random import Random

from sync.sandbox import people, shop
from sync.sandbox.account import Account
from sync.sandbox.filters import CONTRAGENT, among, bounds, custom_fields, flag, idle, text
from sync.sandbox.history_format import Word
from sync.sandbox.kind import Kind, Seeding
from sync.sandbox.kinds.customer_edits import (
    create_customer,
    delete_customer,
    merge_chain,
    merge_customers,
    undelete_customer,
    update_customer,
)
from sync.sandbox.kinds.customer_writes import WRITES
from sync.sandbox.lists import FeedMethod, ListMethod
from sync.sandbox.records import Gone
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
    writes=WRITES,
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
