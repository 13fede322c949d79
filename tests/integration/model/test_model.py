"""Random interleavings of the CRM, the workers and their deaths end equal to the oracle."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.integration.model.directed import DIRECTED, Directed
from tests.integration.model.machine import machine_of
from tests.integration.model.mutations import MUTATIONS, Mutation
from tests.integration.model.world import World

STEPS = 12
EXAMPLES = 8
SEEDS = 1


def explore(
    make: Callable[[], World],
    *,
    examples: int,
    start: int,
) -> None:
    """Run a machine on the examples that follow from a seed: the same ones every time.

    They are not made smaller when one fails: that takes minutes, and is `Phase.shrink` away.
    """

    machine = machine_of(make)

    @seed(start)
    def factory() -> RuleBasedStateMachine:
        return machine()

    run_state_machine_as_test(
        factory,  # type: ignore[arg-type]
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


def worlds(
    database: str, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> tuple[Callable[[], World], list[World]]:
    """What makes worlds, and those it made."""
    made: list[World] = []

    def make() -> World:
        made.append(World(database, engine, monkeypatch))
        return made[-1]

    return make, made


def steps_of(made: list[World]) -> int:
    """Slices, acts of scripts and answers: what could come between one another."""
    return sum(world.steps + world.acts + world.answers for world in made)


@pytest.mark.parametrize("start", range(SEEDS))
def test_whatever_happens_the_mirror_ends_as_the_crm(
    database: str,
    engine: sa.Engine,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
    start: int,
) -> None:
    """At every moment coverage claims only what is so; when quiet returns all is equal."""
    make, made = worlds(database, engine, monkeypatch)
    explore(make, examples=EXAMPLES, start=start)
    record_property("steps", steps_of(made))


@pytest.mark.faults
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("start", range(100, 100 + int(os.environ.get("MODEL_SEEDS", "6"))))
def test_whatever_happens_for_longer(
    database: str, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, start: int
) -> None:
    """The same with many more examples."""
    make, made = worlds(database, engine, monkeypatch)
    explore(make, examples=100, start=start)
    print(f"seed {start}: {len(made)} examples, {steps_of(made)} steps")


def direct(world: World, happens: Directed) -> None:
    """Have a directed world happen, judged at every turn and, at rest, as a whole."""
    try:
        happens(world)
        world.settle()
    finally:
        world.close()


@pytest.mark.parametrize(
    "happens",
    DIRECTED,
    ids=lambda happens: happens.__name__,
)
def test_a_directed_world_ends_as_the_crm(
    database: str, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, happens: Directed
) -> None:
    """What needs one rule, and is found right with all of them."""
    direct(World(database, engine, monkeypatch), happens)


@pytest.mark.parametrize(
    ("mutation", "happens"),
    MUTATIONS,
    ids=lambda each: each.__name__,
)
def test_a_rule_taken_out_is_missed(
    database: str,
    engine: sa.Engine,
    monkeypatch: pytest.MonkeyPatch,
    mutation: Mutation,
    happens: Directed,
) -> None:
    """Without the rule a claim is wrong, or the end is not the CRM's, in the world that needs it:
    the same that the code with all its rules passes above."""
    world = World(database, engine, monkeypatch)
    mutation(monkeypatch)
    with pytest.raises(AssertionError) as found:
        direct(world, happens)
    print(f"{mutation.__name__}: {happens.__name__}, step {world.steps}: {found.value!s:.200}")


@pytest.mark.faults
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(
    "mutation",
    sorted({mutation for mutation, _ in MUTATIONS}, key=lambda each: each.__name__),
    ids=lambda mutation: mutation.__name__,
)
def test_a_rule_taken_out_is_missed_by_chance(
    database: str, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, mutation: Mutation
) -> None:
    """How many random examples it takes, which may be more than these."""
    make, made = worlds(database, engine, monkeypatch)
    mutation(monkeypatch)
    try:
        explore(make, examples=100, start=100)
    except (AssertionError, Flaky, ExceptionGroup) as found:
        print(f"{mutation.__name__}: example {len(made)}, {steps_of(made)} steps: {found!s:.200}")
    else:
        print(f"{mutation.__name__}: not found in {len(made)} examples")
