"""The schedule of Celery beat. Rows in Postgres say which work is due, so two beats do no harm."""

from __future__ import annotations

from typing import Any

from celery.beat import Scheduler

from sync.celery import QUEUES, app

DISPATCH_SECONDS = 1.0
PULSE_SECONDS = 5.0
WATCH_SECONDS = 20.0

MOST_WAITING = 200
"""The number of waiting messages above which beat adds none: then no worker consumes the queue."""


class PatientScheduler(Scheduler):  # type: ignore[misc]  # Celery has no type hints
    """A beat without a state file that adds no message to a queue without consumers.

    Celery drops an expired message only when a worker takes it, so messages could pile up for days.
    """

    def apply_async(self, entry: Any, *args: Any, **options: Any) -> Any:
        """Enqueue a due entry, unless its queue is full."""
        from sync.pipeline.services import services

        queue = entry.options.get("queue", app.conf.task_default_queue)
        if services().waiting(queue) > MOST_WAITING:
            return None
        return super().apply_async(entry, *args, **options)


app.conf.beat_schedule = {
    "dispatch": {
        "task": "sync.dispatch",
        "schedule": DISPATCH_SECONDS,
        # A dispatch that has waited is useless, so it expires and does not pile up.
        "options": {"queue": "feeds", "expires": 2 * DISPATCH_SECONDS},
    },
    "cadence": {
        "task": "sync.cadence",
        "schedule": 60.0,
        "options": {"queue": "feeds", "expires": 60},
    },
    "watch": {
        "task": "sync.watch",
        "schedule": WATCH_SECONDS,
        "options": {"queue": "feeds", "expires": WATCH_SECONDS},
    },
    "housekeeping": {
        "task": "sync.housekeeping",
        "schedule": 3600.0,
        "options": {"queue": "crawls", "expires": 600},
    },
} | {
    f"pulse-{queue}": {
        "task": "sync.pulse",
        "schedule": PULSE_SECONDS,
        "args": (queue,),
        "options": {"queue": queue, "expires": 2 * PULSE_SECONDS},
    }
    for queue in QUEUES
}
