"""What reaches Celery from a queue: our tasks, called as they are declared, and nothing else."""

from __future__ import annotations

from kombu.utils.json import dumps

from sync.worker import tasks
from sync.worker.celery import app
from sync.worker.messages import fault_of

OURS = {name: task.run for name, task in app.tasks.items() if name.startswith("sync.")}


def sent(task: str, *args: object, **options: object) -> bytes:
    """A message as Celery puts it into Redis."""
    message = app.amqp.as_task_v2("id", task, args, {}, **options)
    return dumps(  # type: ignore[no-any-return]
        {
            "body": dumps(message.body),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": message.headers,
            "properties": {
                **message.properties,
                "delivery_tag": "t",
                "delivery_info": {"exchange": "", "routing_key": "feeds"},
            },
        }
    ).encode()


def test_our_own_messages_pass() -> None:
    """Also those of an earlier release, which carry an expiry."""
    assert tasks.feed.name in OURS
    assert fault_of(sent("sync.feed", 1, "order_history"), OURS) is None
    assert fault_of(sent("sync.walk", 1, "orders", expires=60), OURS) is None
    assert fault_of(sent("sync.pulse", "feeds"), OURS) is None
    for name in ("dispatch", "watch", "poll_intervals", "housekeeping"):
        assert fault_of(sent(f"sync.{name}"), OURS) is None, name


def test_a_task_of_another_program_or_called_otherwise_does_not() -> None:
    """The reason is in words, for the log."""
    assert fault_of(sent("shop.add", 1), OURS) == "it calls no task of this release"
    assert fault_of(sent("celery.chord_unlock"), OURS) == "it calls no task of this release"
    assert fault_of(sent("sync.feed", 1), OURS) == "its arguments are not those of the task"
    assert (
        fault_of(sent("sync.feed", "1", "x"), OURS) == "its arguments are not of the task's types"
    )
    assert fault_of(sent("sync.feed", 1, "x", countdown=9), OURS) is not None
    assert fault_of(b"{", OURS) == "it is not JSON"
