"""Record → rows: each quirk of the API's data, and what becomes of it."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.crm.decode import decode
from sync.declare import (
    CODE,
    DATE,
    DATETIME,
    ID,
    JSON,
    MAP,
    MONEY,
    TEXT,
    Child,
    DateWindows,
    Field,
    FullRefresh,
    Parent,
    Resource,
    Shape,
    SinglePage,
    SurrogateKey,
)
from sync.declare.moments import zone_of
from sync.records.normalise import Batch, Normaliser, Row, records_of
from sync.resources import RESOURCES

ORDERS, CUSTOMERS = RESOURCES["orders"], RESOURCES["customers"]
ZONE = "Europe/Madrid"
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

THINGS = Resource(
    name="things",
    singular="thing",
    path="/api/v5/things",
    answer_key="things",
    listing=DateWindows("createdAtFrom", "createdAtTo"),
    changes=FullRefresh(every_seconds=3600),
    note="Things",
    fields=(
        Field("id", ID, "id", "id"),
        Field("name", TEXT, "name", "name"),
        Field("amount", MONEY, "amount", "amount"),
        Field("born", DATE, "born", "day"),
        Field("created_at", DATETIME, "createdAt", "when"),
        Field("owner_id", ID, "owner.id", "owner"),
        Field("owner_name", TEXT, "owner.name", "owner's name"),
        Field("options", MAP, "options", "options"),
        Field("delivery", JSON, "delivery", "as sent"),
        Field("delivery_status", TEXT, "delivery.status", "status"),
        Field("copy_id", ID, "copy.id", "id of a copy"),
    ),
    raw_only=(("copy", "a copy"),),
    children=(
        Child(
            name="thing_parts",
            path="parts",
            key="id",
            note="Parts",
            fields=(
                Field("id", ID, "id", "id"),
                Field("price", MONEY, "price", "price"),
                Field("unit_code", CODE, "unit.code", "unit"),
            ),
        ),
        Child(
            name="thing_phones",
            path="phones",
            note="Phones",
            fields=(Field("number", TEXT, "number", "number"),),
        ),
        Child(
            name="thing_days",
            path="days",
            note="Days",
            fields=(Field("day", DATE, "", "day"),),
        ),
        Child(
            name="thing_marks",
            path="marks",
            key="code",
            map_key="code",
            note="Marks",
            fields=(Field("code", CODE, "code", "code"), Field("value", TEXT, "value", "value")),
        ),
    ),
)


def normaliser(resource: Resource = THINGS) -> Normaliser:
    return Normaliser(resource, zone_of(ZONE), ZONE)


def batch(*records: Any, resource: Resource = THINGS) -> Batch:
    return normaliser(resource).batch(records, as_of=NOW)


def row(record: Any, resource: Resource = THINGS) -> Row:
    """The row of a record that has nothing wrong with it."""
    made = batch(record, resource=resource)
    assert made.rejects == []
    assert len(made.rows) == 1
    return made.rows[0]


def rejects(record: Any, resource: Resource = THINGS) -> dict[str, str]:
    """Rejected fields and why, of a record that becomes a row all the same."""
    made = batch(record, resource=resource)
    assert len(made.rows) == 1
    return {reject.field: reject.reason for reject in made.rejects}


def children(record: Any, name: str, resource: Resource = THINGS) -> list[dict[str, Any]]:
    """The rows of one child table."""
    made = batch(record, resource=resource).rows[0].children
    return dict(zip([c.name for c in resource.children], made, strict=True))[name]


# Records


def test_a_column_is_there_only_where_there_is_a_value() -> None:
    """Null, absent, and PHP's empty text for a date or number are all NULL; empty text is text."""
    record = {"id": 1, "name": "", "amount": "", "born": "", "createdAt": None, "owner": None}
    assert row(record).values == {"id": 1, "name": ""}
    assert row({"id": 1}).children == [[], [], [], []]


def test_zero_dates_are_null_without_a_reject() -> None:
    record = {"id": 1, "born": "0000-00-00", "createdAt": "0000-00-00 00:00:00"}
    assert row(record).values == {"id": 1}
    assert row(record).created_on is None


def test_nested_objects_are_flattened_by_their_path() -> None:
    values = row({"id": 1, "owner": {"id": 7, "name": "Ana"}}).values
    assert (values["owner_id"], values["owner_name"]) == (7, "Ana")


def test_an_empty_list_stands_for_an_empty_object() -> None:
    """PHP writes an empty map as []: no reject, and {} in a column that holds maps."""
    assert row({"id": 1, "owner": [], "options": [], "parts": []}).values == {
        "id": 1,
        "options": {},
    }


def test_another_shape_in_an_objects_place_is_a_reject_by_its_path() -> None:
    assert rejects({"id": 1, "owner": "Ana"}) == {"owner": "expected an object"}
    assert rejects({"id": 1, "owner": [7]}) == {"owner": "expected an object"}
    assert rejects({"id": 1, "copy": "Ana"}) == {"copy": "expected an object"}


def test_a_value_that_does_not_parse_is_null_and_kept_with_its_reason() -> None:
    made = batch({"id": 5, "amount": "a lot", "name": "kept"})
    assert made.rows[0].values == {"id": 5, "name": "kept"}
    (reject,) = made.rejects
    assert (reject.record, reject.field, reject.value) == ("5", "amount", "a lot")
    assert "expected a number" in reject.reason


def test_a_rejected_value_is_shortened() -> None:
    made = batch({"id": 5, "amount": "x" * 5_000, "born": ["y" * 5_000]})
    assert [len(reject.value) for reject in made.rejects] == [2_000, 2_000]


def test_the_creation_day_is_the_one_that_was_sent() -> None:
    """Also where the zone makes it another day in UTC."""
    made = row({"id": 1, "createdAt": "2026-07-01 00:30:00"})
    assert made.created_on == dt.date(2026, 7, 1)
    assert made.values["created_at"] == dt.datetime(2026, 6, 30, 22, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize("key", ["17", 17, 17.0, Decimal("17.0")])
def test_an_id_may_come_as_text(key: Any) -> None:
    assert row({"id": key}).key == 17


@pytest.mark.parametrize("record", [{}, {"id": None}, {"id": ""}, {"id": "x"}, {"id": 2**63}])
def test_a_record_without_a_usable_id_is_kept_whole(record: Any) -> None:
    made = batch(record)
    assert made.rows == []
    (reject,) = made.rejects
    assert reject.record.startswith("record:")
    assert (reject.field, reject.reason) == ("", "no usable id")
    assert json.loads(reject.value) == record


@pytest.mark.parametrize("record", [None, [], [1], "text", 5, True, Decimal("1E+9999")])
def test_a_record_that_is_not_an_object_is_kept_whole(record: Any) -> None:
    made = batch(record, {"id": 1})
    assert [row.key for row in made.rows] == [1]
    assert [reject.reason for reject in made.rejects] == ["the record is not an object"]


def test_the_same_broken_record_twice_is_one_reject() -> None:
    """Rejects have (record, field) as their key: doubles would fail the statement."""
    assert len(batch({}, {}, [1]).rejects) == 2


def test_ids_are_unique_in_a_batch_and_the_last_one_wins() -> None:
    """Shifted pages repeat records; two rows of one key would fail the upsert."""
    made = batch(
        {"id": 1, "name": "old", "amount": "?"},
        {"id": 2, "amount": "?"},
        {"id": "1", "name": "new"},
    )
    assert [(row.key, row.values.get("name")) for row in made.rows] == [(2, None), (1, "new")]
    assert [(reject.record, reject.field) for reject in made.rejects] == [("2", "amount")]


def test_a_record_again_with_the_same_fault_is_one_reject() -> None:
    made = batch({"id": 1, "amount": "?"}, {"id": 1, "amount": "!"})
    assert [(reject.field, reject.value) for reject in made.rejects] == [("amount", "!")]


# What is not declared


def test_unknown_fields_are_noted_once_by_their_path() -> None:
    made = batch(
        {"id": 1, "new": 5, "owner": {"vip": True}, "parts": [{"id": 1, "tax": {"code": "x"}}]},
        {"id": 2, "new": 6},
        {"id": 3, "born": None, "later": None},
    )
    assert made.unknown == {
        "new": "5",
        "owner.vip": "true",
        "parts[].tax": '{"code":"x"}',
        "later": "null",
    }
    assert made.rejects == []
    assert b'"new":5' in made.rows[0].raw


def test_what_a_json_column_or_raw_only_covers_is_not_unknown() -> None:
    made = batch({"id": 1, "delivery": {"status": "sent", "days": 3}, "copy": {"id": 9, "a": 1}})
    assert made.unknown == {}
    assert made.rows[0].values == {
        "id": 1,
        "delivery": {"status": "sent", "days": 3},
        "delivery_status": "sent",
        "copy_id": 9,
    }


def test_a_json_column_takes_another_shape_without_a_reject() -> None:
    assert row({"id": 1, "delivery": "by hand"}).values == {"id": 1, "delivery": "by hand"}


def test_examples_of_unknown_fields_are_short_and_storable() -> None:
    made = batch({"id": 1, "a": "\ud800" * 500, "b": {"c": "\ud800" * 500}, "d": ["\x00"]})
    assert {len(example) for example in made.unknown.values()} <= {200, 4, 5, 7, 10, 12}
    assert not any("\x00" in text or "\ud800" in text for text in made.unknown.values())


# Children


def test_children_are_numbered_from_one_in_the_order_sent() -> None:
    phones = children({"id": 1, "phones": [{"number": "2"}, {"number": "1"}]}, "thing_phones")
    assert phones == [{"ordinal": 1, "number": "2"}, {"ordinal": 2, "number": "1"}]


@pytest.mark.parametrize("empty", [[], {}, None])
def test_no_children_are_no_rows(empty: Any) -> None:
    assert row({"id": 1, "parts": empty}).children[0] == []


@pytest.mark.parametrize(
    "payments",
    [
        {"55": {"id": 55, "amount": 10}, "56": {"id": 56, "amount": 20}},  # lists of orders
        [{"id": 55, "amount": 10}, {"id": 56, "amount": 20}],  # histories
    ],
)
def test_payments_come_as_a_map_or_as_a_list(payments: Any) -> None:
    paid = children({"id": 1, "payments": payments}, "order_payments", ORDERS)
    assert paid == [{"id": 55, "amount": Decimal(10)}, {"id": 56, "amount": Decimal(20)}]


@pytest.mark.parametrize("payments", [{}, []])
def test_no_payments_come_as_either(payments: Any) -> None:
    assert children({"id": 1, "payments": payments}, "order_payments", ORDERS) == []
    assert rejects({"id": 1, "payments": payments}, ORDERS) == {}


def test_a_maps_own_key_is_offered_to_its_members() -> None:
    """The member's own value of that name goes first."""
    marks = children(
        {"id": 1, "marks": {"a": {"value": "1"}, "b": {"code": "B", "value": "2"}}}, "thing_marks"
    )
    assert marks == [{"code": "a", "value": "1"}, {"code": "B", "value": "2"}]
    assert rejects({"id": 1, "marks": {"a": "1"}}) == {"thing_marks[1]": "no usable code"}


def test_a_child_without_its_key_is_kept_as_a_reject() -> None:
    record = {"id": 1, "parts": [{"price": 1}, {"id": 2, "price": 2}]}
    assert children(record, "thing_parts") == [{"id": 2, "price": Decimal(2)}]
    assert rejects(record) == {"thing_parts[1]": "no usable id"}


def test_of_two_children_with_one_key_the_last_wins_and_the_fact_is_noted() -> None:
    record = {"id": 1, "parts": [{"id": 2, "price": 1}, {"id": 2, "price": 2}]}
    assert children(record, "thing_parts") == [{"id": 2, "price": Decimal(2)}]
    assert rejects(record) == {"thing_parts[2]": "id sent twice"}


def test_a_childs_value_is_rejected_under_its_table_column_and_place() -> None:
    record = {"id": 1, "parts": [{"id": 1}, {"id": 2, "price": "free", "unit": "kg"}]}
    assert list(rejects(record)) == ["thing_parts.price[2]", "thing_parts.unit[2]"]


def test_lists_of_plain_values() -> None:
    """Nothing is lost of one: what does not parse is a reject, its place is kept."""
    record = {"id": 1, "days": ["2026-01-31", None, "", "0000-00-00", "soon", 5]}
    assert children(record, "thing_days") == [
        {"ordinal": 1, "day": dt.date(2026, 1, 31)},
        *({"ordinal": ordinal} for ordinal in (2, 3, 4, 5, 6)),
    ]
    assert list(rejects(record)) == ["thing_days.day[5]", "thing_days.day[6]"]


def test_a_text_that_no_index_holds_is_a_reject() -> None:
    """An index row has a limit, and one record's text must not stop the page."""
    order = {"id": 1, "number": "9" * 501, "email": "", "phone": "9" * 500}
    batch = Normaliser(RESOURCES["orders"], zone_of("UTC"), "UTC").batch([order], as_of=NOW)
    [row] = batch.rows
    assert (row.values["email"], row.values["phone"]) == ("", "9" * 500)
    assert "number" not in row.values
    assert [(r.field, r.reason) for r in batch.rejects] == [
        ("number", "longer than 500 characters")
    ]


def test_a_single_member_may_come_without_its_list() -> None:
    """An object that has a member's fields is one member, not a map of members."""
    record = {"id": 1, "phones": {"number": "112"}}
    assert children(record, "thing_phones") == [{"ordinal": 1, "number": "112"}]
    record = {"id": 1, "phones": {"7": {"number": "112"}}}
    assert children(record, "thing_phones") == [{"ordinal": 1, "number": "112"}]


def test_children_that_are_no_objects() -> None:
    """[] is an empty object; a scalar is a reject and its place is left out: no row of NULLs."""
    record = {"id": 1, "phones": [[], "112"]}
    assert children(record, "thing_phones") == [{"ordinal": 1}]
    assert rejects(record) == {"thing_phones[2]": "expected an object"}


@pytest.mark.parametrize("value", ["none", 5, True])
def test_another_shape_in_a_lists_place_is_a_reject(value: Any) -> None:
    assert rejects({"id": 1, "parts": value}) == {"thing_parts": "expected a list or an object"}


# The polymorphic customer


@pytest.mark.parametrize("kind", ["customer", "customer_corporate"])
def test_an_orders_customer_may_be_a_person_or_a_company(kind: str) -> None:
    customer = {"type": kind, "id": 7, "site": "main", "nickName": "ACME", "phones": []}
    values = row({"id": 1, "customer": customer}, ORDERS).values
    assert (values["customer_type"], values["customer_id"]) == (kind, 7)


def test_a_customer_without_a_type_has_none() -> None:
    """The API means a person; the mirror does not put words in its mouth."""
    values = row({"id": 1, "customer": {"id": 7}}, ORDERS).values
    assert values["customer_id"] == 7
    assert "customer_type" not in values


def test_an_order_without_a_customer() -> None:
    assert row({"id": 1, "customer": []}, ORDERS).values == {"id": 1}
    assert row({"id": 1, "customer": None}, ORDERS).values == {"id": 1}


# What Postgres cannot hold


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\x00b", "a\ufffdb"),
        ("a\ud800b", "a\ufffdb"),
        ("\udfff\x00", "\ufffd\ufffd"),
    ],
)
def test_nuls_and_lone_surrogates_are_replaced_and_the_fact_is_noted(text: str, kept: str) -> None:
    made = batch({"id": 1, "name": text, "options": {text: [text]}, "parts": []})
    (row,) = made.rows
    assert row.values == {"id": 1, "name": kept, "options": {kept: [kept]}}
    assert json.loads(row.raw) == {
        "id": 1,
        "name": kept,
        "options": {kept: [kept]},
        "parts": [],
    }
    (reject,) = made.rejects
    assert (reject.record, reject.field) == ("1", "")
    assert "Postgres cannot store" in reject.reason
    assert reject.value == (
        f"name: {text!a}; options: a member named {text!a}; options.{kept}[0]: {text!a}"
    )


def test_an_endless_number_that_stands_alone_becomes_text_too() -> None:
    (row,) = batch(Decimal("1E+9999"), resource=COUNTRIES).rows
    assert (row.key, row.raw) == ("1E+9999", b'"1E+9999"')


@pytest.mark.parametrize("text", [r"\u0000", "\\\\u0000", ":1e5000", "[1E-9999", "7" * 1_500, "👍"])
def test_text_that_only_looks_unstorable_is_left_alone(text: str) -> None:
    assert row({"id": 1, "name": text}).values["name"] == text
    assert json.loads(row({"id": 1, "name": text}).raw)["name"] == text


@pytest.mark.parametrize(
    "number",
    ["1E+9999", "-1.5E-9999", "0E-20000", "1." + "3" * 20_000],
    ids=["huge", "tiny", "zero", "long"],
)
def test_numbers_without_end_become_text_in_raw(number: str) -> None:
    """jsonb holds numbers as numeric: one of these would fail the page."""
    made = batch({"id": 1, "amount": Decimal(number), "options": {"n": Decimal(number)}})
    (row,) = made.rows
    assert json.loads(row.raw) == {"id": 1, "amount": number, "options": {"n": number}}
    assert row.values == {"id": 1, "options": {"n": number}}
    assert [reject.field for reject in made.rejects] == ["amount", ""]


def test_numbers_that_postgres_holds_stay_numbers() -> None:
    record = {"id": 2**63 - 1, "amount": Decimal("1E+400"), "options": {"n": 10**400}}
    assert row(record).values["amount"] == Decimal("1E+400")
    assert b'"amount":1E+400' in row(record).raw
    assert str(10**400).encode() in row(record).raw


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**18), max_value=10**18))
def test_a_number_reaches_column_and_raw_with_every_digit(number: Decimal) -> None:
    """decode → row: neither value nor scale changes, in the column nor in raw."""
    made = row(decode(f'{{"id":1,"amount":{number},"options":{{"n":{number}}}}}'.encode()))
    assert str(made.values["amount"]) == str(number)
    raw = json.loads(made.raw, parse_float=Decimal, parse_int=Decimal)
    assert raw["amount"] == raw["options"]["n"] == number
    assert raw["amount"].as_tuple() == number.as_tuple()


def deep(levels: int, leaf: Any) -> Any:
    for _ in range(levels):
        leaf = {"a": leaf}
    return leaf


@pytest.mark.parametrize("levels", [600, 5_000])
@pytest.mark.parametrize("leaf", ["\x00", "\ud800"])
def test_a_record_nested_without_end_is_a_reject_and_stops_nothing(levels: int, leaf: str) -> None:
    made = batch(
        {"id": 1}, {"id": 2, "options": deep(levels, leaf)}, {"id": 3}, [deep(levels, leaf)]
    )
    assert [row.key for row in made.rows] == [1, 3]
    assert {reject.reason for reject in made.rejects} == {"the record is nested too deeply"}
    assert "'id': 2" in made.rejects[0].value


# Content hash


def test_the_hash_tells_of_content_zone_and_declaration() -> None:
    """Any of the three changed must rewrite the row; the order of keys must not."""
    hashes = {
        row({"id": 1, "name": "a"}).content_hash,
        row({"id": 1, "name": "b"}).content_hash,
        Normaliser(THINGS, zone_of("UTC"), "UTC")
        .batch([{"id": 1, "name": "a"}], as_of=NOW)
        .rows[0]
        .content_hash,
        row({"id": 1, "name": "a"}, CUSTOMERS).content_hash,
    }
    assert len(hashes) == 4
    assert row({"name": "a", "id": 1}).content_hash in hashes


# Records of other shapes


def test_records_stand_in_a_list_or_in_a_map_by_code() -> None:
    assert records_of([{"code": "a"}]) == [{"code": "a"}]
    assert records_of({"a": {"code": "a"}}) == [{"code": "a"}]
    assert records_of([]) == []
    with pytest.raises(TypeError, match="str"):
        records_of("nothing")


COUNTRIES = Resource(
    name="lands",
    singular="land",
    path="/api/v5/lands",
    answer_key="lands",
    listing=SinglePage(),
    changes=FullRefresh(every_seconds=3600),
    shape=Shape.SCALARS,
    key="code",
    note="Lands",
    fields=(Field("code", CODE, "", "ISO code"),),
)


def test_a_list_of_plain_values_gives_a_row_each() -> None:
    made = batch("RU", "ES", "RU", None, ["KZ"], resource=COUNTRIES)
    assert [(row.key, row.values, row.raw) for row in made.rows] == [
        ("ES", {"code": "ES"}, b'"ES"'),
        ("RU", {"code": "RU"}, b'"RU"'),
    ]
    assert [reject.reason for reject in made.rejects] == [
        "no usable code",
        "the record is not an object",
    ]


SINGLE = Resource(
    name="conf",
    singular="conf",
    path="/api/v5/conf",
    answer_key="",
    listing=SinglePage(),
    changes=FullRefresh(every_seconds=3600),
    shape=Shape.SINGLE,
    key="",
    note="Conf",
    fields=(Field("amount", MONEY, "amount", "amount"),),
)


def test_a_single_object_has_the_empty_key() -> None:
    made = batch({"amount": "?"}, resource=SINGLE)
    assert [row.key for row in made.rows] == [""]
    assert [(reject.record, reject.field) for reject in made.rejects] == [("", "amount")]


FIELDS = Resource(
    name="extras",
    singular="extra",
    path="/api/v5/extras",
    answer_key="extras",
    listing=SinglePage(),
    changes=FullRefresh(every_seconds=3600),
    made=SurrogateKey(("entity", "code")),
    note="Extras",
    fields=(
        Field("id", CODE, "", "entity/code"),
        Field("entity", CODE, "entity", "entity"),
        Field("code", CODE, "code", "code"),
    ),
)


def test_a_made_key_joins_the_values_that_identify_a_record() -> None:
    made = batch(
        {"entity": "order", "code": "a"},
        {"entity": "customer", "code": "a"},
        {"entity": "order", "code": "a"},
        {"code": "a"},
        {"id": "not this"},
        resource=FIELDS,
    )
    assert [row.key for row in made.rows] == ["customer/a", "order/a", "/a"]
    assert made.rows[0].values == {"id": "customer/a", "entity": "customer", "code": "a"}
    assert [reject.reason for reject in made.rejects] == ["no usable id"]


def test_parts_of_a_made_key_stay_apart_and_long_ones_stay_indexable() -> None:
    """a/b + c is not a + b/c; and an index entry has at most some 2,700 bytes."""
    made = batch(
        {"entity": "a/b", "code": "c"},
        {"entity": "a", "code": "b/c"},
        {"entity": "a", "code": "x" * 5_000},
        resource=FIELDS,
    )
    assert [row.key for row in made.rows][:2] == ["a%2Fb/c", "a/b%2Fc"]
    assert len(str(made.rows[2].key)) == 32


OPERATIONS = Resource(
    name="operations",
    singular="operation",
    path="/api/v5/account/{id}/operations",
    answer_key="operations",
    listing=SinglePage(),
    changes=FullRefresh(every_seconds=3600),
    made=SurrogateKey(("account_id", "created_at", "amount"), repeats=True),
    parent=Parent("accounts", "account_id"),
    note="Operations",
    fields=(
        Field("id", CODE, "", "made"),
        Field("account_id", ID, "", "whose"),
        Field("created_at", DATETIME, "createdAt", "when"),
        Field("amount", MONEY, "amount", "amount"),
    ),
)


def test_equal_records_without_an_id_are_told_apart_by_counting() -> None:
    """Two equal operations in one second are two; read again they are the same two."""
    record = {"createdAt": "2026-01-31 10:00:00", "amount": 5}
    first = normaliser(OPERATIONS).batch([record, record], as_of=NOW, parent=7)
    again = normaliser(OPERATIONS).batch([record, record], as_of=NOW, parent=7)
    assert len({row.key for row in first.rows}) == 2
    assert [row.key for row in again.rows] == [row.key for row in first.rows]
    assert {row.values["account_id"] for row in first.rows} == {7}


def test_the_count_goes_on_over_pages() -> None:
    """A page's end may fall between two equal records."""
    record = {"createdAt": "2026-01-31 10:00:00", "amount": 5}
    whole = normaliser(OPERATIONS).batch([record, record, record], as_of=NOW, parent=7)
    first = normaliser(OPERATIONS).batch([record], as_of=NOW, parent=7)
    second = normaliser(OPERATIONS).batch(
        [record, record], as_of=NOW, parent=7, repeats=first.repeats
    )
    assert [row.key for row in first.rows + second.rows] == [row.key for row in whole.rows]
    assert second.repeats == whole.repeats


def test_the_same_record_of_another_parent_is_another() -> None:
    record = {"createdAt": "2026-01-31 10:00:00", "amount": 5}
    keys = {
        normaliser(OPERATIONS).batch([record], as_of=NOW, parent=parent).rows[0].key
        for parent in (7, 8)
    }
    assert len(keys) == 2
