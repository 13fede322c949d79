"""Worlds: a CRM, its people and its moods; real workers in it; and claims judged all the while.

Times are those of a real store, with the lateness bound at 60 s. A world is run at a scale, which
shortens the service's waits (`SYNC_TEST_SCALE`) and the world's own times alike.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from tests.integration.faults.claims import GHOST, KINDS, MISSING, Tally, Wrong
from tests.integration.faults.rig import FEW, TOLD_MIX, Program, Rig
from tests.integration.faults.witness import Snapshot, Witness

BOUND = 60.0
INTERVAL = 15.0
"""Between two looks at a history, at the most."""
WORLD_ROW = "world row"
REST_SECONDS = 90.0
"""The least a world waits for its claims, by our own clock: a busy machine is no fault."""
LATE = ("entry_delay_seconds", "entry_delay_long_seconds")
# Knobs that are times of the world, and so are scaled.
TIMES = (*LATE, "list_lag_seconds", "replica_lag_seconds", "history_publish_delay",
         "history_retention", "clock_offset_seconds")  # fmt: skip
JUDGED = ("orders", "customers")
REDATES = TOLD_MIX | {"redate_order": 25.0, "move_order": 25.0}
MERGES = TOLD_MIX | {"merge_customers": 4.0, "merge_chain": 4.0, "reassign_order": 12.0}


@dataclass(frozen=True)
class Act:
    """What happens at a moment of a world's life, given in seconds after its begin."""

    at: float
    do: Callable[[Run], None]


@dataclass(frozen=True)
class World:
    """Everything about a world; see the table in test_worlds.py."""

    name: str
    churn: float = 6.0
    mix: dict[str, float] = field(default_factory=lambda: dict(TOLD_MIX))
    knobs: dict[str, Any] = field(default_factory=dict)
    acts: tuple[Act, ...] = ()
    orders: int = 3000
    customers: int = 400
    life: float = 240.0  # seconds people are at work
    rest: float = 240.0  # and at most so many until claims are as of later than that
    late_may_err: bool = False  # of records whose entries are later than the bound
    lag: float = 0.0  # how long lists came to lag, beyond the bound
    held: tuple[str, ...] = ()  # resources whose claim may stay behind
    requests_at_most: float | None = None  # a second, over life and rest

    @property
    def highest_bound(self) -> float:
        """What the lateness bound may have risen to: twice what it had to learn, and a little."""
        longest = max((max(self.knobs[name]) for name in LATE if name in self.knobs), default=0.0)
        return max(BOUND, 2.5 * longest, 2 * BOUND if self.lag else 0.0)

    @property
    def right_from(self) -> float:
        """From when on no claim may be wrong, though lists came to lag longer than the bound at 40.

        The first sample that shows it is of records known for twice the lag; it is taken a bound
        later at most, judged another one later, and what was told is read at the looks after that.
        """
        return 40 + 2 * self.lag + 2 * BOUND + 4 * INTERVAL if self.lag else 0.0


@dataclass
class Run:
    """A world while it runs."""

    rig: Rig
    world: World
    scale: float
    rng: random.Random
    witness: Witness
    tally: Tally = field(default_factory=Tally)
    workers: list[Program] = field(default_factory=list)
    backups: list[int] = field(default_factory=list)
    began: float = 0.0
    marked: set[int] = field(default_factory=set)  # orders that nobody can have

    def turn(self, **knobs: Any) -> None:
        self.rig.turn(**{name: self._scaled(name, value) for name, value in knobs.items()})

    def _scaled(self, name: str, value: Any) -> Any:
        if name not in TIMES or value is None:
            return value
        if isinstance(value, list | tuple):
            return [each * self.scale for each in value]
        return value * self.scale

    def mutate(self, mutation: str, **arguments: Any) -> Any:
        return self.rig.mutate(mutation, **arguments)

    def elapsed(self) -> float:
        """Seconds since the begin, by the world's own scale."""
        return (time.monotonic() - self.began) / self.scale


@dataclass(frozen=True)
class Line:
    """A row of the table."""

    world: str
    snapshots: int
    wrong: int
    kinds: str
    age_median: float
    age_most: float
    missing: int
    ghosts: int
    stale: int
    requests_a_second: float
    bound: float
    """The lateness bound at the end, in the world's own seconds."""

    HEAD = ("world", "snapshots", "wrong claims", "of which", "age median s", "age max s",
            "missing", "ghosts", "stale", "requests/s", "bound at end s")  # fmt: skip

    def cells(self) -> tuple[str, ...]:
        return (
            self.world, str(self.snapshots), str(self.wrong), self.kinds or "-",
            f"{self.age_median:.1f}", f"{self.age_most:.1f}", str(self.missing), str(self.ghosts),
            str(self.stale), f"{self.requests_a_second:.1f}", f"{self.bound:.0f}",
        )  # fmt: skip


@dataclass
class Outcome:
    """How a world ended."""

    line: Line
    tally: Tally
    left: list[Wrong]
    behind: list[str]  # resources whose claim is older than the end of life
    inexcusable: list[str]


def live(rig: Rig, world: World, *, scale: float, seed: int) -> Outcome:
    """Run a world to its end."""
    rig.scale = scale
    rig.turn(timeline=True)
    rig.add_store(
        rig.open_account(orders=world.orders, customers=world.customers, awkward=0), only=FEW
    )
    run = Run(rig, world, scale, random.Random(seed), Witness(rig))
    rig.beat()
    run.workers.append(rig.worker())
    rig.wait(lambda: claims_all(rig), "the first load is proven", seconds=240)
    run.turn(**world.knobs)
    rig.stage.control("reset_log")
    run.began = time.monotonic()
    rig.stage.control("churn/start", per_second=world.churn, mix=world.mix, accounts=[rig.account])
    work(run)
    behind = rest(run)
    return outcome(run, observe(run), behind=behind)


def claims_all(rig: Rig) -> bool:
    """Whether everything is claimed, old history too: what a retention cuts later is here."""
    rows = rig.ask(
        "SELECT bool_and(complete_as_of IS NOT NULL) FROM crm.coverage WHERE store_id = %s"
        " AND state <> 'disabled'",
        rig.store_id,
    )
    return bool(rows and rows[0][0])


def work(run: Run) -> None:
    """The life: acts at their moments, snapshots at random ones."""
    acts = sorted(run.world.acts, key=lambda act: act.at)
    while run.elapsed() < run.world.life:
        while acts and acts[0].at <= run.elapsed():
            acts.pop(0).do(run)
        observe(run)
        pause(run, until=acts[0].at if acts else run.world.life)
    run.rig.stage.control("churn/stop")


def rest(run: Run) -> list[str]:
    """Nobody works any more: until everything is claimed as of now, or the time is over."""
    end = run.elapsed() + max(run.world.rest, REST_SECONDS / run.scale)
    moment = run.rig.value("SELECT clock_timestamp()")
    while True:
        behind = [row[0] for row in run.rig.behind(moment) or []]
        if set(behind) <= set(run.world.held) or run.elapsed() > end:
            return behind
        observe(run)
        pause(run, until=end)


def pause(run: Run, *, until: float) -> None:
    """A random while, some 80 of them in a life."""
    mean = run.world.life / 80
    seconds = min(run.rng.expovariate(1 / mean), max(until - run.elapsed(), 0.0))
    Event().wait(max(seconds * run.scale, 0.05))


def observe(run: Run) -> Snapshot:
    """One snapshot, judged and counted."""
    is_excused = run.elapsed() < run.world.right_from
    taken = run.witness.look()
    tally = run.tally
    tally.snapshots += 1
    tally.add(taken.wrong, when=f"{run.elapsed():.0f} s", is_excused=is_excused)
    tally.ages += [
        taken.at - claimed
        for name in JUDGED
        if name not in run.world.held
        for claimed in [taken.claims[name][0]]
        if claimed
    ]
    return taken


def outcome(run: Run, last: Snapshot, *, behind: list[str]) -> Outcome:
    tally, left = run.tally, run.witness.differences(last)
    asked = run.rig.stage.oracle(f"requests?account={run.rig.account}")["count"]
    seconds = time.monotonic() - run.began
    missing = sum(wrong.kind == MISSING for wrong in left)
    ghosts = sum(wrong.kind == GHOST for wrong in left)
    line = Line(
        run.world.name, tally.snapshots, tally.wrong,
        " ".join(f"{tally.kinds[kind]} {kind}" for kind in KINDS if tally.kinds[kind]),
        statistics.median(tally.ages) if tally.ages else 0.0, max(tally.ages, default=0.0),
        missing, ghosts, len(left) - missing - ghosts, asked / seconds, bound_of(run),
    )  # fmt: skip
    excused = late_records(run) if run.world.late_may_err else {}
    excused["orders"] = excused.get("orders", set()) | run.marked
    wrong = [
        f"{name} {key}"
        for name, ids in sorted(tally.ids.items())
        for key in sorted(ids - excused.get(name, set()))
    ]
    wrong += [str(each) for each in left if each.id not in excused.get(each.resource, set())]
    return Outcome(line, tally, left, behind, wrong)


def bound_of(run: Run) -> float:
    """The store's lateness bound, by the world's own scale."""
    learnt = run.rig.value(
        "SELECT max(lateness_seconds) FROM sync.feed WHERE store_id = %s", run.rig.store_id
    )
    return max(float(learnt or 0) / run.scale, BOUND)


def late_records(run: Run) -> dict[str, set[int]]:
    """By resource: what an entry published later than the bound tells of, and the entry itself.

    An order changes its customers' totals, and a merged customer its orders, without a word.
    """
    late = {
        name: {
            key: entry.owner
            for key, entry in entries.items()
            if entry.seen_at - entry.at > BOUND * run.scale
        }
        for name, entries in run.witness.entries.items()
    }
    found = {name: set(entries) for name, entries in late.items()}
    found["orders"] = set(late["order_history"].values())
    found["customers"] = set(late["customer_history"].values())
    path = f"/oracle/{run.rig.account}/orders/timeline"
    owned = [
        (line["id"], line["content"]["customer"]["id"])
        for line in run.witness.lines(run.rig.stage.http.get(path))
        if line["content"] and "customer" in line["content"]
    ]
    buyers = {customer for order, customer in owned if order in found["orders"]}
    found["orders"] |= {order for order, customer in owned if customer in found["customers"]}
    found["customers"] |= buyers
    return found
