"""Redis as it is run: it refuses writes for a while, fails over, and holds what is not ours."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
import redis
from kombu.utils.json import dumps

from sync.broker import fitness
from sync.embedded.process import free_port
from sync.metrics.ready import readiness
from tests.integration.faults.conftest import Ends
from tests.integration.faults.rig import FEW, Rig

Strike = Callable[[redis.Redis], object]
REFUSALS: dict[str, tuple[Strike, Strike, str]] = {
    "OOM": (
        lambda server: server.config_set("maxmemory", 1),
        lambda server: server.config_set("maxmemory", 0),
        "it is out of memory",
    ),
    "READONLY": (
        lambda server: server.replicaof("127.0.0.1", free_port(None)),
        lambda server: server.replicaof("NO", "ONE"),
        "it is a replica",
    ),
    "NOREPLICAS": (
        lambda server: server.config_set("min-replicas-to-write", 1),
        lambda server: server.config_set("min-replicas-to-write", 0),
        "it has too few replicas",
    ),
}


@pytest.fixture
def loading(rig: Rig) -> Rig:
    """A worker in the middle of a load, people at work meanwhile."""
    rig.rate = 30
    rig.turn(rate=30)
    rig.add_store(rig.open_account(), only=FEW)
    rig.churn(5)
    rig.beat()
    rig.worker()
    rig.wait_pages(1)
    return rig


@pytest.mark.parametrize(
    "code", [pytest.param("OOM", marks=pytest.mark.in_ci), "READONLY", "NOREPLICAS"]
)
def test_a_redis_that_refuses_writes_is_waited_for(
    loading: Rig, ends_exact: Ends, code: str
) -> None:
    """A failover or a full memory is an outage: the worker says so, waits, and comes back."""
    strike, mend, words = REFUSALS[code]
    beat, worker = loading.programs
    with loading.stage.servers.valkey.connect() as server:
        try:
            strike(server)
            loading.wait(
                lambda: (
                    f"Redis does not serve us: {words}" in worker.text() or words in worker.text()
                ),
                "the worker says what Redis refuses",
            )
            services = loading.services()
            check = readiness(services)["redis"]
            services.engine.dispose()
            assert check == {"ok": False, "why": "Redis does not serve us"}
        finally:
            mend(server)
    loading.struck()
    ends_exact(loading, f"Redis refuses writes ({code})", 1)
    assert [beat.process.returncode, worker.process.returncode] == [0, 0]


def malformed(queue: str) -> dict[str, bytes]:
    """Messages that are none of ours, each wrong in a way of its own."""
    body = [[1, "orders"], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]

    def message(task: object = "sync.feed", body: object = body, **headers: object) -> dict:  # type: ignore[type-arg]
        return {
            "body": base64.b64encode(json.dumps(body).encode()).decode(),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {"id": "x", "task": task, "lang": "py", "argsrepr": ""} | headers,
            "properties": {
                "delivery_tag": "t",
                "body_encoding": "base64",
                "delivery_mode": 2,
                "priority": 0,
                "delivery_info": {"exchange": "", "routing_key": queue},
            },
        }

    good = message()
    wrong: dict[str, object] = {
        "a list": [1, 2],
        "a number": 7,
        "null": None,
        "an empty object": {},
        "no properties": {k: v for k, v in good.items() if k != "properties"},
        "headers that are text": {**good, "headers": "x"},
        "no delivery tag": {**good, "properties": {**good["properties"], "delivery_tag": None}},
        "no delivery info": {**good, "properties": {**good["properties"], "delivery_info": []}},
        "an unknown encoding": {**good, "properties": {**good["properties"], "body_encoding": "x"}},
        "another program's task": message("shop.tasks.add"),
        "one of Celery's own": message("celery.backend_cleanup", [[], {}, {}]),
        "a task that is a list": message(["sync.feed"]),
        "no id": message(id=None),
        "an ETA": message(eta="2999-01-01T00:00:00+00:00"),
        "a time limit": message(timelimit="soon"),
        "a compressed body": message(compression="zstd"),
        "pickle": {**good, "content-type": "application/x-python-serialize"},
        "a body that is no base64": {**good, "body": "%%%"},
        "too few arguments": message(body=[[1], {}, {}]),
        "arguments of other types": message(body=[["1; DROP TABLE x", 2], {}, {}]),
        "a body of another shape": message(body={"args": []}),
        "callbacks": message(body=[[1, "orders"], {}, {"callbacks": [{"task": "sync.pulse"}]}]),
    }
    deep = b"[" * 100_000
    return {
        "bytes": b"\xff\xfe\x00",
        "nothing": b"",
        "half an object": b'{"body": "',
        "a deep list": deep,
        **{name: dumps(value).encode() for name, value in wrong.items()},
    }


def order(method: str, queue: str | None) -> dict[str, object]:
    """What Celery's remote control sends to every worker."""
    arguments = {"queue": queue} if queue else {}
    told = {"method": method, "arguments": arguments, "destination": None}
    return {
        "body": base64.b64encode(json.dumps(told).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"clock": 1, "expires": None},
        "properties": {
            "body_encoding": "base64",
            "delivery_tag": "1",
            "delivery_info": {"exchange": "celery.pidbox", "routing_key": ""},
        },
    }


@pytest.mark.in_every_run
def test_messages_that_are_not_ours_are_set_aside(rig: Rig, ends_exact: Ends) -> None:
    """Whoever can write to Redis cannot end a worker with a message, nor keep it from its work;
    nobody orders workers about by Celery's remote control."""
    rig.add_store(rig.open_account(orders=120), only=FEW)
    beat, worker = rig.beat(), rig.worker()
    rig.wait_pages(1)
    with rig.stage.servers.valkey.connect() as server:
        for method, queue in (("cancel_consumer", "feeds"), ("cancel_consumer", "crawls"),
                              ("shutdown", None)):  # fmt: skip
            server.publish("sync:/0.celery.pidbox", dumps(order(method, queue)))
        sent = 0
        for queue in ("feeds", "crawls"):
            for text in malformed(queue).values():
                server.lpush(f"sync:{queue}", text)
                sent += 1
        server.publish("sync:/0.celery.pidbox", b'"a text"')
        server.publish("sync:/0.celery.pidbox", b"\xff")
        rig.wait(lambda: int(server.get("sync:rejected_count") or 0) >= sent, "each is set aside")
        assert server.llen("sync:rejected") > 0
    assert worker.text().count("message set aside") >= sent
    rig.struck()
    ends_exact(rig, "messages in Redis that are not ours", sent)
    assert [beat.process.returncode, worker.process.returncode] == [0, 0]
    assert "Unrecoverable" not in worker.text()


def test_what_is_kept_of_a_message_at_work_may_be_unreadable(rig: Rig) -> None:
    """A broken entry among the messages at work is dropped, and does not hold up the others."""
    with rig.stage.servers.valkey.connect() as server:
        server.hset("sync:unacked", "old", b"\xff not JSON")
        server.zadd("sync:unacked_index", {"old": 1})
        rig.worker()
        rig.wait(lambda: not server.zcard("sync:unacked_index"), "it is gone", seconds=90)
        assert not server.hexists("sync:unacked", "old")


def test_a_danger_is_told_before_it_strikes(rig: Rig) -> None:
    """An eviction policy and a memory nearly full are told in words; nothing has failed yet."""
    with rig.stage.servers.valkey.connect() as server:
        assert fitness.look(server).dangers == ()
        used = server.info("memory")["used_memory"]
        server.config_set("maxmemory-policy", "allkeys-lru")
        server.config_set("maxmemory", int(used * 1.05))
        try:
            dangers = fitness.look(server).dangers
        finally:
            server.config_set("maxmemory", 0)
            server.config_set("maxmemory-policy", "noeviction")
    assert any("maxmemory-policy is allkeys-lru" in each for each in dangers)
    assert any("of its maxmemory" in each for each in dangers)
