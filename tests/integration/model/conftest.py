"""An engine on a fresh database whose clock can be moved on, shared by a machine's worlds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from sync.work import slices
from tests.integration.pipeline.harness import engine_of, without_waiting


class Silent:
    """A logger that says nothing: thousands of slices would."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_, **__: None


@pytest.fixture
def engine(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    without_waiting(monkeypatch)
    monkeypatch.setattr(slices, "log", lambda **_: Silent())
    made = engine_of(database)
    yield made
    made.dispose()
