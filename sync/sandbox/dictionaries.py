"""The dictionaries of an account: read whole, and edited by code (couriers, currencies by id)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sync.sandbox.account import Account
from sync.sandbox.calls import Call
from sync.sandbox.php import Json, Refusal
from sync.sandbox.shapes import (
    FORMAT,
    Check,
    Done,
    Fields,
    Shape,
    Write,
    Wrong,
    checked,
    code,
    flag,
    inside,
    lists,
    maps,
    number,
    text,
    whole,
)
from sync.sandbox.singles import as_json

SCOPE = "reference_read"
_MAPS = {
    "delivery-services": "deliveryServices", "delivery-types": "deliveryTypes",
    "order-methods": "orderMethods", "order-types": "orderTypes",
    "payment-statuses": "paymentStatuses",
    "payment-types": "paymentTypes", "product-statuses": "productStatuses", "sites": "sites",
    "status-groups": "statusGroups", "statuses": "statuses", "units": "units",
}  # fmt: skip
_ROWS = {
    "cost-groups": "costGroups", "cost-items": "costItems", "countries": "countriesIso",
    "couriers": "couriers", "currencies": "currencies", "legal-entities": "legalEntities",
    "mg-channels": "mgChannels", "price-types": "priceTypes", "stores": "stores",
}  # fmt: skip
_OURS = ("couriers", "mg-channels")  # the API has ids of them, no codes


# --- mutations


def set_reference(account: Account, dictionary: str, code: str, **fields: Any) -> None:
    """Change, rename or add a dictionary entry (`set_reference("statuses", "new", name=…)`)."""
    with account.lock:
        entry = account.references[dictionary].setdefault(code, {"code": code, "active": True})
        entry.update({k: v for k, v in fields.items() if v is not None})
        for gone in [k for k, v in fields.items() if v is None]:
            entry.pop(gone, None)


def remove_reference(account: Account, dictionary: str, code: str) -> None:
    with account.lock:
        del account.references[dictionary][code]


MUTATIONS: tuple[Callable[..., Any], ...] = (set_reference, remove_reference)


# --- reading


@dataclass(frozen=True)
class ReferenceMethod:
    """An unpaged dictionary: a map by code, or a list; `strip` leaves out a code the API lacks."""

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


METHODS = {
    f"reference/{name}": ReferenceMethod(name, key, keyed=name in _MAPS, strip=name in _OURS)
    for name, key in (_MAPS | _ROWS).items()
}


# --- writing

_PHONE = Shape(text("number"))
_FIELDS: dict[str, tuple[str | tuple[str, ...], Fields]] = {
    "cost-groups": ("costGroup", {**text("name", "color"), **whole("ordering"), **flag("active")}),
    "cost-items": ("costItem", {
        **text("name", "type"), "group": code("cost-groups"), **whole("ordering"),
        **flag("active", "appliesToOrders", "appliesToUsers"),
    }),
    "delivery-services": ("deliveryService", {**text("name"), **flag("active")}),
    "delivery-types": ("deliveryType", {
        **text("name", "description", "currency", "vatRate"),
        **number("defaultCost", "defaultNetCost"), **flag("active", "defaultForCrm"),
        **lists("paymentTypes", "deliveryServices", "deliveryPaymentTypes", "sites"),
    }),
    "legal-entities": ("legalEntity", {
        **text("legalName", "contragentType", "legalAddress", "INN", "OKPO", "KPP", "OGRN",
               "OGRNIP", "certificateNumber", "BIK", "bank", "bankAddress", "corrAccount",
               "bankAccount", "countryIso", "vatRate", "certificateDate"),
    }),
    "order-methods": ("orderMethod", {
        **text("name"), **flag("active", "defaultForCrm", "defaultForApi", "isFromPos"),
    }),
    "order-types": ("orderType", {
        **text("name"), **flag("active", "defaultForCrm", "defaultForApi"), **whole("ordering"),
    }),
    "payment-statuses": ("paymentStatus", {
        **text("name", "description"), **whole("ordering"), **lists("paymentTypes"),
        **flag("active", "defaultForCrm", "defaultForApi", "paymentComplete"),
    }),
    "payment-types": ("paymentType", {
        **text("name", "description"), **flag("active", "defaultForCrm", "defaultForApi"),
        **lists("deliveryTypes", "paymentStatuses", "sites"),
    }),
    # The second names of these two are what the Python client sends.
    "price-types": (("priceType", "priceTypes"), {
        **text("name", "description", "filterExpression", "currency"), **whole("ordering"),
        **flag("active", "default", "promo"), **lists("geo", "groups"),
    }),
    "product-statuses": ("productStatus", {
        **text("name", "orderStatusByProductStatus", "orderStatusForProductStatus"),
        **whole("ordering"), **flag("active", "cancelStatus"),
    }),
    "sites": ("site", {
        **text("name", "url", "description", "phones", "address", "zip", "ymlUrl", "countryIso",
               "senderEmail", "senderName"),
        **whole("ordering"), **flag("defaultForCrm", "loadFromYml"),
    }),
    "statuses": ("status", {
        **text("name"), "group": code("status-groups"), **whole("ordering"), **flag("active"),
    }),
    "stores": ("store", {
        **text("name", "externalId", "xmlId", "description", "email", "type", "inventoryType",
               "contact"),
        **flag("active"), "phone": inside(_PHONE), **maps("address", "workTime"),
    }),
    "units": (("unit", "units"), {**text("name", "sym"), **flag("default", "active")}),
}  # fmt: skip
_NEEDS = {"cost-items": ("name", "group", "type"), "statuses": ("name", "group"),
          "units": ("name", "sym"), "legal-entities": ("contragentType",),
          "cost-groups": ("name", "color")}  # fmt: skip
_NEW: dict[str, Json] = {
    "cost-groups": {"ordering": 990}, "statuses": {"ordering": 990}, "units": {"default": False},
    "cost-items": {"ordering": 990, "appliesToOrders": True, "appliesToUsers": False},
    "delivery-types": {"defaultCost": 0, "defaultNetCost": 0, "paymentTypes": [], "sites": [],
                       "deliveryServices": [], "deliveryPaymentTypes": [], "defaultForCrm": False},
    "payment-statuses": {"defaultForCrm": False, "defaultForApi": False, "paymentComplete": False,
                         "ordering": 990, "paymentTypes": []},
    "payment-types": {"defaultForCrm": False, "defaultForApi": False, "deliveryTypes": [],
                      "paymentStatuses": []},
    "order-methods": {"defaultForCrm": False, "defaultForApi": False, "isFromPos": False},
    "order-types": {"defaultForCrm": False, "defaultForApi": False, "ordering": 990},
    "price-types": {"default": False, "geo": [], "groups": [], "ordering": 990, "promo": False},
    "product-statuses": {"ordering": 990, "cancelStatus": False},
    "stores": {"type": "store-type-warehouse", "inventoryType": "integer"},
}  # fmt: skip


@dataclass(frozen=True)
class EditEntry:
    """`reference/{name}/{code}/edit`: changes an entry, or adds one under a code that is new.

    201 for a new one: the Go client's tests show both statuses, not when which is sent.
    """

    name: str

    def shape(self) -> Shape:
        return Shape(_FIELDS[self.name][1], needs=_NEEDS.get(self.name, ("name",)))

    def __call__(self, call: Call, value: Any) -> Done:
        account, given = call.account, call.args[0]
        entries = account.references[self.name]
        is_new = given not in entries
        if is_new and self.name == "sites":  # so the Go client's test
            raise Refusal(405, "Method Not Allowed")
        form = checked(call, self.shape(), value, "Entity", makes=is_new)
        if is_new:
            made = {"active": True, **_NEW.get(self.name, {}), **form}
            if self.name == "price-types":
                made["id"] = 1 + max(e["id"] for e in entries.values())
            if self.name == "product-statuses":
                made["createdAt"] = account.local(call.now)
            if self.name == "legal-entities":
                made.pop("active")
            form = made
        set_reference(account, self.name, given, **form)
        if self.name == "statuses":
            _regroup(account, given, form, is_new=is_new)
        return Done(status=201 if is_new else 200)


def _regroup(account: Account, status: str, form: Json, *, is_new: bool) -> None:
    """Put a status into its group's list; a new one that cancels counts for no customer."""
    group = account.references["statuses"][status]["group"]
    for name, entry in account.references["status-groups"].items():
        kept = [s for s in entry["statuses"] if s != status]
        entry["statuses"] = [*kept, status] if name == group else kept
    if is_new and form["group"] == "cancel":
        account.aggregates.cancelled.add(status)


@dataclass(frozen=True)
class ById:
    """Entries with ids, couriers and currencies: made, and changed by id."""

    name: str
    shape: Shape
    key: str | None = None  # the field that is the code; None: the id is

    def _find(self, call: Call) -> Json:
        for entry in call.account.references[self.name].values():
            if str(entry["id"]) == call.args[0]:
                return entry
        raise Refusal(404, "Not found")

    def create(self, call: Call, value: Any) -> Done:
        form = checked(call, self.shape, value, "Entity", makes=True)
        entries = call.account.references[self.name]
        number_ = 1 + max((e["id"] for e in entries.values()), default=0)
        own = form.pop(self.key) if self.key else str(number_)
        if own in entries:
            raise Refusal(400, FORMAT, errors={str(self.key): "It is there already."})
        usual: Json = {"active": True} if self.key is None else {"isBase": False}
        set_reference(call.account, self.name, own, id=number_, **{**usual, **form})
        return Done({"id": number_})

    def edit(self, call: Call, value: Any) -> Done:
        entry = self._find(call)
        form = checked(call, self.shape, value, "Entity", makes=False)
        form.pop(self.key or "", None)
        set_reference(call.account, self.name, entry["code"], **form)
        return Done({"id": entry["id"]})

    def methods(self, field: str) -> dict[str, Write]:
        def form(account: Account) -> Json:
            return {field: self.shape.sample(account)}

        return {
            f"reference/{self.name}/create": Write(self.create, field, 201, form),
            f"reference/{self.name}/{{id}}/edit": Write(self.edit, field, 200, form),
        }


def _iso() -> Check:
    return Check(lambda _reading, _where, value: _currency(value), lambda _: "GBP")


def _currency(value: Any) -> str:
    if not (isinstance(value, str) and len(value) == 3 and value.isalpha() and value.isupper()):
        raise Wrong("This value is not a valid currency.")
    return value


COURIER = Shape(
    {**text("firstName", "lastName", "patronymic", "email", "description"), **flag("active"),
     "phone": inside(_PHONE)},
    needs=("firstName",),
)  # fmt: skip
CURRENCY = Shape(
    {"code": _iso(), **flag("isBase", "isAutoConvert"), **number("manualConvertValue"),
     **whole("autoConvertExtraPercent", "manualConvertNominal")},
    needs=("code",),
)  # fmt: skip


def _edit(name: str) -> Write:
    field, do = _FIELDS[name][0], EditEntry(name)
    first = field if isinstance(field, str) else field[0]
    return Write(do, field, form=lambda account: {first: do.shape().sample(account)})


WRITES = {
    **{f"reference/{name}/{{code}}/edit": _edit(name) for name in _FIELDS},
    **ById("couriers", COURIER).methods("courier"),
    **ById("currencies", CURRENCY, key="code").methods("currency"),
}
