"""Mirrors that are at rest: the world most rules begin in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.pipeline.harness import Mirror, settled

Open = Callable[..., Mirror]


@pytest.fixture
def open_settled(
    database_url: str, template: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Open]:
    """Opens a mirror that is loaded and at rest, one a test; its options are those of `Mirror`."""
    opened: list[Mirror] = []

    def make(**options: Any) -> Mirror:
        opened.append(settled(database_url, template, monkeypatch, **options))
        return opened[-1]

    yield make
    for mirror in opened:
        mirror.close()


@pytest.fixture
def mirror(open_settled: Open) -> Mirror:
    """45 orders of 20 customers, loaded and proven, everything at rest."""
    return open_settled()
