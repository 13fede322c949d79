"""Claims give each store its part of the places, and what does not answer the least of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from sync.errors import TryLater
from sync.state import heartbeat, lanes
from sync.state.claims import claim_due
from sync.state.lanes import CLAIM_SECONDS, Claim
from tests.integration.pipeline.harness import Mirror, engine_of

PLACES = 8
HOLDER = "a worker"


@pytest.fixture
def engine(database: str) -> Iterator[sa.Engine]:
    """A database whose only lanes are those of a test."""
    made = engine_of(database)
    with made.begin() as connection:
        connection.exec_driver_sql("TRUNCATE sync.lane, sync.heartbeat, sync.worker")
    yield made
    made.dispose()


def add(engine: sa.Engine, *stores: int, answering: str = "yes", waits: int = 0) -> None:
    """Add stores with twenty due lanes each, due since `waits` seconds."""
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO sync.lane (store_id, resource, lane, due_at, answering)"
                " SELECT s, 'r' || n, 'walk', now() - make_interval(secs => :waits + 1), :answering"
                " FROM unnest(cast(:stores AS bigint[])) AS s, generate_series(10, 29) AS n"
            ),
            {"stores": list(stores), "answering": answering, "waits": waits},
        )


def claim(engine: sa.Engine, places: int = PLACES) -> list[Claim]:
    with engine.begin() as connection:
        return claim_due(connection, lane="walk", places=places)


def begin(engine: sa.Engine, *claims: Claim) -> list[lanes.Lease]:
    with engine.begin() as connection:
        leases = [lanes.acquire(connection, each, holder=HOLDER) for each in claims]
    assert None not in leases
    return leases  # type: ignore[return-value]


def end(engine: sa.Engine, *leases: lanes.Lease) -> None:
    """End slices whose crawls go on at once."""
    with engine.begin() as connection:
        for lease in leases:
            lanes.release(connection, lease, after_seconds=0)


def held(engine: sa.Engine) -> dict[int, int]:
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT store_id, count(*) FROM sync.lane"
            " WHERE holder IS NOT NULL OR claimed_until IS NOT NULL GROUP BY 1"
        )
        return {row[0]: row[1] for row in found}


def test_a_store_alone_has_all_places(engine: sa.Engine) -> None:
    """Nobody else needs them, and no more lanes are claimed than there are places."""
    add(engine, 1)
    begin(engine, *claim(engine))
    assert held(engine) == {1: PLACES}
    assert claim(engine) == []


def test_a_store_that_comes_later_gets_its_part_as_slices_end(engine: sa.Engine) -> None:
    """The first one's crawls are due longer and go on at once, and still each has half."""
    add(engine, 1, waits=3600)
    leases = begin(engine, *claim(engine))
    add(engine, 2)
    for lease in leases:
        end(engine, lease)
        begin(engine, *claim(engine))
    assert held(engine) == {1: PLACES // 2, 2: PLACES // 2}


def test_places_that_one_store_does_not_need_are_for_the_others(engine: sa.Engine) -> None:
    """Parts are equal up to what each needs."""
    add(engine, 1, 2, 3)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM sync.lane WHERE store_id = 3 AND resource > 'r10'")
    claim(engine)
    assert sorted(held(engine).values()) == [1, 3, 4]
    assert held(engine)[3] == 1


@pytest.mark.parametrize("answering", ["unknown", "no"])
def test_a_store_not_known_to_answer_is_asked_by_one_lane(
    engine: sa.Engine, answering: str
) -> None:
    """However long its lanes are due, and however many places are free."""
    add(engine, 1, answering=answering, waits=3600)
    first = claim(engine)
    assert len(first) == 1
    begin(engine, *first)
    assert claim(engine) == []


def test_silent_stores_leave_half_of_the_places_free(engine: sa.Engine) -> None:
    """A store that answers finds a place at once, however many do not."""
    add(engine, *range(1, 31), answering="no", waits=3600)
    assert len(claim(engine)) == PLACES // 2
    add(engine, 99)
    assert {each.store_id for each in claim(engine)} == {99}
    assert held(engine)[99] == PLACES // 2


def test_an_answer_opens_all_lanes_of_a_store(engine: sa.Engine) -> None:
    """What waited for an answer is due at once; another store's silence is its own."""
    add(engine, 1, 2, answering="no")
    leases = begin(engine, *claim(engine))
    with engine.begin() as connection:
        lanes.answered(connection, 1)
    assert {each.store_id for each in claim(engine)} == {1}
    assert held(engine) == {1: PLACES - 1, 2: 1}
    assert len(leases) == 2


def test_a_slice_without_an_answer_silences_its_store(engine: sa.Engine) -> None:
    """All its lanes wait as long as the failed one; slices that are under way go on."""
    add(engine, 1)
    leases = begin(engine, *claim(engine, 2))
    with engine.begin() as connection:
        lanes.fail(connection, leases[0], error="no answer", after_seconds=30, parked=False)
        lanes.silence(connection, 1, after_seconds=30, elapsed_seconds=120)
    assert claim(engine) == []
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE sync.lane SET due_at = due_at - interval '40 seconds'")
    assert claim(engine) == [], "the other slice is the one that asks"
    end(engine, leases[1])
    assert len(claim(engine)) == 1


def test_an_answer_to_another_slice_counts(engine: sa.Engine) -> None:
    """One method that hangs does not make the account silent."""
    add(engine, 1)
    leases = begin(engine, *claim(engine, 2))
    end(engine, leases[1])
    with engine.begin() as connection:
        lanes.fail(connection, leases[0], error="no answer", after_seconds=30, parked=False)
        lanes.silence(connection, 1, after_seconds=30, elapsed_seconds=120)
    assert len(claim(engine)) == PLACES


def test_two_who_claim_at_once_claim_no_more_than_there_are_places(engine: sa.Engine) -> None:
    """The second one leaves it to the first."""
    add(engine, 1)
    with engine.begin() as first:
        assert len(claim_due(first, lane="walk", places=PLACES)) == PLACES
        assert claim(engine) == []
    assert claim(engine) == []


def test_a_claim_that_nobody_began_holds_its_place_for_a_while(engine: sa.Engine) -> None:
    """Its message may be lost."""
    add(engine, 1)
    assert len(claim(engine)) == PLACES
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE sync.lane SET due_at = due_at - make_interval(secs => %s),"
            " claimed_until = claimed_until - make_interval(secs => %s)",
            (CLAIM_SECONDS, CLAIM_SECONDS),
        )
    assert len(claim(engine)) == PLACES


def test_the_places_are_those_of_the_workers_that_live(engine: sa.Engine) -> None:
    """One that was killed ended a task a moment ago, and its heart beats no more."""
    with engine.begin() as connection:
        assert heartbeat.places(connection, queue="crawls") == heartbeat.USUAL_PLACES
        for process, places in (("a:1", 8), ("b:1", 4), ("c:1", 2)):
            heartbeat.consumed(connection, process=process, queue="crawls", places=places)
        heartbeat.consumed(connection, process="d:1", queue="feeds", places=16)
        connection.exec_driver_sql(
            "INSERT INTO sync.worker (id, host, pid, started_at, beat_at) VALUES"
            " ('x', 'a', 1, now(), now()), ('y', 'b', 1, now(), now() - interval '1 hour')"
        )
        assert heartbeat.places(connection, queue="crawls") == 8 + 2


ANSWERING = "SELECT array_agg(DISTINCT answering) FROM sync.lane WHERE store_id = :store"


def test_a_store_is_silent_from_a_slice_without_an_answer_to_its_next_one(mirror: Mirror) -> None:
    """A refusal is an answer, and one answer is enough, though the slice goes on to fail."""
    mirror.rows("UPDATE sync.lane SET answering = 'yes', worked_at = NULL WHERE store_id = :store")
    mirror.sandbox.knobs.turn(fault_share={"reset": 1.0})
    mirror.work("order_history", "feed")
    assert mirror.value(ANSWERING) == ["no"]
    mirror.sandbox.knobs.turn(fault_share={}, missing=["orders/history"])
    mirror.work("order_history", "feed")
    assert mirror.lane("order_history", "feed").error is not None
    assert mirror.value(ANSWERING) == ["yes"]


def test_a_budget_that_gives_no_slot_is_not_the_stores_silence(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is Redis out of reach, nor Postgres: nothing was asked."""
    mirror.rows("UPDATE sync.lane SET answering = 'yes', worked_at = NULL WHERE store_id = :store")

    def away(*_: object) -> None:
        raise TryLater("Postgres is out of reach")

    monkeypatch.setattr("sync.work.slices.clock.draw", away)
    mirror.work("customers", "walk")
    assert mirror.lane("customers").error is not None
    assert mirror.value(ANSWERING) == ["yes"]


@pytest.mark.parametrize("answering", ["unknown", "no"])
def test_a_claim_that_expired_is_made_again_for_the_same_lane(
    engine: sa.Engine, answering: str
) -> None:
    """On a busy machine a message comes after its claim's time: with one for another lane an
    account that answers nothing would be asked by two. A lane that is off holds up no other."""
    add(engine, 1, answering=answering, waits=60)
    [first] = claim(engine)
    expired = (
        "UPDATE sync.lane SET claimed_until = now() - interval '1 s',"
        " due_at = now() - interval '1 s' WHERE claimed_until IS NOT NULL"
    )
    for _ in range(2):
        with engine.begin() as connection:
            connection.exec_driver_sql(expired)
        assert claim(engine) == [first]
    begin(engine, first)
    assert claim(engine) == []
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE sync.lane SET holder = NULL, lease_until = NULL,"
                                   " claimed_until = now() - interval '1 s', enabled = false"
                                   " WHERE holder IS NOT NULL")  # fmt: skip
    [other] = claim(engine)
    assert other != first
