"""Claims of coverage in worlds rougher than the documented one: none of them is wrong.

`MIRROR_WORLDS_SCALE=1 make faults` runs them in their own time; `make test` and CI run one more
each, with all times a tenth.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.faults.rig import Rig
from tests.integration.faults.worlds import MERGES, REDATES, WORLD_ROW, Act, Run, World, live

SCALE = float(os.environ.get("MIRROR_WORLDS_SCALE", "0.25"))
QUICK = 0.1
SEED = int(os.environ.get("MIRROR_WORLDS_SEED", "7"))

# --- acts


def burst(count: int = 2000, *, commit_seconds: float = 0.0) -> Callable[[Run], None]:
    """An import: so many orders edited in one transaction, committed so much later."""

    def act(run: Run) -> None:
        run.mutate("import_orders", count=count, commit_seconds=commit_seconds * run.scale)

    return act


def turn(**knobs: Any) -> Callable[[Run], None]:
    return lambda run: run.turn(**knobs)


def kill(run: Run) -> None:
    """A worker gone without a word, and another in its place."""
    run.workers[-1].kill()
    run.workers.append(run.rig.worker())


def back_up(run: Run) -> None:
    run.backups.append(run.mutate("back_up"))


def restore(run: Run) -> None:
    """What happened since the backup is undone; its ids will be given again."""
    run.mutate("restore", backup=run.backups[-1])
    run.witness.restored()


def grow(run: Run) -> None:
    """Past the old head at once."""
    burst(600)(run)


def poison(run: Run) -> None:
    """Three orders never answer from now on, and they are edited too."""
    ids = [int(i) for i in run.rig.stage.oracle(f"{run.rig.account}/orders/ids")["ids"]]
    run.marked |= {ids[len(ids) // 4], ids[len(ids) // 2], ids[-1]}
    run.turn(poison={"orders": sorted(run.marked)})
    run.mutate("import_orders", orders=sorted(run.marked))


def swell(run: Run) -> None:
    """A hundred orders of 400 kB: the page with them is 40 MB."""
    ids = [int(i) for i in run.rig.stage.oracle(f"{run.rig.account}/orders/ids")["ids"]]
    some = ids[-150:-50]
    run.turn(huge={"orders": {str(i): 400_000 for i in some}})
    run.mutate("import_orders", orders=some)


def idle(run: Run) -> None:
    run.rig.stage.control("churn/start", per_second=0.0)


def busy(run: Run) -> None:
    run.rig.stage.control("churn/start", per_second=run.world.churn)


# --- the table

THIRD_LATE = {"entry_delay_seconds": (0, 50), "entry_delay_share": 0.33}
FEW_LATER = {
    "entry_delay_seconds": (0, 50), "entry_delay_share": 0.1,
    "entry_delay_long_seconds": (80, 110), "entry_delay_long_share": 0.01,
}  # fmt: skip
LAGGING = {"list_lag_seconds": 30}
KILLS = tuple(Act(at, kill) for at in (40, 100, 160))
BURSTS = (Act(30, burst()), Act(80, burst(commit_seconds=30)), Act(150, burst()))

WORLDS = (
    World("calm"),
    World("20 changes a second", churn=20),
    World("lists lagging 30 s", knobs=LAGGING),
    World("a third of the entries up to 50 s late", knobs=THIRD_LATE),
    World("late entries, lists lagging 20 s", churn=12,
          knobs=THIRD_LATE | {"list_lag_seconds": 20}),
    World("some entries later than the bound", knobs=FEW_LATER, late_may_err=True, rest=400),
    World("bursts of 2,000", acts=BURSTS),
    World("dates and sites changed", mix=REDATES),
    World("chains of merges, orders reassigned", mix=MERGES),
    World("workers killed", churn=12, acts=KILLS, rest=400),
    World("the CRM's clock 90 s ahead", knobs={"clock_offset_seconds": 90}),
    World("the CRM's clock 90 s behind", knobs={"clock_offset_seconds": -90}),
    World(
        "lists 90 s behind for a while",
        acts=(Act(40, turn(list_lag_seconds=90)), Act(120, turn(list_lag_seconds=0))),
        lag=90, rest=400,
    ),
    World(
        "replicas: lists 20 s behind by turns",
        knobs={"replica_lag_seconds": [0, 20], "replica_histories": False},
    ),
    World("replicas: histories too", knobs={"replica_lag_seconds": [0, 20]}, rest=400),
    World(
        "restored and grown past the head",
        acts=(Act(30, back_up), Act(120, restore), Act(125, grow)),
        rest=400,
    ),
    World(
        "retention on an idle feed",
        acts=(Act(40, idle), Act(45, turn(history_retention=100)), Act(160, busy)),
    ),
    World("everything late, bursts, merges, redates", churn=12, mix=MERGES | REDATES,
          knobs=THIRD_LATE | {"list_lag_seconds": 20}, acts=(*BURSTS, *KILLS), rest=400),
    World("three orders that never answer", acts=(Act(30, poison),),
          held=("orders",), requests_at_most=20),
    World("a page of 40 MB", acts=(Act(30, swell),), held=("orders",), requests_at_most=20),
    World("a total off by one", acts=(Act(30, turn(totals_off={"orders": 1})),),
          held=("orders",), requests_at_most=20),
    World("one request in forty fails", requests_at_most=20,
          acts=(Act(10, turn(fault_share={"500": 0.0125, "cut": 0.0125})),)),
)  # fmt: skip

QUICKLY = (
    World("late entries, lagging lists, churn", churn=20, orders=1200, customers=200, life=240,
          rest=300, knobs=THIRD_LATE | {"list_lag_seconds": 30}),
    World("merges, redates, moves, a killed worker", churn=12, orders=1200, customers=200, life=240,
          rest=300, mix=MERGES | REDATES, acts=(Act(60, kill),)),
)  # fmt: skip


def run_and_judge(
    rig: Rig, world: World, record_property: Callable[[str, object], None], *, scale: float
) -> None:
    ended = live(rig, world, scale=scale, seed=SEED)
    record_property(WORLD_ROW, ended.line.cells())
    print(f"\n| {' | '.join(ended.line.cells())} |")
    for example in ended.tally.examples:
        print(f"    {example}")
    for wrong in ended.left[:8]:
        print(f"    at the end: {wrong}")
    assert ended.inexcusable == [], rig.said()
    assert set(ended.behind) <= set(world.held), rig.said()
    assert ended.line.bound <= world.highest_bound, "the bound rose in vain"
    if world.requests_at_most is not None:
        assert ended.line.requests_a_second <= world.requests_at_most


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_no_claim_is_wrong(
    rig: Rig, world: World, record_property: Callable[[str, object], None]
) -> None:
    """At `complete_as_of` everything is here that was there, in a state it has had since."""
    run_and_judge(rig, world, record_property, scale=SCALE)


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(QUICKLY[0], marks=pytest.mark.in_every_run, id=QUICKLY[0].name),
        pytest.param(QUICKLY[1], marks=pytest.mark.in_ci, id=QUICKLY[1].name),
    ],
)
def test_no_claim_is_wrong_in_a_tenth_of_the_time(
    rig: Rig, world: World, record_property: Callable[[str, object], None]
) -> None:
    run_and_judge(rig, world, record_property, scale=QUICK)
