"""Files, attached to an order or to nothing."""

from __future__ import annotations

from sync.sandbox.filters import among, flag, least, most, text
from sync.sandbox.kind import Kind, Left, Seeding
from sync.sandbox.lists import CREATED, ListMethod
from sync.sandbox.php import Json
from sync.sandbox.shop import short
from sync.sandbox.singles import Download, SingleMethod

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


FILES = Kind(
    "files",
    scope="file_read",
    methods={
        "files": ListMethod("files", "files", FILTERS, created=CREATED),
        "files/{id}": SingleMethod("files", "file"),
        "files/{id}/download": Download("files"),
    },
    after=("tasks",),
    left_by={"orders": of_order},
)
