"""Random interleavings of the CRM, the workers and their deaths end equal to the oracle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.integration.model.machine import machine_of
from tests.integration.model.world import World

STEPS = 12


def explore(
    make: Callable[[], World],
    *,
    examples: int,
    start: int,
    phases: tuple[Phase, ...] = (Phase.generate,),
) -> None:
    """Run a machine on the examples that follow from a seed: the same ones every time."""

    machine = machine_of(make)

    @seed(start)
    def factory() -> object:
        return machine()

    run_state_machine_as_test(
        factory,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=phases,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("start", range(4))
def test_whatever_happens_the_mirror_ends_as_the_crm(
    database: str, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, start: int
) -> None:
    """At every moment coverage claims only what is so; when quiet returns all is equal."""
    worlds = Counter()

    def make() -> World:
        worlds["made"] += 1
        return World(database, engine, monkeypatch)

    explore(make, examples=25, start=start)
    print(worlds)
