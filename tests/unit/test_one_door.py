"""The one door to `crm` (sync/work/writing.py), and that nothing goes round it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SYNC = Path(__file__).parents[2] / "sync"
LOCKED = {
    "load": "sync.rows.upsert",
    "mark_deleted": "sync.rows.tombstones",
    "add_loaded": "sync.state.coverage",
    "upsert_sql": "sync.rows.sql",
    "move_sql": "sync.rows.sql",
    "mark_deleted_sql": "sync.rows.sql",
}
"""What only the door may use, and where it is defined."""
BEHIND_IT = {SYNC / "rows" / f"{name}.py" for name in ("upsert", "tombstones", "sql")}


def uses(source: str) -> Iterator[str]:
    """What is locked that a module's source imports, or takes from the module that defines it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            yield from (a.name for a in node.names if LOCKED.get(a.name) == node.module)
        elif isinstance(node, ast.Attribute) and node.attr in LOCKED:
            # `load` is a common name: json's and others' are not meant.
            is_common = node.attr == "load" and not ast.unparse(node.value).endswith("upsert")
            yield from [] if is_common else [node.attr]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from sync.rows.upsert import load", ["load"]),
        (
            "from sync.rows import tombstones\ntombstones.mark_deleted(connection, resource, [])",
            ["mark_deleted"],
        ),
        ("from sync.state import coverage as c\nwrite = c.add_loaded", ["add_loaded"]),
        ("from sync.rows.upsert import child_rows", []),
        ("import json\njson.load(file)", []),
    ],
)
def test_a_way_round_the_door_would_be_noticed(source: str, found: list[str]) -> None:
    assert list(uses(source)) == found


def test_rows_and_tombstones_enter_by_one_door() -> None:
    """What follows from a row cannot be forgotten where nothing else writes one: other records
    queued, rejects kept, counts carried along."""
    modules = [path for path in SYNC.rglob("*.py") if path not in BEHIND_IT]
    foreign = {str(path.relative_to(SYNC)): sorted(uses(path.read_text())) for path in modules}
    assert {name for name, found in foreign.items() if found} == {"work/writing.py"}
    assert foreign["work/writing.py"] == ["add_loaded", "load", "mark_deleted"]
