"""Methods asked once for every record of another resource."""

from __future__ import annotations

from functools import partial
from typing import Any

import httpx
import pytest

from sync.rows.live_rows import orphans
from sync.state import lanes
from sync.work import context
from sync.work.failures import ODD_TIMES
from sync.work.per_parent import parent, parents
from tests.integration.pipeline.harness import Mirror
from tests.integration.resources.conftest import Open
from tests.integration.resources.fake import Fake, Record, answer

DAY = 86_400


def comments(*ids: int, text: str = "said") -> list[Record]:
    return [{"id": each, "text": text, "createdAt": "2024-01-01 10:00:00"} for each in ids]


def path(task: int) -> str:
    return f"/api/v5/tasks/{task}/comments"


def live(mirror: Mirror) -> dict[int, int]:
    """Comments and the tasks they are of."""
    return dict(
        tuple(row)
        for row in mirror.rows("SELECT id, task_id FROM crm.task_comments WHERE deleted_at IS NULL")
    )


@pytest.fixture
def mirror(open_mirror: Open) -> Mirror:
    """Four tasks; what is said about them is the test's own."""
    made = open_mirror("tasks", "task_history", "task_comments", orders=0, customers=0)
    for _ in range(4):
        made.account.create_task(text="call")
    return made


@pytest.fixture
def fake(mirror: Mirror) -> Fake:
    made = Fake(mirror)
    for number, task in enumerate(sorted(mirror.truth("tasks")), start=1):
        made.serve(path(task), "comments", comments(number * 100 + 1, number * 100 + 2))
    return made


@pytest.fixture
def tasks(mirror: Mirror) -> list[int]:
    return sorted(mirror.truth("tasks"))


def refresh(mirror: Mirror) -> None:
    mirror.queue("task_comments", "refresh")
    mirror.work("task_comments", "walk")


def test_each_list_is_its_parents(mirror: Mirror, fake: Fake, tasks: list[int]) -> None:
    """What a list lacks is tombstoned of that parent alone."""
    mirror.settle()
    assert live(mirror) == {
        number * 100 + each: task for number, task in enumerate(tasks, 1) for each in (1, 2)
    }
    fake.lists[path(tasks[1])][1].pop()
    refresh(mirror)
    assert mirror.tombstones("task_comments") == {202: "absent"}
    assert mirror.coverage("task_comments").state == "fresh"


def test_a_parent_whose_list_cannot_be_had_is_passed_by(
    mirror: Mirror, fake: Fake, tasks: list[int]
) -> None:
    """It answers 500 whenever it is asked: the others are read, it is named, and coverage stays."""
    mirror.settle()
    before = mirror.coverage("task_comments").complete_as_of
    fake.handle(path(tasks[1]), lambda _: answer(500, errorMsg="Internal Server Error"))
    fake.lists[path(tasks[3])][1].append(comments(403)[0])
    refresh(mirror)
    assert live(mirror)[403] == tasks[3]
    assert mirror.tombstones("task_comments") == {}
    [waits] = mirror.rows("SELECT id, error FROM sync.reread WHERE resource = 'task_comments'")
    assert (waits.id, "500" in waits.error) == (tasks[1], True)
    assert mirror.coverage("task_comments").complete_as_of == before
    mirror.pass_time(901)
    mirror.feeds()
    assert mirror.coverage("task_comments").state == "attention"
    del fake.handlers[path(tasks[1])]
    refresh(mirror)
    assert not mirror.rows("SELECT id FROM sync.reread WHERE resource = 'task_comments'")
    assert mirror.coverage("task_comments").state == "fresh"


def test_a_list_of_several_pages_that_shifts_is_read_again(
    mirror: Mirror, fake: Fake, tasks: list[int]
) -> None:
    """Nothing is complete, and nothing absent, by a list that moved under the reader."""
    records = fake.serve(path(tasks[0]), "comments", comments(*range(1, 46)))
    mirror.settle()
    fake.before(path(tasks[0]), fake.count(path(tasks[0])) + 2, lambda: records.pop(0))
    refresh(mirror)
    assert {key for key, task in live(mirror).items() if task == tasks[0]} == set(range(2, 46))
    assert mirror.coverage("task_comments").state == "fresh"


def test_a_list_that_goes_on_without_end_ends(mirror: Mirror, fake: Fake, tasks: list[int]) -> None:
    fake.serve(path(tasks[0]), "comments", comments(*range(1, 46)))

    def endless(parameters: dict[str, list[str]]) -> httpx.Response:
        page = int(parameters["page"][0])
        block = {"limit": 20, "totalCount": 45, "currentPage": page, "totalPageCount": page + 1}
        return answer(comments=comments(*range(20)), pagination=block)

    fake.handle(path(tasks[0]), endless)
    mirror.feeds()
    mirror.work("tasks", "walk")
    mirror.pass_time(61)
    mirror.feeds()
    mirror.work("tasks", "walk")
    mirror.work("task_comments", "walk")
    assert "did not hold still" in mirror.lane("task_comments").error
    assert mirror.coverage("task_comments").complete_as_of is None
    assert fake.count(path(tasks[0])) <= 2 * 4 * 14 + parent.HELD_PAGES + 1
    assert mirror.lane("task_history", "feed").error is None


def asked_pages(fake: Fake, task: int) -> list[int]:
    return [int(asked["page"][0]) for where, asked in fake.asked if where == path(task)]


def test_a_long_list_is_written_in_parts(
    mirror: Mirror, fake: Fake, tasks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is held of it at once is bounded; what it lacks is still known in the end."""
    monkeypatch.setattr(parent, "HELD_PAGES", 2)
    mirror.settle()
    records = fake.serve(path(tasks[1]), "comments", comments(*range(1_001, 1_151)))
    written: list[int] = []
    with mirror.between("page=7", lambda: written.append(len(live(mirror)))):
        refresh(mirror)
    assert written
    assert written[0] >= 8 - 2 + 3 * 20
    assert {key for key, task in live(mirror).items() if task == tasks[1]} == set(
        range(1_001, 1_151)
    )
    assert mirror.coverage("task_comments").state == "fresh"
    gone = records.pop(30)["id"]
    refresh(mirror)
    assert mirror.tombstones("task_comments") == {201: "absent", 202: "absent", gone: "absent"}
    assert mirror.coverage("task_comments").state == "fresh"


def test_a_list_of_large_answers_is_written_in_parts(
    mirror: Mirror, fake: Fake, tasks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not pages are held but what is in them."""
    monkeypatch.setattr(parent, "HELD_BYTES", 20_000)
    mirror.settle()
    fake.serve(path(tasks[1]), "comments", comments(*range(1_001, 1_101), text="x" * 1_000))
    written: list[int] = []
    with mirror.between("page=4", lambda: written.append(len(live(mirror)))):
        refresh(mirror)
    assert written[0] >= 2 * 20
    assert mirror.coverage("task_comments").state == "fresh"


@pytest.mark.parametrize("place", [0, 2])
def test_a_long_list_ends_with_its_slice_and_is_read_some_day(
    mirror: Mirror,
    fake: Fake,
    tasks: list[int],
    monkeypatch: pytest.MonkeyPatch,
    place: int,
) -> None:
    """It takes longer than any slice. Amid a slice it is left for the next, at whose beginning it
    is read to its end."""
    mirror.settle()
    fake.serve(path(tasks[place]), "comments", comments(*range(1_001, 1_301)))
    monkeypatch.setattr(context, "SLICE_SECONDS", 0.12)
    mirror.queue("task_comments", "refresh")
    begun = fake.count(path(tasks[place]))
    mirror.work("task_comments", "walk")
    if place:
        assert fake.count(path(tasks[place])) - begun < 15
    assert mirror.open_crawls("task_comments")
    for _ in range(4):
        mirror.work("task_comments", "walk")
    assert not mirror.open_crawls("task_comments")
    assert sum(task == tasks[place] for task in live(mirror).values()) == 300
    assert mirror.coverage("task_comments").state == "fresh"


def test_a_process_that_is_to_end_waits_for_no_list(
    mirror: Mirror, fake: Fake, tasks: list[int]
) -> None:
    """SIGTERM ends a slice at the next page, also of the first parent."""
    mirror.settle()
    fake.serve(path(tasks[0]), "comments", comments(*range(1_001, 1_301)))
    begun = fake.count(path(tasks[0]))
    mirror.queue("task_comments", "refresh")
    with mirror.between(f"tasks/{tasks[0]}/comments", mirror.services.stop.set, nth=3):
        mirror.work("task_comments", "walk")
    assert fake.count(path(tasks[0])) - begun <= 4
    mirror.services.stop.clear()
    mirror.work("task_comments", "walk")
    assert mirror.coverage("task_comments").state == "fresh"


def test_a_list_said_to_be_without_end_is_not_begun(
    mirror: Mirror, fake: Fake, tasks: list[int]
) -> None:
    """It is parked with what was said; the parents' feed goes on without it."""
    mirror.settle()

    def boundless(parameters: dict[str, list[str]]) -> httpx.Response:
        page = int(parameters["page"][0])
        block = {"limit": 20, "totalCount": 10**9, "currentPage": page, "totalPageCount": 900_000}
        return answer(comments=comments(*range(page * 20, page * 20 + 20)), pagination=block)

    fake.handle(path(tasks[1]), boundless)
    begun = fake.count(path(tasks[1]))
    mirror.account.update_task(tasks[1], text="something else")
    mirror.come_to_rest()
    assert mirror.lane("task_history", "feed").error is None
    mirror.believe("task_comments", "walk")
    assert fake.count(path(tasks[1])) - begun <= 4 * ODD_TIMES
    lane = mirror.lane("task_comments")
    assert lane.parked_at is not None
    assert "900000 pages" in lane.error
    assert b"900000" in mirror.value("SELECT body FROM sync.parked_page")


def test_a_feed_leaves_a_long_list_to_the_pass(
    mirror: Mirror, fake: Fake, tasks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parents, "FEED_PAGES", 5)
    mirror.settle()
    fake.serve(path(tasks[1]), "comments", comments(*range(1_001, 1_151)))
    begun = fake.count(path(tasks[1]))
    mirror.account.update_task(tasks[1], text="something else")
    mirror.come_to_rest()
    assert set(asked_pages(fake, tasks[1])[begun:]) == {1}
    assert mirror.open_crawls("task_comments")
    mirror.work("task_comments", "walk")
    assert sum(task == tasks[1] for task in live(mirror).values()) == 150
    assert mirror.coverage("task_comments").state == "fresh"


def test_what_a_feeds_slice_has_read_is_not_read_again_by_the_next(
    mirror: Mirror, fake: Fake, tasks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more parents due than fit into a slice, each slice is done with some of them."""
    mirror.settle()
    asked = {task: fake.count(path(task)) for task in tasks}
    mirror.rows(
        "INSERT INTO sync.reread (store_id, resource, id, not_before, reason, asked_at)"
        " SELECT :store, 'task_comments', unnest(cast(:ids AS bigint[])), now(), 'test', now()",
        ids=tasks,
    )
    stop = mirror.services.stop
    for turn in range(1, len(tasks) + 1):
        with mirror.between("/comments", stop.set):
            monkeypatch.setattr(context.Context, "is_over", property(lambda _: stop.is_set()))
            mirror.work("task_history", "feed")
        stop.clear()
        assert sum(fake.count(path(task)) - asked[task] for task in tasks) == turn
    assert {fake.count(path(task)) - asked[task] for task in tasks} == {1}
    assert not mirror.rows("SELECT 1 FROM sync.reread WHERE resource = 'task_comments'")


def test_what_was_read_before_a_passing_fault_is_not_read_again(
    mirror: Mirror, fake: Fake, tasks: list[int]
) -> None:
    """Where one answer in ten fails, a hundred parents would never come through all together: the
    one that fails is named and waits, the others are done with."""
    mirror.settle()
    asked = {task: fake.count(path(task)) for task in tasks}
    mirror.rows(
        "INSERT INTO sync.reread (store_id, resource, id, not_before, reason, asked_at)"
        " SELECT :store, 'task_comments', unnest(cast(:ids AS bigint[])), now(), 'test', now()",
        ids=tasks,
    )
    fake.handle(path(tasks[2]), lambda _: httpx.Response(500, json={"success": False}))
    mirror.work("task_history", "feed")
    waiting = "SELECT id FROM sync.reread WHERE resource = 'task_comments' ORDER BY id"
    assert [row.id for row in mirror.rows(waiting)] == [tasks[2]]
    assert "500" in mirror.value("SELECT error FROM sync.reread WHERE resource = 'task_comments'")
    del fake.handlers[path(tasks[2])]
    mirror.settle()
    assert [fake.count(path(task)) - asked[task] for task in tasks[:2]] == [1, 1]
    assert not mirror.rows(waiting)


def test_lack_of_the_scope_makes_this_resource_unavailable_and_no_other(
    mirror: Mirror, fake: Fake, tasks: list[int]
) -> None:
    """403: with the reason, rows kept, asked again daily; the parents' feed is not disturbed."""
    mirror.settle()
    before = live(mirror)
    for task in tasks:
        fake.handle(path(task), lambda _: answer(403, errorMsg="Access denied."))
    refresh(mirror)
    mirror.believe("task_comments", "walk")
    cover = mirror.coverage("task_comments")
    assert (cover.state, cover.complete_as_of) == ("unavailable", None)
    reason = mirror.value("SELECT unavailable FROM sync.coverage WHERE resource = 'task_comments'")
    assert "task_read" in reason
    assert live(mirror) == before
    due = "SELECT extract(epoch FROM due_at - now()) FROM sync.lane WHERE resource='task_comments'"
    assert DAY * 0.9 < mirror.value(due) <= DAY + 5
    assert mirror.lane("task_comments").parked_at is None
    mirror.account.update_task(tasks[0], text="something else")
    mirror.come_to_rest()
    assert mirror.coverage("tasks").state == "following"
    assert mirror.lane("task_history", "feed").error is None
    fake.handlers.clear()
    mirror.pass_time(DAY + 10)
    mirror.work("task_comments", "walk")
    assert mirror.coverage("task_comments").state == "fresh"


def test_a_scope_taken_away_is_noticed_by_the_resources_own_lane(
    mirror: Mirror, fake: Fake, tasks: list[int]
) -> None:
    """The feed meets the refusal first: it goes on, and leaves it to a pass of its own."""
    mirror.settle()
    for task in tasks:
        fake.handle(path(task), lambda _: answer(403, errorMsg="Access denied."))
    mirror.account.update_task(tasks[0], text="something else")
    mirror.come_to_rest()
    assert mirror.lane("task_history", "feed").error is None
    assert mirror.open_crawls("task_comments")
    mirror.believe("task_comments", "walk")
    assert mirror.coverage("task_comments").state == "unavailable"
    assert mirror.coverage("tasks").state == "following"


def test_a_feed_looks_for_orphans_among_the_parents_that_changed(
    mirror: Mirror, fake: Fake, tasks: list[int]
) -> None:
    """Whatever the table holds: the rest is the pass's, which looks at all of it."""
    assert len(fake.lists) == len(tasks)
    mirror.settle()
    mirror.rows(
        "UPDATE crm.tasks SET deleted_at = now(), deleted_reason = 'history' WHERE id = :id",
        id=tasks[0],
    )
    resource, of = mirror.resources["task_comments"], mirror.resources["tasks"]
    with mirror.engine.begin() as connection:
        ask = partial(orphans, connection, resource, of, mirror.store_id)
        assert ask(among=[tasks[1]]) == set()
        assert sorted(ask(among=tasks[:2])) == sorted(ask()) == [101, 102]


def test_an_answer_of_another_shape_parks_this_resource_and_no_feed(
    mirror: Mirror, fake: Fake, tasks: list[int]
) -> None:
    mirror.settle()
    fake.handle(path(tasks[0]), lambda _: answer(something="else"))
    mirror.account.update_task(tasks[0], text="something else")
    mirror.come_to_rest()
    assert mirror.lane("task_history", "feed").parked_at is None
    mirror.believe("task_comments", "walk")
    assert mirror.lane("task_comments").parked_at is not None
    assert len(live(mirror)) == 8


def test_a_method_the_account_lacks_is_unavailable_and_asked_from_its_beginning_again(
    mirror: Mirror, fake: Fake, tasks: list[int]
) -> None:
    """404 for all parents that are there; the next day's pass leaves none of them out."""
    for task in tasks:
        fake.handle(path(task), lambda _: answer(404, errorMsg="Method not found"))
    mirror.feeds()
    mirror.work("tasks", "walk")
    mirror.pass_time(61)
    mirror.feeds()
    mirror.work("tasks", "walk")
    mirror.believe("task_comments", "walk")
    assert mirror.coverage("task_comments").state == "unavailable"
    fake.handlers.clear()
    mirror.pass_time(DAY)
    mirror.feeds()
    mirror.work("task_comments", "walk")
    assert mirror.coverage("task_comments").state == "fresh"
    assert len(live(mirror)) == 8


def test_a_missing_method_is_not_asked_for_every_parent(
    mirror: Mirror, fake: Fake, tasks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parents, "SUSPECT_AFTER", 2)
    for task in tasks:
        fake.handle(path(task), lambda _: answer(404, errorMsg="Method not found"))
    mirror.feeds()
    mirror.work("tasks", "walk")
    mirror.pass_time(61)
    mirror.feeds()
    mirror.work("tasks", "walk")
    mirror.believe("task_comments", "walk")
    assert mirror.coverage("task_comments").state == "unavailable"


def test_one_parent_that_has_none_says_nothing_of_the_method(
    mirror: Mirror, fake: Fake, tasks: list[int]
) -> None:
    """Also when it is alone in its slice: what was answered before counts."""
    mirror.settle()
    fake.handle(path(tasks[-1]), lambda _: answer(404, errorMsg="Not found"))
    mirror.queue("task_comments", "refresh")
    mirror.services.stop.set()
    for _ in range(len(tasks)):
        mirror.work("task_comments", "walk")
    mirror.services.stop.clear()
    mirror.work("task_comments", "walk")
    assert mirror.coverage("task_comments").state == "fresh"
    assert mirror.tombstones("task_comments") == {401: "not_found", 402: "not_found"}


def test_parents_that_are_gone_are_no_missing_method(
    mirror: Mirror, fake: Fake, tasks: list[int]
) -> None:
    """The only parents there are were deleted a moment ago: 404 for all of them."""
    mirror.settle()
    for task in tasks:
        mirror.account.delete_task(task)
        fake.handle(path(task), lambda _: answer(404, errorMsg="Not found"))
    refresh(mirror)
    assert mirror.coverage("task_comments").state == "fresh"
    mirror.queue("tasks", "reconcile")
    mirror.work("tasks", "walk")
    mirror.come_to_rest()
    refresh(mirror)
    assert live(mirror) == {}


def test_a_parent_deleted_after_it_was_asked_leaves_nothing_behind(
    mirror: Mirror, fake: Fake, tasks: list[int]
) -> None:
    """The feed buried the parent and its records while the walk held an older answer."""
    mirror.settle()
    task = tasks[0]
    fake.serve(path(task), "comments", comments(101, 102, 103))

    def gone() -> None:
        mirror.rows("UPDATE crm.tasks SET deleted_at = now(), as_of = clock_timestamp(),"
                    " deleted_reason = 'history' WHERE id = :id", id=task)  # fmt: skip

    with mirror.between(path(task), gone):
        refresh(mirror)
    assert task not in live(mirror).values()


def test_a_parent_made_during_the_pass_is_read_by_its_wish(
    mirror: Mirror, fake: Fake, tasks: list[int]
) -> None:
    mirror.settle()
    made: list[int] = []

    def create() -> None:
        made.append(mirror.account.create_task(text="new"))
        fake.serve(path(made[0]), "comments", comments(901))

    with mirror.between(path(tasks[-1]), create):
        refresh(mirror)
    assert 901 not in live(mirror)
    mirror.come_to_rest()
    assert live(mirror)[901] == made[0]


def test_more_than_half_of_a_list_waits_for_approval(
    mirror: Mirror, fake: Fake, tasks: list[int]
) -> None:
    """Of one parent's list, and of the resource: and is not asked for again at once."""
    fake.serve(path(tasks[0]), "comments", comments(*range(1, 31)))
    mirror.settle()
    count = len(live(mirror))
    del fake.lists[path(tasks[0])][1][5:]
    asked = len(fake.asked)
    refresh(mirror)
    assert len(fake.asked) - asked <= 5
    assert len(live(mirror)) == count
    assert mirror.coverage("task_comments").state == "attention"
    mirror.rows("UPDATE sync.coverage SET approved = true WHERE resource = 'task_comments'")
    refresh(mirror)
    assert len(live(mirror)) == count - 25
    assert mirror.coverage("task_comments").state == "fresh"


def test_what_may_be_of_a_site_the_key_has_lost_waits_for_approval(
    mirror: Mirror, fake: Fake, tasks: list[int]
) -> None:
    """Only of records last seen before the site was lost; later ones are absent for good."""
    mirror.settle()
    fake.lists[path(tasks[2])][1].append(comments(399)[0])
    mirror.pass_time(30)
    mirror.rows("UPDATE sync.store SET hidden_sites = '{outlet}', hidden_from = clock_timestamp()")
    fake.lists[path(tasks[1])][1].pop()
    refresh(mirror)
    assert mirror.tombstones("task_comments") == {}
    assert mirror.coverage("task_comments").state == "attention"
    mirror.rows("UPDATE sync.coverage SET approved = true WHERE resource = 'task_comments'")
    refresh(mirror)
    assert mirror.tombstones("task_comments") == {202: "absent"}
    fake.lists[path(tasks[2])][1].pop()
    refresh(mirror)
    assert mirror.tombstones("task_comments") == {202: "absent", 399: "absent"}


def test_many_small_lists_that_are_empty_all_at_once_wait_too(
    mirror: Mirror, fake: Fake, tasks: list[int]
) -> None:
    for number, task in enumerate(tasks, start=1):
        fake.serve(path(task), "comments", comments(*range(number * 100, number * 100 + 10)))
    mirror.settle()
    for task in tasks:
        fake.serve(path(task), "comments", [])
    refresh(mirror)
    assert len(live(mirror)) >= 20
    assert mirror.coverage("task_comments").state == "attention"


def test_a_record_that_moved_to_another_parent_stays(
    mirror: Mirror, fake: Fake, tasks: list[int]
) -> None:
    """Both ways: to a parent asked later, and to one asked before."""
    mirror.settle()
    up, down = fake.lists[path(tasks[0])][1].pop(), fake.lists[path(tasks[3])][1].pop()
    fake.lists[path(tasks[2])][1].append(up)
    fake.lists[path(tasks[1])][1].append(down)
    refresh(mirror)
    assert live(mirror)[up["id"]] == tasks[2]
    assert live(mirror)[down["id"]] == tasks[1]
    assert mirror.coverage("task_comments").mirrored == 8


def test_what_is_off_is_not_asked_for(mirror: Mirror, fake: Fake, tasks: list[int]) -> None:
    """Its rows stay and coverage says so; the parents' feed spends nothing on it."""
    mirror.settle()
    mirror.rows("UPDATE sync.coverage SET selected = false WHERE resource = 'task_comments'")
    asked = len(fake.asked)
    mirror.account.update_task(tasks[0], text="something else")
    mirror.come_to_rest()
    assert len(fake.asked) == asked
    assert len(live(mirror)) == 8
    assert mirror.coverage("task_comments").state == "disabled"


def test_a_pass_waits_for_its_parents(mirror: Mirror, fake: Fake) -> None:
    """Others of the list may go before it meanwhile: a rebuild, what a person asks for."""
    mirror.work("task_comments", "walk")
    assert fake.asked == []
    assert mirror.coverage("task_comments").complete_as_of is None
    waits = "SELECT not_before > now() FROM sync.crawl WHERE resource = 'task_comments'"
    assert mirror.value(waits)


def test_a_pass_older_than_its_cadence_from_its_start_is_not_repeated_at_once(
    mirror: Mirror, fake: Fake
) -> None:
    """Its parents stand still for days, so it is complete as of days ago: it is not due for it."""
    mirror.settle()
    mirror.rows("UPDATE sync.feed SET clear_at = now() - interval '3 days'")
    asked = len(fake.asked)
    refresh(mirror)
    assert len(fake.asked) - asked == 4


def test_a_customer_without_a_cart_has_no_row(open_mirror: Open) -> None:
    """One object a parent: null, or PHP's empty array, is none; an object is one."""
    mirror = open_mirror("customers", "customer_history", "carts", orders=0, customers=3)
    fake = Fake(mirror)
    carts: dict[int, Any] = {1: {"externalId": "c", "items": []}, 2: None, 3: []}
    site = {row["id"]: row["site"] for row in mirror.truth("customers").values()}
    for key, cart in carts.items():
        where = f"/api/v5/customer-interaction/{site[key]}/cart/{key}"
        fake.handle(where, lambda _, cart=cart: answer(cart=cart))  # type: ignore[misc]
    mirror.settle()
    assert mirror.rows("SELECT id, external_id FROM crm.carts") == [(1, "c")]
    assert mirror.coverage("carts").state == "fresh"
    carts[1] = []
    fake.handle(f"/api/v5/customer-interaction/{site[1]}/cart/1", lambda _: answer(cart=[]))
    mirror.queue("carts", "refresh")
    mirror.work("carts", "walk")
    assert mirror.tombstones("carts") == {1: "absent"}


UNAVAILABLE = "SELECT unavailable FROM sync.coverage WHERE resource = 'task_comments'"
DUE = "SELECT extract(epoch FROM due_at - now()) FROM sync.lane WHERE resource = 'task_comments'"


def turn_tasks(mirror: Mirror, *, is_on: bool) -> None:
    """Turn the parents and their history on or off, as the command does."""
    mirror.rows("UPDATE sync.coverage SET selected = :on WHERE resource LIKE 'task%y'", on=is_on)
    mirror.rows("UPDATE sync.coverage SET selected = :on WHERE resource = 'tasks'", on=is_on)
    with mirror.engine.begin() as connection:
        lanes.set_lanes(connection, mirror.store_id)


@pytest.mark.parametrize("trouble", ["off", "missing"])
def test_a_pass_without_parents_says_so_and_waits(mirror: Mirror, fake: Fake, trouble: str) -> None:
    """An account without tasks, or a store that does not mirror them: nothing can be asked for,
    and its lane does not come round every five seconds for it. It comes back with them."""
    if trouble == "off":
        turn_tasks(mirror, is_on=False)
    else:
        mirror.sandbox.knobs.turn(missing=["tasks"])
        mirror.believe("tasks", "walk")
    mirror.work("task_comments", "walk")
    assert mirror.coverage("task_comments").state == "unavailable"
    assert "tasks" in mirror.value(UNAVAILABLE)
    assert 200 < mirror.value(DUE) < 400
    mirror.sandbox.knobs.turn(missing=[])
    turn_tasks(mirror, is_on=True)
    mirror.settle()
    assert mirror.value(UNAVAILABLE) is None
    assert mirror.coverage("task_comments").state == "fresh"
    assert len(live(mirror)) == 8


def test_a_pass_looks_for_its_parents_the_more_seldom_the_longer_it_waits(mirror: Mirror) -> None:
    """Parents that take hours to load are not looked for a thousand times."""
    mirror.work("task_comments", "walk")
    assert 4 < mirror.value(DUE) < 6
    mirror.pass_time(200)
    mirror.work("task_comments", "walk")
    assert 15 < mirror.value(DUE) < 25
    mirror.pass_time(20_000)
    mirror.work("task_comments", "walk")
    assert 55 < mirror.value(DUE) < 65
    mirror.settle()
    assert mirror.coverage("task_comments").state == "fresh"
