"""Carts and favourites of customers: derived from their ids, nothing is kept."""

from __future__ import annotations

import dataclasses

from sync.sandbox.calls import Call
from sync.sandbox.clock import offset_text
from sync.sandbox.php import Json, Refusal
from sync.sandbox.records import Record
from sync.sandbox.singles import as_json, find


def cart(call: Call) -> bytes:
    """Every fifth customer left something in the cart; times here carry their offset."""
    customer = _visitor(call)
    account = call.account
    shelf = account.shop.articles[call.args[0]]
    found: Json = {"currency": account.currency, "externalId": f"cart-{customer.id}",
                   "customer": {"id": customer.id, "site": customer.site}}  # fmt: skip
    if customer.id % 5:
        return as_json(
            cart={
                **found,
                "clearedAt": offset_text(call.now - 86400, account.time.zone),
                "items": [],
            }
        )
    article = shelf[customer.id % len(shelf)]
    items = [{"id": "1", "offer": article.offer, "quantity": 2, "price": article.price}]
    dropped = offset_text(call.now - 7200, account.time.zone)
    link = f"https://{call.args[0]}.example.com/cart/{customer.id}"
    return as_json(cart={**found, "droppedAt": dropped, "link": link, "items": items})


def favorites(call: Call) -> bytes:
    customer = _visitor(call)
    shelf = call.account.shop.articles[call.args[0]]
    article = shelf[customer.id % len(shelf)]
    when = call.account.local(call.now - 86400)
    rows = (
        [{"offer": {"id": article.offer["id"]}, "createdAt": when}] if customer.id % 3 == 0 else []
    )
    return as_json(favorites=rows)


def _visitor(call: Call) -> Record:
    site, text = call.args
    if site not in call.account.shop.articles or not call.key.sees(site):
        raise Refusal(404, "Not found")
    params = {**call.params, "site": site}
    asked = dataclasses.replace(call, params=params, args=(text,))
    return find(asked, "customers", text, by_external=True)
