"""One module writes each table of `sync`: whoever reads it knows all that may become of a row."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.schema.everything import METADATA

SYNC = Path(__file__).parents[2] / "sync"
TABLES = {table.name for table in METADATA.tables.values() if table.schema == "sync"}
WRITES = re.compile(r"(?:INSERT INTO|UPDATE|DELETE FROM|TRUNCATE)\s+sync\.(\w+)")
BUILT = re.compile(r"sa\.(?:insert|update|delete)\((\w+)\)")
# What removes a store, and what forgets old diagnostics, go through a list of tables.
LISTED = {"state/accounts.py", "state/diagnostics.py"}


def written(source: str) -> Iterator[str]:
    """Yield the tables that a module's statements write, as text or built with SQLAlchemy."""
    text = re.sub(r'"\s*\n\s*f?"', "", source)
    yield from WRITES.findall(text)
    yield from (name.lower() for name in BUILT.findall(source))


def test_each_table_has_one_owner() -> None:
    """No statement of another module changes a table behind its owner's back."""
    owners: dict[str, set[str]] = defaultdict(set)
    for path in SYNC.rglob("*.py"):
        if "sandbox" not in path.parts:
            for table in written(path.read_text("utf-8")):
                owners[table].add(str(path.relative_to(SYNC)))
    assert {table: names for table, names in owners.items() if len(names) > 1} == {}
    assert {"coverage", "crawl", "feed", "lane", "store", "window"} <= owners.keys()


def test_names_of_tables_are_put_into_statements_in_two_places() -> None:
    """A statement whose table is a variable would hide from the rule above."""
    hidden = re.compile(r"(?:INSERT INTO|UPDATE|DELETE FROM|TRUNCATE)\s+sync\.\{")
    assert {
        str(path.relative_to(SYNC))
        for path in SYNC.rglob("*.py")
        if hidden.search(re.sub(r'"\s*\n\s*f?"', "", path.read_text("utf-8")))
    } == LISTED


@pytest.mark.parametrize(
    ("source", "tables"),
    [
        ('x("UPDATE sync.lane SET due_at = now()")', ["lane"]),
        ('x(\n    "DELETE FROM"\n    " sync.met WHERE true")', ["met"]),
        ("sa.delete(WINDOW).where(True)", ["window"]),
        ('x("SELECT 1 FROM sync.lane FOR UPDATE")', []),
    ],
)
def test_a_foreign_statement_would_be_noticed(source: str, tables: list[str]) -> None:
    assert list(written(source)) == tables
