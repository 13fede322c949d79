"""Errors of the database leave without the rows they happened to: logs, reports, spans, texts."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
import sentry_sdk
import sqlalchemy as sa
import structlog
from sentry_sdk.transport import Transport

from sync import telemetry
from sync.database.engine import connect, writing
from sync.telemetry import sentry, told, traces

PERSON = "anna.private@example.com"
TABLE = (
    "CREATE TEMP TABLE people (id bigint PRIMARY KEY, email text NOT NULL,"
    " born date CHECK (born > '1900-01-01'))"
)
INSERT = "INSERT INTO people VALUES (%s, %s, %s)"
ROW = (1, PERSON, "1985-01-01")
FAILURES = {
    "a row that is there": ("UniqueViolation 23505: duplicate key", INSERT, ROW),
    "a rule": ("CheckViolation 23514: new row for", INSERT, (2, PERSON, "1850-01-01")),
    "no value": ("NotNullViolation 23502: null value in column", INSERT, (2, None, "1985-01-01")),
    "a number": (
        "InvalidTextRepresentation 22P02: invalid input syntax for type bigint: …",
        "SELECT cast(%s::text AS bigint)",
        (f"{PERSON}\n",),
    ),
    "a day": (
        "DatetimeFieldOverflow 22008: date/time field value out of range: …",
        "SELECT cast(%s::text AS date)",
        ("1985-99-99",),
    ),
    "JSON": (
        "InvalidTextRepresentation 22P02: invalid input syntax for type json",
        "SELECT cast(%s::text AS jsonb)",
        (f'{{"email": {PERSON}}}',),
    ),
    "NUL": ("DataError: PostgreSQL text fields cannot", "SELECT %s::text", (f"{PERSON}\0",)),
    "no type": ("ProgrammingError: cannot adapt type", "SELECT %s, %s", (PERSON, object())),
}
ByEngine = Callable[[str, tuple[Any, ...]], None]


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Logging, reports and traces are process-wide."""
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    structlog.reset_defaults()
    traces.trace_nothing()
    sentry_sdk.get_global_scope().set_client(None)


@pytest.fixture(params=["engine", "driver"])
def fail(request: pytest.FixtureRequest, database: str) -> Iterator[ByEngine]:
    """Runs a statement where ROW is there: by the mirror's engine, or by psycopg alone."""
    engine = connect(database, size=2, name="test")

    def by_engine(sql: str, values: tuple[Any, ...]) -> None:
        with writing(engine) as connection:
            connection.exec_driver_sql(TABLE)
            connection.exec_driver_sql(INSERT, ROW)
            connection.exec_driver_sql(sql, values)

    def by_driver(sql: str, values: tuple[Any, ...]) -> None:
        url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url) as connection:
            connection.execute(TABLE)
            connection.execute(INSERT, ROW)
            connection.execute(sql, values)  # type: ignore[call-overload]

    yield by_engine if request.param == "engine" else by_driver
    engine.dispose()


def assert_nobody_in(text: str) -> None:
    for private in (PERSON, "1985-", "1850-", "DETAIL", "parameters: "):
        assert private not in text


class Kept(Transport):
    """Sentry's transport that sends nothing."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.sent: list[Any] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.sent += [item.payload.json for item in envelope.items]


@pytest.mark.parametrize("failure", FAILURES)
def test_an_error_is_told_by_type_state_and_first_line(fail: ByEngine, failure: str) -> None:
    begins, sql, values = FAILURES[failure]
    with pytest.raises((sa.exc.DBAPIError, psycopg.Error)) as caught:
        fail(sql, values)
    assert told(caught.value).startswith(begins)
    assert_nobody_in(told(caught.value))


@pytest.mark.parametrize("failure", FAILURES)
def test_what_the_engine_raises_says_nothing_of_rows_in_any_form(
    database: str, failure: str
) -> None:
    """Whoever catches it may write it down as it is: Celery does."""
    _, sql, values = FAILURES[failure]
    engine = connect(database, size=2, name="test")
    with engine.connect() as connection:
        connection.exec_driver_sql(TABLE)
        connection.exec_driver_sql(INSERT, ROW)
        with pytest.raises(sa.exc.DBAPIError) as caught:
            connection.exec_driver_sql(sql, values)
    for each in (caught.value, caught.value.orig):
        assert_nobody_in(f"{each} {each!r}")
    engine.dispose()


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_traceback_in_a_log_has_a_row(
    fail: ByEngine, log_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours and the standard library's, also where the error came of another one's handling."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    telemetry.configure(log_format)
    telemetry.standard_library()
    for begins, sql, values in FAILURES.values():
        try:
            try:
                fail(sql, values)
            except Exception as error:
                raise RuntimeError("while it was handled") from error
        except RuntimeError as error:
            telemetry.log(store="shop").exception("bug")
            logging.getLogger("celery.app.trace").exception("raised %r", error.__cause__)
        text = out.getvalue()
        assert begins.split(": ", 1)[1].rstrip("…") in text
    assert_nobody_in(out.getvalue())
    assert out.getvalue().count("RuntimeError: while it was handled") == 2 * len(FAILURES)


def test_no_report_has_a_row(fail: ByEngine) -> None:
    kept = Kept()
    sentry.report_to("https://public@sentry.example.com/1", transport=kept)
    for _, sql, values in FAILURES.values():
        try:
            fail(sql, values)
        except Exception as error:
            sentry_sdk.capture_exception(error)
    events = [event for event in kept.sent if "exception" in event]
    assert len(events) == len(FAILURES)
    text = json.dumps([event["exception"] for event in events], default=repr, ensure_ascii=False)
    assert "duplicate key value violates" in text
    assert_nobody_in(text)


def test_no_span_has_a_row(fail: ByEngine) -> None:
    export = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter = export.InMemorySpanExporter()
    traces.trace_to("http://127.0.0.1:1", exporter=exporter)
    for _, sql, values in FAILURES.values():
        with suppress(sa.exc.DBAPIError, psycopg.Error), telemetry.span("slice"):
            fail(sql, values)
    spans = exporter.get_finished_spans()
    assert len(spans) == len(FAILURES)
    assert_nobody_in(" ".join(span.to_json() for span in spans))


def test_an_error_of_our_own_is_told_by_its_first_line() -> None:
    assert told(ValueError("no such thing\nas this")) == "ValueError: no such thing"
    assert told(KeyError("site")) == "KeyError: 'site'"
    assert told(RuntimeError()) == "RuntimeError: "
