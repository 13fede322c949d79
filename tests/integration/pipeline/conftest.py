"""A mirror in a fresh database, closed when the test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.pipeline.harness import Mirror

Open = Callable[..., Mirror]


@pytest.fixture
def open_mirror(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Makes a mirror of a new account; its options are those of `Mirror`."""
    opened: list[Mirror] = []

    def make(**options: Any) -> Mirror:
        opened.append(Mirror(database, monkeypatch, **options))
        return opened[-1]

    yield make
    for mirror in opened:
        mirror.close()
