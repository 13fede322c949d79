"""Sentry: bugs and unexpected exceptions, without keys, local variables or request bodies."""

from __future__ import annotations

from typing import Any

from sync.telemetry.secrets import scrubbed


def report_to(dsn: str, *, transport: Any = None) -> None:
    """Send unexpected exceptions to Sentry from now on. `transport` is for tests."""
    import sentry_sdk
    from sentry_sdk.integrations.celery import CeleryIntegration

    options: dict[str, Any] = {} if transport is None else {"transport": transport}
    sentry_sdk.init(
        dsn,
        # Frames' variables hold accounts and headers; what is left passes `scrubbed`.
        include_local_variables=False,
        max_request_body_size="never",
        auto_enabling_integrations=False,
        integrations=[CeleryIntegration()],
        before_send=_event,
        before_breadcrumb=_event,
        **options,
    )


def _event(event: Any, _: Any) -> Any:
    return scrubbed(event)
