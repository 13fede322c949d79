"""Revisions are read from the names of files, so odd names must not count."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.database import revisions
from sync.errors import NeedsOperator


def test_a_copy_or_an_odd_name_is_no_revision(tmp_path: Path) -> None:
    folder = tmp_path / "migrations/versions"
    folder.mkdir(parents=True)
    for name in ("0039_x.py", "0039_x_copy.py", "0016_baseline.py", "2_foo.py", "20260101_y.py"):
        (folder / name).touch()
    assert revisions._read(tmp_path) == ("0016", "0039")


def test_a_checkout_without_migrations_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(NeedsOperator, match="no migrations"):
        revisions._read(tmp_path)
