"""Files that say when a worker or beat last did its work, for health checks that cost nothing."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery.bootsteps import StartStopStep
from celery.utils.functional import noop

from sync.errors import TryLater

PULSE_SECONDS = 5.0
"""The time between the messages that beat sends to each queue, so that it is known to be consumed,
and between the notes of a worker that got none."""
FIRST_SECONDS = 1.5  # Redis answers within a second that it has none


def touch(folder: Path | None, name: str) -> None:
    """Set the time of the file `name` to now; a folder that cannot be written changes nothing."""
    if folder is None:
        return
    # The check that finds no new file tells of it.
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def memory_bytes() -> int | None:
    """Return the memory that this process holds; None where the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


class Idle(StartStopStep):  # type: ignore[misc]  # Celery has no type hints
    """The health file of a worker whose queues are empty, for as long as it has a connection.

    Each of beat's messages goes to one of a queue's workers, and may go to the same one for
    minutes. So a worker that asked Redis for a message and got none touches its file by itself.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **_: Any) -> None:
        self._timers: list[Any] = []
        super().__init__(parent)

    def start(self, parent: Any) -> None:
        """Look every few seconds; the note is a thread's of the pool, as those of tasks are."""
        self._timers = [
            parent.timer.call_after(FIRST_SECONDS, _look, (parent,)),
            parent.timer.call_repeatedly(PULSE_SECONDS, _look, (parent,)),
        ]

    def stop(self, parent: Any) -> None:
        """Look no more: the next connection does."""
        for each in self._timers:
            parent.timer.cancel(each)


def _look(consumer: Any) -> None:
    channel = consumer.task_consumer.channel
    if channel.found_nothing:
        channel.found_nothing = False
        for queue in channel.active_queues:
            consumer.pool.apply_async(listening, (queue,), callback=noop)


def listening(queue: str) -> None:
    """Touch a queue's file, unless Postgres is away or its schema an older one."""
    from sync.database.engine import reading
    from sync.work.services import services

    if services().schema.serves():
        with suppress(TryLater), reading(services().engine):
            touch(services().settings.health_dir, queue)
