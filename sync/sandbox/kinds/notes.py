"""Notes on customers and on corporate customers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sync.sandbox import shapes
from sync.sandbox.account import Account
from sync.sandbox.calls import Call
from sync.sandbox.filters import among, text
from sync.sandbox.kind import Kind, Left, Seeding
from sync.sandbox.lists import CREATED, ListMethod
from sync.sandbox.php import Json, Refusal
from sync.sandbox.records import Record
from sync.sandbox.shapes import Done, Shape, Write, making, user
from sync.sandbox.writes import id_of, known

FILTERS = {
    **among(customerIds="customer.id", customerExternalIds="customer.externalId",
            managerIds="managerId"),
    **text("text"),
}  # fmt: skip
COLLECTIONS = {"customers": "customer-notes", "customers-corporate": "corporate-notes"}


def create_note(
    account: Account, customer_id: int, text: str, *, manager: int | None = None
) -> int:
    """Create a note on a customer or corporate customer."""
    firm = customer_id in account.collections["customers-corporate"].truth.live
    whose = "customers-corporate" if firm else "customers"
    with account.saving(silent=True) as save:
        _, person = account.store.loaded(whose, customer_id)
        record = _new(account, COLLECTIONS[whose], stub(person), text, save.text, manager)
        save.put(COLLECTIONS[whose], record)
        return record.id


def stub(person: Json) -> Json:
    """Return a customer as notes and loyalty accounts refer to it."""
    return {k: person[k] for k in ("site", "id", "externalId", "type") if k in person}


def _new(
    account: Account, collection: str, whose: Json, text: str, created: str,
    manager: int | None = None,
) -> Record:  # fmt: skip
    made = {"customer": whose, "managerId": manager or account.user_ids[0],
            "id": account.store.take_id(collection), "text": text,
            "createdAt": created}  # fmt: skip
    return account.store.record(made, site=whose.get("site"))


def of_customer(seeding: Seeding, person: Json, die: float) -> Left:
    if die < 0.3:
        name = "customer-notes"
        yield name, _new(seeding.account, name, stub(person), "note", person["createdAt"])


def of_firm(seeding: Seeding, firm: Json, _: float) -> Left:
    name = "corporate-notes"
    whose: Json = {"site": firm["site"], "id": firm["id"], "type": "customer_corporate"}
    yield name, _new(seeding.account, name, whose, "note", firm["createdAt"])


# --- methods


@dataclass(frozen=True)
class NoteWrites:
    """Notes of customers, or of corporate customers, made and deleted."""

    whose: str

    @property
    def shape(self) -> Shape:
        fields = {**shapes.text("text"), "managerId": user(), "customer": known(self.whose)}
        return Shape(fields, needs=("text", "customer"))

    def create(self, call: Call, value: Any) -> Done:
        form = shapes.checked(call, self.shape, value, "Note", makes=True)
        number = create_note(
            call.account, form["customer"].id, form["text"], manager=form.get("managerId")
        )
        return Done({"id": number})

    def delete(self, call: Call, _: Any) -> Done:
        collection = COLLECTIONS[self.whose]
        record = call.account.collections[collection].truth.live.get(id_of(call))
        if record is None or not call.key.sees(record.site):
            raise Refusal(404, "Note not found map")  # the text of the Go client's test
        with call.account.saving("api") as save:
            save.drop(collection, record.id, "removed")
        return Done()

    def methods(self) -> dict[str, Write]:
        return {
            f"{self.whose}/notes/create": making(self.create, "note", self.shape),
            f"{self.whose}/notes/{{id}}/delete": Write(self.delete),
        }


def _list(collection: str) -> ListMethod:
    return ListMethod(collection, "notes", FILTERS, order="id_asc", created=CREATED)


CUSTOMER_NOTES = Kind(
    "customer-notes",
    scope="customer_read",
    methods={"customers/notes": _list("customer-notes")},
    writes=NoteWrites("customers").methods(),
    mutations=(create_note,),
    left_by={"customers": of_customer},
)
CORPORATE_NOTES = Kind(
    "corporate-notes",
    scope="customer_read",
    methods={"customers-corporate/notes": _list("corporate-notes")},
    writes=NoteWrites("customers-corporate").methods(),
    left_by={"customers-corporate": of_firm},
)
