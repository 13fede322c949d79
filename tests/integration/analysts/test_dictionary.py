"""The pages are what the database says, and their queries run."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa

from sync.analysts import dictionary, readers
from tests.integration.analysts.conftest import MakeRole

QUERIES = sorted(dictionary.QUERIES.glob("*.sql"))


def test_the_pages_are_current(engine: sa.Engine) -> None:
    """Made from comments and declarations: `make dictionary` makes them anew."""
    with engine.begin() as connection:
        assert dictionary.stale(connection) == []


def test_the_example_queries_run_as_an_analyst_runs_them(analyst: sa.Engine) -> None:
    """Each begins with what it answers, and reads nothing but crm."""
    assert QUERIES
    with analyst.connect() as connection:
        for path in QUERIES:
            text = path.read_text(encoding="utf-8")
            assert text.startswith("-- "), path
            connection.exec_driver_sql(text.replace("%", "%%")).all()


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
