"""One RetailCRM account: dictionaries, shelves, people, orders, and everything around them."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from threading import RLock

from sync.sandbox import catalogue, seed
from sync.sandbox.catalogue import Article
from sync.sandbox.clock import Clock
from sync.sandbox.knobs import Knobs
from sync.sandbox.others import Others
from sync.sandbox.php import Json
from sync.sandbox.records import Record
from sync.sandbox.reference import references
from sync.sandbox.shop import Shop

LANGUAGES = {"RUB": "RU", "EUR": "ES", "MXN": "ES"}


class Account(Others):
    """An account and all its mutations; build it with `Sandbox.account`."""

    def __init__(
        self,
        name: str,
        *,
        zone: str = "Europe/Moscow",
        currency: str = "RUB",
        language: str | None = None,
        sites: Iterable[str] = ("main", "outlet"),
        orders: int = 0,
        customers: int = 0,
        products: int = 60,
        awkward: float = 0.02,
        seed_number: int = 7,
        clock: Clock | None = None,
        knobs: Knobs | None = None,
        lean: bool = False,
        lock: RLock | None = None,
    ) -> None:
        super().__init__(
            name, zone=zone, currency=currency, language=language or LANGUAGES.get(currency, "EN"),
            sites=sites, seed=seed_number, clock=clock or Clock(), knobs=knobs or Knobs(),
            lean=lean,
            lock=lock or RLock(),
        )  # fmt: skip
        rng = Random(f"{seed_number}/{name}/shelves")
        self.started = self.clock.now() - 800 * 86400
        made = self.local(self.started)
        self.references = references(self.language, self.currency, self.country, self.sites, made)
        self.shop = Shop(
            self.language, self.currency, self.country, self.sites, self.user_ids,
            self._shelves(rng, products), self.local, lambda: self.count("item"),
            lambda: self.count("payment"), awkward, lambda site: self.count(f"order of {site}"),
        )  # fmt: skip
        seed.populate(self, orders=orders, customers=customers)
        self.kept_timeline(self.clock.now())

    def _shelves(self, rng: Random, products: int) -> dict[str, list[Article]]:
        """Products, offers and groups of every site; what orders quote from."""
        shelves: dict[str, list[Article]] = {}
        groups, goods, offers = (
            self.collections[c] for c in ("product-groups", "products", "offers")
        )
        group_records: list[Record] = []
        product_records: list[Record] = []
        offer_records: list[Record] = []
        for site in self.sites:
            ids: dict[str, int] = {}
            root = groups.take_id()
            group_records.append(
                self.record(
                    {"site": site, "id": root, "name": "warehouseRoot", "active": True, "lvl": 0}
                )
            )
            for group in catalogue.groups(self.language, site):
                ids[group["name"]] = groups.take_id()
                group_records.append(
                    self.record({"parentId": root, "id": ids[group["name"]], **group})
                )
            shelves[site] = []
            for number in range(1, max(products // len(self.sites), 3) + 1):
                made = catalogue.product(rng, self.language, self.currency, number, site=site)
                months, group = made.pop("_months"), made.pop("_group")
                product: Json = {"id": goods.take_id(), **made}
                product["groups"] = [{"id": ids[group], "externalId": f"g-{ids[group]}"}]
                product["updatedAt"] = self.local(self.started + rng.random() * 700 * 86400)
                product["catalogId"] = self.sites.index(site) + 1
                for offer in product["offers"]:
                    offer["id"] = offers.take_id()
                    shelves[site].append(catalogue.article_of(offer, months, site))
                short = {
                    k: v
                    for k, v in product.items()
                    if k not in ("offers", "updatedAt", "catalogId")
                }
                offer_records += [self.record({**o, "product": short}) for o in product["offers"]]
                product_records.append(self.record(product, site=site))
        groups.truth.fill(group_records)
        goods.truth.fill(product_records)
        offers.truth.fill(offer_records)
        return shelves
