"""How far work is: histories have a total too; a result that waits for a person is no success."""

from __future__ import annotations

from sync.commands import wait
from sync.state import paces
from sync.state import status as look
from sync.state.status import Progress
from tests.integration.conftest import Open
from tests.integration.pipeline.harness import Mirror, small


def lines(mirror: Mirror) -> list[wait.Line]:
    ids = [row.id for row in mirror.rows("SELECT id FROM sync.crawl ORDER BY id")]
    with mirror.engine.connect() as connection:
        return wait.lines(connection, ids)


def test_a_crawl_whose_result_waits_for_a_person_has_not_ended_well(mirror: Mirror) -> None:
    """44 of 60 rows gone is not "done": the exit status is 1, and the line says what to do."""
    assert not any(line.is_bad for line in lines(mirror))
    mirror.rows(
        "UPDATE sync.coverage SET approval = '44 of 60 rows are no longer in the list'"
        " WHERE store_id = :store AND resource = 'orders'"
    )
    bad = [line for line in lines(mirror) if line.is_bad]
    assert {line.resource for line in bad} == {"orders"}
    assert "waits for you: 44 of 60 rows" in bad[0].text
    assert wait._status_of(lines(mirror)) == 1


def test_the_load_of_a_history_knows_its_pages_from_its_first_one(mirror: Mirror) -> None:
    """The bar of the longest job is not empty, and ends full."""
    for row in mirror.rows(
        "SELECT resource, pages_planned, pages_done FROM sync.crawl"
        " WHERE store_id = :store AND kind = 'load' AND resource LIKE '%history'"
    ):
        assert row.pages_planned > 0, row
        assert abs(row.pages_planned - row.pages_done) <= 2 + row.pages_done // 10, row


def test_a_load_as_a_whole_has_a_share_and_a_time_left(open_settled: Open) -> None:
    mirror = open_settled()
    mirror.queue("orders", "load")
    mirror.queue("customers", "load")
    mirror.rows(
        "UPDATE sync.crawl SET state = 'running', phase = 'walk', started_at = now(),"
        " pages_expected = 100, pages_done = 20 WHERE state = 'pending'"
    )

    def sample(done: int) -> None:
        mirror.rows(f"UPDATE sync.crawl SET pages_done = {done} WHERE state = 'running'")
        mirror.rows("UPDATE sync.pace SET at = at - interval '20 s'")
        with mirror.engine.begin() as connection:
            paces.sample(connection)

    for done in (20, 30, 40):
        sample(done)
    with mirror.engine.connect() as connection:
        chosen = look.chosen(connection, None)
        [told] = look.statuses(connection, chosen, order=list(small()))
    assert told.load is not None
    assert (told.load.done, told.load.total) == (80, 200)
    assert told.load.per_second is not None
    assert 0.9 < told.load.per_second < 1.1  # twenty pages in twenty seconds, both together
    assert told.load.words.startswith("40 %, ")
    orders = next(line for line in told.resources if line.resource == "orders")
    assert isinstance(orders.progress, Progress)
    assert orders.progress.total == 100


def test_a_crawl_that_is_over_makes_no_pace(mirror: Mirror) -> None:
    with mirror.engine.begin() as connection:
        paces.sample(connection)
    assert mirror.value("SELECT count(*) FROM sync.pace") == 0
