"""Changes of customers: made, edited, deleted, merged."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from sync.sandbox import people
from sync.sandbox.account import Account
from sync.sandbox.history_format import Word, customer_stub, merged, words
from sync.sandbox.kinds.order_edits import move_orders
from sync.sandbox.php import Json, Refusal
from sync.sandbox.records import Record
from sync.sandbox.saves import Save


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
        add_customer(account, save, merged(person, fields))
        return int(person["id"])


def undelete_customer(account: Account, customer_id: int, *, source: str = "user") -> int:
    """Create a deleted or merged customer again under its old id."""
    with account.saving(source) as save:
        customers = account.collections["customers"]
        gone = customers.gone.get(int(customer_id))
        if gone is None or gone.last is None:
            raise Refusal(404, f"no deleted customer {customer_id}")
        add_customer(account, save, customers.load(gone.last))
        return int(customer_id)


def add_customer(account: Account, save: Save, person: Json) -> None:
    """Put a new customer, with its `created` entry."""
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
