"""What is personal: every column is judged, and what masking leaves follows from masked raw."""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from sync.declare import ID, Field, Resource, SinceId
from sync.declare.moments import zone_of
from sync.declare.personal import (
    OPEN_CHANGES,
    OWNERS,
    Care,
    Link,
    care_of,
    child_links,
    judge,
    links,
)
from sync.records.normalise import Normaliser, Row
from sync.resources import RESOURCES
from sync.rows import mask

ZONE = "Europe/Moscow"
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def every_field() -> list[tuple[str, Field]]:
    """Every declared column and its table."""
    return [
        (table, field)
        for resource in RESOURCES.values()
        for table, fields in (
            (resource.name, resource.fields),
            *((child.name, child.fields) for child in resource.children),
        )
        for field in fields
    ]


def test_every_column_is_judged() -> None:
    """Text and JSON of a new resource is hidden until somebody says in sync/declare/personal.py
    what it is; this fails until then."""
    unjudged = [
        f"{table}.{field.name}"
        for table, field in every_field()
        if not judge(table, field.name, field.kind.sql, is_code=field.kind.name == "code").is_judged
    ]
    assert unjudged == [], "judge them in sync/declare/personal.py (CONTRIBUTING, step 4)"


def test_what_nobody_judged_is_hidden() -> None:
    """By default text is hashed and JSON cut."""
    assert judge("new_things", "whatever_it_says", "text").care is Care.HASH
    assert judge("new_things", "whatever_it_holds", "jsonb").care is Care.CUT
    assert not judge("new_things", "whatever_it_says", "text").is_judged
    assert judge("new_things", "a_code", "text", is_code=True).care is Care.OPEN


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("customers", "first_name"),
        ("customers", "email"),
        ("customers", "address_text"),
        ("customers", "birthday"),
        ("customers", "custom_fields"),
        ("customers", "sex"),
        ("customer_phones", "number"),
        ("customer_notes", "text"),
        ("orders", "last_name"),
        ("orders", "phone"),
        ("orders", "manager_comment"),
        ("orders", "delivery_address_street"),
        ("orders", "delivery_data"),
        ("order_items", "comment"),
        ("users", "email"),
        ("couriers", "phone_number"),
        ("loyalty_accounts", "phone_number"),
        ("tasks", "text"),
        ("files", "filename"),
        ("corporate_customers", "nick_name"),
        ("order_history", "new_value"),
    ],
)
def test_personal_columns_are_not_open(table: str, column: str) -> None:
    """The obvious ones, by name: a pattern that grows too wide is noticed here."""
    [field] = [field for name, field in every_field() if (name, field.name) == (table, column)]
    assert care_of(table, field) is not Care.OPEN


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("orders", "number"),
        ("orders", "status"),
        ("orders", "total_summ"),
        ("orders", "created_at"),
        ("orders", "customer_id"),
        ("customers", "is_contact"),
        ("customers", "orders_count"),
        ("order_items", "offer_name"),
        ("order_items", "prices"),
        ("order_payments", "amount"),
        ("products", "name"),
        ("statuses", "name"),
    ],
)
def test_what_reports_are_made_of_stays(table: str, column: str) -> None:
    """Masking must leave a mirror that is of use."""
    [field] = [field for name, field in every_field() if (name, field.name) == (table, column)]
    assert care_of(table, field) is Care.OPEN


def test_whatever_names_a_customer_an_order_or_a_task_is_a_link() -> None:
    """A new resource that hangs on a person must be found by an erasure."""
    known = {
        (table, link.column)
        for resource in RESOURCES.values()
        for table, theirs in ((resource.name, links(resource)), *child_links(resource).items())
        for link in theirs
    }
    # A company is no person; what names its contact names it by id alone.
    without = {
        ("customers", "mg_customer_id"),
        ("corporate_customers", "main_customer_contact_id"),
        ("corporate_customers", "main_customer_contact_customer_id"),
        ("corporate_customer_history", "customer_id"),
        ("corporate_customer_history", "customer_contact_id"),
        ("corporate_customer_notes", "customer_id"),
        ("corporate_customer_addresses", "corporate_customer_id"),
        ("corporate_customer_companies", "corporate_customer_id"),
        ("corporate_customer_contacts", "corporate_customer_id"),
    }
    found = {
        (table, field.name)
        for table, field in every_field()
        if field.kind.sql == "bigint"
        and field.name.endswith(("customer_id", "contact_id", "order_id", "task_id"))
    }
    assert found - known - without == set(), (
        "say in their notes what they join (CONTRIBUTING, step 4), or name them here with a reason"
    )


def test_what_belongs_to_a_person_and_is_joined_by_others_hands_them_on() -> None:
    """Of a new resource with a customer's id, the history or the parts are the person's too."""
    joined = {
        match[1]
        for _, field in every_field()
        if field.kind is ID and (match := re.search(r"joins crm\.(\w+)\.id\b", field.note))
    }
    theirs = {
        resource.name
        for resource in RESOURCES.values()
        if any(link.to in OWNERS for link in links(resource))
    }
    # What names a company's contact names no more than an id; what names a comment, its task too.
    assert (joined & theirs) - {"corporate_customer_contacts", "task_comments"} <= OWNERS


def test_json_that_goes_takes_everything_below_it() -> None:
    """A column read from inside a JSON column that is cut must not keep a part of it in raw."""
    torn = []
    for resource in RESOURCES.values():
        for table, fields in (
            (resource.name, resource.fields),
            *((child.name, child.fields) for child in resource.children),
        ):
            cut = [f.path for f in fields if f.kind.sql == "jsonb" and not _kept(table, f)]
            torn += [
                f"{table}.{field.name}"
                for field in fields
                for path in cut
                if path and field.path.startswith(f"{path}.") and _kept(table, field)
            ]
    assert torn == []


def _kept(table: str, field: Field) -> bool:
    return care_of(table, field).is_kept


def sample(resource: Resource) -> dict[str, Any]:
    """A record with something at every declared path, and at one that nobody declared."""
    record: dict[str, Any] = {"undeclared": {"deep": "PRIVATE"}}
    for field in resource.fields:
        _put(record, field, resource.key)
    for child in resource.children:
        member: dict[str, Any] = {"undeclared": "PRIVATE"}
        for field in child.fields:
            _put(member, field, child.key or "")
        plain = any(not field.path for field in child.fields)
        here = record
        *steps, last = child.path.split(".")
        for step in steps:
            here = here.setdefault(step, {})
        if isinstance(here, dict):
            here[last] = ["PRIVATE" if plain else member]
    return record


def _put(record: dict[str, Any], field: Field, key: str) -> None:
    if not field.path:
        return
    value: Any = {
        "text": "code" if field.kind.name == "code" else "PRIVATE",
        "bigint": 7,
        "numeric": Decimal("12.50"),
        "boolean": True,
        "date": "1985-07-09",
        "timestamptz": "2024-01-31 10:00:00",
        "time": "10:00",
        "jsonb": {"inside": "PRIVATE"},
    }[field.kind.sql]
    if field.name == key and field.kind.sql == "text":
        value = "code"
    here: Any = record
    *steps, last = field.path.split(".")
    for step in steps:
        here = here.setdefault(step, {})
        if not isinstance(here, dict):
            return
    if not isinstance(here.get(last), dict):
        here[last] = value


def test_a_history_belongs_to_what_it_is_about() -> None:
    """Nobody has to name a new history for erasure: its listing says whose it is."""
    for history in (r for r in RESOURCES.values() if isinstance(r.listing, SinceId)):
        assert history.listing.target in {link.to for link in links(history)}
    invented = replace(
        RESOURCES["order_history"],
        name="parcel_history",
        listing=SinceId(subject="parcel", target="parcels"),
        fields=(Field("parcel_id", ID, "parcel.id", "the parcel"),),
    )
    assert links(invented) == (Link("parcel_id", "parcels"),)


LINKED = [r for r in RESOURCES.values() if r.name == "customers" or links(r) or child_links(r)]


@pytest.mark.parametrize("resource", LINKED, ids=lambda resource: resource.name)
@pytest.mark.parametrize("changed", ["email", OPEN_CHANGES[0]])
def test_a_masked_row_is_what_its_masked_raw_gives(resource: Resource, changed: str) -> None:
    """Columns, children and hash follow from raw, so that a rebuild changes nothing; masking
    again changes nothing either; and what nobody declared is gone."""
    record = sample(resource)
    if resource.is_history:
        record["field"] = changed
    row = _row(resource, record)
    mask.mask(row, resource, zone=ZONE)
    again = _row(resource, json.loads(row.raw, parse_float=Decimal))
    assert (again.values, again.children) == (row.values, row.children)
    assert again.content_hash == row.content_hash
    assert again.raw == row.raw
    before = (dict(row.values), row.raw, row.content_hash)
    mask.mask(row, resource, zone=ZONE)
    assert (row.values, row.raw, row.content_hash) == before
    assert "undeclared" not in row.raw.decode()
    personal = {
        f.name for f in resource.fields if care_of(resource.name, f) in {Care.HASH, Care.CUT}
    }
    assert not personal & row.values.keys()


def _row(resource: Resource, record: dict[str, Any]) -> Row:
    normaliser = Normaliser(resource, zone_of(ZONE), ZONE)
    batch = normaliser.batch([record], as_of=NOW, parent=7 if resource.parent else None)
    assert not batch.rejects
    [row] = batch.rows
    return row


def test_a_history_keeps_codes_and_amounts_and_no_text() -> None:
    """What an order's status was is no secret of the person's; what their e-mail was is."""
    history = RESOURCES["order_history"]
    entry = {"id": 1, "createdAt": "2024-01-31 10:00:00", "order": {"id": 7, "email": "a@b.c"}}
    status = {**entry, "field": "status", "oldValue": None, "newValue": {"code": "new"}}
    email = {**entry, "field": "email", "oldValue": None, "newValue": "a@b.c"}
    kept, gone = _row(history, status), _row(history, email)
    for row in (kept, gone):
        mask.mask(row, history, zone=ZONE)
    assert kept.values["new_value"] == {"code": "new"}
    assert "new_value" not in gone.values
    assert b"a@b.c" not in kept.raw + gone.raw
    assert json.loads(gone.raw)["order"] == {"id": 7}
