"""Benches are run rarely, and what they import changes often."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

BENCHES = sorted(path.stem for path in (Path(__file__).parents[1] / "bench").glob("*.py"))


@pytest.mark.parametrize("name", BENCHES)
def test_a_bench_can_be_loaded(name: str) -> None:
    try:
        import_module(f"tests.bench.{name}")
    except ModuleNotFoundError as error:
        if error.name != "dlt":  # a peer that a bench installs for itself
            raise
