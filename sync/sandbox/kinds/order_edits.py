"""Changes of orders: made, edited, moved, deleted, merged; and the effect on customers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sync.sandbox import shop as generator
from sync.sandbox.account import Account
from sync.sandbox.aggregates import buyers
from sync.sandbox.history_format import Word, item_words, merged, order_stub, payment_words, words
from sync.sandbox.php import Json, Refusal
from sync.sandbox.records import Record
from sync.sandbox.saves import Save

_PRICED = {"items", "delivery", "discountManualAmount", "discountManualPercent"}


def create_order(
    account: Account, *, customer: int | None = None, source: str = "api", silent: bool = False,
    **fields: Any,
) -> int:  # fmt: skip
    """Create an order of `customer` (None: a random one or none, 0: none).

    Fields, named as in the API, override the generated ones.
    """
    with account.saving(source, silent=silent) as save:
        people, rng = account.collections["customers"], account.rng
        if customer is None and people.truth.order and rng.random() > 0.05:
            customer = rng.choice(people.truth.order)[1]
        buyer = people.load(account.must("customers", customer)) if customer else None
        site = buyer["site"] if buyer and buyer["site"] in account.sites else None
        site = site or rng.choice(account.sites)
        made = generator.order(
            rng, account.shop, account.store.take_id("orders"), at=save.now,
            site=fields.get("site") or site, buyer=buyer,
        )  # fmt: skip
        made = merged(made, fields)
        if "totalSumm" not in fields:
            generator.totals(made)
        place(account, save, made, customer or None, customer or None)
        return int(made["id"])


def undelete_order(account: Account, order_id: int, *, source: str = "user") -> int:
    """Create a deleted order again under its old id."""
    with account.saving(source) as save:
        gone = account.collections["orders"].gone.get(int(order_id))
        if gone is None or gone.last is None:
            raise Refusal(404, f"no deleted order {order_id}")
        last = gone.last
        place(account, save, account.collections["orders"].load(last), last.customer, last.contact)
        return int(order_id)


def place(
    account: Account, save: Save, made: Json, customer: int | None, contact: int | None
) -> None:
    """Put a new order, with its `created` entry and the sums of its customer."""
    record = account.store.record(made, customer=customer, contact=contact)
    save.came("orders", record, Word("status", None, {"code": made["status"]}))
    account.aggregates.recount(save, (record, made, 1))


def update_order(
    account: Account, order_id: int, *, customer: int | None = None, contact: int | None = None,
    source: str = "user", silent: bool = False, **changes: Any,
) -> int:  # fmt: skip
    """Change fields (objects merge, None removes, `items` and `payments` replace).

    `customer` gives the order to another customer, 0 to nobody; `contact` is the person who acts
    for a corporate one. `silent` writes no history.
    """
    with account.saving(source, silent=silent) as save:
        before, old = account.store.loaded("orders", order_id)
        new = merged(old, changes)
        if isinstance(new.get("payments"), list):
            new["payments"] = {str(p["id"]): p for p in new["payments"]}
        if new["status"] != old["status"]:
            new["statusUpdatedAt"] = save.text
        if changes.keys() & _PRICED and "totalSumm" not in changes:
            generator.totals(new)
        owner = before.customer if customer is None else customer or None
        if contact is None:
            contact = before.contact if customer is None else acting(account, owner)
        record = account.store.record(new, customer=owner, contact=contact)
        save.put("orders", record)
        for word in _words(account, before, record, old, new):
            save.say("orders", record, word, stub=order_stub(new))
        account.aggregates.recount(save, (before, old, -1), (record, new, 1))
        return before.id


def acting(account: Account, owner: int | None) -> int | None:
    """Return who an order's contact is: the customer, or the main contact of a corporate one."""
    firms = account.collections["customers-corporate"]
    record = None if owner is None else firms.truth.live.get(owner)
    if record is None:
        return owner
    main: Json = firms.load(record).get("mainCustomerContact") or {}
    return main["customer"]["id"] if main else None


def redate_order(account: Account, order_id: int, created_at: str | None = None) -> int:
    """Change createdAt, to a day of the last two years when none is given."""
    at = account.clock.now() - account.rng.random() * 700 * 86400
    return update_order(account, order_id, source="api", createdAt=created_at or account.local(at))


def move_order(account: Account, order_id: int, site: str | None = None) -> int:
    """Move the order to another site."""
    others = [s for s in account.sites if s != account.must("orders", order_id).site]
    return update_order(account, order_id, site=site or account.rng.choice(others or account.sites))


def reassign_order(account: Account, order_id: int) -> int:
    """Give the order to another customer; no customer's history has an entry of it."""
    live = account.collections["customers"].truth.live
    return update_order(account, order_id, customer=account.rng.choice(sorted(live)))


def import_orders(
    account: Account, count: int = 2000, *, commit_seconds: float = 0.0,
    orders: list[int] | None = None, **changes: Any,
) -> list[int]:  # fmt: skip
    """Edit many orders in one transaction, by default some at random; return their ids.

    The ids of all entries are allotted now, but the transaction commits `commit_seconds` later.
    Until then none of it is visible, though larger ids of other saves are.
    """
    live = sorted(account.collections["orders"].truth.live)
    chosen = orders or sorted(account.rng.sample(live, min(count, len(live))))
    number = account.count("import")
    with account.saves.saving_together("api", commit_seconds=commit_seconds):
        for order_id in chosen:
            note = {"managerComment": f"import {number}"}
            update_order(account, order_id, source="api", **(changes or note))
    return chosen


def delete_order(account: Account, order_id: int, *, source: str = "user") -> int:
    with account.saving(source) as save:
        return _remove(account, save, account.must("orders", order_id), "history")


def merge_orders(account: Account, into: int, sources: list[int]) -> int:
    """Merge orders: the sources are deleted, and their last entry names the survivor."""
    with account.saving("user") as save:
        survivor, kept = account.store.loaded("orders", into)
        about = {"combinedTo": order_stub(kept)}
        for record in [account.must("orders", s) for s in sources if int(s) != survivor.id]:
            _remove(account, save, record, "combined", survivor.id, about)
        return survivor.id


def _remove(
    account: Account, save: Save, record: Record, reason: str, survivor: int | None = None,
    about: Json | None = None,
) -> int:  # fmt: skip
    old = account.collections["orders"].load(record)
    word = Word("id", record.id, None, about or {})
    save.went("orders", record, reason, word, stub=order_stub(old), survivor=survivor)
    account.aggregates.recount(save, (record, old, -1))
    return record.id


def move_orders(account: Account, save: Save, source: int, survivor: Record, *, loud: bool) -> None:
    """Re-point a merged customer's orders; as far as known, the API writes no entry for this."""
    orders = account.collections["orders"]
    moved = [r for r in orders.truth.live.values() if source in (r.customer, r.contact)]
    for before in moved:
        order = orders.load(before)
        record = account.store.record(
            order,
            customer=survivor.id if before.customer == source else before.customer,
            contact=survivor.id if before.contact == source else before.contact,
        )
        save.put("orders", record)
        if before.customer == source:
            account.aggregates.credit(source, order, -1)
            account.aggregates.credit(survivor.id, order, 1)
        if loud:
            word = Word("customer", {"id": source}, _buyer(account, record))
            save.say("orders", record, word, stub=order_stub(order))


def _words(account: Account, before: Record, after: Record, old: Json, new: Json) -> Iterator[Word]:
    if before.customer != after.customer:
        yield Word("customer", _buyer(account, before), _buyer(account, after))
    yield from words("order", old, new)
    if old.get("totalSumm") != new.get("totalSumm"):
        yield Word("total_summ", old.get("totalSumm"), new.get("totalSumm"))
    yield from item_words(old.get("items") or [], new.get("items") or [])
    yield from payment_words(old.get("payments") or {}, new.get("payments") or {})


def _buyer(account: Account, record: Record) -> Json | None:
    """Return the customer of an order as a history refers to it."""
    if record.customer is None:
        return None
    for _, person in buyers(account.store, record.customer):
        known = {"id": person.id, "externalId": person.external, "site": person.site}
        return {k: v for k, v in known.items() if v is not None}
    return {"id": record.customer}
