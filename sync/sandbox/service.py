"""Methods and mutations that belong to no kind: settings, look-ups, any record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

from sync.sandbox import dictionaries
from sync.sandbox.account import Account
from sync.sandbox.backups import Backups
from sync.sandbox.calls import Call
from sync.sandbox.clock import offset_text
from sync.sandbox.history_format import merged
from sync.sandbox.keys import Keyring
from sync.sandbox.kind import Answer
from sync.sandbox.php import Json, Refusal, values
from sync.sandbox.records import Record
from sync.sandbox.singles import as_json, find
from sync.sandbox.store import site_of

# --- mutations


def create(account: Account, collection: str, **fields: Any) -> int:
    """Add a record as its list would send it; `id` and `createdAt` are given if missing."""
    with account.saving(silent=True) as save:
        target = account.collections[collection]
        made: Json = {"id": target.take_id(), **fields}
        live = target.truth.live
        dated = not live or "createdAt" in target.load(next(iter(live.values())))
        if dated and "createdAt" not in fields:
            made["createdAt"] = save.text
        target.next_id = max(target.next_id, made["id"] + 1)
        save.put(collection, account.store.record(made, site=site_of(made)))
        return int(made["id"])


def update(account: Account, collection: str, record_id: int, **changes: Any) -> int:
    """Change a record; a product's `updatedAt` moves too, as in the API."""
    with account.saving(silent=True) as save:
        before, old = account.store.loaded(collection, record_id)
        new = merged(old, changes)
        if collection == "products" and "updatedAt" not in changes:
            new["updatedAt"] = save.text
        record = Record(
            before.id, new.get("createdAt", before.created), new.get("site", before.site),
            new.get("externalId"), account.store.pack(new), before.customer, before.contact,
        )  # fmt: skip
        save.put(collection, record)
        return before.id


def delete(account: Account, collection: str, record_id: int) -> int:
    """Remove a record without a history entry."""
    with account.saving(silent=True) as save:
        save.drop(collection, account.must(collection, record_id).id, "removed")
        return int(record_id)


def _of(part: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a method of an account's part into a mutation of the account."""

    @wraps(method)
    def edit(account: Account, *positional: Any, **arguments: Any) -> Any:
        return method(getattr(account, part), *positional, **arguments)

    return edit


MUTATIONS: tuple[Callable[..., Any], ...] = (
    create, update, delete, *dictionaries.MUTATIONS, Account.set_zone,
    *(_of("keyring", method) for method in (
        Keyring.add_key, Keyring.revoke_key, Keyring.restore_key, Keyring.revoke_scope,
        Keyring.grant_scope, Keyring.limit_sites, Keyring.revoke_site,
    )),
    *(_of("backups", method) for method in (Backups.back_up, Backups.restore)),
)  # fmt: skip


# --- methods


def api_versions(_: Call) -> bytes:
    return as_json(versions=["3.0", "4.0", "5.0"])


def credentials(call: Call) -> bytes:
    found: Json = {
        "scopes": sorted(call.key.scopes),
        "credentials": ["/api/orders", "/api/customers", "/api/reference/{name}"],
    }
    if call.key.sites is None:
        return as_json(**found, siteAccess="access_full")
    return as_json(**found, siteAccess="access_selective", sitesAvailable=list(call.key.sites))


def system_info(call: Call) -> bytes:
    name = call.account.name
    return as_json(
        systemVersion="8.1.51",
        publicUrl=f"https://{name}.retailcrm.ru",
        technicalUrl=f"https://{name}wtest.retailcrm.io",
    )


def settings(call: Call) -> bytes:
    account = call.account
    first = account.local(account.started)

    def value(text: str, when: str) -> Json:
        return {"value": text, "updated_at": when}

    return as_json(
        settings={
            "default_currency": value(account.currency, first),
            "system_language": value(account.language, first),
            "timezone": value(account.time.zone_name, account.settings_changed_at),
            "work_times": [
                {"day_type": "Sunday", "start_time": "00:00", "end_time": "12:00",
                 "lunch_start_time": "04:30", "lunch_end_time": "05:00"}
            ],
            "non_working_days": [{"start_date": "01.01", "end_date": "01.07"}],
            "mg": {"order_creation": {
                "default": {"site": account.sites[0], "order_type": "eshop-individual",
                    "order_method": "messenger"},
                "channels": {"1": {"site": account.sites[0], "order_type": "eshop-individual",
                    "order_method": "messenger"}},
            }},
        }
    )  # fmt: skip


def integration_module(call: Call) -> bytes:
    code = call.args[0]
    if code not in ("mg-bot", "courier-service"):
        raise Refusal(404, "Not found")
    return as_json(
        integrationModule={
            "code": code, "integrationCode": code, "active": True, "freeze": False, "name": code,
            "native": False, "baseUrl": f"https://{code}.example.com",
            "actions": {"activity": "/activity"},
            "availableCountries": [], "accountUrl": f"https://{code}.example.com/settings",
            "integrations": {},
        }
    )  # fmt: skip


def features(call: Call) -> bytes:
    asked = values(call.params.get("features", {}))
    return as_json(features=[{"code": code, "available": not code.endswith("2")} for code in asked])


def manager_by_phone(call: Call) -> bytes:
    """Return the manager of the customer with this phone."""
    phone = str(call.params.get("phone", "")).lstrip("+")
    account, people = call.account, call.account.collections["customers"]
    users = account.collections["users"]
    manager = users.load(users.truth.live[account.user_ids[0]])
    found: Json = {"manager": {k: manager[k] for k in ("id", "firstName", "lastName", "email")}}
    if phone:
        for record in people.truth.live.values():
            person = people.load(record)
            if any(p["number"].lstrip("+") == phone for p in person["phones"]):
                found["customer"] = {
                    k: person[k] for k in ("id", "firstName", "lastName") if k in person
                }
                break
    base = f"https://{account.name}.retailcrm.ru"
    found["links"] = {"newOrderLink": f"{base}/orders/add?phone={phone}",
                      "newCustomerLink": f"{base}/customers/add?phone={phone}"}  # fmt: skip
    return as_json(**found)


def sms_status(call: Call) -> bytes:
    when = call.account.local(call.now - 60)
    return as_json(
        verification={"createdAt": when, "verifiedAt": when, "checkId": call.args[0],
            "actionType": "register"}
    )  # fmt: skip


def nothing_here(_: Call) -> bytes:
    """Answer 404: this account has no such objects."""
    raise Refusal(404, "Not found")


def recalculate(call: Call) -> bytes:
    """Answer a GET with a side effect; a second one within a minute is refused."""
    account = call.account
    last = account.counters.get("statistic", 0)
    if call.now - last < 60:
        raise Refusal(400, "Statistic update is already queued")
    account.counters["statistic"] = int(call.now)
    return as_json()


def cart(call: Call) -> bytes:
    """Return a cart; one customer in five has one. Times here carry their UTC offset."""
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
    asked = replace(call, params=params, args=(text,))
    return find(asked, "customers", text, by_external=True)


# path below /api/ -> its answer and the scope it needs; None: any valid key
METHODS: dict[str, tuple[Answer, str | None]] = {
    "api-versions": (api_versions, None),
    "credentials": (credentials, None),
    "system-info": (system_info, None),
    "v5/settings": (settings, None),
    "v5/integration-modules/{code}": (integration_module, "integration_read"),
    "v5/customer-interaction/{site}/cart/{customer}": (cart, "customer_read"),
    "v5/customer-interaction/{site}/favorites/{customer}": (favorites, "customer_read"),
    "v5/payment/invoice/{uuid}": (nothing_here, None),
    "v5/features/check": (features, None),
    "v5/telephony/manager": (manager_by_phone, None),
    "v5/verification/sms/{check}/status": (sms_status, None),
    "v5/statistic/update": (recalculate, "analytics_write"),
} | {f"v5/{path}": (answer, dictionaries.SCOPE) for path, answer in dictionaries.METHODS.items()}
