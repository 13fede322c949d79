"""Users of the CRM and their groups."""

from __future__ import annotations

from typing import Any

from sync.sandbox import people
from sync.sandbox.calls import Call
from sync.sandbox.filters import among, flag, idle, moments
from sync.sandbox.forms import INPUT, missing
from sync.sandbox.kind import Kind, Seeding
from sync.sandbox.lists import ListMethod
from sync.sandbox.php import Json, Refusal
from sync.sandbox.shapes import CHOICE, Done, Write
from sync.sandbox.singles import SingleMethod, find

FILTERS = {
    **among("email", "status", groups="groups[].id"),
    **flag("online", "active", "isManager", "isAdmin"), **moments(createdAt="createdAt"),
    **idle("isPosManager"),
}  # fmt: skip


def seed(seeding: Seeding) -> None:
    """Create two groups and seven users; one has left, the others save and manage records."""
    account, rng = seeding.account, seeding.rng
    groups: list[Json] = [
        {"id": 26, "name": "Руководители" if account.language == "RU" else "Managers",
            "code": "director",
         "isManager": True, "isPosManager": False, "isDeliveryMen": False, "deliveryTypes": [],
         "breakdownOrderTypes": [], "breakdownSites": [], "breakdownOrderMethods": [],
         "grantedOrderTypes": [], "grantedSites": []},
        {"id": 27, "name": "Sales", "code": "sales", "isManager": True, "isPosManager": False,
         "isDeliveryMen": False, "deliveryTypes": ["courier"], "breakdownOrderTypes": [],
         "breakdownSites": [], "breakdownOrderMethods": [], "grantedOrderTypes": [],
         "grantedSites": []},
    ]  # fmt: skip
    account.store.fill("user-groups", groups)
    users: list[Json] = []
    for n in range(1, 8):
        first, last, _, _ = people.full_name(rng, people.tongue(rng, account.language))
        users.append(
            {"id": n, "createdAt": account.local(account.started + n * 86400 * 30),
                "active": n != 7,
             "email": f"user{n}@example.com", "firstName": first, "lastName": last,
             "phone": f"+7800000000{n}",
             "status": rng.choice(("free", "busy", "dinner", "break")), "online": n % 2 == 0,
             "isAdmin": n == 1, "isManager": n > 1, "groups": [groups[0 if n < 3 else 1]],
             "mgUserId": 300 + n}
        )  # fmt: skip
    account.store.fill("users", users)
    account.user_ids[:] = [u["id"] for u in users[:6]]


def set_status(call: Call, _: Any) -> Done:
    """Set what a user is doing, a parameter without JSON."""
    record = find(call, "users", call.args[0], by_external=False)
    status = call.params.get("status")
    if status is None:
        raise missing("status")
    if status not in ("free", "busy", "dinner", "break"):
        raise Refusal(400, INPUT, errors={"status": CHOICE})
    user = call.account.collections["users"].load(record) | {"status": status}
    with call.account.saving("api") as save:
        save.put("users", call.account.store.record(user))
    return Done()


USERS = Kind(
    "users",
    scope="user_read",
    methods={
        "users": ListMethod("users", "users", FILTERS, order="id_desc"),
        "users/{id}": SingleMethod("users", "user"),
    },
    writes={"users/{id}/status": Write(set_status, form=lambda _: {"status": "busy"})},
    seed=seed,
)
GROUPS = Kind(
    "user-groups",
    scope="user_read",
    methods={"user-groups": ListMethod("user-groups", "groups", {}, order="id_desc")},
)
