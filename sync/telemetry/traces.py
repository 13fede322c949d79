"""OpenTelemetry: a span for each slice of work and each of its requests. Off by default."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sync.errors import NeedsOperator
from sync.telemetry.secrets import scrubbed
from sync.telemetry.told import told

_tracer: Any = None


def trace_to(endpoint: str, *, exporter: Any = None) -> None:
    """Send spans to an OTLP collector over HTTP from now on. `exporter` is for tests."""
    global _tracer  # noqa: PLW0603  tracing is process-wide by nature
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
    except ImportError:
        raise NeedsOperator(
            "SYNC_OTEL_ENDPOINT is set, and OpenTelemetry is not installed. "
            "From the checkout: pip install -c ops/constraints.txt -e '.[otel]'"
        ) from None
    provider = TracerProvider(resource=Resource.create({"service.name": "retailcrm-mirror"}))
    if exporter is None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter))
    else:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    _tracer = provider.get_tracer("sync")


def trace_nothing() -> None:
    """Undo `trace_to` (tests)."""
    global _tracer  # noqa: PLW0603
    _tracer = None


@contextmanager
def span(name: str, **fields: Any) -> Iterator[None]:
    """Trace the block as a span with these fields; an exception marks the span as failed."""
    if _tracer is None:
        yield
        return
    from opentelemetry.trace import Status, StatusCode

    about = {key: scrubbed(value) for key, value in fields.items() if value is not None}
    # The exception itself is not recorded: its traceback and message may hold values.
    with _tracer.start_as_current_span(
        name, attributes=about, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except Exception as error:
            current.set_status(Status(StatusCode.ERROR, scrubbed(told(error))))
            raise
