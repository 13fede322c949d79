"""Sentry: bugs and unexpected exceptions, without keys, rows, local variables or request bodies."""

from __future__ import annotations

from typing import Any

from sync.telemetry.redact_errors import LONGEST, without_rows
from sync.telemetry.secrets import scrubbed

_DATABASE = ("psycopg", "sqlalchemy.exc")


def report_to(dsn: str, *, transport: Any = None) -> None:
    """Send unexpected exceptions to Sentry from now on. `transport` is for tests."""
    import sentry_sdk
    from sentry_sdk.integrations.celery import CeleryIntegration

    options: dict[str, Any] = {} if transport is None else {"transport": transport}
    sentry_sdk.init(
        dsn,
        # Local variables hold accounts and headers; `scrubbed` cleans everything else.
        include_local_variables=False,
        max_request_body_size="never",
        auto_enabling_integrations=False,
        integrations=[CeleryIntegration()],
        before_send=_event,
        before_breadcrumb=_event,
        **options,
    )


def _event(event: Any, hint: Any) -> Any:
    error = (hint.get("exc_info") or (None, None))[1]
    for each in event.get("exception", {}).get("values", ()):
        text = without_rows(each.get("value") or "", error)
        if (each.get("module") or "").startswith(_DATABASE):
            text = scrubbed(next(iter(text.splitlines()), ""))[:LONGEST]
        each["value"] = text
    return scrubbed(event)
