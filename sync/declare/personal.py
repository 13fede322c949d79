"""The list of columns with personal data, for masking, erasure and the dictionary.

A column is classified by its name, kind and table. Codes, numbers, dates and booleans are not
personal unless named here. Text and JSON are personal unless named here: a column without a rule
is hidden (`is_judged` is then False, and a test fails until the column gets a rule).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import cache

from sync.declare.declarations import Field, Resource


class Care(Enum):
    """The treatment of a column: its value under --mask; its fate when the person is erased."""

    OPEN = "open"  # shown; kept
    PLACE = "place"  # shown, because a town does not identify a person; erased
    HASH = "hash"  # hashed, so that equal values stay equal; erased
    CUT = "cut"  # NULL; erased
    YEAR = "year"  # the first day of its year; erased
    CHANGE = "change"  # a value in a history: shown and kept for fields in OPEN_CHANGES

    @property
    def is_kept(self) -> bool:
        """True when erasure keeps the value."""
        return self is Care.OPEN


# The account's own dictionaries and catalogue: they describe things, not persons.
_THINGS = frozenset(
    {
        "countries", "currencies", "units", "status_groups", "status_group_statuses", "statuses",
        "product_statuses", "order_types", "order_methods", "payment_types", "payment_statuses",
        "price_types", "price_type_geo", "delivery_types", "delivery_services", "cost_groups",
        "cost_items", "mg_channels", "mg_templates", "segments", "customer_segments",
        "custom_fields", "custom_dictionaries", "custom_dictionary_elements", "product_groups",
        "product_properties", "product_property_groups", "product_property_values", "products",
        "product_group_products", "product_offers", "offers", "offer_prices", "offer_images",
        "inventories", "inventory_stores", "loyalties", "loyalty_levels",
        "user_groups", "user_group_users", "settings", "credentials",
        "setting_work_times", "setting_non_working_days", "removed_rows",
        "kept_order_status_spans", "kept_order_margin",
    }
)  # fmt: skip

_OPEN = re.compile(
    r"(order_|parent_|marketplace_)?(number|order_number|order_id|order_external_id)"
    r"|offer_.*|item_offer_.*|pack_item_offer_.*|product_name|discounts|prices|unit_.*"
    r"|(.*_)?vat_rate|source_(source|medium|campaign|content)|delivery_service_name"
    r"|delivery_time_(from|to)|(lunch_)?time_(from|to)|loyalty_level_name|loyalty_name|level_name"
    r"|integration_module_name|default_tariff_name|url|yml_url|catalog_id|work_time|xml_id"
    r"|invoice_number|delivery_note_number|privilege_type"
    r"|store|resource|state|kind"
)
_PLACE = re.compile(r"(.*_)?(region|city|city_type|metro)")
_HASH = re.compile(
    r"(.*_)?(first_name|last_name|patronymic|nick_name|phone|additional_phone|phones|phone_number"
    r"|email|sender_email|browser_id|client_id|ga_client_id|discount_card_number|card_number"
    r"|last_check_id|track_number|legal_name|company_name|inn|okpo|kpp|ogrn|ogrnip"
    r"|certificate_number|bank_account|corr_account|bik)"
    r"|(customer|contact|company|address|main_.*)_external_id|main_.*_external_id"
    r"|brand|external_id"
)
_CUT = re.compile(
    r"raw|content_hash|(.*_)?(comment|commentary|text|notes|description|photo_url|position"
    r"|legal_address|bank|bank_address|index|street|street_id|street_type|building|flat|floor"
    r"|block|house|housing|address|address_name|sender_name|zip|certificate_date)"
    r"|comment_text|status_comment|custom_fields|custom_.*|links|delivery_data.*"
    r"|delivery_time_custom|(lunch_)?time_custom|attached_tag|source_keyword|customer_subscriptions"
    r"|mg_customers|mg_customer_id|properties|marking_codes|external_ids|extra_data|filename|link"
    r"|offer|options|sex|presumable_sex|customer_companies|customer_comment|manager_comment"
)
# Column names whose treatment depends on the table.
_HERE: dict[tuple[str, str], Care] = {
    ("customer_phones", "number"): Care.HASH,
    ("customer_tags", "name"): Care.CUT,
    ("corporate_customer_tags", "name"): Care.CUT,
    ("customers", "birthday"): Care.YEAR,
    ("orders", "external_id"): Care.OPEN,
    ("order_items", "external_id"): Care.OPEN,
    ("order_payments", "external_id"): Care.OPEN,
    ("delivery_shipments", "external_id"): Care.OPEN,
    ("delivery_shipment_orders", "external_id"): Care.OPEN,
    ("delivery_shipments", "status"): Care.OPEN,
    ("warehouses", "contact"): Care.CUT,
    ("warehouses", "name"): Care.OPEN,
    ("user_groups", "signature_template"): Care.CUT,
    ("user_group_users", "signature_template"): Care.CUT,
    ("warehouses", "external_id"): Care.OPEN,
    ("sites", "name"): Care.OPEN,
    ("sites", "url"): Care.OPEN,
    ("users", "status"): Care.OPEN,
    ("carts", "external_id"): Care.HASH,
    ("cart_items", "offer"): Care.OPEN,
    ("corporate_customer_addresses", "name"): Care.CUT,
    ("corporate_customer_companies", "name"): Care.HASH,
    ("store", "name"): Care.OPEN,
    ("store_titles", "title"): Care.OPEN,
    ("store", "zone"): Care.OPEN,
    ("store", "currency"): Care.OPEN,
}
# Earlier contents are as personal as the present ones.
_VERSIONS = {"order_versions": "orders", "customer_versions": "customers"}
_CHANGES = frozenset({"old_value", "new_value"})
OPEN_CHANGES = (
    "status",
    "order_type",
    "order_method",
    "site",
    "payments.status",
    "payments.amount",
    "order_product.quantity",
    "order_product.status",
    "total_summ",
    "manager",
    "segments",
)
"""Fields of histories whose old and new values are codes or amounts."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The treatment of a column; `is_judged` is False when no rule names the column."""

    care: Care
    is_judged: bool = True


@cache
def judge(table: str, column: str, sql: str, *, is_code: bool = False) -> Judged:
    """Return the treatment of a column of a table in `crm`."""
    table = _VERSIONS.get(table, table)
    if (table, column) in _HERE:
        return Judged(_HERE[table, column])
    if column in {"raw", "content_hash"}:
        return Judged(Care.CUT)
    if column == "deleted_reason":
        return Judged(Care.OPEN)
    if column in _CHANGES and table.endswith("_history"):
        return Judged(Care.CHANGE)
    if table in _THINGS:
        return Judged(Care.OPEN)
    for pattern, care in ((_OPEN, Care.OPEN), (_PLACE, Care.PLACE), (_HASH, Care.HASH),
                          (_CUT, Care.CUT)):  # fmt: skip
        if pattern.fullmatch(column) and not (is_code and care is not Care.CUT):
            return Judged(_fit(care, sql))
    if is_code or sql not in {"text", "jsonb"}:
        return Judged(Care.OPEN)
    return Judged(_fit(Care.HASH, sql), is_judged=False)


def _fit(care: Care, sql: str) -> Care:
    """Return CUT instead of HASH for columns that are not text: only text can be hashed."""
    return Care.CUT if care is Care.HASH and sql != "text" else care


def care_of(table: str, field: Field) -> Care:
    """Return the treatment of a declared column."""
    return judge(table, field.name, field.kind.sql, is_code=field.kind.name == "code").care


@dataclass(frozen=True, slots=True)
class Link:
    """A reference to the owner of a record: `column` holds the key of a record of `to`.

    Rows where `type_column` has the value `unless` do not count: a company's order has no person.
    """

    column: str
    to: str
    type_column: str = ""
    unless: str = ""


_CONTACTS = {
    "phone": re.compile(r"(.*_)?phone(_number)?"),
    "email": re.compile(r"(.*_)?email"),
}
_PHONES = ("customer_phones", "number")


@cache
def contacts(table: str, fields: tuple[Field, ...]) -> dict[str, str]:
    """Return the columns that hold a person's phone or e-mail: `phone` or `email` by column."""
    return {
        field.name: kind
        for field in fields
        if care_of(table, field) is Care.HASH
        for kind, pattern in _CONTACTS.items()
        if pattern.fullmatch(field.name) or (kind == "phone" and (table, field.name) == _PHONES)
    }


def contact(kind: str, value: object) -> str:
    """Return a phone or e-mail in the one spelling that all its spellings have in common.

    A phone is its last ten digits: with or without the country's code, or 8 in its place. Empty
    for what is too short to be somebody's.
    """
    text = str(value).strip().lower()
    if kind == "email":
        return text if "@" in text else ""
    digits = re.sub(r"\D", "", text)
    return digits[-10:] if len(digits) >= 7 else ""


_JOINS = re.compile(r"\bjoins crm\.(\w+)\.id\b")
OWNERS = frozenset({"customers", "orders", "tasks", "packs", "loyalty_accounts"})
"""The resources whose records are one person's: whatever names them is that person's too."""
_COMPANY = "customer_corporate"
_BY_NAME = {"customer_id": "customers", "contact_id": "customers", "order_id": "orders",
            "task_id": "tasks"}  # fmt: skip
# A company is not its contact's: it names them by id alone.
_NOT_THEIRS = frozenset({("corporate_customers", "main_customer_contact_customer_id")})


def links(resource: Resource) -> tuple[Link, ...]:
    """Return the links of a resource's own columns to the records that its rows belong to.

    A column is one when its note says which table of `OWNERS` it joins, or else by its name. The
    entries of a history belong to the target of its `SinceId`.
    """
    found = _links(resource.name, resource.fields)
    if resource.is_history:
        path = f"{resource.subject}.id"
        subjects = (Link(f.name, resource.target) for f in resource.fields if f.path == path)
        found = tuple(dict.fromkeys((*found, *subjects)))
    return found


def child_links(resource: Resource) -> dict[str, tuple[Link, ...]]:
    """Return the links of child tables, by table, without tables that have none."""
    found = {child.name: _links(child.name, child.fields) for child in resource.children}
    return {name: each for name, each in found.items() if each}


@cache
def _links(table: str, fields: tuple[Field, ...]) -> tuple[Link, ...]:
    is_typed = any(field.name == "customer_type" for field in fields)
    found = []
    for field in fields:
        joins = _JOINS.search(field.note)
        to = joins[1] if joins else _BY_NAME.get(field.name)
        if field.kind.sql != "bigint" or to not in OWNERS or (table, field.name) in _NOT_THEIRS:
            continue
        if field.name == "customer_id" and is_typed:
            found.append(Link(field.name, to, "customer_type", _COMPANY))
        else:
            found.append(Link(field.name, to))
    return tuple(found)
