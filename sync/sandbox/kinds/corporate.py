"""Corporate customers with addresses, companies and contacts; they share ids with customers."""

from __future__ import annotations

from sync.sandbox import shop
from sync.sandbox.account import Account
from sync.sandbox.filters import CONTRAGENT, Table, among, bounds, custom_fields, flag, idle, text
from sync.sandbox.history_format import customer_stub
from sync.sandbox.kind import Kind, Seeding
from sync.sandbox.kinds.corporate_edits import (
    NAME,
    add_address,
    add_company,
    add_contact,
    create_corporate,
    delete_corporate,
    main_of,
    merge_corporate,
    new_address,
    new_company,
    new_contact,
    new_corporate,
    part_record,
    part_words,
    remove_part,
    update_corporate,
    update_part,
)
from sync.sandbox.kinds.corporate_writes import PART_WRITES, WRITES
from sync.sandbox.lists import FeedMethod, ListMethod
from sync.sandbox.php import Json
from sync.sandbox.records import Record
from sync.sandbox.singles import SingleMethod

FILTERS = {
    **among("discountCardNumber", externalIds="externalId", sites="site", managers="managerId",
            contactIds="mainCustomerContact.customer.id"),
    **text("nickName", companyName="mainCompany.name"), **flag("vip", "bad"), **custom_fields(),
    **bounds(OrdersCount="ordersCount", AverageSumm="averageSumm", TotalSumm="totalSumm",
             CostSumm="costSumm"),
    **CONTRAGENT,
    **idle("contactName", "addressName", "name", "city", "region", "email", "notes", "classSegment",
           "attachments", "tasksCounts", "managerGroups", "firstOrderFrom", "firstOrderTo",
           "lastOrderFrom", "lastOrderTo"),
}  # fmt: skip


# --- seeding


def seed(seeding: Seeding) -> None:
    """Create corporate customers, each with an address and a company; stored like customers."""
    account, rng, drafts = seeding.account, seeding.rng, seeding.account.writer.drafts(NAME)
    rows: dict[str, list[Record]] = {"addresses": [], "companies": []}
    count = seeding.customers
    for _ in range(min(max(count // 100, min(count // 25, 4)), 60)):
        at = account.started + rng.random() * 50 * shop.DAY
        firm = new_corporate(account, rng, created=account.local(at))
        record = account.store.record(firm)
        drafts.lifespan(at, firm, "created", record.blob)
        for part, thing in (
            ("addresses", new_address(account, rng, firm)),
            ("companies", new_company(account, rng, firm, firm["createdAt"])),
        ):
            rows[part].append(part_record(account, record, thing))
            firm |= main_of(part, thing)
            for word in part_words(part, thing):
                drafts.said(at, firm, word, _author(account))
        seeding.firms.append(firm)
    for part, records in rows.items():
        account.store.fill_records(part, records)
    drafts.publish()


def _author(account: Account) -> Json:
    return {"source": "user", "user": {"id": account.user_ids[0]}}


def seed_contacts(seeding: Seeding) -> None:
    """Choose a contact among the customers for every corporate customer."""
    account, drafts = seeding.account, seeding.account.writer.drafts(NAME)
    rows: list[Record] = []
    for firm in seeding.firms if seeding.persons else []:
        person = seeding.rng.choice(seeding.persons)
        person["isContact"] = True
        contact = new_contact(account, firm, person["id"]) | {"customer": customer_stub(person)}
        rows.append(part_record(account, account.store.record(firm), contact))
        firm.update(main_of("contacts", contact))
        for word in part_words("contacts", contact):
            drafts.said(account.started + 60 * shop.DAY, firm, word, _author(account))
    account.store.fill_records("contacts", rows)
    drafts.publish()


def _list(part: str, filters: Table) -> dict[str, ListMethod]:
    made = ListMethod(part, part, filters, order="id_asc", parent=NAME, external=True)
    return {f"{NAME}/{{id}}/{part}": made}


CORPORATE = Kind(
    NAME,
    scope="customer_read",
    subject="customer",
    methods={
        NAME: ListMethod(NAME, "customersCorporate", FILTERS, created=("dateFrom", "dateTo")),
        f"{NAME}/{{id}}": SingleMethod(NAME, "customerCorporate", by_external=True),
        f"{NAME}/history": FeedMethod(NAME, "customerId", "customerExternalId"),
    },
    writes=WRITES,
    mutations=(
        create_corporate, update_corporate, delete_corporate, merge_corporate, update_part,
        remove_part,
    ),
    after=("segments",),
    seed=seed,
)  # fmt: skip
ADDRESSES = Kind(
    "addresses",
    scope="customer_read",
    methods=_list("addresses", text("name", "city", "region")),
    writes=PART_WRITES["addresses"],
    mutations=(add_address,),
)
COMPANIES = Kind(
    "companies",
    scope="customer_read",
    methods=_list("companies", among(externalIds="externalId")),
    writes=PART_WRITES["companies"],
    mutations=(add_company,),
)
CONTACTS = Kind(
    "contacts",
    scope="customer_read",
    methods=_list(
        "contacts", among(contactIds="customer.id", contactExternalIds="customer.externalId")
    ),
    writes=PART_WRITES["contacts"],
    mutations=(add_contact,),
    after=("customers",),
    seed=seed_contacts,
)
