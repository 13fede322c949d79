"""The kinds of the sandbox: one list, from which all else follows."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sync.sandbox import Account, Clock, Sandbox, dictionaries, kinds, registry
from sync.sandbox.kind import Kind, Seeding
from sync.sandbox.knobs import CHURN_MIX
from sync.sandbox.lists import FeedMethod
from sync.sandbox.registry import KINDS
from sync.sandbox.seed import in_turn

NAMES = [kind.name for kind in KINDS]


def test_every_kind_that_is_declared_is_listed() -> None:
    """A file forgotten in the registry would be served by nothing, and no test would miss it."""
    declared = [
        value
        for module in pkgutil.iter_modules(kinds.__path__)
        for value in vars(importlib.import_module(f"sync.sandbox.kinds.{module.name}")).values()
        if isinstance(value, Kind)
    ]
    forgotten = {kind.name for kind in declared} - set(NAMES)
    assert forgotten == set(), (
        "name them in KINDS of sync/sandbox/registry.py (CONTRIBUTING, step 6)"
    )


def test_nothing_is_declared_twice() -> None:
    """Of two kinds, methods or mutations of one name the second would hide the first."""
    paths = [path for kind in KINDS for path in kind.methods]
    edits = [edit.__name__ for kind in KINDS for edit in kind.mutations]
    moves = [name for kind in KINDS for name in kind.churn]
    for names in (NAMES, paths, edits, moves):
        assert [name for name, count in Counter(names).items() if count > 1] == []


def test_kinds_name_kinds_that_there_are() -> None:
    """In what is seeded before them, and in whose leavings they are."""
    named = {name for kind in KINDS for name in (*kind.after, *kind.left_by)}
    assert named <= set(NAMES)
    turns = [kind.name for kind in in_turn(KINDS)]
    assert sorted(turns) == sorted(NAMES)
    for kind in KINDS:
        assert all(turns.index(name) < turns.index(kind.name) for name in kind.after), kind.name


def test_a_method_of_a_history_and_the_subject_of_its_entries_go_together() -> None:
    """Without `subject` an account has no such history, and nothing can be seeded."""
    feeds = {k.name for k in KINDS if any(isinstance(m, FeedMethod) for m in k.methods.values())}
    assert feeds == {kind.name for kind in KINDS if kind.subject}, (
        "a kind has `subject` and a FeedMethod, or neither"
    )


def test_every_dictionary_has_first_entries() -> None:
    """A name in `_MAPS` or `_ROWS` is only the way to them."""
    account: Account = Sandbox(clock=Clock(1_763_000_000)).account()
    bare = {
        each.name for each in dictionaries.METHODS.values() if not account.references.get(each.name)
    }
    assert bare == set(), "give them entries in sync/sandbox/reference.py (CONTRIBUTING, step 6)"


# Those that draw from the one generator of seeding. They are as they are; no other is to.
DRAW = {
    "contacts", "costs", "customers", "customers-corporate", "files", "loyalty-accounts", "orders",
    "packs", "segments", "shipments", "tasks", "users",
}  # fmt: skip


def test_no_further_kind_draws_from_the_generator_that_all_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A draw shifts all that follow: every seeded account, and all that is measured on one."""
    drew: set[str] = set()

    def noted(kind: Kind, do: Callable[..., Any]) -> Callable[..., Any]:
        def run(seeding: Seeding, *rest: Any) -> Any:
            before = seeding.rng.getstate()
            made = do(seeding, *rest)
            made = made if made is None else list(made)
            if seeding.rng.getstate() != before:
                drew.add(kind.name)
            return made

        return run

    watched = [
        replace(
            kind,
            seed=kind.seed and noted(kind, kind.seed),
            created=kind.created and noted(kind, kind.created),
            left_by={whose: noted(kind, leaving) for whose, leaving in kind.left_by.items()},
        )
        for kind in KINDS
    ]
    monkeypatch.setattr("sync.sandbox.sandbox.KINDS", watched)
    Sandbox(clock=Clock(1_763_000_000)).account(orders=100, customers=100, products=10)
    assert drew - DRAW == set(), (
        "they draw from seeding.rng (CONTRIBUTING): let them have a Random of their own, as the"
        " shelves of sync/sandbox/kinds/products.py do"
    )


def test_churn_knows_every_edit_of_its_mix() -> None:
    assert set(CHURN_MIX) <= set(registry.CHURN)


@pytest.mark.parametrize("kind", [k for k in KINDS if k.subject], ids=lambda kind: kind.name)
def test_a_kind_with_a_history_has_all_that_goes_with_it(kind: Kind) -> None:
    """Its method, its entries, the timeline: none of them is named a second time."""
    sandbox = Sandbox(clock=Clock(1_763_000_000), timeline=True)
    account = sandbox.account(orders=20, customers=10)
    (path,) = [p for p, answer in kind.methods.items() if isinstance(answer, FeedMethod)]
    status, told = sandbox.get(path)
    assert status == 200
    assert all(kind.subject in entry for entry in told["history"])
    assert account.histories[kind.name].subject == kind.subject
    past = account.timeline.kept(account.clock.now())
    assert past is not None
    assert len(past.versions[kind.name]) == len(account.ids(kind.name))


def test_every_mutation_is_a_door_of_the_account() -> None:
    """What the controls and the journal reach by name, a test calls as a method."""
    account: Account = Sandbox(clock=Clock(1_763_000_000)).account()
    assert set(account.mutations) == set(registry.MUTATIONS)
    assert account.create_customer() in account.ids("customers")
    with pytest.raises(AttributeError, match="no part or mutation 'create_nonsense'"):
        account.create_nonsense()
