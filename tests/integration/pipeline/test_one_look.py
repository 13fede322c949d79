"""One answer to `credentials` serves all resources that wait for one."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sync.errors import Forbidden
from sync.resources import RESOURCES
from sync.state import access_looks, clock
from sync.state.access_looks import Look
from sync.state.lanes import Claim
from sync.state.stores import Access
from sync.work import slices
from sync.work.access import SharedAccess
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror

LACKING = (
    "statuses", "status_groups", "order_types", "order_methods", "payment_types", "units",
    "payment_statuses", "delivery_types", "couriers", "cost_groups", "cost_items", "price_types",
)  # fmt: skip
LOOK = "/api/credentials"


@pytest.fixture
def mirror(open_mirror: Open) -> Mirror:
    return open_mirror(orders=0, customers=0, resources={name: RESOURCES[name] for name in LACKING})


def test_resources_that_are_refused_together_look_at_the_access_once(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve methods that an account lacks cost one look, and one more every second at most."""
    least = 1.0
    monkeypatch.setattr(access_looks, "LEAST_SECONDS", least)
    paths = [RESOURCES[name].path.removeprefix("/api/v5/") for name in LACKING]
    mirror.sandbox.knobs.turn(missing=paths)
    mirror.wire.paths.clear()
    together = threading.Barrier(len(LACKING))

    def work(name: str) -> None:
        together.wait(60)
        slices.work(Claim(mirror.store_id, name, "walk"), mirror.services, mirror.resources)

    began = time.monotonic()
    with mirror.process(), ThreadPoolExecutor(len(LACKING)) as pool:
        list(pool.map(work, LACKING))
    looks = sum(path.startswith(LOOK) for path in mirror.wire.paths)
    assert 1 <= looks <= 1 + (time.monotonic() - began) / least
    assert {mirror.lane(name).odd_answer for name in LACKING} == {"Unavailable"}


def test_who_waits_takes_the_answer_of_whoever_asked(mirror: Mirror) -> None:
    """Only an answer that was sent after the refusal, with the same key, decides it."""
    found: list[Access] = []
    mine = SharedAccess(mirror.engine, mirror.store_id, key="k", stop=mirror.services.stop)
    full = Access("access_full", None, ("order_read",))

    def keep(key: str) -> None:
        answer = {"access": ["access_full", None, ["order_read"]], "key": key}
        with mirror.engine.begin() as connection:
            look = Look(clock.draw(mirror.engine, mirror.store_id), answer)
            access_looks.keep(connection, mirror.store_id, look)

    def never() -> None:
        raise AssertionError("asked although another has just asked")

    mirror.rows(
        "INSERT INTO sync.access_look (store_id, next_at) VALUES (:store, now() + interval '1 day')"
    )
    keep("k")
    after = clock.draw(mirror.engine, mirror.store_id)
    waiting = [
        threading.Thread(target=lambda: found.append(mine.told(never, after=after)))  # type: ignore[arg-type]
        for _ in range(6)
    ]
    for thread in waiting:
        thread.start()
    keep("another key")
    assert found == []
    keep("k")
    for thread in waiting:
        thread.join(60)
    assert found == [full] * 6


def test_a_refused_key_is_told_to_all_who_wait(mirror: Mirror) -> None:
    mine = SharedAccess(mirror.engine, mirror.store_id, key="k", stop=mirror.services.stop)
    after = clock.draw(mirror.engine, mirror.store_id)
    asked: list[int] = []

    def refused() -> None:
        asked.append(1)
        error = Forbidden(403, 'Wrong "apiKey" value.')
        error.sent_at = clock.draw(mirror.engine, mirror.store_id)
        raise error

    for _ in range(3):
        with pytest.raises(Forbidden, match="apiKey"):
            mine.told(refused, after=after)  # type: ignore[arg-type]
    assert asked == [1]
