"""A nudge over HTTP: a change is here before the interval, and false ones change nothing."""

from __future__ import annotations

import sqlalchemy as sa

from sync.state import nudges
from sync.web.nudges import Nudges
from tests.integration.conftest import Open
from tests.integration.pipeline.harness import Mirror
from tests.integration.web.conftest import Serve


def secret_of(mirror: Mirror) -> str:
    with mirror.engine.begin() as connection:
        return nudges.make(connection, mirror.store_id)


def taker(mirror: Mirror, hurried: list[int]) -> Nudges:
    """Nudges of this process, whose thread is not started: the test acts."""
    return Nudges(mirror.services, hurry=lambda: hurried.append(1))


def due_in(mirror: Mirror, feed: str) -> float:
    found = mirror.value(
        "SELECT extract(epoch FROM due_at - clock_timestamp()) FROM sync.lane"
        f" WHERE store_id = :store AND lane = 'feed' AND resource = '{feed}'"
    )
    return float(found)


def make_idle(mirror: Mirror) -> None:
    """Feeds that are looked at once an hour."""
    mirror.rows(
        "UPDATE sync.lane SET due_at = clock_timestamp() + interval '1 hour', claimed_until = NULL"
        " WHERE store_id = :store AND lane = 'feed'"
    )


def test_a_nudge_makes_the_feed_due_and_has_work_dispatched_at_once(mirror: Mirror) -> None:
    hurried: list[int] = []
    nudged, order = taker(mirror, hurried), min(mirror.truth("orders"))
    secret_of(mirror)
    make_idle(mirror)
    mirror.account.update_order(order, managerComment="nudged")
    nudged.act([(mirror.store_id, {"orders": {order}}, 3)])
    assert due_in(mirror, "order_history") <= 0
    assert due_in(mirror, "customer_history") > 3_000
    assert hurried == [1]
    assert mirror.rows("SELECT came, acted, orders FROM sync.nudge")[0] == (3, 1, [order])
    mirror.work("order_history", "feed")
    mirror.assert_equal_to_oracle()
    assert mirror.value("SELECT orders FROM sync.nudge") == []


def test_a_named_record_is_read_before_the_history_tells_of_it(open_settled: Open) -> None:
    """The history may be late; the list shows the change already. Nothing is claimed by it."""
    mirror = open_settled()
    secret_of(mirror)
    mirror.sandbox.knobs.turn(entry_delay_share=1.0, entry_delay_seconds=(30.0, 30.0))
    order = min(mirror.truth("orders"))
    mirror.account.update_order(order, managerComment="sooner")
    with mirror.engine.begin() as connection:
        nudges.hasten(connection, mirror.store_id, named={"orders": {order}}, came=1)
    mirror.work("order_history", "feed")
    comment = "SELECT manager_comment FROM crm.orders WHERE store_id = :store AND id = :id"
    assert mirror.rows(comment, id=order)[0] == ("sooner",)
    mirror.pass_time(31)
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_a_record_that_is_not_here_is_not_asked_for(mirror: Mirror) -> None:
    """Whoever knows the secret cannot have a request sent for each number that comes to mind."""
    secret_of(mirror)
    with mirror.engine.begin() as connection:
        made_up = set(range(900_000, 900_020))
        nudges.hasten(connection, mirror.store_id, named={"orders": made_up}, came=1)
    mirror.wire.paths.clear()
    mirror.work("order_history", "feed")
    assert [path for path in mirror.wire.paths if "900" in path] == []
    assert mirror.value("SELECT count(*) FROM sync.reread WHERE store_id = :store") == 0
    assert mirror.value("SELECT count(*) FROM crm.orders WHERE id >= 900000") == 0


def test_strangers_are_answered_like_anybody_and_change_a_counter_alone(
    serve: Serve, mirror: Mirror
) -> None:
    secret = secret_of(mirror)
    make_idle(mirror)
    served = serve()
    before = mirror.rows("SELECT * FROM sync.nudge")
    with served.client(logged_in=False) as client:
        answers = [
            client.post(f"/nudge/{text}", data={"order": "1"})
            for text in ("x", secret[:-1], secret + "a", "%00", "ü", "a" * 3_000) * 30
        ]
        assert {(answer.status_code, answer.content) for answer in answers} == {(204, b"")}
        assert mirror.rows("SELECT * FROM sync.nudge") == before
        assert served.services.nudges_refused == len(answers)
        assert due_in(mirror, "order_history") > 3_000
        right = client.post(f"/nudge/{secret}", data={"order": "1"})
        assert (right.status_code, right.content) == (204, b"")
        too_long = client.post(f"/nudge/{secret}", content=b"x" * 5_000)
        assert too_long.status_code == 204
        assert client.get(f"/nudge/{secret}").status_code == 405


def test_a_nudge_of_a_store_that_is_off_or_refused_does_nothing(mirror: Mirror) -> None:
    secret = secret_of(mirror)

    def is_taken() -> bool:
        with mirror.engine.connect() as connection:
            return nudges.digest(secret) in nudges.known(connection)

    assert is_taken()
    mirror.rows("UPDATE sync.store SET error = 'the account refuses the API key'")
    assert not is_taken()
    mirror.rows("UPDATE sync.store SET error = NULL, enabled = false")
    assert not is_taken()


def test_another_secret_ends_the_one_before(mirror: Mirror) -> None:
    first, second = secret_of(mirror), secret_of(mirror)
    with mirror.engine.connect() as connection:
        known = nudges.known(connection)
        told = str(connection.execute(sa.text("SELECT t::text FROM sync.nudge AS t")).scalar())
    assert nudges.digest(first) not in known
    assert known[nudges.digest(second)] == mirror.store_id
    assert second not in told


def test_a_nudged_record_that_cannot_be_read_is_not_claimed(mirror: Mirror) -> None:
    """The read that a nudge caused fails first; the entry's own must hold coverage even so."""
    secret_of(mirror)
    order = min(mirror.truth("orders"))
    mirror.sandbox.knobs.turn(poison={"orders": [order]})
    mirror.account.update_order(order, managerComment="unreadable")
    changed_at = mirror.now()
    with mirror.engine.begin() as connection:
        nudges.hasten(connection, mirror.store_id, named={"orders": {order}}, came=1)
    for _ in range(6):
        mirror.feeds()
        mirror.pass_time(30)
    assert mirror.live("orders")[order].get("managerComment") != "unreadable"
    assert mirror.coverage("orders").complete_as_of.timestamp() < changed_at


def test_a_nudge_while_the_feed_is_at_work_has_it_looked_at_again(mirror: Mirror) -> None:
    """What changed after the history was read would otherwise wait for the whole interval."""
    secret_of(mirror)
    make_idle(mirror)

    def nudge() -> None:
        with mirror.engine.begin() as connection:
            nudges.hasten(connection, mirror.store_id, named={"orders": set()}, came=1)

    with mirror.between("/orders/history", nudge):
        mirror.work("order_history", "feed")
    assert due_in(mirror, "order_history") <= 0
    mirror.work("order_history", "feed")
    assert due_in(mirror, "order_history") > 0


def test_a_history_the_key_may_not_read_is_not_hastened(mirror: Mirror) -> None:
    """It is asked for once a day, whatever a trigger says."""
    secret_of(mirror)
    make_idle(mirror)
    mirror.rows(
        "UPDATE sync.coverage SET unavailable = 'no scope' WHERE resource = 'order_history'"
    )
    with mirror.engine.begin() as connection:
        assert not nudges.hasten(connection, mirror.store_id, named={"orders": set()}, came=1)
    assert due_in(mirror, "order_history") > 3_000
