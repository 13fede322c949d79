"""The Celery application: queues, pool, logging, and a graceful shutdown.

Postgres decides which work is due, and messages are only hints: a lost, duplicate or late message
changes only when work begins. The plain command `celery -A sync worker -Q feeds,crawls` must be
enough, so pool and concurrency are set here (ops/decisions/0005-threads.md).
"""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from celery.signals import setup_logging, worker_process_init, worker_shutting_down
from kombu.connection import Connection
from kombu.transport import redis as transport

from sync import telemetry
from sync.settings import KEY_PREFIX, settings, unknown_warning

PLACES = 16
"""The concurrent tasks of a worker; crawls use at most half of them (sync/tasks.py)."""
QUEUES = ("feeds", "crawls")


class Channel(transport.Channel):
    """A channel that raises ConnectionError when it is used after its connection was closed.

    kombu 5.7 uses such a channel to requeue and acknowledge messages that were in flight when Redis
    went away. Its AttributeError would end the worker; after a ConnectionError kombu reconnects.
    """

    def _connparams(self, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            raise ConnectionError("this connection to the broker was closed")
        return super()._connparams(asynchronous)  # type: ignore[no-untyped-call]


class Transport(transport.Transport):
    """The Redis transport with these channels."""

    Channel = Channel


class Link(Connection):
    """A connection that uses this transport."""

    def get_transport_cls(self) -> type[Transport]:
        """Return the transport for any URL scheme, because settings allow only Redis."""
        return Transport


class Broker(AMQP):  # type: ignore[misc]
    """Celery's broker interface with these connections."""

    Connection = Link


class MirrorCelery(Celery):  # type: ignore[misc]  # Celery has no type hints
    """A Celery app that reads Redis's URL when it first connects, so `--help` starts no server."""

    amqp_cls = Broker

    def _connection(self, url: str | None, **options: Any) -> Any:
        from sync.embedded import urls

        return super()._connection(url or urls(settings()).redis_url, **options)


app = MirrorCelery("sync", set_as_current=True)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        "visibility_timeout": 600,  # longer than a slice and its shutdown
        "global_keyprefix": KEY_PREFIX,
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "health_check_interval": 15,
        "retry_on_timeout": True,
    },
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_default_queue="feeds",
    task_serializer="json",
    accept_content=["json"],
    worker_pool="threads",
    worker_concurrency=PLACES,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    beat_scheduler="sync.schedule:PatientScheduler",
    beat_max_loop_interval=1,
    timezone="UTC",
    enable_utc=True,
    imports=("sync.tasks", "sync.schedule"),
)


@setup_logging.connect  # type: ignore[untyped-decorator]
def _log_our_way(loglevel: int | str = logging.INFO, **_: Any) -> None:
    """Configure logging to stderr: structlog for our lines, the standard library for Celery's."""
    telemetry.configure(settings().log_format, level=telemetry.level_of(loglevel))
    telemetry.standard_library()
    _report()
    # Keep lines such as "celery@host ready", but not a line for each received task.
    logging.getLogger("celery.apps.worker").setLevel(logging.INFO)
    logging.getLogger("celery.worker").setLevel(logging.WARNING)
    for name in settings().unknown:
        telemetry.log().warning(unknown_warning(name))


def _report() -> None:
    """Start Sentry and traces when they are set."""
    if (dsn := settings().sentry_dsn) is not None:
        from sync.telemetry.reports import report_to

        report_to(dsn.get_secret_value())
    if settings().otel_endpoint:
        from sync.telemetry.traces import trace_to

        trace_to(settings().otel_endpoint)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _end_slices(**_: Any) -> None:
    """Let every slice end at its next page boundary, on SIGTERM."""
    from sync.pipeline.services import services

    services().stop.set()


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _forget_the_parents_connections(**_: Any) -> None:
    """Create new connections in a forked pool (`-P processes`): services() is per process id."""
    from sync.pipeline.services import services

    services()
    _report()
