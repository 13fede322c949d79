"""Docstrings open with a verb or a noun phrase, so that each can be read on its own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUESTION = re.compile(r"(What|Who|Whose|Whether|How|Which|Where|When|Why|That|If)\b")


def questions(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and first line of the docstrings that open like a question, attributes' too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            text = node.value.value
            if isinstance(text, str) and QUESTION.match(text.lstrip()):
                yield node.lineno, text.strip().splitlines()[0]


def test_docstrings_open_with_a_verb_or_a_noun_phrase() -> None:
    """No docstring opens with What, Whether, How and the like: the subject is named first."""
    files = sorted((ROOT / "sync").rglob("*.py"))
    assert len(files) > 200
    assert [
        f"{file.relative_to(ROOT)}:{line}: {text}"
        for file in files
        for line, text in questions(file.read_text(encoding="utf-8"))
    ] == []


@pytest.mark.parametrize(
    "source",
    [
        '"""What a store is."""',
        'def f():\n    """\n    Whether it runs."""',
        'class A:\n    """How it works."""',
        'LIMIT = 3\n"""Where it ends."""',
    ],
)
def test_an_opening_question_is_found(source: str) -> None:
    """Modules, functions, classes and attributes are all looked at."""
    assert len(list(questions(source))) == 1


def test_other_openings_pass() -> None:
    """Only the first word counts, and whole: neither `when` later on nor a longer word is found."""
    assert list(questions('"""Return when asked."""')) == []
    assert list(questions('"""Whole months of a turn."""\n"""Thatched."""')) == []
