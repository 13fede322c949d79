"""The schedule of Celery beat. Rows in Postgres say which work is due, so two beats do no harm."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

from celery.beat import Scheduler, SchedulingError
from celery.schedules import schedule

from sync.telemetry import log, told
from sync.worker.alive import PULSE_SECONDS, touch
from sync.worker.celery import QUEUES, app

DISPATCH_SECONDS = 1.0
WATCH_SECONDS = 20.0
SILENT_SECONDS = 60.0

_BEGAN = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=time.monotonic())

MOST_WAITING = 200
"""The number of waiting messages above which beat adds none: then no worker consumes the queue."""


class PatientScheduler(Scheduler):  # type: ignore[misc]  # Celery has no type hints
    """A beat without a state file that adds no message to a queue without consumers.

    Messages would pile up for days. A Redis that takes none is told once a minute, in one line.
    """

    _silent_until = 0.0

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send a due entry; when that fails, the next tick is the retry."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            if time.monotonic() >= self._silent_until:
                self._silent_until = time.monotonic() + SILENT_SECONDS
                log().warning("nothing sent", task=entry.task, reason=told(error))

    def apply_async(self, entry: Any, *args: Any, **options: Any) -> Any:
        """Enqueue a due entry, unless its queue is full or the schema is an older one."""
        from sync.work.services import services

        if not services().schema.serves():
            return None
        queue = entry.options.get("queue", app.conf.task_default_queue)
        if services().waiting(queue) > MOST_WAITING:
            return None
        sent = super().apply_async(entry, *args, **options)
        touch(services().settings.health_dir, "beat")
        return sent


class Steadily(schedule):  # type: ignore[misc]
    """Every so many seconds by a clock that nobody sets: neither NTP nor a person delays beat."""

    def __init__(self, run_every: float, **_: Any) -> None:
        super().__init__(run_every, nowfun=_steady_now, app=app)


def _steady_now() -> dt.datetime:
    return _BEGAN + dt.timedelta(seconds=time.monotonic())


# Messages carry no expiry: it would be the sender's clock, judged by the receiver's. A second
# dispatch finds nothing due, a second pulse says the same, and a task for a lane that has been
# worked on since finds its claim gone.
app.conf.beat_schedule = {
    name: {
        "task": f"sync.{task}",
        "schedule": Steadily(seconds),
        "args": args,
        "options": {"queue": queue},
    }
    for name, task, seconds, queue, args in (
        ("dispatch", "dispatch", DISPATCH_SECONDS, "feeds", ()),
        ("cadence", "poll_intervals", 60.0, "feeds", ()),
        ("watch", "watch", WATCH_SECONDS, "feeds", ()),
        ("housekeeping", "housekeeping", 3600.0, "crawls", ()),
        *((f"pulse-{queue}", "pulse", PULSE_SECONDS, queue, (queue,)) for queue in QUEUES),
    )
}
