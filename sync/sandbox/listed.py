"""The list methods and their filters, by path below /api/v5/."""

from __future__ import annotations

from sync.sandbox.filters import (
    Filter,
    among,
    anything,
    custom_fields,
    flag,
    least,
    most,
    since,
    text,
    until,
)
from sync.sandbox.lists import ListMethod


def _dates(**paths: str) -> dict[str, Filter]:
    """`name=path` -> nameFrom and nameTo."""
    found: dict[str, Filter] = {}
    for name, path in paths.items():
        found[f"{name}From"], found[f"{name}To"] = since(path), until(path)
    return found


def _bounds(**paths: str) -> dict[str, Filter]:
    """`Name=path` -> minName and maxName."""
    found: dict[str, Filter] = {}
    for name, path in paths.items():
        found[f"min{name}"], found[f"max{name}"] = least(path), most(path)
    return found


def _idle(*names: str) -> dict[str, Filter]:
    return dict.fromkeys(names, anything())


_CONTRAGENT = {
    "contragentName": text("contragent.legalName"),
    "contragentTypes": among("contragent.contragentType"),
    "contragentInn": among("contragent.INN"),
    "contragentKpp": among("contragent.KPP"),
    "contragentBik": among("contragent.BIK"),
    "contragentCorrAccount": among("contragent.corrAccount"),
    "contragentBankAccount": among("contragent.bankAccount"),
}
ORDERS: dict[str, Filter] = {
    "externalIds": among("externalId"), "numbers": among("number"), "sites": among("site"),
    "customerId": among("_customer"), "customerExternalId": anything(),
    "customer": text("firstName", "lastName", "patronymic", "phone"), "email": text("email"),
    "extendedStatus": among("status"), "orderTypes": among("orderType"), "orderMethods": among("orderMethod"),
    "managers": among("managerId"), "countries": among("countryIso"), "city": text("delivery.address.city"),
    "region": text("delivery.address.region"), "index": among("delivery.address.index"),
    "paymentStatuses": among("payments[].status"), "paymentTypes": among("payments[].type"),
    "deliveryTypes": among("delivery.code"), "deliveryServices": among("delivery.service.code"),
    "shipmentStores": among("shipmentStore"), "product": text("items[].offer.name"),
    "customerComment": text("customerComment"), "managerComment": text("managerComment"),
    "call": flag("call"), "expired": flag("expired"), "shipped": flag("shipped"),
    "customFields": custom_fields(), "sourceName": among("source.source"), "mediumName": among("source.medium"),
    "campaignName": among("source.campaign"), "keywordName": among("source.keyword"),
    **_dates(statusUpdatedAt="statusUpdatedAt", fullPaidAt="fullPaidAt", paidAt="payments[].paidAt",
             deliveryDate="delivery.date", shipmentDate="shipmentDate"),
    **_bounds(Price="totalSumm", PrepaySumm="prepaySum", DeliveryCost="delivery.cost",
              DeliveryNetCost="delivery.netCost", PurchaseSumm="purchaseSumm"),
    **_CONTRAGENT,
    **_idle("metro", "deliveryTimeFrom", "deliveryTimeTo", "vip", "bad", "online", "deliveryStates",
            "minMarginSumm", "maxMarginSumm", "minCostSumm", "maxCostSumm", "trackNumber",
            "deliveryExternalId", "attachments", "receiptFiscalDocumentAttribute", "receiptStatus",
            "receiptOperation", "receiptOrderStatus", "tasksCounts", "customerType", "companyName",
            "couriers", "managerGroups", "mgChannels", "firstWebVisitFrom", "firstWebVisitTo",
            "lastWebVisitFrom", "lastWebVisitTo", "firstOrderFrom", "firstOrderTo", "lastOrderFrom",
            "lastOrderTo", "dpdParcelDateFrom", "dpdParcelDateTo", "adContentName",
            "uploadedToExtStoreSys"),
}  # fmt: skip
CUSTOMERS: dict[str, Filter] = {
    "externalIds": among("externalId"), "sites": among("site"), "managers": among("managerId"),
    "name": text("firstName", "lastName", "patronymic", "phones[].number"), "email": text("email"),
    "city": text("address.city"), "region": text("address.region"), "countries": among("address.countryIso"),
    "isContact": flag("isContact"), "sex": among("sex"), "vip": flag("vip"), "bad": flag("bad"),
    "segment": among("segments[].code"), "tags": among("tags[].name"), "browserId": among("browserId"),
    "mgChannels": among("mgCustomers[].mgChannel.id"), "mgCustomerId": among("mgCustomers[].id"),
    "sourceName": among("source.source"), "mediumName": among("source.medium"),
    "campaignName": among("source.campaign"), "keywordName": among("source.keyword"),
    "customFields": custom_fields(), "discountCardNumber": among("discountCardNumber"),
    **_bounds(OrdersCount="ordersCount", AverageSumm="averageSumm", TotalSumm="totalSumm", CostSumm="costSumm"),
    **_CONTRAGENT,
    **_idle("online", "emailMarketingUnsubscribed", "notes", "classSegment", "attachments", "tasksCounts",
            "managerGroups", "firstWebVisitFrom", "firstWebVisitTo", "lastWebVisitFrom", "lastWebVisitTo",
            "firstOrderFrom", "firstOrderTo", "lastOrderFrom", "lastOrderTo", "commentary", "adContentName",
            "attachedTags", "subscriptions"),
}  # fmt: skip

LISTS: dict[str, tuple[ListMethod, str | None]] = {
    "orders": (
        ListMethod("orders", "orders", ORDERS, created=("createdAtFrom", "createdAtTo")),
        "order_read",
    ),
    "customers": (
        ListMethod("customers", "customers", CUSTOMERS, created=("dateFrom", "dateTo")),
        "customer_read",
    ),
}
