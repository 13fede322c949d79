"""The kinds of the sandbox: one list, from which all else follows."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter

import pytest

from sync.sandbox import Account, Clock, Sandbox, kinds, registry
from sync.sandbox.kind import Kind
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
    assert {kind.name for kind in declared} == set(NAMES)


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
