"""Lists that do not hold still, or never end: bounded, noticed, said, and never claimed."""

from __future__ import annotations

import httpx
import pytest

from sync.work import context
from sync.work.windows import walk
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of a second: what never ends is worked on for a slice at a time."""
    monkeypatch.setattr(context, "SLICE_SECONDS", 1.0)


@pytest.mark.usefixtures("brief")
def test_a_page_that_repeats_ends_the_walk(open_mirror: Open) -> None:
    """Every page number answers page 1: the second one is known, noted, and the last."""
    mirror = open_mirror()
    mirror.sandbox.knobs.turn(same_page_again=True)
    mirror.work("orders", "walk")
    assert "repeated" in mirror.drifts("orders")
    assert mirror.coverage("orders").complete_as_of is None
    assert len(mirror.live("orders")) == 20
    mirror.sandbox.knobs.turn(same_page_again=False)
    mirror.pass_time(301)
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_a_list_that_contradicts_itself_is_left_alone_for_a_while(open_mirror: Open) -> None:
    """Totals that no walk ever shows: a bounded number of requests, and a word in status."""
    mirror = open_mirror()
    mirror.sandbox.knobs.turn(same_page_again=True)
    for _ in range(3):
        mirror.work("orders", "walk")
    assert len(mirror.wire.paths) < 30, len(mirror.wire.paths)
    assert mirror.errors() == []
    [doubt] = mirror.rows("SELECT detail, difference FROM sync.doubt WHERE store_id = :store")
    assert doubt == ("of …–… the API counts 45, here are 20", 25)
    assert (mirror.coverage("orders").expected, mirror.coverage("orders").mirrored) == (45, 20)
    assert mirror.coverage("orders").complete_as_of is None
    mirror.sandbox.knobs.turn(same_page_again=False)
    mirror.pass_time(301)
    mirror.settle()
    mirror.assert_equal_to_oracle()


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("beyond", ["empty", "404", "400"])
def test_a_page_count_that_never_ends(open_mirror: Open, beyond: str) -> None:
    """There is always one page more: an empty or a refused one is the end."""
    mirror = open_mirror()
    mirror.sandbox.knobs.turn(total_page_count_never_ends=True, beyond_end=beyond)
    for _ in range(6):
        mirror.work("orders", "walk")
        if not mirror.open_crawls("orders"):
            break
    assert {"empty": "shrank"}.get(beyond, "beyond_end") in mirror.drifts("orders")
    mirror.sandbox.knobs.turn(total_page_count_never_ends=False)
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_a_list_that_grows_faster_than_it_is_walked(open_mirror: Open) -> None:
    """Twice as many pages as planned and ten more: then the walk ends and says so."""
    mirror = open_mirror(customers=5)

    def grow(request: httpx.Request) -> None:
        if (
            "/api/v5/orders?limit=20&page=" in request.url.raw_path.decode()
            and len(mirror.wire.paths) < 60
        ):
            for _ in range(21):
                mirror.account.create_order(customer=0)

    mirror.wire.before = grow
    mirror.work("orders", "walk")
    mirror.wire.before = None
    assert "endless" in mirror.drifts("orders")
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_a_list_that_shrinks_under_the_walk(open_mirror: Open) -> None:
    """The last page is not there any more: noted, and the counts decide."""
    mirror = open_mirror()
    orders = sorted(mirror.truth("orders"))

    def shrink() -> None:
        for order in orders[:10]:
            mirror.account.delete_order(order)

    with mirror.between("/api/v5/orders?limit=20&page=", shrink):
        mirror.work("orders", "walk")
    assert set(mirror.drifts("orders")) == {"shrank"}
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_half_an_answer_is_parked_with_its_body(mirror: Mirror) -> None:
    """A page that is not what was declared is kept whole, and asked for again."""
    mirror.wire.answers = lambda request: (
        httpx.Response(200, json={"success": True, "pagination": {}, "surprise": [1]})
        if request.url.path == "/api/v5/orders"
        else None
    )
    mirror.queue("orders", "backfill")
    mirror.believe("orders", "walk")
    [parked] = mirror.rows(
        "SELECT convert_from(body, 'UTF8') FROM sync.parked_page WHERE store_id = :store"
    )
    assert "surprise" in parked[0]
    assert mirror.lane("orders").parked_at is not None
    assert mirror.coverage("orders").state == "attention"


@pytest.mark.usefixtures("brief")
def test_a_list_whose_last_page_is_refused_is_planned_by_its_first(
    open_mirror: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list became shorter between two requests of the plan: no failure, nothing is left out."""
    monkeypatch.setattr(walk, "WINDOW_MAX", 10)
    mirror = open_mirror()
    mirror.sandbox.knobs.turn(total_page_count_never_ends=True, beyond_end="404")
    mirror.work("orders", "walk")
    assert mirror.errors() == []
    assert set(mirror.live("orders")) == set(mirror.truth("orders"))
    mirror.sandbox.knobs.turn(total_page_count_never_ends=False)
    mirror.settle()
    mirror.assert_equal_to_oracle()
