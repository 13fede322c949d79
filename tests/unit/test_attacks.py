"""The table of attacks is held by their tests: each row names one that there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "ops/docs/attacks.md"
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \| `([\w/.]+\.py)::(\w+)(?:\[([^\]]+)\])?` \|$")
LEAST = 157


def rows() -> list[tuple[str, ...]]:
    lines = PAGE.read_text("utf-8").splitlines()
    found = [ROW.match(line) for line in lines if re.match(r"\| *\d", line)]
    assert None not in found, "a row of another form"
    return [each.groups() for each in found if each is not None]


ROWS = rows()


def test_no_row_goes() -> None:
    """Numbered through, no attack twice, no test for two of them."""
    assert len(ROWS) >= LEAST
    assert [int(row[0]) for row in ROWS] == list(range(1, len(ROWS) + 1))
    for what in ([row[1] for row in ROWS], [row[3:] for row in ROWS]):
        assert len(what) == len(set(what))


@pytest.mark.parametrize("file", sorted({row[3] for row in ROWS}))
def test_every_test_that_is_named_exists_and_is_run(file: str) -> None:
    """Also the case of it, where one is named; none is skipped or expected to fail."""
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    made = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    for _, attack, _, where, test, case in ROWS:
        if where != file:
            continue
        assert test in made, attack
        marks = " ".join(ast.unparse(each) for each in made[test].decorator_list)
        assert "xfail" not in marks, attack
        assert "mark.skip(" not in marks, attack
        assert case is None or case in texts, attack
