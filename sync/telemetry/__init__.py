"""Logs, error reports and traces, with field names from the glossary.

Fields: store, resource, lane, window, page, rows, changed, waited_seconds, elapsed_seconds.
Info logs a line for each slice; debug logs a line for each page received and each commit.
Logs hold names, numbers and our own messages. Secrets are removed from every line, after it is
written out, so that no object's own words bring one in.

secrets.py        API keys and passwords, removed from logs, events and traces by their value
secret_forms.py   the escapes and encodings in which a secret is found
redact_errors.py  database errors, without the rows in their messages
sanitize.py       text from an account, without characters that harm a terminal or Postgres
row_counter.py    rows and changes of a slice, counted where they are written
sentry.py         Sentry, when SYNC_SENTRY_DSN is set
traces.py         OpenTelemetry, when SYNC_OTEL_ENDPOINT is set
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any

import structlog

from sync.telemetry.redact_errors import told, without_rows
from sync.telemetry.row_counter import Tally, counted, counting
from sync.telemetry.sanitize import plain, plain_lines
from sync.telemetry.secrets import keep_secret, scrubbed
from sync.telemetry.traces import span

__all__ = [
    "Tally",
    "configure",
    "counted",
    "counting",
    "keep_secret",
    "log",
    "plain",
    "plain_lines",
    "scrubbed",
    "span",
    "standard_library",
    "told",
]

_LEVELS = {"CRITICAL": 50, "FATAL": 50, "ERROR": 40, "WARNING": 30, "INFO": 20, "DEBUG": 10}


def configure(log_format: str, *, level: int = logging.INFO) -> None:
    """Write one line per event to stderr, for people (`console`) or machines (`json`)."""
    is_json = log_format == "json"
    renderer: Any = (
        structlog.processors.JSONRenderer(sort_keys=False)
        if is_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(_traceback),
            renderer,
            _without_secrets,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _traceback(exc_info: Any) -> str:
    text = "".join(traceback.format_exception(*exc_info)).rstrip("\n")
    return without_rows(text, exc_info[1])


def _without_secrets(_: Any, __: str, line: Any) -> Any:
    return scrubbed(line)


def level_of(name: str | int) -> int:
    """Return the level for our lines: as requested, but at least info (Celery requests less)."""
    asked = _LEVELS.get(name.upper(), logging.INFO) if isinstance(name, str) else name
    return min(asked, logging.INFO)


class _Line(logging.Formatter):
    """A formatter for the standard library's lines that removes secrets and rows."""

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        return scrubbed(without_rows(super().format(record), error))


def standard_library(*, level: int = logging.WARNING) -> None:
    """Write the lines of Celery and other libraries to stderr, with secrets and rows removed."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line("%(asctime)s [%(levelname)-8s] %(name)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def log(**fields: Any) -> Any:
    """Return a logger that adds these fields to its lines."""
    return structlog.get_logger().bind(**fields)
