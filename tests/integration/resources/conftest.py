"""A mirror of chosen resources, or of all, in a fresh database."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sync.declare import Resource
from sync.resources import RESOURCES
from tests.integration.pipeline.harness import Mirror

Open = Callable[..., Mirror]


def chosen(*names: str, page_size: int = 20) -> dict[str, Resource]:
    """Resources as declared, on by default, in small pages; all of them without names."""
    return {
        name: dataclasses.replace(resource, page_size=page_size, optional=False)
        for name, resource in RESOURCES.items()
        if not names or name in names
    }


@pytest.fixture
def open_mirror(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Makes a mirror of a new account that holds the named resources."""
    opened: list[Mirror] = []

    def make(*names: str, page_size: int = 20, **options: Any) -> Mirror:
        resources = options.pop("resources", None) or chosen(*names, page_size=page_size)
        opened.append(Mirror(database, monkeypatch, resources=resources, **options))
        return opened[-1]

    yield make
    for mirror in opened:
        mirror.close()
