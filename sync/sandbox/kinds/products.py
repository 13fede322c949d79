"""Products with their offers and groups; orders quote offers."""

from __future__ import annotations

from random import Random

from sync.sandbox import catalogue
from sync.sandbox.account import Account
from sync.sandbox.calls import Call
from sync.sandbox.filters import above, after, among, bounds, flag, idle, least, most, text
from sync.sandbox.kind import Kind, Seeding
from sync.sandbox.kinds.product_edits import set_stock
from sync.sandbox.kinds.product_writes import GROUP_WRITES, OFFER_WRITES, PRODUCT_WRITES
from sync.sandbox.lists import MORE, ListMethod
from sync.sandbox.php import Json
from sync.sandbox.records import Record

PRODUCT_FILTERS = {
    **above(sinceId="id"), **after(sinceUpdatedAt="updatedAt"),
    **flag("active", "popular", "stock", "novelty", "recommended"), **text("name", urlLike="url"),
    **among("manufacturer", "externalId", "url", offerIds="offers[].id",
            offerExternalId="offers[].externalId", groups="groups[].id", sites="offers[].site",
            catalogs="catalogId", offerXmlId="offers[].xmlId",
            groupExternalId="groups[].externalId"),
    **least("minPrice"), **most("maxPrice"), **bounds(Quantity="quantity"),
    **idle("minPurchasePrice", "maxPurchasePrice", "xmlId", "classSegment", "properties",
           "priceType", "markable"),
}  # fmt: skip
OFFER_FILTERS = {
    **among(externalIds="externalId", xmlIds="xmlId", sites="site", groups="product.groups[].id"),
    **above(sinceId="id"), **text("name"), **flag("active"),
    **bounds(Price="price", Quantity="quantity"), **idle("properties", "catalogs", "priceType"),
}  # fmt: skip
INVENTORY_FILTERS = {
    **among(offerExternalId="externalId", offerXmlId="xmlId", sites="site", offerArticle="article",
            productArticle="product.article", productExternalId="product.externalId"),
    **flag(offerActive="active", productActive="product.active"), **idle("details", "catalogs"),
}  # fmt: skip
GROUP_FILTERS = {
    **flag("active"), **among(parentGroupId="parentId", sites="site"), **least(minLevel="lvl"),
    **most(maxLevel="lvl"), **idle("catalogs", "loadFromYml"),
}  # fmt: skip


def seed(seeding: Seeding) -> None:
    """Create products, offers and groups of every site."""
    account, store = seeding.account, seeding.account.store
    rng = Random(f"{account.seed}/{account.name}/shelves")
    rows: dict[str, list[Record]] = {"product-groups": [], "products": [], "offers": []}
    for site in account.sites:
        groups, shelf = _groups(account, site), account.shop.articles.setdefault(site, [])
        rows["product-groups"] += [store.record(group) for group in groups]
        ids = {group["name"]: group["id"] for group in groups}
        for number in range(1, max(seeding.products // len(account.sites), 3) + 1):
            made = catalogue.product(rng, account.language, account.currency, number, site=site)
            months, group = made.pop("_months"), made.pop("_group")
            product: Json = {"id": store.take_id("products"), **made}
            product["groups"] = [{"id": ids[group], "externalId": f"g-{ids[group]}"}]
            short = {k: v for k, v in product.items() if k != "offers"}
            product["updatedAt"] = account.local(account.started + rng.random() * 700 * 86400)
            product["catalogId"] = account.sites.index(site) + 1
            for offer in product["offers"]:
                offer["id"] = store.take_id("offers")
                shelf.append(catalogue.article_of(offer, months, site))
                rows["offers"].append(store.record({**offer, "product": short}))
            rows["products"].append(store.record(product, site=site))
    for name, records in rows.items():
        store.fill_records(name, records)


def _groups(account: Account, site: str) -> list[Json]:
    """Create a root group with the groups of goods below it."""
    root = account.store.take_id("product-groups")
    found: list[Json] = [
        {"site": site, "id": root, "name": "warehouseRoot", "active": True, "lvl": 0}
    ]
    return found + [
        {"parentId": root, "id": account.store.take_id("product-groups"), **group}
        for group in catalogue.groups(account.language, site)
    ]


def _stock(call: Call, offer: Json) -> Json:
    """Return an offer as /store/inventories sends it: rows by warehouse only with details=1."""
    names = ("id", "externalId", "xmlId", "site", "quantity", "purchasePrice")
    found: Json = {k: offer[k] for k in names if k in offer}
    if str(call.filter().get("details")) == "1":
        found["stores"] = [
            {"quantity": offer["quantity"], "purchasePrice": offer["purchasePrice"],
             "store": f"{offer['site']}-store"}
        ]  # fmt: skip
    return found


PRODUCTS = Kind(
    "products",
    scope="store_read",
    methods={"store/products": ListMethod("products", "products", PRODUCT_FILTERS, order="id_asc")},
    writes=PRODUCT_WRITES,
    mutations=(set_stock,),
    seed=seed,
)
OFFERS = Kind(
    "offers",
    scope="store_read",
    methods={
        "store/offers": ListMethod("offers", "offers", OFFER_FILTERS, order="id_asc"),
        "store/inventories": ListMethod(
            "offers", "offers", INVENTORY_FILTERS, limits=MORE, order="id_desc", shape=_stock
        ),
    },
    writes=OFFER_WRITES,
)
GROUPS = Kind(
    "product-groups",
    scope="store_read",
    methods={
        "store/product-groups": ListMethod(
            "product-groups", "productGroup", GROUP_FILTERS, order="oldest"
        )
    },
    writes=GROUP_WRITES,
)
