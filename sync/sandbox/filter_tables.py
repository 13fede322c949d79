"""The filters of every list method: name -> what it tests."""

from __future__ import annotations

from sync.sandbox.filters import (
    Deep,
    Filter,
    above,
    after,
    among,
    anything,
    between,
    custom_fields,
    flag,
    least,
    most,
    since,
    text,
    until,
)
from sync.sandbox.php import values


def _task_status(wanted: str) -> Deep:
    return lambda task: bool(task.get("complete")) is (wanted == "completed")


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
    "extendedStatus": among("status"), "orderTypes": among("orderType"),
    "orderMethods": among("orderMethod"),
    "managers": among("managerId"), "countries": among("countryIso"),
    "city": text("delivery.address.city"),
    "region": text("delivery.address.region"), "index": among("delivery.address.index"),
    "paymentStatuses": among("payments[].status"), "paymentTypes": among("payments[].type"),
    "deliveryTypes": among("delivery.code"), "deliveryServices": among("delivery.service.code"),
    "shipmentStores": among("shipmentStore"), "product": text("items[].offer.name"),
    "customerComment": text("customerComment"), "managerComment": text("managerComment"),
    "call": flag("call"), "expired": flag("expired"), "shipped": flag("shipped"),
    "customFields": custom_fields(), "sourceName": among("source.source"),
    "mediumName": among("source.medium"),
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
    "city": text("address.city"), "region": text("address.region"),
    "countries": among("address.countryIso"),
    "isContact": flag("isContact"), "sex": among("sex"), "vip": flag("vip"), "bad": flag("bad"),
    "segment": among("segments[].code"), "tags": among("tags[].name"),
    "browserId": among("browserId"),
    "mgChannels": among("mgCustomers[].mgChannel.id"), "mgCustomerId": among("mgCustomers[].id"),
    "sourceName": among("source.source"), "mediumName": among("source.medium"),
    "campaignName": among("source.campaign"), "keywordName": among("source.keyword"),
    "customFields": custom_fields(), "discountCardNumber": among("discountCardNumber"),
    **_bounds(OrdersCount="ordersCount", AverageSumm="averageSumm", TotalSumm="totalSumm",
        CostSumm="costSumm"),
    **_CONTRAGENT,
    **_idle("online", "emailMarketingUnsubscribed", "notes", "classSegment", "attachments",
        "tasksCounts",
            "managerGroups", "firstWebVisitFrom", "firstWebVisitTo", "lastWebVisitFrom",
            "lastWebVisitTo",
            "firstOrderFrom", "firstOrderTo", "lastOrderFrom", "lastOrderTo", "commentary",
            "adContentName",
            "attachedTags", "subscriptions"),
}  # fmt: skip

FIRMS: dict[str, Filter] = {
    "externalIds": among("externalId"), "nickName": text("nickName"), "sites": among("site"),
    "managers": among("managerId"), "vip": flag("vip"), "bad": flag("bad"),
    "customFields": custom_fields(),
    "companyName": text("mainCompany.name"), "contactIds": among("mainCustomerContact.customer.id"),
    "discountCardNumber": among("discountCardNumber"),
    **_bounds(OrdersCount="ordersCount", AverageSumm="averageSumm", TotalSumm="totalSumm",
        CostSumm="costSumm"),
    **_CONTRAGENT,
    **_idle("contactName", "addressName", "name", "city", "region", "email", "notes",
        "classSegment",
            "attachments", "tasksCounts", "managerGroups", "firstOrderFrom", "firstOrderTo",
            "lastOrderFrom", "lastOrderTo"),
}  # fmt: skip
NOTES: dict[str, Filter] = {
    "customerIds": among("customer.id"), "customerExternalIds": among("customer.externalId"),
    "managerIds": among("managerId"), "text": text("text"),
}  # fmt: skip
PACKS: dict[str, Filter] = {
    "orderId": among("item.order.id"), "stores": among("store"), "itemId": among("item.id"),
    "offerXmlId": among("item.offer.xmlId"), "offerExternalId": among("item.offer.externalId"),
    "invoiceNumber": among("invoiceNumber"), "deliveryNoteNumber": among("deliveryNoteNumber"),
    **_dates(shipmentDate="shipmentDate"), **_idle("orderExternalId"),
}  # fmt: skip
COSTS: dict[str, Filter] = {
    "orderIds": among("order.id"), "orderNumber": among("order.number"), "comment": text("comment"),
    "sites": among("sites[]"), "createdBy": among("createdBy"), "costItems": among("costItem"),
    "users": among("userId"), "orderExternalIds": among("order.externalId"),
    "dateFrom": since("dateTo"),
    "dateTo": until("dateFrom"), **_bounds(Summ="summ"), **_idle("costGroups"),
}  # fmt: skip
FILES: dict[str, Filter] = {
    "orderIds": among("attachment[].order.id"), "customerIds": among("attachment[].customer.id"),
    "orderExternalIds": among("attachment[].order.externalId"), "type": among("type"),
    "customerExternalIds": among("attachment[].customer.externalId"), "filename": text("filename"),
    "sizeFrom": least("size"), "sizeTo": most("size"), "isAttached": flag("attachment"),
    "sites": among("attachment[].order.site"),
}  # fmt: skip
SHIPMENTS: dict[str, Filter] = {
    "dateFrom": since("date"), "dateTo": until("date"), "externalId": among("externalId"),
    "orderNumber": among("orders[].number"), "statuses": among("status"),
    "deliveryTypes": among("deliveryType"),
    "managers": among("managerId"), "stores": among("store"),
}  # fmt: skip
PRODUCTS: dict[str, Filter] = {
    "sinceId": above("id"), "sinceUpdatedAt": after("updatedAt"), "active": flag("active"),
    "name": text("name"), "manufacturer": among("manufacturer"), "externalId": among("externalId"),
    "offerIds": among("offers[].id"), "offerExternalId": among("offers[].externalId"),
    "groups": among("groups[].id"),
    "sites": among("offers[].site"), "catalogs": among("catalogId"), "popular": flag("popular"),
    "stock": flag("stock"), "novelty": flag("novelty"), "recommended": flag("recommended"),
    "url": among("url"),
    "urlLike": text("url"), "offerXmlId": among("offers[].xmlId"),
    "groupExternalId": among("groups[].externalId"),
    "minPrice": least("minPrice"), "maxPrice": most("maxPrice"), **_bounds(Quantity="quantity"),
    **_idle("minPurchasePrice", "maxPurchasePrice", "xmlId", "classSegment", "properties",
        "priceType", "markable"),
}  # fmt: skip
OFFERS: dict[str, Filter] = {
    "externalIds": among("externalId"), "sinceId": above("id"), "name": text("name"),
    "xmlIds": among("xmlId"),
    "sites": among("site"), "active": flag("active"), "groups": among("product.groups[].id"),
    **_bounds(Price="price", Quantity="quantity"), **_idle("properties", "catalogs", "priceType"),
}  # fmt: skip
INVENTORIES: dict[str, Filter] = {
    "offerExternalId": among("externalId"), "offerXmlId": among("xmlId"), "sites": among("site"),
    "offerActive": flag("active"), "productActive": flag("product.active"),
    "offerArticle": among("article"),
    "productArticle": among("product.article"), "productExternalId": among("product.externalId"),
    **_idle("details", "catalogs"),
}  # fmt: skip
GROUPS: dict[str, Filter] = {
    "active": flag("active"), "parentGroupId": among("parentId"), "sites": among("site"),
    "minLevel": least("lvl"), "maxLevel": most("lvl"), **_idle("catalogs", "loadFromYml"),
}  # fmt: skip
ACCOUNTS: dict[str, Filter] = {
    "customerId": among("customer.id"), "status": among("status"),
    "phoneNumber": text("phoneNumber"),
    "cardNumber": text("cardNumber"), "customerExternalId": among("customer.externalId"),
    "id": among("id"),
    "loyalties": among("loyalty.id"), "sites": among("customer.site"), "level": among("level.id"),
    "customer": text("customer.firstName"), "customFields": custom_fields(),
    **_bounds(Amount="amount", OrdersSum="ordersSum"), **_idle("burnDateFrom", "burnDateTo"),
}  # fmt: skip
TASKS: dict[str, Filter] = {
    "orderNumber": among("order.number"), "customer": text("customer.id"), "text": text("text"),
    "performers": among("performer"), "creators": among("creator"),
    "status": Filter(lambda _, given: _task_status(values(given)[0])),
    **_dates(date="datetime", completedAt="completedAt"),
}  # fmt: skip
USERS: dict[str, Filter] = {
    "email": among("email"), "status": among("status"), "online": flag("online"),
    "active": flag("active"),
    "isManager": flag("isManager"), "isAdmin": flag("isAdmin"), "groups": among("groups[].id"),
    "createdAtFrom": between("createdAt")[0], "createdAtTo": between("createdAt")[1],
    **_idle("isPosManager"),
}  # fmt: skip
SEGMENTS: dict[str, Filter] = {
    "name": text("name"), "active": flag("active"), "dateFrom": since("createdAt"),
    "dateTo": until("createdAt"),
    **_bounds(CustomersCount="customersCount"), **_idle("type"),
}  # fmt: skip
FIELDS: dict[str, Filter] = {
    "name": text("name"), "code": among("code"), "type": among("type"),
    "viewMode": among("viewMode"),
    "displayArea": among("displayArea"), "entity": among("entity"), "inFilter": flag("inFilter"),
    "viewModeMobile": among("viewModeMobile"),
}  # fmt: skip
PROPERTIES: dict[str, Filter] = {
    "name": text("name"), "code": among("code"), "visible": flag("visible"),
    "variative": flag("variative"),
    "sites": among("sites[]"), "groups": among("groups[].id"), **_idle("catalogs"),
}  # fmt: skip
VALUES: dict[str, Filter] = {
    "propertyName": text("property.name"), "propertyCode": among("property.code"),
    "groups": among("property.groups[].id"),
}  # fmt: skip
