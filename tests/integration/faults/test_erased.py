"""A person who was erased, with real workers: not in the database, nor in Redis, nor in what the
processes said, nor in what they reported, before and after a bug that meets their rows."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import redis

from sync.database.engine import connect
from sync.embedded.process import wait_until
from sync.privacy import erasure, statistics
from sync.state import stores
from tests.integration.analysts import marked
from tests.integration.faults.rig import BUG, FEW, Rig

NAMED = {
    "firstName": "Клеопатра",
    "lastName": "Незабудкина",
    "email": marked.EMAIL,
    "customerComment": f"{marked.LATIN}, {marked.ADDRESS}",
    "managerComment": marked.NAME,
}


@pytest.fixture
def reports() -> Iterator[tuple[str, list[bytes]]]:
    """A Sentry: its DSN, and the envelopes that came."""
    came: list[bytes] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            came.append(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://key0123456789@127.0.0.1:{server.server_port}/1", came
    server.shutdown()
    server.server_close()


@pytest.fixture
def gone(rig: Rig, reports: tuple[str, list[bytes]]) -> Callable[[], None]:
    """Asserts that not a byte of the person is anywhere."""

    def check() -> None:
        engine = connect(rig.stage.url_of(rig.database), size=1, name="look")
        try:
            assert marked.traces(engine) == {}
        finally:
            engine.dispose()
        assert_silent(rig, reports[1])

    return check


def assert_silent(rig: Rig, came: list[bytes]) -> None:
    """Neither Redis nor what was said and reported names the person."""
    with redis.Redis.from_url(rig.stage.servers.redis_url) as client:
        assert marked.in_redis(client) == {}
    for program in rig.programs:
        assert marked.counted(program.log.read_bytes()) == 0, program.name
    assert marked.counted(b"\n".join(came)) == 0


@pytest.mark.timeout(240)
def test_nothing_that_runs_beside_the_database_ever_names_the_person(
    rig: Rig, reports: tuple[str, list[bytes]], gone: Callable[[], None]
) -> None:
    dsn, came = reports
    rig.add_store(rig.open_account(orders=40, customers=10), only=FEW)
    customer = rig.mutate(
        "create_customer", firstName="Клеопатра", lastName="Незабудкина", email=marked.EMAIL,
        phones=[{"number": marked.PHONE}], address={"text": marked.ADDRESS},
    )  # fmt: skip
    orders = [
        rig.mutate("create_order", customer=customer, phone=marked.PHONE, **NAMED) for _ in range(3)
    ]
    more = {"SYNC_SENTRY_DSN": dsn}
    rig.start("worker", "worker", "-Q", "feeds,crawls", "-l", "debug", more=more)
    rig.start("beat", "beat", "--pidfile=", "-l", "debug", more=more)
    rig.exact()
    assert_silent(rig, came)
    meet_a_bug(rig, orders[0], came)
    rig.exact()
    assert_silent(rig, came)
    erase(rig, customer)
    gone()
    rig.mutate("update_order", order_id=orders[1], managerComment=marked.MARK)
    rig.mutate("create_order", customer=customer, phone=marked.PHONE, **NAMED)
    for name in ("orders", "customers"):
        rig.ask(
            "INSERT INTO sync.crawl (store_id, resource, kind, asked_by)"
            " VALUES (%s, %s, 'backfill', 'operator')",
            rig.store_id,
            name,
        )
    rig.ask("UPDATE sync.lane SET due_at = now() WHERE store_id = %s", rig.store_id)
    rig.wait(
        lambda: rig.value("SELECT count(*) FROM sync.crawl WHERE state <> 'done'") == 0,
        "read again",
    )
    rig.exact()
    gone()


def meet_a_bug(rig: Rig, order: int, came: list[bytes]) -> None:
    """A row that Postgres refuses, with the row in its words: a bug to us, logged and reported."""
    rig.ask(
        "ALTER TABLE crm.orders ADD CONSTRAINT odd"
        " CHECK (manager_comment <> 'Клеопатра!') NOT VALID"
    )
    rig.mutate("update_order", order_id=order, managerComment="Клеопатра!")
    wait_until(
        lambda: any(BUG in program.log.read_bytes() for program in rig.programs) and bool(came),
        seconds=60,
        what="a bug was logged and reported",
    )
    for program in rig.programs:
        program.is_buggy()  # seen
    rig.ask("ALTER TABLE crm.orders DROP CONSTRAINT odd")
    rig.ask("UPDATE sync.lane SET parked_at = NULL, error = NULL, due_at = now(), attempts = 0")


def erase(rig: Rig, customer: int) -> None:
    """As the command does."""
    services = rig.services()
    try:
        with services.engine.begin() as connection:
            store = stores.by_id(connection, rig.store_id)
            assert store is not None
            erasure.erase(connection, store, customer)
        statistics.forget(services.engine)
    finally:
        services.engine.dispose()
