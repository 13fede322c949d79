"""Files, attached to an order or to nothing."""

from __future__ import annotations

from typing import Any

from sync.sandbox import shapes
from sync.sandbox.calls import Call
from sync.sandbox.filters import among, flag, least, most, text
from sync.sandbox.forms import CONTENT, FORM, missing
from sync.sandbox.kind import Kind, Left, Seeding
from sync.sandbox.lists import CREATED, ListMethod
from sync.sandbox.php import Json
from sync.sandbox.shapes import Done, Shape, Write, checked, editing, every
from sync.sandbox.shop import short
from sync.sandbox.singles import Download, SingleMethod, find
from sync.sandbox.writes import known

FILTERS = {
    **among("type", orderIds="attachment[].order.id", customerIds="attachment[].customer.id",
            orderExternalIds="attachment[].order.externalId",
            customerExternalIds="attachment[].customer.externalId",
            sites="attachment[].order.site"),
    **text("filename"), **least(sizeFrom="size"), **most(sizeTo="size"),
    **flag(isAttached="attachment"),
}  # fmt: skip


def of_order(seeding: Seeding, order: Json, die: float) -> Left:
    if not 0.4 < die < 0.5:
        return
    store, site = seeding.account.store, order["site"]
    file: Json = {
        "id": store.take_id("files"), "filename": f"scan {order['id']}.pdf",
        "type": "application/pdf", "createdAt": order["createdAt"],
        "size": seeding.rng.randint(14, 90_000),
        "attachment": [{"order": {**short(order), "site": site}}] if die < 0.48 else [],
    }  # fmt: skip
    yield "files", store.record(file, site=site)


# --- writes; no history tells of them

ATTACHED = Shape({"order": known("orders"), "customer": known("customers", "customers-corporate")})
FILE = Shape({**shapes.text("filename"), "attachment": every(ATTACHED)})


def upload(call: Call, _: Any) -> Done:
    """Take a body of any type for a file; its content is not kept.

    The Python client sends the parameter `file` instead: then that is the file.
    """
    given = call.params.get(CONTENT) or {}
    text = str(call.params.get("file") or "")
    size, kind = (given.get("size"), given.get("type")) if given else (len(text), FORM)
    if not size:
        raise missing("file")
    with call.account.saving("api") as save:
        number = call.account.store.take_id("files")
        file: Json = {"id": number, "filename": f"file {number}", "type": kind, "size": size,
                      "createdAt": save.text, "attachment": []}  # fmt: skip
        save.put("files", call.account.store.record(file, site=None))
    return Done({"file": {"id": number}})


def edit(call: Call, value: Any) -> Done:
    record = find(call, "files", call.args[0], by_external=False)
    form = checked(call, FILE, value, "File", makes=False)
    account = call.account
    file = account.collections["files"].load(record)
    site = record.site
    if form.get("filename"):
        file["filename"] = form["filename"]
    if form.get("attachment") is not None:
        file["attachment"] = []
        for each in form["attachment"]:
            order, person = each.get("order"), each.get("customer")
            whose: Json = {}
            if order is not None:
                whole = account.collections["orders"].load(order)
                whose["order"] = {**short(whole), "site": order.site}
            if person is not None:
                whose["customer"] = {"id": person.id, "site": person.site}
            site = (order or person).site if whose else site
            file["attachment"].append(whose)
    with account.saving("api") as save:
        save.put("files", account.store.record(file, site=site))
    return Done({"file": file})


def delete(call: Call, _: Any) -> Done:
    record = find(call, "files", call.args[0], by_external=False)
    with call.account.saving("api") as save:
        save.drop("files", record.id, "removed")
    return Done()


FILES = Kind(
    "files",
    scope="file_read",
    methods={
        "files": ListMethod("files", "files", FILTERS, created=CREATED),
        "files/{id}": SingleMethod("files", "file"),
        "files/{id}/download": Download("files"),
    },
    writes={
        "files/upload": Write(upload, form=lambda _: {"file": "a text"}),
        "files/{id}/edit": editing(edit, "file", FILE),
        "files/{id}/delete": Write(delete),
    },
    after=("tasks",),
    left_by={"orders": of_order},
)
