"""Lists behind an opaque cursor, and lists with an updated-since filter."""

from __future__ import annotations

import datetime as dt

import httpx
import pytest

from sync.declare.moments import zone_of
from sync.work import context
from sync.work.whole_list.updated import bound_of
from tests.integration.pipeline.harness import Mirror
from tests.integration.resources.conftest import Open
from tests.integration.resources.fake import Fake, Parameters, Record, answer, page_of

PATH = "/api/v5/loyalty/bonus/operations"
NOW = dt.datetime.now(dt.UTC)


def operation(number: int, second: int, *, amount: float = 5, account: int = 1) -> Record:
    """`number` is the CRM's own, which it does not tell; equal ones differ in nothing else."""
    moment = dt.datetime(2024, 1, 1) + dt.timedelta(seconds=second)  # noqa: DTZ001
    return {
        "_number": number,
        "type": "credit_manual",
        "createdAt": moment.isoformat(" "),
        "amount": amount,
        "loyaltyAccount": {"id": account},
        "loyalty": {"id": 1},
    }


class Operations:
    """Served in the order of time and number; the cursor names the last one of a page."""

    def __init__(self, fake: Fake, *, is_resumable: bool) -> None:
        self.all: list[Record] = []
        self.limit = 3
        self.is_resumable = is_resumable
        self.cursors: list[str] = []
        fake.handle(PATH, self.answer)

    def answer(self, parameters: Parameters) -> httpx.Response:
        cursor = parameters.get("cursor", [""])[0]
        self.cursors.append(cursor)
        ordered = sorted(self.all, key=lambda o: (o["createdAt"], o["_number"]))
        names = [f"{o['createdAt']}/{o['_number']:04}" for o in ordered]
        after = sum(name <= cursor for name in names)
        page = ordered[after : after + self.limit]
        is_last = after + self.limit >= len(ordered)
        following = f"{page[-1]['createdAt']}/{page[-1]['_number']:04}" if page else cursor
        block = {} if is_last and not self.is_resumable else {"nextCursor": following}
        sent = [{k: v for k, v in o.items() if k != "_number"} for o in page]
        return answer(bonusOperations=sent, pagination=block or [])


@pytest.fixture
def mirror(open_mirror: Open) -> Mirror:
    return open_mirror("bonus_operations", orders=0, customers=0, zone="UTC")


@pytest.fixture
def fake(mirror: Mirror) -> Fake:
    return Fake(mirror)


@pytest.fixture(params=[True, False], ids=["resumes", "ends without a cursor"])
def operations(fake: Fake, request: pytest.FixtureRequest) -> Operations:
    return Operations(fake, is_resumable=request.param)


def keys(mirror: Mirror) -> list[str]:
    return [row[0] for row in mirror.rows("SELECT id FROM crm.bonus_operations ORDER BY id")]


def refresh(mirror: Mirror, kind: str = "refresh") -> None:
    mirror.queue("bonus_operations", kind)
    mirror.work("bonus_operations", "walk")
    assert mirror.errors() == []


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
def test_equal_operations_are_as_many_as_there_are(
    mirror: Mirror, operations: Operations, limit: int
) -> None:
    """Repeats that are real: in one second, over pages, with others between; keys stay on every
    reading, wherever its pages begin."""
    operations.limit = limit
    operations.all = [
        operation(number, second, account=account)
        for number, (second, account) in enumerate(
            [(0, 1), (0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (0, 1), (1, 1), (1, 1), (2, 2)]
        )
    ]
    mirror.settle()
    first = keys(mirror)
    assert len(first) == 10
    refresh(mirror)
    assert keys(mirror) == first
    operations.limit = 4
    refresh(mirror, "load")
    assert keys(mirror) == first
    assert mirror.coverage("bonus_operations").mirrored == 10


def test_what_is_new_is_read_on_from_the_end(mirror: Mirror, operations: Operations) -> None:
    """Not from the beginning; an equal one that comes later is one more."""
    operations.all = [operation(number, number) for number in range(10)]
    mirror.settle()
    operations.cursors.clear()
    operations.all += [operation(10, 9), operation(11, 9), operation(12, 10)]
    refresh(mirror)
    assert len(keys(mirror)) == 13
    assert operations.cursors[0] != ""
    operations.cursors.clear()
    refresh(mirror)
    assert len(keys(mirror)) == 13
    assert len(operations.cursors) <= 3


def test_what_is_published_late_is_found(mirror: Mirror, operations: Operations) -> None:
    """A long transaction: it stands among operations of its minute when it appears."""
    now = mirror.now() - 1_704_067_200  # since 2024-01-01
    recent = [operation(number, int(now) - 100 + number) for number in range(10)]
    operations.all = [operation(100 + n, n) for n in range(4)] + recent[:3] + recent[4:]
    mirror.settle()
    assert len(keys(mirror)) == 13
    operations.all.append(recent[3])
    refresh(mirror)
    assert len(keys(mirror)) == 14
    mirror.pass_time(600)
    refresh(mirror)
    operations.cursors.clear()
    refresh(mirror)
    assert len(operations.cursors) <= 2


def test_what_is_published_behind_the_reader_is_not_claimed(
    mirror: Mirror, operations: Operations
) -> None:
    """It appears on a page that was read a moment ago: the next reading finds it, and what is
    claimed until then is as old as the first page."""
    now = int(mirror.now()) - 1_704_067_200  # since 2024-01-01
    operations.all = [operation(number, now - 100 + number) for number in range(0, 12, 2)]
    mirror.queue("bonus_operations", "refresh")
    with mirror.between(PATH, lambda: operations.all.append(operation(99, now - 99))):
        published = mirror.now()
        mirror.work("bonus_operations", "walk")
    if len(keys(mirror)) < 7:
        assert mirror.coverage("bonus_operations").complete_as_of.timestamp() <= published
    refresh(mirror)
    assert len(keys(mirror)) == 7


def test_a_load_anew_reads_from_the_beginning(mirror: Mirror, operations: Operations) -> None:
    operations.all = [operation(number, number) for number in range(7)]
    mirror.settle()
    mirror.rows("DELETE FROM crm.bonus_operations")
    refresh(mirror)
    assert len(keys(mirror)) < 7
    refresh(mirror, "load")
    assert len(keys(mirror)) == 7


def test_broken_off_between_two_pages_it_goes_on_there(
    mirror: Mirror, operations: Operations
) -> None:
    operations.all = [operation(number, number // 4) for number in range(9)]
    mirror.services.stop.set()
    for _ in range(9):
        mirror.work("bonus_operations", "walk")
    mirror.services.stop.clear()
    mirror.settle()
    assert len(keys(mirror)) == 9
    assert operations.cursors.count("") == 1


def test_a_page_of_records_that_cannot_be_read_is_not_the_end(
    mirror: Mirror, operations: Operations
) -> None:
    good = [operation(number, number) for number in range(3, 6)]
    operations.all = [{"_number": n, "createdAt": "", "x": n} for n in range(3)] + good
    mirror.settle()
    assert len(keys(mirror)) == 3


# Updated since

PRODUCTS = "/api/v5/store/products"


def products(*ids: int, updated: str = "2024-01-01 00:00:00") -> list[Record]:
    return [{"id": each, "name": f"product {each}", "updatedAt": updated} for each in ids]


@pytest.fixture
def shop(open_mirror: Open) -> tuple[Mirror, Fake, list[Record]]:
    """A mirror of 50 products, and what its polls are answered."""
    mirror = open_mirror("products", orders=0, customers=0, zone="UTC")
    fake = Fake(mirror)
    changed: list[Record] = []
    everything = products(*range(50, 0, -1))

    def chosen(parameters: Parameters) -> httpx.Response:
        is_poll = "filter[sinceUpdatedAt]" in parameters
        return page_of("products", changed if is_poll else everything, parameters)

    fake.handle(PRODUCTS, chosen)
    mirror.settle()
    return mirror, fake, changed


def poll(mirror: Mirror) -> None:
    mirror.work("products", "walk")


def polled(mirror: Mirror) -> dt.datetime | None:
    found: dt.datetime | None = mirror.value("SELECT polled_as_of FROM sync.coverage")
    return found


def test_a_poll_reads_what_changed_and_keeps_what_was_wrong_with_it(
    shop: tuple[Mirror, Fake, list[Record]],
) -> None:
    mirror, _, changed = shop
    changed += [{"id": 7, "name": "new name", "minPrice": "cheap", "brandNew": 1}]
    poll(mirror)
    assert mirror.value("SELECT name FROM crm.products WHERE id = 7") == "new name"
    assert mirror.rows("SELECT record, field FROM sync.reject") == [("7", "min_price")]
    assert mirror.rows("SELECT path FROM sync.unknown_field") == [("brandNew",)]
    assert polled(mirror) is not None
    assert mirror.coverage("products").mirrored == 50


def test_a_poll_that_shifts_is_not_taken_for_read(
    shop: tuple[Mirror, Fake, list[Record]],
) -> None:
    """A product deleted before page 2 hides another: it is read in the next round."""
    mirror, fake, changed = shop
    changed += [{"id": each, "name": "changed"} for each in range(1, 46)]
    fake.before(PRODUCTS, fake.count(PRODUCTS) + 2, lambda: changed.pop(0))
    poll(mirror)
    names = mirror.rows("SELECT id FROM crm.products WHERE name = 'changed'")
    assert {row[0] for row in names} >= set(range(2, 46))
    assert polled(mirror) is not None


def test_a_poll_that_outlasts_its_slice_is_read_to_its_end(
    shop: tuple[Mirror, Fake, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins where the last one did: left at the slice's end it would never be done with."""
    mirror, _, changed = shop
    changed += [{"id": each, "name": "changed"} for each in range(1, 46)]
    monkeypatch.setattr(context.Context, "is_over", property(lambda _: True))
    before = polled(mirror)
    poll(mirror)
    assert polled(mirror) != before
    assert mirror.value("SELECT count(*) FROM crm.products WHERE name = 'changed'") == 45


def test_a_page_beyond_the_end_of_a_poll_is_no_missing_method(
    shop: tuple[Mirror, Fake, list[Record]],
) -> None:
    mirror, fake, changed = shop
    changed += [{"id": each, "name": "changed"} for each in range(1, 46)]
    serve = fake.handlers[PRODUCTS]

    def shrinks(parameters: Parameters) -> httpx.Response:
        if parameters["page"] == ["1"]:
            return serve(parameters)
        return answer(404, errorMsg="Not found")

    fake.handle(PRODUCTS, shrinks)
    before = polled(mirror)
    poll(mirror)
    assert mirror.coverage("products").state == "fresh"
    assert polled(mirror) == before


def test_a_product_changed_during_a_full_pass_is_read_by_the_next_poll(
    shop: tuple[Mirror, Fake, list[Record]],
) -> None:
    """The bound is the pass's first send moment, less the overlap, not its end."""
    mirror, fake, changed = shop
    began = mirror.now()
    fake.before(
        PRODUCTS,
        fake.count(PRODUCTS) + 3,
        lambda: changed.append({"id": 50, "name": "meanwhile"}),
    )
    mirror.queue("products", "refresh")
    poll(mirror)
    assert mirror.value("SELECT name FROM crm.products WHERE id = 50") == "meanwhile"
    bound = fake.asked[-1][1]["filter[sinceUpdatedAt]"][0]
    moment = dt.datetime.fromisoformat(bound + "+00:00").timestamp()
    assert began - 305 <= moment <= began - 290


def test_the_bound_goes_back_by_the_hour_that_comes_twice() -> None:
    """Changed at 02:10 the second time, it looks older than 02:50 the first time."""
    zone = zone_of("Europe/Berlin")
    first = dt.datetime(2024, 10, 27, 0, 50, tzinfo=dt.UTC)  # 02:50, summer time
    later = dt.datetime(2024, 10, 27, 1, 15, tzinfo=dt.UTC)  # 02:15, winter time
    assert bound_of(first, later, 300, zone) == "2024-10-27 01:45:00"
    assert bound_of(first, first, 300, zone) == "2024-10-27 02:45:00"
    spring = dt.datetime(2024, 3, 31, 0, 50, tzinfo=dt.UTC)
    assert bound_of(spring, spring + dt.timedelta(hours=1), 300, zone) == "2024-03-31 01:45:00"
