"""The sandbox's data: the same seed, the same account; records in the API's manner."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

import pytest

from sync.sandbox import Clock, Sandbox
from sync.sandbox.clock import doubled_hours

NOW = 1_790_000_000.0


def build(seed: int = 7, **more) -> Sandbox:
    sandbox = Sandbox(seed=seed, clock=Clock(NOW))
    sandbox.account("demo", orders=300, customers=100, **more)
    return sandbox


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return build()


def everything(sandbox: Sandbox) -> list[bytes]:
    account = sandbox.accounts["demo"]
    rows = [r.blob for c in account.collections.values() for r in c.truth.live.values()]
    return rows + [e.body for h in account.histories.values() for e in h.entries]


def test_the_same_seed_and_clock_give_the_same_bytes() -> None:
    """A failure is repeated by its seed."""
    assert everything(build()) == everything(build())


def test_another_seed_gives_another_account() -> None:
    """Seeds are worth varying."""
    assert everything(build(seed=7)) != everything(build(seed=8))


def test_keys_come_from_the_seed() -> None:
    """No key has to be kept anywhere, and two accounts never share one."""
    sandbox = build()
    other = sandbox.account("other")
    assert sandbox.accounts["demo"].key == build().accounts["demo"].key
    assert other.key != sandbox.accounts["demo"].key


def test_a_lean_sandbox_sends_the_same(sandbox: Sandbox) -> None:
    """Compression is about memory only."""
    lean = Sandbox(seed=7, clock=Clock(NOW), lean=True)
    lean.account("demo", orders=300, customers=100)
    for path in ("orders?limit=100", "customers", "orders/history?limit=100", "tasks"):
        assert lean.get(path) == sandbox.get(path)


def test_dates_carry_no_offset_and_lie_in_the_accounts_past(sandbox: Sandbox) -> None:
    """`Y-m-d H:i:s` in the account's zone, over about two years up to now."""
    for name in ("orders", "customers"):
        rows = [r.created for r in sandbox.accounts["demo"].collections[name].truth.live.values()]
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", when) for when in rows)
        assert max(rows) <= sandbox.accounts["demo"].local(NOW)
        assert min(rows)[:4] in ("2024", "2025")


def test_empty_maps_are_lists_and_payments_are_keyed_by_id() -> None:
    """PHP writes an empty array as `[]`; an order's payments are an object in lists."""
    _, body = build().get("orders?limit=100")
    custom = [order["customFields"] for order in body["orders"]]
    assert [] in custom
    assert any(isinstance(fields, dict) and fields for fields in custom)
    for order in body["orders"]:
        assert isinstance(order["payments"], dict)
        assert all(key == str(p["id"]) for key, p in order["payments"].items())


def test_an_order_embeds_its_customer_as_the_customer_is(sandbox: Sandbox) -> None:
    """`customer` in an order is the whole customer, with its aggregates of now."""
    _, orders = sandbox.get("orders?limit=100")
    order = next(o for o in orders["orders"] if o.get("customer", {}).get("type") == "customer")
    _, found = sandbox.get(f"customers?filter[ids][]={order['customer']['id']}")
    assert order["customer"] == found["customers"][0]


def test_aggregates_are_those_of_the_orders_that_count(sandbox: Sandbox) -> None:
    """ordersCount and totalSumm leave cancelled and returned orders out."""
    account = sandbox.accounts["demo"]
    counted: dict[int, int] = {}
    for record in account.collections["orders"].truth.live.values():
        order = account.collections["orders"].load(record)
        if account.references["statuses"][order["status"]]["group"] != "cancel":
            counted[record.customer or 0] = counted.get(record.customer or 0, 0) + 1
    for customer in account.entities("customers"):
        assert customer["ordersCount"] == counted.get(customer["id"], 0)


def test_statuses_progress_from_new_to_an_end(sandbox: Sandbox) -> None:
    """Every order begins as new; old ones are complete, cancelled or returned."""
    account = sandbox.accounts["demo"]
    month_ago = account.local(NOW - 30 * 86400)
    old = {o["status"] for o in account.entities("orders") if o["createdAt"] < month_ago}
    assert {"complete", "cancel-other"} <= old
    assert "new" not in old
    first: dict[int, bytes] = {}
    for entry in account.histories["orders"].entries:
        first.setdefault(entry.owner, entry.body)
    assert all(b'"newValue":{"code":"new"}' in body for body in first.values())


def test_awkward_values_can_be_had_and_can_be_left_out() -> None:
    """Zero dates, NUL characters, numeric strings: legal, rare, and behind a knob."""
    text = b"".join(everything(build(awkward=1.0)))
    for odd in (b"0000-00-00", rb"\u0000", b'"regionId":"'):
        assert odd in text
    plain = b"".join(everything(build(awkward=0.0)))
    for odd in (b"0000-00-00", rb"\u0000", b'"regionId":"'):
        assert odd not in plain


def test_where_clocks_go_back_some_orders_fall_into_the_doubled_hour() -> None:
    """Local time alone does not say which of the two readings it is."""
    zone = ZoneInfo("Europe/Madrid")
    hours = doubled_hours(zone, NOW - 730 * 86400, NOW)
    assert len(hours) == 2
    sandbox = Sandbox(seed=7, clock=Clock(NOW))
    account = sandbox.account("tienda", zone="Europe/Madrid", orders=300, customers=100)
    assert account.currency == "EUR"
    doubled = {account.local(hour)[:13] for hour in hours}
    made = [r.created for r in account.collections["orders"].truth.live.values()]
    assert doubled & {when[:13] for when in made}


def test_every_method_of_the_catalogue_answers(sandbox: Sandbox) -> None:
    """A list has its rows under its own key, and a page block around them."""
    keys = {
        "orders": "orders", "orders/history": "history", "customers": "customers",
        "customers/history": "history", "customers-corporate": "customersCorporate",
        "customers-corporate/history": "history", "customers/notes": "notes",
        "customers-corporate/notes": "notes", "orders/packs": "packs",
        "orders/packs/history": "history",
        "tasks": "tasks", "tasks/history": "history", "costs": "costs", "files": "files",
        "delivery/shipments": "deliveryShipments", "store/products": "products",
        "store/offers": "offers",
        "store/inventories": "offers", "store/product-groups": "productGroup",
        "store/products/properties": "properties",
        "store/products/properties/values": "productPropertyValues",
        "loyalty/accounts": "loyaltyAccounts", "loyalty/loyalties": "loyalties",
        "loyalty/bonus/operations": "bonusOperations", "segments": "segments", "users": "users",
        "user-groups": "groups", "custom-fields": "customFields",
        "custom-fields/dictionaries": "customDictionaries",
        "reference/mg-channels/templates": "templates",
    }  # fmt: skip
    for path, key in keys.items():
        status, body = sandbox.get(path)
        assert (status, body["success"]) == (200, True), path
        assert isinstance(body[key], list), path
        assert body[key], path
        assert "pagination" in body, path


def test_dictionaries_are_maps_or_lists_as_the_api_has_them(sandbox: Sandbox) -> None:
    """Eleven come keyed by code, the others as lists; couriers have ids and no code."""
    for path, key in (("statuses", "statuses"), ("units", "units"), ("sites", "sites")):
        _, body = sandbox.get(f"reference/{path}")
        assert all(code == entry["code"] for code, entry in body[key].items())
    for path, key in (
        ("stores", "stores"),
        ("couriers", "couriers"),
        ("countries", "countriesIso"),
    ):
        _, body = sandbox.get(f"reference/{path}")
        assert isinstance(body[key], list)
    assert "code" not in sandbox.get("reference/couriers")[1]["couriers"][0]


def test_an_emptied_dictionary_is_a_list(sandbox: Sandbox) -> None:
    """A map without entries is `[]`, like everything PHP finds empty."""
    other = build()
    account = other.accounts["demo"]
    for code in list(account.references["units"]):
        account.remove_reference("units", code)
    assert other.get("reference/units")[1]["units"] == []


def test_the_lesser_methods_answer_too(sandbox: Sandbox) -> None:
    """Carts with an offset in their times, downloads, look-ups, single objects by code."""
    account = sandbox.accounts["demo"]
    buyers = [r for r in account.collections["customers"].truth.live.values() if r.site == "main"]
    left = next(r.id for r in buyers if r.id % 5 == 0)
    cart = sandbox.get(f"customer-interaction/main/cart/{left}?by=id")[1]["cart"]
    assert re.search(r"[+-]\d\d:\d\d$", cart["droppedAt"])
    assert cart["items"][0]["id"] == "1"
    assert sandbox.get(f"customer-interaction/main/favorites/{left}?by=id")[0] == 200
    file = account.ids("files")[0]
    assert sandbox.get(f"files/{file}/download")[1].startswith(b"%PDF")
    assert sandbox.get("loyalty/loyalties/3")[1]["requiredFields"] == []
    assert sandbox.get("custom-fields/order/gift")[1]["customField"]["type"] == "boolean"
    assert sandbox.get("custom-fields/dictionaries/colours")[1]["customDictionary"]["elements"]
    fields = sandbox.get("custom-fields?filter[entity]=order")[1]["customFields"]
    assert all("entity" not in field for field in fields)
    held = account.ids("loyalty-accounts")[0]
    details = sandbox.get(f"loyalty/account/{held}/bonus/waiting_activation/details")[1]
    assert {"statistic", "bonuses", "pagination"} <= set(details)
    assert sandbox.get("features/check?features[]=a&features[]=b")[1]["features"]
    assert sandbox.get("telephony/manager?phone=1")[1]["links"]
    order = account.ids("orders")[0]
    rows = sandbox.get(f"orders/statuses?ids[]={order}")[1]["orders"]
    assert (rows[0]["id"], set(rows[0]) >= {"status", "group"}) == (order, True)


def test_recalculating_statistics_needs_its_own_scope_and_a_pause() -> None:
    """A GET that does something; a mirror has no business there."""
    sandbox = build()
    assert sandbox.get("statistic/update")[0] == 403
    sandbox.accounts["demo"].grant_scope("analytics_write")
    assert sandbox.get("statistic/update")[0] == 200
    assert sandbox.get("statistic/update")[0] == 400
