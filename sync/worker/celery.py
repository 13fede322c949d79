"""The Celery application: queues, pool, logging, and a graceful shutdown.

Postgres decides which work is due, and messages are only hints: a lost, duplicate or late message
changes only when work begins. The plain command `celery -A sync worker -Q feeds,crawls` must be
enough, so pool and concurrency are set here (ops/docs/decisions/0005-threads.md).
"""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery, Task
from celery.signals import (
    beat_init,
    celeryd_after_setup,
    setup_logging,
    worker_process_init,
    worker_shutting_down,
)
from kombu.transport import TRANSPORT_ALIASES

from sync import telemetry
from sync.errors import NeedsOperator, TryLater
from sync.settings import KEY_PREFIX, settings, warnings
from sync.settings.redis_address import parse
from sync.worker.alive import Idle

CONCURRENCY = 16
"""The concurrent tasks of a worker, unless `-c` says otherwise."""
QUEUES = ("feeds", "crawls")


class PatientTask(Task):  # type: ignore[misc]  # Celery has no type hints
    """A task that does nothing while the schema is older than this release.

    What is due is a row of Postgres, so that the message is not missed.
    """

    def __call__(self, *args: Any, **named: Any) -> Any:
        from sqlalchemy.exc import ProgrammingError

        from sync.work.services import services

        schema = services().schema
        if not schema.serves():
            return None
        try:
            return self.run(*args, **named)
        except ProgrammingError:
            if schema.is_behind():
                return None
            raise


class MirrorCelery(Celery):  # type: ignore[misc]
    """A Celery app that reads Redis's URL when it first connects, so `--help` starts no server."""

    task_cls = PatientTask

    def _connection(self, url: str | None, **options: Any) -> Any:
        from sync.embedded import urls

        address = parse(url or urls(settings()).redis_url)
        host, port = address.hosts[0]
        return super()._connection(
            host,
            **options
            | {
                "port": port,
                "userid": address.username,
                "password": address.password,
                "virtual_host": str(address.db),
                "ssl": address.tls or False,
                "transport": "redis",
                "transport_options": {"address": address},
            },
        )


TRANSPORT_ALIASES["redis"] = "sync.worker.transport:Transport"  # by name: `--help` needs none
app = MirrorCelery("sync", set_as_current=True)
app.steps["consumer"].add(Idle)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_channel_error_retry=True,  # an error reply of Redis never ends a worker
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
    worker_concurrency=CONCURRENCY,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    worker_enable_remote_control=False,  # by which Redis would be told to stop workers
    worker_cancel_long_running_tasks_on_connection_loss=False,
    beat_scheduler="sync.worker.schedule:PatientScheduler",
    beat_max_loop_interval=1,
    timezone="UTC",
    enable_utc=True,
    imports=("sync.worker.tasks", "sync.worker.schedule"),
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
    for warning in warnings(settings()):
        telemetry.log().warning(warning)


def _report() -> None:
    """Start Sentry and traces when they are set."""
    if (dsn := settings().sentry_dsn) is not None:
        from sync.telemetry.sentry import report_to

        report_to(dsn.get_secret_value())
    if settings().otel_endpoint:
        from sync.telemetry.traces import trace_to

        trace_to(settings().otel_endpoint)


@celeryd_after_setup.connect  # type: ignore[untyped-decorator]
def _take_no_task_before_the_schema_is_there(**_: Any) -> None:
    _wait_for_the_schema("the worker")


@beat_init.connect  # type: ignore[untyped-decorator]
def _send_no_task_before_the_schema_is_there(**_: Any) -> None:
    _wait_for_the_schema("beat")


def _wait_for_the_schema(who: str) -> None:
    from sync.embedded import urls
    from sync.worker.start import wait_or_end

    wait_or_end(urls(settings()).database_url, who=who)


@celeryd_after_setup.connect  # type: ignore[untyped-decorator]
def _require_the_secret_key(**_: Any) -> None:
    """End before any work is taken when API keys are encrypted with another key.

    Without Postgres the worker begins, and each slice checks anew.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from sync.work.services import require_secret_key, services

    try:
        require_secret_key(services())
    except NeedsOperator as error:
        raise SystemExit(str(error)) from None
    except (TryLater, SQLAlchemyError) as error:
        telemetry.log().warning("secret key not compared yet", reason=telemetry.told(error))


@celeryd_after_setup.connect  # type: ignore[untyped-decorator]
def _count_places(instance: Any, **_: Any) -> None:
    """Have half of the threads for each kind of lanes, so that neither waits for the other."""
    from sync.worker.places import set_places

    set_places(instance.concurrency // 2)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _end_slices(**_: Any) -> None:
    """Let every slice end at its next page boundary, on SIGTERM."""
    from sync.work.services import services

    services().stop.set()


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _forget_the_parents_connections(**_: Any) -> None:
    """Create new connections in a forked pool (`-P processes`): services() is per process id."""
    from sync.work.services import services
    from sync.worker.places import set_places

    services()
    set_places(1)
    _report()
