"""The pages are what the database says, and their queries run."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa

from sync.analysts import dictionary
from sync.privacy import readers
from sync.rows.custom_fields import refresh_views
from tests.integration.analysts.conftest import MakeRole, add_store, put

QUERIES = sorted(dictionary.QUERIES.glob("*.sql"))


def test_the_pages_are_current(engine: sa.Engine) -> None:
    """Made from comments and declarations: `make dictionary` makes them anew."""
    with engine.begin() as connection:
        assert dictionary.stale(connection) == [], "run: make dictionary"


def test_the_example_queries_run_as_an_analyst_runs_them(analyst: sa.Engine) -> None:
    """Each begins with what it answers, and reads nothing but crm."""
    assert QUERIES
    with analyst.connect() as connection:
        for path in QUERIES:
            text = path.read_text(encoding="utf-8")
            assert text.startswith("-- "), path
            connection.exec_driver_sql(text.replace("%", "%%")).all()


def test_the_front_page_says_where_custom_fields_and_masked_tables_are(
    engine: sa.Engine, make_role: MakeRole
) -> None:
    """A view of a store's fields by that name and key; the same names, masked, but for it."""
    store, role = add_store(engine, "shop"), make_role()
    field = {"store_id": store, "id": 1, "entity": "order", "code": "gift", "name": "Gift"}
    put(engine, "custom_fields", field)
    put(engine, "orders", {"store_id": store, "id": 1, "custom_fields": {"gift": "tea"}})
    with engine.begin() as connection:
        refresh_views(connection, store, "shop")
        front = dictionary.pages(connection)["README.md"]
        joined = connection.exec_driver_sql(
            "SELECT gift FROM crm.orders JOIN crm.orders_custom_1 USING (store_id, id)"
        ).scalar()
    assert "`crm.orders_custom_<store_id>`, joined by `store_id, id`" in front
    assert joined == "tea"
    readers.grant(engine, role.name, store_ids=None, is_masked=True)
    names = (
        "SELECT relname FROM pg_class WHERE relnamespace = '{}'::regnamespace AND relkind <> 'i'"
    )
    crm, masked = (
        {name for (name,) in role.rows(names.format(schema))} for schema in ("crm", "crm_masked")
    )
    assert crm - masked == {"orders_custom_1"}
    assert "in\n`crm_masked`, except these views of custom fields" in front


@pytest.fixture
def analyst(engine: sa.Engine, make_role: MakeRole) -> sa.Engine:
    """Logged in as a role that was granted reading."""
    role = make_role()
    readers.grant(engine, role.name, store_ids=None, is_masked=False)
    url = engine.url.set(username=role.name, password="secret")
    return sa.create_engine(url, poolclass=sa.NullPool)


def test_the_picture_names_only_what_there_is(engine: sa.Engine) -> None:
    """Every box is a table, and every note that says "joins" names a table and its column."""
    with engine.begin() as connection:
        there = set(
            connection.exec_driver_sql(
                "SELECT relname || '.' || attname FROM pg_class AS c JOIN pg_attribute AS a"
                " ON a.attrelid = c.oid WHERE relnamespace = 'crm'::regnamespace"
            ).scalars()
        )
        notes = connection.exec_driver_sql(
            "SELECT col_description(c.oid, a.attnum) FROM pg_class AS c JOIN pg_attribute AS a"
            " ON a.attrelid = c.oid WHERE relnamespace = 'crm'::regnamespace AND a.attnum > 0"
        ).scalars()
        joined = {
            f"{table}.{column}"
            for note in notes
            for table, column in re.findall(r"joins crm\.(\w+)\.(\w+)", note or "")
        }
    assert joined <= there
    boxes = set(re.findall(r"^    (\w+) \S+ (\w+) :", dictionary._picture(), re.MULTILINE))
    assert boxes
    tables = {name.partition(".")[0] for name in there}
    assert {name for pair in boxes for name in pair} <= tables
