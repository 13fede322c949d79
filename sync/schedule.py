"""What beat fires. The work itself is due by rows in Postgres; two beats do no harm."""

from __future__ import annotations

from sync.celery import QUEUES, app

DISPATCH_SECONDS = 1.0
PULSE_SECONDS = 5.0

app.conf.beat_schedule = {
    "dispatch": {
        "task": "sync.dispatch",
        "schedule": DISPATCH_SECONDS,
        # Without a worker nothing piles up: a dispatch that waited is worth nothing.
        "options": {"queue": "feeds", "expires": 2 * DISPATCH_SECONDS},
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
