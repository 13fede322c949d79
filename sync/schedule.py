"""What beat fires. The work itself is due by rows in Postgres; two beats do no harm."""

from __future__ import annotations

from typing import Any

from celery.beat import Scheduler

from sync.celery import QUEUES, app

DISPATCH_SECONDS = 1.0
PULSE_SECONDS = 5.0
WATCH_SECONDS = 20.0

MOST_WAITING = 200
"""Messages in a queue above which beat adds none: no worker is there to take them."""


class PatientScheduler(Scheduler):  # type: ignore[misc]  # Celery has no type hints
    """Beat without a file, which adds nothing to a queue nobody consumes.

    Celery drops an expired message only when a worker takes it, so they would pile up for days.
    """

    def apply_async(self, entry: Any, *args: Any, **options: Any) -> Any:
        """Send a due entry, unless its queue is full."""
        from sync.pipeline.services import services

        queue = entry.options.get("queue", app.conf.task_default_queue)
        if services().waiting(queue) > MOST_WAITING:
            return None
        return super().apply_async(entry, *args, **options)


app.conf.beat_schedule = {
    "dispatch": {
        "task": "sync.dispatch",
        "schedule": DISPATCH_SECONDS,
        # Without a worker nothing piles up: a dispatch that waited is worth nothing.
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
