"""Changes of products and offers: stock, prices. A product holds a copy of its offers."""

from __future__ import annotations

from sync.sandbox.account import Account
from sync.sandbox.php import Json, loose
from sync.sandbox.saves import Save


def set_stock(account: Account, offer_id: int, quantity: float, *, bump: bool = False) -> int:
    """Change the stock of an offer; the product's updatedAt moves only with `bump`."""
    with account.saving(silent=True) as save:
        return change_offer(account, save, offer_id, {"quantity": quantity}, bump=bump)


def change_offer(account: Account, save: Save, offer_id: int, changes: Json, *, bump: bool) -> int:
    """Change an offer, and its copy in the product; return the product's id."""
    _, offer = account.store.loaded("offers", offer_id)
    offer |= changes
    before, product = account.store.loaded("products", offer["product"]["id"])
    product["offers"] = [o | changes if o["id"] == offer_id else o for o in product["offers"]]
    product["quantity"] = loose(sum(o.get("quantity") or 0 for o in product["offers"]))
    if "price" in changes:
        prices = [o["price"] for o in product["offers"]]
        product |= {"minPrice": min(prices), "maxPrice": max(prices)}
    if bump:
        product["updatedAt"] = save.text
    save.put("offers", account.store.record(offer, site=offer["site"]))
    save.put("products", account.store.record(product, site=before.site))
    return before.id
