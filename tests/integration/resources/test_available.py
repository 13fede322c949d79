"""What an account or a key does not give, and what a store does not want."""

from __future__ import annotations

import pytest

from sync.resources import RESOURCES
from sync.state import lanes
from tests.integration.pipeline.harness import Mirror
from tests.integration.resources.conftest import Open

DAY = 86_400
NAMES = ("users", "settings", "products", "costs", "loyalties", "bonus_operations", "orders",
         "order_history", "tasks", "task_history", "task_comments")  # fmt: skip
DUE = "SELECT extract(epoch FROM due_at - now()) FROM sync.lane WHERE resource = :r AND lane='walk'"


@pytest.fixture
def mirror(open_mirror: Open) -> Mirror:
    made = open_mirror(*NAMES, orders=30, customers=20)
    made.settle(most=20)
    return made


def count(mirror: Mirror, name: str) -> int:
    found: int = mirror.value(f"SELECT count(*) FROM crm.{name} WHERE deleted_at IS NULL")
    return found


@pytest.mark.parametrize("knob", ["forbidden", "missing"])
def test_a_refused_method_makes_its_resource_unavailable_and_no_other(
    mirror: Mirror, knob: str
) -> None:
    """403 for lack of a scope, 404 for a missing feature: the reason is told, rows stay, it is
    asked again daily, and comes back by itself."""
    for name in ("users", "products", "costs", "bonus_operations"):
        resource = RESOURCES[name]
        before = count(mirror, name)
        mirror.sandbox.knobs.turn(**{knob: [resource.path.removeprefix("/api/v5/")]})
        for each in NAMES:
            if each not in {"order_history", "task_history"}:
                mirror.queue(each, "reconcile" if RESOURCES[each].is_followed else "refresh")
        mirror.feeds()
        mirror.walks()
        assert mirror.coverage(name).state != "unavailable", "one answer is not a fact"
        mirror.believe(name, "walk")
        cover = mirror.coverage(name)
        assert (cover.state, cover.complete_as_of) == ("unavailable", None)
        reason = mirror.value("SELECT unavailable FROM sync.coverage WHERE resource = :r", r=name)
        assert resource.path in reason
        assert (resource.scope or "") in reason or knob == "missing"
        assert count(mirror, name) == before
        assert DAY - 600 < mirror.value(DUE, r=name) <= DAY + 5
        for other in NAMES:
            if other != name:
                assert mirror.coverage(other).state in {"fresh", "following"}, other
        assert mirror.errors() == []
        assert mirror.value("SELECT error FROM sync.store") is None
        mirror.sandbox.knobs.turn(**{knob: []})
        mirror.work(name, "walk")
        assert mirror.coverage(name).state == "fresh"


def test_what_is_turned_off_keeps_its_rows_and_says_so(mirror: Mirror) -> None:
    """Nothing is asked for it, coverage grows no younger; on again, it is read again."""
    before = count(mirror, "users")
    as_of = mirror.coverage("users").complete_as_of
    turn(mirror, "users", is_on=False)
    assert mirror.coverage("users").state == "disabled"
    mirror.pass_time(DAY)
    mirror.wire.paths.clear()
    mirror.work("users", "walk")
    assert mirror.wire.paths == []
    assert count(mirror, "users") == before
    assert mirror.coverage("users").complete_as_of == as_of
    turn(mirror, "users", is_on=True)
    mirror.work("users", "walk")
    assert mirror.coverage("users").state == "fresh"
    assert mirror.coverage("users").complete_as_of > as_of


def test_optional_ones_are_off_until_wanted(open_mirror: Open) -> None:
    """Declared, registered, not asked for; turned on for a store they are mirrored."""
    names = ("customers", "customer_history", "carts", "favorites")
    mirror = open_mirror(resources={name: RESOURCES[name] for name in names}, orders=0, customers=9)
    mirror.settle()
    assert [mirror.coverage(name).state for name in names[2:]] == ["disabled", "disabled"]
    assert not [path for path in mirror.wire.paths if "customer-interaction" in path]
    for name in names[2:]:
        turn(mirror, name, is_on=True)
        mirror.work(name, "walk")
        assert mirror.coverage(name).state == "fresh"
        assert count(mirror, name) > 0


def turn(mirror: Mirror, name: str, *, is_on: bool) -> None:
    mirror.rows("UPDATE sync.coverage SET selected = :on WHERE resource = :r", on=is_on, r=name)
    with mirror.engine.begin() as connection:
        lanes.set_lanes(connection, mirror.store_id)
