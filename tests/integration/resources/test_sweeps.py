"""Lists read whole: pages that shift, answers that are cut, and what absence proves."""

from __future__ import annotations

import datetime as dt

import httpx
import pytest

from tests.integration.pipeline.harness import Mirror
from tests.integration.resources.conftest import Open, chosen
from tests.integration.resources.fake import Fake, Parameters, Record, answer, page_of

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
    """Whatever page it is: that page is asked for once more, and the pass closes."""
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
            assert mirror.lane("segments").error is None
            assert fake.count(PATH) == nth + 4 - at + 1, "three pages, a probe, and one again"


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


@pytest.mark.parametrize("order", ["descending", "ascending"])
def test_a_list_that_grows_under_every_request_closes_for_its_beginning(
    mirror: Mirror, fake: Fake, order: str
) -> None:
    """A busy shop's costs: every request finds one more. What was there when the pass began is
    proven, and the rows that came meanwhile are here too."""
    records = fake.lists[PATH][1]
    if order == "ascending":
        records.reverse()

    def grow(parameters: Parameters) -> httpx.Response:
        new = segments(100 + fake.count(PATH))[0]
        records.insert(0, new) if order == "descending" else records.append(new)
        return page_of("segments", records, parameters)

    fake.handle(PATH, grow)
    mirror.work("segments", "walk")
    assert mirror.lane("segments").error is None
    assert live(mirror) >= set(range(1, 61))
    assert mirror.coverage("segments").complete_as_of is not None
    assert mirror.coverage("segments").state == "fresh"
    # Oldest first, the largest id stands at the end: the second pass begins there.
    assert fake.count(PATH) <= (6 if order == "descending" else 12)
    records[:] = [each for each in records if each["id"] not in (7, 30)]
    refresh(mirror)
    assert not live(mirror) & {7, 30}
    assert live(mirror) >= set(range(1, 61)) - {7, 30}


def test_a_row_that_is_lost_while_the_list_grows_does_not_close_it(
    mirror: Mirror, fake: Fake
) -> None:
    """Two came and one went between two pages: the totals only grew, and a row moved from page 2 to
    page 1 behind the reader. It is not proven by that pass, nor called absent."""
    records = fake.lists[PATH][1]
    mirror.settle()
    begun = fake.count(PATH)

    def shift() -> None:
        del records[3:6]  # three of the first page go …
        records[:0] = segments(102, 101)  # … and fewer come, so that one of page 2 moves up

    fake.before(PATH, begun + 2, shift)
    fake.before(PATH, begun + 3, lambda: records.insert(0, segments(103)[0]))
    fake.before(PATH, begun + 4, lambda: records.insert(0, segments(104)[0]))
    refresh(mirror)
    wanted = {record["id"] for record in records}
    assert live(mirror) & set(range(1, 61)) >= wanted & set(range(1, 61))
    refresh(mirror)
    assert live(mirror) == wanted


def test_a_list_that_never_holds_still_is_read_less_and_less_often(
    mirror: Mirror, fake: Fake
) -> None:
    """It changes at places of no order. Honestly: its rows are there, its proof is not."""
    records = fake.lists[PATH][1]

    def shift(parameters: Parameters) -> httpx.Response:
        records.insert(30, segments(100 + fake.count(PATH))[0])
        del records[10 + fake.count(PATH) % 3]
        if fake.count(PATH) % 2:
            records.pop(5)
        return page_of("segments", records, parameters)

    fake.handle(PATH, shift)
    crawl = mirror.value("SELECT id FROM sync.crawl WHERE resource = 'segments'")
    waits = []
    for _ in range(4):
        mirror.work("segments", "walk")
        records += segments(*range(200, 260))[: 60 - len(records)]
        row = mirror.crawl(crawl)
        now = mirror.value("SELECT clock_timestamp()")
        waits.append(round((row.not_before - now).total_seconds() / 15))
        mirror.pass_time((row.not_before - now).total_seconds() + 1)
    assert waits == [1, 2, 4, 8]
    assert mirror.coverage("segments").complete_as_of is None
    assert mirror.crawl(crawl).fruitless_since is not None


def test_three_records_that_answer_500_among_three_thousand(
    open_mirror: Open,
) -> None:
    """Every page that holds one fails: the others of it are read in parts, the three are named,
    and coverage is not moved over them."""
    mirror = open_mirror(resources=chosen("segments", page_size=100), orders=0, customers=0)
    fake = Fake(mirror)
    records = segments(*range(3_000, 0, -1))
    poison = {2_950, 1_501, 42}

    def serve(parameters: Parameters) -> httpx.Response:
        chosen_ids = parameters.get("filter[ids][]")
        if chosen_ids is not None:
            kept = [each for each in records if str(each["id"]) in chosen_ids]
            page = page_of("segments", kept, {"page": ["1"], **parameters})
        else:
            page = page_of("segments", records, parameters)
        ids = {each["id"] for each in page.json()["segments"]}
        return answer(500, errorMsg="Internal Server Error") if ids & poison else page

    fake.handle(PATH, serve)
    mirror.work("segments", "walk")
    print(f"{fake.count(PATH)} requests of 31 for three of three thousand")
    assert live(mirror) == set(range(1, 3_001)) - poison
    named = mirror.rows("SELECT id, error FROM sync.reread WHERE resource = 'segments'")
    assert {row.id for row in named} == poison
    assert fake.count(PATH) <= 110
    mirror.pass_time(901)
    cover = mirror.coverage("segments")
    assert (cover.state, cover.complete_as_of) == ("attention", None)
    fake.serve(PATH, "segments", records)
    del fake.handlers[PATH]
    refresh(mirror)
    assert live(mirror) == set(range(1, 3_001))
    assert mirror.coverage("segments").state == "fresh"


def test_a_page_of_forty_megabytes_is_read_in_parts(open_mirror: Open) -> None:
    """A body has a bound, which a page of long texts may be above: twenty at a time it is not."""
    mirror = open_mirror(resources=chosen("segments", page_size=100), orders=0, customers=0)
    fake = Fake(mirror)
    records = segments(*range(150, 0, -1))
    for record in records[:100]:
        record["name"] = "x" * 400_000
    fake.serve(PATH, "segments", records)
    mirror.work("segments", "walk")
    assert live(mirror) == set(range(1, 151))
    assert mirror.coverage("segments").state == "fresh"
    print(f"{fake.count(PATH)} requests for a page of 40 MB and a half one")
    assert fake.count(PATH) <= 20


def test_one_request_in_forty_that_fails_does_not_cost_the_pass(open_mirror: Open) -> None:
    """Each costs one request more, and the pass is not begun again."""
    mirror = open_mirror(resources=chosen("segments", page_size=20), orders=0, customers=0)
    fake = Fake(mirror)
    records = segments(*range(2_000, 0, -1))
    fake.handle(
        PATH,
        lambda parameters: (
            answer(500) if fake.count(PATH) % 40 == 7 else page_of("segments", records, parameters)
        ),
    )
    mirror.work("segments", "walk")
    assert mirror.coverage("segments").state == "fresh"
    assert mirror.lane("segments").error is None
    assert fake.count(PATH) <= 101 + 3


def test_lists_without_a_feed_keep_within_since(open_mirror: Open) -> None:
    """`store add --since`: older costs are not downloaded, and their absence proves nothing."""
    day = dt.date(2026, 3, 1)
    mirror = open_mirror(resources=chosen("costs", page_size=20), orders=0, since=day)
    fake = Fake(mirror)
    records = [
        {"id": each, "createdAt": f"2026-0{1 + each // 20}-05 10:00:00", "summ": 1}
        for each in range(99, 0, -1)
    ]

    def serve(parameters: Parameters) -> httpx.Response:
        first = parameters.get("filter[createdAtFrom]", [""])[0]
        return page_of("costs", [r for r in records if r["createdAt"] >= first], parameters)

    fake.handle("/api/v5/costs", serve)
    for _ in range(2):
        mirror.queue("costs", "refresh", days=(day, None))
        mirror.work("costs", "walk")
    have = {row[0] for row in mirror.rows("SELECT id FROM crm.costs WHERE deleted_at IS NULL")}
    assert have == {r["id"] for r in records if r["createdAt"] >= day.isoformat()}
    assert all("filter[createdAtFrom]" in parameters for _, parameters in fake.asked)
    assert mirror.coverage("costs").complete_as_of is not None
    mirror.queue("costs", "backfill", days=(dt.date(2026, 2, 1), dt.date(2026, 2, 28)))
    mirror.work("costs", "walk")
    before = mirror.value("SELECT count(*) FROM crm.costs WHERE deleted_at IS NULL")
    assert before > len(have)
    mirror.queue("costs", "refresh", days=(day, None))
    mirror.work("costs", "walk")
    assert mirror.value("SELECT count(*) FROM crm.costs WHERE deleted_at IS NULL") == before


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
