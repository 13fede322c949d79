"""Segments of customers."""

from __future__ import annotations

from sync.sandbox.filters import bounds, flag, idle, since, text, until
from sync.sandbox.kind import Kind, Seeding
from sync.sandbox.lists import ListMethod

FILTERS = {
    **text("name"), **flag("active"), **since(dateFrom="createdAt"), **until(dateTo="createdAt"),
    **bounds(CustomersCount="customersCount"), **idle("type"),
}  # fmt: skip
_SEGMENTS = (
    ("rossiya", "Россия"), ("davnie", "Давние"), ("regulyarniy-klient", "Регулярный клиент"),
    ("sin-cancelaciones", "Sin cancelaciones"), ("big-spenders", "Big spenders"),
)  # fmt: skip


def seed(seeding: Seeding) -> None:
    account = seeding.account
    account.store.fill(
        "segments",
        [
            {"id": n + 3, "code": code, "name": name, "createdAt": account.local(account.started),
             "isDynamic": n % 2 == 0,
             "customersCount": seeding.rng.randint(1, 900), "active": n != 1}
            for n, (code, name) in enumerate(_SEGMENTS)
        ],
    )  # fmt: skip


SEGMENTS = Kind(
    "segments",
    scope="segment_read",
    methods={"segments": ListMethod("segments", "segments", FILTERS, order="id_desc")},
    after=("users",),
    seed=seed,
)
