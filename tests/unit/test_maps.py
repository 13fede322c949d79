"""The maps in the packages' docstrings: a line for every file, and none for a file that is gone."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

SYNC = Path(__file__).parents[2] / "sync"
PACKAGES = sorted(
    str(folder.relative_to(SYNC))
    for folder in SYNC.rglob("*")
    if (folder / "__init__.py").exists()
    and folder.name not in {"resources", "sandbox", "embedded", "metrics"}
    and "sandbox" not in folder.parts
)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_names_its_files(package: str) -> None:
    """A map that leaves files out sends its reader the wrong way."""
    folder = SYNC / package
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))) or ""
    named = re.findall(r"^(\w+\.py) +\S", docstring, re.MULTILINE)
    files = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    assert len(named) == len(set(named))
    assert set(named) == files
