"""The one door to `crm` (sync/pipeline/writing.py), and that nothing goes round it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SYNC = Path(__file__).parents[2] / "sync"
LOCKED = {
    "load": "sync.mirror.load",
    "bury": "sync.mirror.graves",
    "add_loaded": "sync.mirror.coverage",
    "upsert_sql": "sync.mirror.statements",
    "move_sql": "sync.mirror.statements",
    "bury_sql": "sync.mirror.statements",
}
"""What only the door may use, and where it is defined."""
BEHIND_IT = {SYNC / "mirror" / f"{name}.py" for name in ("load", "graves", "statements")}


def uses(source: str) -> Iterator[str]:
    """What is locked that a module's source imports, or takes from the module that defines it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            yield from (a.name for a in node.names if LOCKED.get(a.name) == node.module)
        elif isinstance(node, ast.Attribute) and node.attr in LOCKED:
            # `load` is a common name: json's and others' are not meant.
            is_common = node.attr == "load" and not ast.unparse(node.value).endswith("load")
            yield from [] if is_common else [node.attr]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from sync.mirror.load import Dated, load", ["load"]),
        ("from sync.mirror import graves\ngraves.bury(connection, resource, 1, [])", ["bury"]),
        ("from sync.mirror import coverage as c\nwrite = c.add_loaded", ["add_loaded"]),
        ("from sync.mirror.load import Dated, Loaded, Origin", []),
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
    assert {name for name, found in foreign.items() if found} == {"pipeline/writing.py"}
    assert foreign["pipeline/writing.py"] == ["add_loaded", "bury", "load"]
