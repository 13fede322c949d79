"""An engine on a fresh database whose clock can be moved on, shared by a machine's worlds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.integration.pipeline.harness import engine_of, without_waiting


@pytest.fixture
def engine(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    without_waiting(monkeypatch)
    made = engine_of(database)
    yield made
    made.dispose()
