"""Keys leave this process in one header and in nothing else: no log line, report or trace."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
import structlog
from sentry_sdk.transport import Transport

from sync import telemetry
from sync.crm import Account
from sync.telemetry import sentry, traces
from sync.telemetry.secrets import scrubbed

KEY = "k3y0fTheAccount0123456789abcdef"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Logging, reports and traces are process-wide: leave them as they were."""
    Account("https://shop.retailcrm.ru", KEY)  # having it in hand is enough
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    structlog.reset_defaults()
    traces.trace_nothing()
    sentry_sdk.get_global_scope().set_client(None)


def fail(text: str) -> None:
    raise ValueError(text)


def test_a_key_is_taken_out_wherever_it_stands() -> None:
    found = scrubbed({"a": [f"x{KEY}y", (KEY.encode(), 1)], KEY: None, "n": 5})
    assert found == {"a": ["x[key]y", (b"[key]", 1)], "[key]": None, "n": 5}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("нет доступа", "нет доступа"),
        ("a\x1b[2Jb\x00c\r\nd\te\x9bf", "a [2Jb c  d e f"),
        ("right\u202eto left\u200b", "right to left"),
        ("lone \ud800 half", "lone   half"),
        (f"key {KEY}, key", "key [key], key"),
        (["a", 1], "['a', 1]"),
        ("x" * 5_000, "x" * 2_000),
        (" \n ", ""),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_an_account_says_is_one_printable_line(said: object, shown: str) -> None:
    """A terminal obeys control characters, Postgres refuses NUL and lone surrogates."""
    assert telemetry.plain(said) == shown
    assert telemetry.plain(said).encode().isascii() or "н" in shown


def test_short_words_are_never_taken_for_keys() -> None:
    telemetry.keep_secret("orders"[:5])
    assert scrubbed("order 5 of orders") == "order 5 of orders"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_line_has_the_key_nor_its_tracebacks(
    log_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    telemetry.configure(log_format, level=logging.DEBUG)
    telemetry.standard_library()
    say = telemetry.log(store="shop", reason=f"it said {KEY}")
    say.debug("page", window={"sinceId": KEY}, page=1)
    try:
        fail(f"header X-API-KEY: {KEY}")
    except ValueError:
        say.exception("bug")
        logging.getLogger("httpcore.http11").exception("request headers %r", [(b"X", KEY.encode())])
    text = out.getvalue()
    assert KEY not in text
    assert text.count("[key]") >= 5
    if log_format == "json":
        line = json.loads(text.splitlines()[0])
        assert (line["event"], line["level"], line["store"]) == ("page", "debug", "shop")


@pytest.mark.parametrize(
    ("asked", "ours"), [("WARNING", 20), ("DEBUG", 10), (10, 10), ("info", 20), (30, 20)]
)
def test_slices_are_told_whatever_celery_asks_for(asked: str | int, ours: int) -> None:
    """Celery asks for warnings by default; a line for each slice is wanted all the same."""
    assert telemetry.level_of(asked) == ours


class Kept(Transport):
    """Sentry's transport that sends nothing."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.sent: list[Any] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.sent += [item.payload.json for item in envelope.items]


def test_no_report_has_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the message, the breadcrumbs, the extras, nor in the variables of a frame."""
    kept = Kept()
    sentry.report_to("https://public@sentry.example.com/1", transport=kept)
    header = {"X-API-KEY": KEY}
    sentry_sdk.add_breadcrumb(message=f"asked with {KEY}", data=header)
    sentry_sdk.set_extra("header", header)
    try:
        fail(f"the account said {KEY}")
    except ValueError:
        sentry_sdk.capture_exception()
    [event] = kept.sent
    text = json.dumps(event, default=repr)
    assert KEY not in text
    assert "the account said [key]" in text
    frames = event["exception"]["values"][0]["stacktrace"]["frames"]
    assert all("vars" not in frame for frame in frames)


def test_spans_tell_what_was_done_and_not_the_key() -> None:
    export = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter = export.InMemorySpanExporter()
    traces.trace_to("http://127.0.0.1:1", exporter=exporter)
    with (
        pytest.raises(ValueError, match="said"),
        telemetry.span("slice", store="shop", lane="walk"),
        telemetry.span("request", method=f"/api/v5/orders?{KEY}", page=None),
    ):
        raise ValueError(f"it said {KEY}")
    inner, outer = exporter.get_finished_spans()
    assert (inner.name, outer.name) == ("request", "slice")
    assert inner.parent.span_id == outer.context.span_id
    assert dict(outer.attributes) == {"store": "shop", "lane": "walk"}
    assert dict(inner.attributes) == {"method": "/api/v5/orders?[key]"}
    assert inner.status.description == "ValueError: it said [key]"
    assert KEY not in inner.to_json()
    assert KEY not in outer.to_json()


def test_without_an_endpoint_a_span_is_nothing() -> None:
    with telemetry.span("slice", store="shop"):
        pass
