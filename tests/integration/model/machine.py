"""The machine: hypothesis draws what the CRM, the workers and fate do next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sync.failpoints import POINTS
from tests.integration.model.world import (
    LAG_SECONDS,
    LATE_SECONDS,
    UNPUBLISHED_SECONDS,
    Act,
    Script,
    World,
)

KINDS = (
    *["create_order"] * 3, *["update_order"] * 4, *["flip_order"] * 3, "pay_order",
    *["delete_order"] * 5, *["undelete_order"] * 2, *["redate_order"] * 2, "move_order",
    "merge_orders", "create_customer", *["update_customer"] * 2, "delete_customer",
    "undelete_customer", *["merge_customers"] * 2, "merge_chain", *["reassign_order"] * 2,
    "import_orders", "lists_lag",
)  # fmt: skip

picks = st.integers(0, 41)
changes: st.SearchStrategy[Act] = st.tuples(st.sampled_from(KINDS), picks, picks)
histories = st.sampled_from(("order_history", "order_history", "customer_history"))
lists = st.sampled_from(("orders", "orders", "orders", "customers"))
feeds: st.SearchStrategy[Act] = st.tuples(st.just("feed"), histories)
times: st.SearchStrategy[Act] = st.tuples(st.just("time"), st.sampled_from((1, 7, 30, 61)))
fates: st.SearchStrategy[Act] = st.sampled_from((("crash",), ("take_over",), ("stop",)))
acts = st.one_of(changes, changes, changes, feeds, feeds, times, fates)
moments = st.tuples(
    st.sampled_from(("any", "page")), st.integers(1, 6), st.lists(acts, min_size=1, max_size=4)
)
deaths = st.one_of(
    st.none(), st.none(), st.none(), st.tuples(st.sampled_from(POINTS), st.integers(1, 6))
)
scripts = st.builds(Script, st.lists(moments, max_size=4), deaths)

# A first walk probes and then reads three pages: much goes on between those, and is followed.
shifts: st.SearchStrategy[Act] = st.tuples(
    st.sampled_from((*["delete_order"] * 4, "create_order", "redate_order", "flip_order")),
    st.one_of(st.integers(0, 19), picks),
    picks,
)
followed: st.SearchStrategy[tuple[Act, ...]] = st.tuples(shifts, st.just(("feed", "order_history")))
busy_moments = st.tuples(
    st.just("page"),
    st.sampled_from((2, 2, 2, 3, 4)),
    st.one_of(st.tuples(shifts), followed, followed, followed),
)
busy_scripts = st.builds(Script, st.lists(busy_moments, min_size=1, max_size=3))
beginnings = st.one_of(st.none(), busy_scripts, busy_scripts)


def machine_of(make: Callable[[], World]) -> type[RuleBasedStateMachine]:
    """A machine over worlds made by `make`, one an example."""

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.world = make()
            self.failed = False

        def _do(self, what: Callable[..., Any], *arguments: Any) -> None:
            try:
                what(*arguments)
            except BaseException:
                self.failed = True
                raise
            self.world.mirror.services.stop.clear()

        @initialize(
            late=st.sampled_from((0, 0, LATE_SECONDS)),
            unpublished=st.sampled_from((0, 0.2, 0.5)),
            lag=st.sampled_from((0, 0, 0, LAG_SECONDS)),
            first=beginnings,
        )
        def begin(self, late: float, unpublished: float, lag: float, first: Script | None) -> None:
            """A mirror that is at rest, or one whose first walk begins on a busy day."""
            if first is None:
                self._do(self.world.settle)
            self.world.knob(
                history_publish_delay=late,
                history_publish_share=0.4,
                entry_delay_seconds=(0, UNPUBLISHED_SECONDS),
                entry_delay_share=unpublished,
                list_lag_seconds=lag,
            )
            if first is not None:
                self._do(self.world.slice, "orders", "walk", first)

        @rule(saves=st.lists(changes, min_size=1, max_size=4))
        def the_crm_changes(self, saves: list[Act]) -> None:
            for save in saves:
                self._do(self.world.act, save)

        @rule(seconds=st.sampled_from((1, 20, 61)))
        def time_passes(self, seconds: float) -> None:
            self.world.mirror.pass_time(seconds)

        @rule(history=histories, script=scripts)
        def a_feed_works(self, history: str, script: Script) -> None:
            self._do(self.world.slice, history, "feed", script)

        @rule(name=lists, script=scripts)
        def a_walk_works(self, name: str, script: Script) -> None:
            self._do(self.world.slice, name, "walk", script)

        @rule(name=lists, script=scripts, deep=st.booleans(), kind=st.booleans())
        def a_crawl_is_asked_for(self, name: str, script: Script, deep: bool, kind: bool) -> None:
            if not self.world.mirror.open_crawls(name):
                wanted = "backfill" if kind else "reconcile"
                self.world.mirror.queue(name, wanted, deep=deep and wanted == "reconcile")
            self._do(self.world.slice, name, "walk", script)

        @rule(first=st.integers(0, 2), death=deaths)
        def a_crm_changes_its_mind(self, first: int, death: tuple[str, int] | None) -> None:
            """A, B under the walk's eyes, and A again before the walk has written B."""
            world = self.world
            if world.mirror.open_crawls("orders"):
                self._do(world.slice, "orders", "walk")
            world.mirror.queue("orders", "backfill")
            flip, feed = ("flip_order", first, 0), ("feed", "order_history")
            self._do(world.act, flip)
            back = [("page", 4, [flip, feed, ("time", 61), feed])]
            self._do(world.slice, "orders", "walk", Script(back, death))

        @invariant()
        def coverage_claims_what_is_so(self) -> None:
            self._do(self.world.check)

        def teardown(self) -> None:
            try:
                if not self.failed:
                    self.world.settle()
            finally:
                self.world.close()

    return Machine
