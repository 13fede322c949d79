"""The Celery application: queues, pool, and a graceful end.

Postgres is the truth and Celery a hint: a message lost, doubled or late changes nothing but when
work begins. The bare command `celery -A sync worker -Q feeds,crawls` is meant to be enough, so
pool and concurrency are chosen here (ops/decisions/0005): threads, because the work waits for
HTTP and Postgres, and a process of its own per request would cost 100 MB each.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, bootsteps
from celery.signals import setup_logging, worker_process_init, worker_shutting_down
from click import Option

from sync.settings import settings
from sync.telemetry import configure

PLACES = 16
"""Tasks a worker works on at once; crawls take at most half of them (sync/tasks.py)."""
QUEUES = ("feeds", "crawls")


class MirrorCelery(Celery):
    """Celery that learns where Redis is when it first connects: `--help` starts no server."""

    def _load_config(self) -> Any:
        loaded = super()._load_config()
        return loaded


def _broker_url() -> str:
    from sync.embedded import urls

    return urls(settings()).redis_url


app = Celery("sync")
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        "visibility_timeout": 600,  # longer than a slice and its shutdown
        "queue_order_strategy": "round_robin",
        "global_keyprefix": "sync:",
    },
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_default_queue="feeds",
    task_routes={"sync.feed": {"queue": "feeds"}, "sync.walk": {"queue": "crawls"}},
    task_serializer="json",
    accept_content=["json"],
    worker_pool="threads",
    worker_concurrency=PLACES,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_enable_remote_control=True,
    worker_send_task_events=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    beat_scheduler="celery.beat:Scheduler",  # no file: due work is rows in Postgres
    timezone="UTC",
    enable_utc=True,
    imports=("sync.tasks", "sync.schedule"),
)
