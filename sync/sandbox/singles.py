"""Methods that answer one object: by id or externalId, and the unversioned service methods."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from sync.sandbox.calls import Call
from sync.sandbox.php import Json, Refusal, values
from sync.sandbox.records import Record
from sync.sandbox.sending import answered


@dataclass(frozen=True)
class SingleMethod:
    """`/{collection}/{id}`; with `by_external` the path names an externalId unless by=id."""

    collection: str
    key: str
    by_external: bool = False

    def __call__(self, call: Call) -> bytes:
        record = find(call, self.collection, call.args[0], by_external=self.by_external)
        blob = answered(call, self.collection, record)
        return b'{"success":true,"%b":%b}' % (self.key.encode(), blob)


@dataclass(frozen=True)
class CodedMethod:
    """`/{entity}/{code}`: the object whose fields equal the variable parts of the path."""

    collection: str
    key: str
    names: tuple[str, ...]

    def __call__(self, call: Call) -> bytes:
        collection = call.account.collections[self.collection]
        for record in collection.view(call.now, call.replica).live.values():
            entity = collection.load(record)
            if all(entity[n] == arg for n, arg in zip(self.names, call.args, strict=True)):
                return as_json(**{self.key: entity})
        raise Refusal(404, "Not found")


def find(call: Call, collection: str, text: str, *, by_external: bool) -> Record:
    """The record a path means, or "Not found", with combinedTo when it was merged away."""
    target = call.account.collections[collection]
    if by_external and call.by() == "externalId":
        site = call.params.get("site")
        if site is None and len(call.sites()) > 1:
            raise Refusal(400, "Parameter 'site' is missing")
        found = target.find(
            call.now,
            lambda r: r.external == text and (site is None or r.site == site),
        )
        missing = next(
            (i for i, g in target.gone.items() if g.last and g.last.external == text), None
        )
    else:
        missing = int(text) if text.isdigit() else None
        found = target.get(missing, call.now) if missing is not None else None
    if found is None or not call.key.sees(found.site):
        raise not_found(call, collection, missing)
    return found


def not_found(call: Call, collection: str, record_id: int | None) -> Refusal:
    more: Json = {}
    target = call.account.collections[collection]
    gone = target.gone.get(record_id) if record_id is not None else None
    while gone is not None and gone.combined_to is not None:
        survivor = target.truth.live.get(gone.combined_to)
        if survivor is not None:
            more["combinedTo"] = target.load(survivor)
            break
        gone = target.gone.get(gone.combined_to)
    return Refusal(404, "Not found", **more)


def as_json(**answer: object) -> bytes:
    return orjson.dumps({"success": True, **answer})


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
            "timezone": value(account.zone_name, account.settings_changed_at),
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


def order_statuses(call: Call) -> bytes:
    """`ids[]` and `externalIds[]` are top-level parameters here."""
    ids = set(values(call.params.get("ids", {})))
    external = set(values(call.params.get("externalIds", {})))
    orders = call.account.collections["orders"]
    rows: list[Json] = []
    wanted = [int(i) for i in ids if i.isdigit()]
    if external:
        wanted += [r.id for r in orders.truth.live.values() if r.external in external]
    for order_id in dict.fromkeys(wanted):
        record = orders.get(order_id, call.now)
        if record is None or not call.key.sees(record.site):
            continue
        order = orders.load(record)
        status = call.account.references["statuses"].get(order["status"], {})
        row: Json = {k: order[k] for k in ("id", "externalId", "status") if k in order}
        rows.append({**row, "group": status.get("group", "new")})
    return as_json(orders=rows)


@dataclass(frozen=True)
class ReferenceMethod:
    """An unpaged dictionary: a map by code, or a list; `strip` drops a code that is only ours."""

    name: str
    key: str
    keyed: bool = False
    strip: bool = False

    def __call__(self, call: Call) -> bytes:
        entries = call.account.references[self.name]
        if self.name == "sites":
            entries = {c: e for c, e in entries.items() if call.key.sees(c)}
        if self.name == "countries":
            return as_json(**{self.key: list(entries)})
        if self.keyed:
            return as_json(**{self.key: entries or []})
        rows = entries.values()
        if self.strip:
            rows = [{k: v for k, v in e.items() if k != "code"} for e in rows]  # type: ignore[assignment]
        return as_json(**{self.key: list(rows)})
