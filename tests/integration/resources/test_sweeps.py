"""Lists read whole: pages that shift, answers that are cut, and what absence proves."""

from __future__ import annotations

import httpx
import pytest

from tests.integration.pipeline.harness import Mirror
from tests.integration.resources.conftest import Open, chosen
from tests.integration.resources.fake import Fake, Record, answer, page_of

PATH = "/api/v5/segments"


def segments(*ids: int) -> list[Record]:
    return [{"id": each, "code": f"s{each}", "name": f"segment {each}"} for each in ids]


def live(mirror: Mirror) -> set[int]:
    return {row[0] for row in mirror.rows("SELECT id FROM crm.segments WHERE deleted_at IS NULL")}


@pytest.fixture
def mirror(open_mirror: Open) -> Mirror:
    return open_mirror("segments", orders=0, customers=0)


@pytest.fixture
def fake(mirror: Mirror) -> Fake:
    made = Fake(mirror)
    made.serve(PATH, "segments", segments(*range(60, 0, -1)))
    return made


def refresh(mirror: Mirror) -> None:
    mirror.queue("segments", "refresh")
    mirror.work("segments", "walk")


def test_a_page_that_shifts_up_loses_nothing(mirror: Mirror, fake: Fake) -> None:
    """A deletion before page 2 moves a row to page 1, behind the reader: read again."""
    records = fake.lists[PATH][1]
    fake.before(PATH, 2, lambda: records.pop(0))
    mirror.settle()
    assert live(mirror) == set(range(1, 60))
    assert mirror.coverage("segments").mirrored == 59


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_a_deletion_and_an_insertion_that_cancel_lose_no_row(
    mirror: Mirror, fake: Fake, order: str
) -> None:
    """The total stays, every id is distinct, and a row moved from page 2 to page 1 behind the
    reader: it is not absent because one pass did not see it."""
    records = fake.serve(PATH, "segments", segments(*range(1, 61)))
    if order == "descending":
        records.reverse()
    mirror.settle()

    def swap() -> None:
        del records[4]
        records.append(segments(1_000 if order == "ascending" else 0)[0])

    fake.before(PATH, fake.count(PATH) + 2, swap)
    refresh(mirror)
    wanted = {record["id"] for record in records}
    assert live(mirror) >= wanted
    refresh(mirror)
    assert live(mirror) == wanted


BROKEN = {
    "cut": httpx.Response(200, content=b'{"success": true, "segments": [{"id": 1, "na'),
    "html": httpx.Response(200, html="<html></html>"),
    "proxy": httpx.Response(502, html="<html></html>"),
    "fault": answer(500, errorMsg="Internal Server Error"),
}


def test_a_broken_answer_deletes_nothing(mirror: Mirror, fake: Fake) -> None:
    """Whatever page it is; the pass is tried later and then closes."""
    mirror.settle()
    for at in (1, 2):
        for name, broken in BROKEN.items():
            nth = fake.count(PATH) + at
            fake.handle(
                PATH,
                lambda parameters, nth=nth, broken=broken: (  # type: ignore[misc]
                    broken
                    if fake.count(PATH) == nth
                    else page_of("segments", fake.lists[PATH][1], parameters)
                ),
            )
            refresh(mirror)
            assert live(mirror) == set(range(1, 61)), name
            assert mirror.lane("segments").error is not None
            mirror.work("segments", "walk")
            assert mirror.lane("segments").error is None
            assert live(mirror) == set(range(1, 61))


@pytest.mark.parametrize("rest", [0, 10])
def test_a_list_that_lost_more_than_half_waits_for_approval_without_asking_on(
    mirror: Mirror, fake: Fake, rest: int
) -> None:
    """And an empty one always. While it waits it is asked at its cadence, not all the time."""
    mirror.settle()
    del fake.lists[PATH][1][rest:]
    before = fake.count(PATH)
    refresh(mirror)
    assert fake.count(PATH) - before <= 6
    assert live(mirror) == set(range(1, 61))
    assert mirror.coverage("segments").state == "attention"
    assert "approve" in mirror.value("SELECT approval FROM sync.coverage WHERE resource='segments'")
    due = "SELECT extract(epoch FROM due_at - now()) FROM sync.lane WHERE resource = 'segments'"
    assert mirror.value(due) > 3_000
    mirror.rows("UPDATE sync.coverage SET approved = true WHERE resource = 'segments'")
    refresh(mirror)
    assert live(mirror) == set(range(60, 60 - rest, -1))
    assert mirror.coverage("segments").state == "fresh"


def test_what_comes_back_is_revived(mirror: Mirror, fake: Fake) -> None:
    mirror.settle()
    gone = fake.lists[PATH][1].pop(5)
    refresh(mirror)
    assert mirror.tombstones("segments") == {gone["id"]: "absent"}
    fake.lists[PATH][1].insert(5, gone)
    refresh(mirror)
    assert mirror.tombstones("segments") == {}
    assert mirror.coverage("segments").mirrored == 60


def test_a_record_without_a_usable_id_does_not_hold_up_the_list(mirror: Mirror, fake: Fake) -> None:
    """It is kept whole as a reject, and counts as read: the pass closes, once."""
    fake.lists[PATH][1].insert(3, {"code": "no id", "name": "odd"})
    mirror.settle()
    assert live(mirror) == set(range(1, 61))
    assert mirror.coverage("segments").state == "fresh"
    rejected = mirror.rows("SELECT record FROM sync.reject WHERE resource = 'segments'")
    assert len(rejected) == 1


def test_a_record_that_cannot_be_read_is_not_taken_for_gone(mirror: Mirror, fake: Fake) -> None:
    mirror.settle()
    fake.lists[PATH][1][0] = {"id": "sixty", "code": "s60"}
    refresh(mirror)
    assert live(mirror) == set(range(1, 61))
    assert mirror.coverage("segments").state == "attention"


@pytest.mark.parametrize("order", ["ascending", "shuffled"])
def test_lists_in_any_order_close(mirror: Mirror, fake: Fake, order: str) -> None:
    records = fake.serve(PATH, "segments", segments(*range(1, 151)))
    if order == "shuffled":
        records.sort(key=lambda record: hash(str(record["id"] * 7919 % 151)))
    mirror.settle()
    assert live(mirror) == set(range(1, 151))
    assert mirror.coverage("segments").state == "fresh"


def test_a_list_that_never_holds_still_stays_open(mirror: Mirror, fake: Fake) -> None:
    """Honestly: its rows are there, its proof is not."""
    records = fake.lists[PATH][1]

    def shift(parameters: object) -> httpx.Response:
        records.insert(0, segments(100 + fake.count(PATH))[0])
        return page_of("segments", records, parameters)  # type: ignore[arg-type]

    fake.handle(PATH, shift)
    refresh(mirror)
    assert mirror.coverage("segments").complete_as_of is None
    assert "did not hold still" in mirror.lane("segments").error
    assert fake.count(PATH) < 80


def test_details_stand_beside_other_filters_on_the_wire(open_mirror: Open) -> None:
    """inventories: `filter[details]=1` in every request, also with chosen sites."""
    resources = chosen("inventories", "warehouses")
    mirror = open_mirror(resources=resources, sites=["main"], orders=0, customers=0)
    fake = Fake(mirror)
    fake.serve("/api/v5/store/inventories", "offers", [{"id": each} for each in range(45)])
    mirror.settle()
    assert fake.asked
    for _, parameters in fake.asked:
        assert parameters["filter[details]"] == ["1"]
        assert parameters["filter[sites][]"] == ["main"]
    assert mirror.coverage("inventories").mirrored == 45
