"""Views of custom fields: whatever people typed as codes, names and values."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from sync.database.engine import connect
from sync.declare.moments import zone_of
from sync.records.normalise import Normaliser
from sync.resources import RESOURCES
from sync.rows.custom_fields import refresh_views
from sync.rows.tombstones import Tombstone, mark_deleted
from sync.rows.upsert import load
from tests.integration.resources.conftest import Open

NOW = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


class Account:
    """Rows as a pass over custom fields and orders leaves them."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    def run(self, sql: str, **binds: Any) -> list[Any]:
        with self.engine.begin() as connection:
            result = connection.execute(sa.text(sql), binds)
            return list(result.all()) if result.returns_rows else []

    def store(self, store_id: int, name: str = "shop", zone: str = "Europe/Berlin") -> None:
        self.run(
            "INSERT INTO sync.store (id, name, url, account, api_key, key_fingerprint, zone)"
            " OVERRIDING SYSTEM VALUE VALUES (:id, :name, '', :name, '', '', :zone)",
            id=store_id,
            name=name,
            zone=zone,
        )

    def field(
        self,
        code: str,
        kind: str,
        *,
        store: int = 1,
        entity: str = "order",
        name: str = "label",
        dictionary: str | None = None,
    ) -> None:
        self.run(
            "INSERT INTO crm.custom_fields (store_id, id, entity, code, name, type, dictionary,"
            " as_of, first_seen_at, changed_at) VALUES (:s, :id, :e, :c, :n, :t, :d, :now, :now,"
            " :now) ON CONFLICT (store_id, id) DO UPDATE SET type = excluded.type,"
            " name = excluded.name, deleted_at = NULL",
            s=store,
            id=f"{entity}/{code}",
            e=entity,
            c=code,
            n=name,
            t=kind,
            d=dictionary,
            now=NOW,
        )

    def order(self, key: int, fields: Any, *, store: int = 1, deleted: bool = False) -> None:
        self.run(
            "INSERT INTO crm.orders (store_id, id, custom_fields, as_of, first_seen_at, changed_at,"
            " deleted_at) VALUES (:s, :id, cast(:f AS jsonb), :now, :now, :now, :gone)",
            s=store,
            id=key,
            f=json.dumps(fields),
            now=NOW,
            gone=NOW if deleted else None,
        )

    def refresh(self, store: int = 1, name: str = "shop") -> list[str]:
        with self.engine.begin() as connection:
            return refresh_views(connection, store, name)

    def view(self, name: str = "orders_custom_1") -> list[dict[str, Any]]:
        return [dict(row._mapping) for row in self.run(f'SELECT * FROM crm."{name}" ORDER BY id')]

    def columns(self, name: str = "orders_custom_1") -> list[str]:
        return [
            row[0]
            for row in self.run(
                "SELECT attname FROM pg_attribute WHERE attrelid = cast(:v AS regclass)"
                " AND attnum > 0 ORDER BY attnum",
                v=f'crm."{name}"',
            )
        ]


@pytest.fixture
def account(database: str) -> Iterator[Account]:
    engine = connect(database)
    made = Account(engine)
    made.store(1)
    yield made
    engine.dispose()


GOOD = {
    "boolean": [(True, True), ("1", True), ("true", True), (1, True), ("0", False), (False, False)],
    "integer": [(5, 5), ("5", 5), (5.0, 5), ("-7", -7), (10**15, 10**15)],
    "numeric": [
        (1.5, Decimal("1.5")),
        ("1,5", Decimal("1.5")),
        ("2", Decimal(2)),
        (1e15, 10**15),
        ("1,234", None),
        ("0,234", Decimal("0.234")),
    ],
    "date": [
        ("2024-02-29", dt.date(2024, 2, 29)),
        ("2024-02-29 10:00:00", dt.date(2024, 2, 29)),
        ("0001-01-01", dt.date(1, 1, 1)),
    ],
    "datetime": [
        ("2024-07-01 12:00:00", dt.datetime(2024, 7, 1, 10, tzinfo=dt.UTC)),
        ("2024-07-01 12:00", dt.datetime(2024, 7, 1, 10, tzinfo=dt.UTC)),
        ("2024-07-01T12:00:00+05:00", dt.datetime(2024, 7, 1, 7, tzinfo=dt.UTC)),
        # The hour that comes twice: the earlier reading. The hour that never comes: forward.
        ("2024-10-27 02:30:00", dt.datetime(2024, 10, 27, 0, 30, tzinfo=dt.UTC)),
        ("2024-03-31 02:30:00", dt.datetime(2024, 3, 31, 1, 30, tzinfo=dt.UTC)),
    ],
    "string": [("a", "a"), (5, "5"), (True, "true"), ("", "")],
    "email": [("a@b", "a@b")],
    "dictionary": [("red", "red"), (1, "1")],
    "multiselect_dictionary": [
        (["a", "b"], ["a", "b"]),
        ([], []),
        ("a", ["a"]),
        ({"0": "a", "10": "c", "2": "b"}, ["a", "b", "c"]),
    ],
    "something_new": [("x", "x"), (3, "3")],
}
BAD: list[Any] = [
    None, {}, {"a": 1}, "x", "NaN", "Infinity", "-infinity", "today", "epoch", "0000-00-00",
    "0000-00-00 00:00:00", "2024-13-01", "2024-02-30 25:00:00", "9" * 400, "1e999999", "1e5000",
    [[1]], [None], ["a", {}], 1e300, -1, 2**63, 1.5, "1.5.5", "' OR 1=1", "\\", "2024-02-30",
]  # fmt: skip


def test_values_are_typed_and_bad_ones_are_null(account: Account) -> None:
    """A value is read as its field's type says; what is not of it is NULL, never an error."""
    for kind in GOOD:
        account.field(f"f_{kind}", kind)
    most = max(map(len, GOOD.values()))
    for number in range(most):
        held = {f"f_{kind}": good[number][0] for kind, good in GOOD.items() if number < len(good)}
        account.order(number, held)
    account.refresh()
    rows = account.view()
    for kind, good in GOOD.items():
        assert [row[f"f_{kind}"] for row in rows[: len(good)]] == [want for _, want in good], kind
    for number, bad in enumerate(BAD):
        account.order(1_000 + number, {f"f_{kind}": bad for kind in GOOD})
    account.order(2_000, [])
    account.order(2_001, {})
    rows = account.view()
    assert len(rows) == most + len(BAD) + 2
    assert {row[f"f_{kind}"] for row in rows[-2:] for kind in ("string", "date")} == {None}
    for kind in ("boolean", "date", "datetime"):
        assert {row[f"f_{kind}"] for row in rows[most:]} == {None}, kind


def test_codes_stand_beside_their_names(account: Account) -> None:
    """A dictionary's name as it is now; a code it does not hold has none."""
    account.field("colour", "dictionary", dictionary="it's")
    account.field("tags", "multiselect_dictionary", dictionary="it's")
    for code, name in (("red", "Красный"), ("blue", "Синий")):
        account.run(
            "INSERT INTO crm.custom_dictionary_elements (store_id, custom_dictionary_code, code,"
            " name) VALUES (1, 'it''s', :c, :n)",
            c=code,
            n=name,
        )
    account.order(1, {"colour": "red", "tags": ["blue", "gone", "red"]})
    account.order(2, {"colour": "gone", "tags": []})
    account.order(3, [])
    account.refresh()
    assert account.view() == [
        {"store_id": 1, "id": 1, "colour": "red", "colour_name": "Красный",
         "tags": ["blue", "gone", "red"], "tags_name": ["Синий", None, "Красный"]},
        {"store_id": 1, "id": 2, "colour": "gone", "colour_name": None, "tags": [],
         "tags_name": []},
        {"store_id": 1, "id": 3, "colour": None, "colour_name": None, "tags": None,
         "tags_name": None},
    ]  # fmt: skip


def test_an_element_that_left_its_dictionary_keeps_its_name(account: Account) -> None:
    """Old orders hold its code for ever; when it comes back it is in use again."""
    account.field("colour", "dictionary", dictionary="shades")
    account.order(1, {"colour": "red"})
    dictionaries = RESOURCES["custom_dictionaries"]
    normaliser = Normaliser(dictionaries, zone_of("UTC"), "UTC")
    in_use = "SELECT code FROM crm.custom_dictionary_elements WHERE removed_at IS NULL ORDER BY 1"

    def read(at: int, **names: str) -> list[str]:
        elements = [{"code": code, "name": name} for code, name in names.items()]
        record = {"code": "shades", "name": "Shades", "elements": elements}
        as_of = NOW + dt.timedelta(seconds=at)
        rows = normaliser.batch([record], as_of=as_of).rows
        with account.engine.begin() as connection:
            load(connection, dictionaries, 1, rows)
        return [code for (code,) in account.run(in_use)]

    assert read(1, red="Red", blue="Blue") == ["blue", "red"]
    account.refresh()
    assert read(2, blue="Blue") == ["blue"]
    [row] = account.view()
    assert (row["colour"], row["colour_name"]) == ("red", "Red")
    assert read(3, red="Scarlet", blue="Blue") == ["blue", "red"]
    assert account.view()[0]["colour_name"] == "Scarlet"
    with account.engine.begin() as connection:
        gone = Tombstone("shades", NOW + dt.timedelta(seconds=4), "absent")
        mark_deleted(connection, dictionaries, 1, [gone])
    assert account.run(in_use) == []
    assert account.view()[0]["colour_name"] == "Scarlet"


ODD = [
    "UPPER", "upper", "with-dash", "with dash", "with_dash", "select", "table", "1st", "id",
    "store_id", "a" * 80, "a" * 80 + "b", "имя", "%s", ":name", "a\\'; DROP TABLE crm.orders; --",
    '"quoted"', "'", "a''b", "$$", "-", "colour", "colour_name", "x\ny", "\\",
]  # fmt: skip


def test_any_code_becomes_a_column_that_needs_no_quotes(account: Account) -> None:
    """Odd, reserved, colliding, long and malicious codes: a column each, with its own value."""
    for number, code in enumerate(ODD):
        is_listed = code == "colour"
        account.field(code, "dictionary" if is_listed else "string", name=f"{code}: {number} % '")
    account.order(1, {code: f"value {number}" for number, code in enumerate(ODD)})
    account.refresh()
    [row] = account.view()
    names = account.columns()
    assert len(names) == len(set(names)) == len(ODD) + 3
    assert sorted(v for v in row.values() if isinstance(v, str)) == sorted(
        f"value {number}" for number in range(len(ODD))
    )
    for name in names[2:]:
        assert len(name.encode()) <= 63
        # Needs no quotes: Postgres would write it without.
        assert account.run("SELECT quote_ident(:n)", n=name)[0][0] == name or not name.isascii()
    comments = account.run(
        "SELECT col_description(attrelid, attnum) FROM pg_attribute WHERE attnum > 2 AND NOT"
        " attisdropped AND attrelid = 'crm.orders_custom_1'::regclass"
    )
    for number, code in enumerate(ODD):
        assert any(f"{code}: {number} % '" in row[0] for row in comments), code


def test_any_store_name_makes_a_view(account: Account) -> None:
    names = ("Main Shop", "shop'; DROP SCHEMA crm CASCADE; --", "ж" * 70, "%(x)s", "-")
    for store, name in enumerate(names, start=2):
        account.store(store, name)
        account.field("f", "string", store=store)
        account.order(1, {"f": "x"}, store=store)
        [view] = account.refresh(store, name)
        assert len(view.encode()) <= 63
        assert account.view(view) == [{"store_id": store, "id": 1, "f": "x"}]


def test_stores_whose_names_differ_in_signs_only_have_views_of_their_own(account: Account) -> None:
    account.store(2, "sho-p")
    account.store(3, "sho p")
    for store in (2, 3):
        account.field("f", "string", store=store)
        account.order(1, {"f": f"store {store}"}, store=store)
    first, second = account.refresh(2, "sho-p")[0], account.refresh(3, "sho p")[0]
    assert first != second
    assert account.view(first)[0]["f"] == "store 2"
    assert account.view(second)[0]["f"] == "store 3"


def test_a_view_is_only_ever_added_to(account: Account) -> None:
    """A field that is gone keeps its column, a new one comes last, one of another type gets a
    column of its own; a view that stands on the view goes on working."""
    account.field("m", "string")
    account.order(1, {"a": "5", "m": "7", "z": "x"})
    account.refresh()
    account.run("CREATE VIEW public.mine AS SELECT id, m FROM crm.orders_custom_1")
    account.field("a", "string")
    account.refresh()
    assert account.columns() == ["store_id", "id", "m", "a"]
    account.run("UPDATE crm.custom_fields SET deleted_at = now() WHERE code = 'm'")
    account.field("a", "integer", name="another type")
    account.field("a_name", "string")
    account.refresh()
    assert account.columns() == ["store_id", "id", "m", "a", "a_integer", "a_name"]
    assert account.view() == [
        {"store_id": 1, "id": 1, "m": "7", "a": "5", "a_integer": 5, "a_name": None}
    ]
    account.field("a", "text")
    account.field("m", "string")
    account.refresh()
    assert account.columns() == ["store_id", "id", "m", "a", "a_integer", "a_name"]
    assert account.run("SELECT * FROM public.mine") == [(1, "7")]


def test_unchanged_fields_change_nothing(account: Account) -> None:
    account.field("f", "string")
    assert account.refresh() == ["orders_custom_1"]
    assert account.refresh() == []
    account.field("f", "string", name="another label")
    assert account.refresh() == ["orders_custom_1"]


def test_a_view_holds_live_rows_of_its_store(account: Account) -> None:
    account.store(2, "other")
    account.field("f", "string")
    account.order(1, {"f": "mine"})
    account.order(2, {"f": "gone"}, deleted=True)
    account.order(3, {"f": "theirs"}, store=2)
    account.refresh()
    assert [row["id"] for row in account.view()] == [1]


def test_each_kind_of_record_has_its_view(account: Account) -> None:
    for entity in ("order", "customer", "customer_corporate", "company", "loyalty_account", "new"):
        account.field("f", "string", entity=entity)
    assert account.refresh() == [
        "orders_custom_1",
        "customers_custom_1",
        "corporate_customers_custom_1",
        "corporate_customer_companies_custom_1",
        "loyalty_accounts_custom_1",
    ]


def test_who_may_not_read_the_table_may_not_read_its_view(account: Account) -> None:
    """The view is read with the rights of whoever asks: it opens nothing."""
    account.field("f", "string")
    account.order(1, {"f": "x"})
    account.refresh()
    role = f"nobody_{account.engine.url.database}"
    account.run(f"CREATE ROLE {role}; GRANT USAGE ON SCHEMA crm TO {role}")
    try:
        with account.engine.connect() as connection:
            connection.exec_driver_sql(f"SET ROLE {role}")
            with pytest.raises(sa.exc.ProgrammingError, match="permission denied for table orders"):
                connection.exec_driver_sql("SELECT * FROM crm.orders_custom_1")
            connection.rollback()
            connection.exec_driver_sql("RESET ROLE")
            connection.exec_driver_sql(f"GRANT SELECT ON crm.orders TO {role}")
            connection.exec_driver_sql(f"SET ROLE {role}")
            assert connection.exec_driver_sql("SELECT f FROM crm.orders_custom_1").all() == [("x",)]
    finally:
        account.run(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_view_that_is_being_read_is_left_for_the_next_time(account: Account) -> None:
    """Analysts read for minutes: neither do they wait for us, nor does the sync for them."""
    account.field("f", "string")
    account.refresh()
    account.field("g", "string")
    with account.engine.connect() as reader:
        reader.exec_driver_sql("SELECT * FROM crm.orders_custom_1")
        assert account.refresh() == []
    assert account.refresh() == ["orders_custom_1"]
    assert account.columns() == ["store_id", "id", "f", "g"]


def test_views_follow_from_reading_the_custom_fields(open_mirror: Open) -> None:
    """Said by the declaration: after custom_fields were read the views are there."""
    mirror = open_mirror("custom_fields", "custom_dictionaries", "orders", "order_history")
    mirror.settle()
    view = mirror.value("SELECT name FROM sync.custom_view WHERE resource = 'orders'")
    rows = mirror.rows(f'SELECT id, colour, colour_name, visit_day, tags FROM crm."{view}"')
    raw = {
        row.id: row.f or {}
        for row in mirror.rows("SELECT id, raw->'customFields' AS f FROM crm.orders")
    }
    assert {row.id for row in rows} == set(raw)
    for row in rows:
        sent = raw[row.id] if isinstance(raw[row.id], dict) else {}
        assert row.colour == sent.get("colour")
        assert (row.colour_name is not None) == (row.colour is not None)
        assert row.tags == sent.get("tags")
        day = sent.get("visit_day")
        assert (row.visit_day.isoformat() if row.visit_day else None) == day
