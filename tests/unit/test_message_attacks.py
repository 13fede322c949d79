"""Whoever has Redis's password puts messages into a queue: none makes a worker do anything else."""

from __future__ import annotations

import base64
import json
import pickle
from typing import Any

import pytest

from sync.worker.celery import app
from sync.worker.messages import fault_of
from tests.unit.test_messages import OURS, sent

RAN: list[str] = []


class Evil:
    """What runs a program when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return RAN.append, ("owned",)


def altered(**changes: Any) -> bytes:
    message = json.loads(sent("sync.walk", 1, "orders"))
    return json.dumps(message | changes).encode()


def body_of(content: bytes, kind: str) -> bytes:
    message = json.loads(sent("sync.walk", 1, "orders"))
    message |= {"body": base64.b64encode(content).decode(), "content-type": kind}
    message["properties"]["body_encoding"] = "base64"
    return json.dumps(message).encode()


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-python-serialize", "application/x-yaml", "application/x-msgpack",
        "application/data", "text/plain", "application/json; x", "APPLICATION/X-PICKLE", "",
    ],
)  # fmt: skip
def test_a_message_in_another_format_is_never_read(kind: str) -> None:
    """Reading pickle runs what it says. Celery is told besides to take JSON alone."""
    assert fault_of(body_of(pickle.dumps(Evil()), kind), OURS) is not None
    assert RAN == []
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == "json"


def test_a_pickle_that_is_called_json_is_not_read_either() -> None:
    assert fault_of(body_of(pickle.dumps(Evil()), "application/json"), OURS) is not None
    assert fault_of(pickle.dumps(Evil()), OURS) == "it is not JSON"
    assert RAN == []


@pytest.mark.parametrize(
    "argument",
    [
        {"__type__": "datetime", "__value__": "2024-01-01T00:00:00"},
        {"__type__": "os.system", "__value__": "id"},
        ["orders"], None, True, 1.5, {"$ne": 1},
    ],
)  # fmt: skip
def test_an_argument_of_another_type_reaches_no_task(argument: object) -> None:
    """kombu makes objects of JSON that says so; a task gets numbers and text alone."""
    assert fault_of(sent("sync.walk", 1, argument), OURS) is not None
    assert fault_of(sent("sync.walk", argument, "orders"), OURS) is not None


@pytest.mark.parametrize(
    "embed",
    [
        {"callbacks": [{"task": "sync.walk", "args": [1, "orders"]}]},
        {"errbacks": [{"task": "x"}]},
        {"chain": [{"task": "x"}]},
        {"chord": {"task": "x"}},
    ],
)
def test_a_message_brings_no_other_in_its_train(embed: dict[str, Any]) -> None:
    message = json.loads(sent("sync.walk", 1, "orders"))
    body = [[1, "orders"], {}, embed]
    message["body"] = json.dumps(body)
    assert fault_of(json.dumps(message), OURS) == "it has callbacks, which none of ours has"


def test_a_bomb_is_put_aside() -> None:
    """Nested without end, with numbers without end, or packed."""
    nested = b"[" * 200_000
    assert fault_of(nested, OURS) == "it is not JSON"
    assert fault_of(body_of(nested, "application/json"), OURS) is not None
    assert fault_of(altered(headers={"id": "x", "task": "sync.walk", "compression": "zlib"}), OURS)
    assert fault_of(b"\xff" * 100, OURS) == "it is not JSON"
    assert fault_of(b"", OURS) == "it is not JSON"


@pytest.mark.parametrize(
    "task",
    ["celery.backend_cleanup", "celery.chord", "os.system", "sync.work.slices", "__import__"],
)
def test_no_other_function_is_called_by_its_name(task: str) -> None:
    assert fault_of(sent(task), OURS) == "it calls no task of this release"


def test_nobody_orders_workers_about() -> None:
    """Remote control shuts workers down, or has them take no more work; see faults/test_redis.py
    for a worker to which such orders are sent."""
    assert app.conf.worker_enable_remote_control is False
