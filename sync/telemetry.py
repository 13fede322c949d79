"""Log fields, in the glossary's words, and how logs look.

Fields: store, resource, lane, window, page, rows, changed, waited_seconds, elapsed_seconds.
Keys never: what is logged are names, numbers and messages made by us.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

_configured = False


def configure(log_format: str, *, level: int = logging.INFO) -> None:
    """Write one line per event to stderr, for people (`console`) or machines (`json`)."""
    global _configured  # noqa: PLW0603  logging is process-wide by nature
    renderer: Any = (
        structlog.processors.JSONRenderer(sort_keys=False)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    _configured = True


def log(**fields: Any) -> Any:
    """A logger that carries these fields."""
    return structlog.get_logger().bind(**fields)
