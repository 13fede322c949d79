"""A load at debug level, against an account that quotes the key in every answer it can."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import structlog
from click.testing import CliRunner

from sync import settings, telemetry, vault
from sync.commands.rotate import rotate_key
from sync.telemetry.secrets import SHOWN
from sync.work import services as services_module
from tests.integration.pipeline.harness import Mirror
from tests.integration.web.conftest import Open, Serve
from tests.integration.web.test_site import csrf_in, name_of


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """Everything that is logged, at debug, as JSON."""
    out = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(sys, "stderr", out)
    telemetry.configure("json", level=logging.DEBUG)
    telemetry.standard_library(level=logging.DEBUG)
    yield out.getvalue
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_load_at_debug_tells_every_page_and_never_the_key(
    open_mirror: Open, lines: Callable[[], str]
) -> None:
    mirror = open_mirror()
    mirror.settle()
    text = lines()
    assert mirror.account.key not in text
    events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    pages = [e for e in events if e["event"] == "page" and e.get("resource") == "orders"]
    assert {e["page"] for e in pages} >= {1, 2, 3}
    assert {"store", "lane", "window", "rows", "waited_seconds", "elapsed_seconds"} <= set(pages[0])
    commits = [e for e in events if e["event"] == "commit"]
    slices = [e for e in events if e["event"] == "slice"]
    written = mirror.value("SELECT sum(rows_written) FROM sync.coverage WHERE store_id = :store")
    assert sum(e["changed"] for e in commits) == sum(e["changed"] for e in slices) == written
    assert {"requests", "rows", "waited_seconds", "elapsed_seconds"} <= set(slices[0])


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("status", [200, 400, 403, 404, 500, 503])
def test_an_account_that_quotes_the_key_gets_it_nowhere(
    open_mirror: Open, lines: Callable[[], str], status: int, escaped: bool
) -> None:
    """Not into a log, a lane's error, the store's error, or an answer that is kept."""
    mirror = open_mirror()
    key = mirror.account.key
    quoted = "".join(f"\\u{ord(c):04x}" for c in key) if escaped else key

    def quote(_: httpx.Request) -> httpx.Response:
        body = f'{{"success": false, "errorMsg": "you sent {quoted}", "errors": ["{quoted}"]}}'
        return httpx.Response(
            status, content=body, headers={"X-Echo": key, "Content-Type": "application/json"}
        )

    mirror.wire.answers = quote
    for resource, lane in (("orders", "walk"), ("order_history", "feed")):
        mirror.work(resource, lane)
    text = lines()
    assert "failed" in text
    assert key not in text
    assert key not in _all_that_is_kept(mirror)


def test_a_token_typed_where_it_does_not_belong_is_neither_shown_nor_kept(
    open_mirror: Open, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pasted into an address, a field, a search: the refusal quotes what was typed, without it.

    The page knows its own secrets by its settings; the API keys of stores it has not been told.
    """
    mirror = open_mirror()
    key, name = "t0kenThatIsTypedInTheWrongPlace", name_of(mirror)
    monkeypatch.setenv("SYNC_WEB_TOKEN", key)
    settings.settings()
    with serve().client() as client:
        csrf = csrf_in(client.get("/").text)
        shown = [
            client.get(path).text
            for path in (
                f"/stores/{key}", f"/stores/{name}/why?resource=orders&key={key}", f"/?q={key}",
                f"/crawls?store={key}", f"/rejects?resource={key}", f"/login?next=/{key}",
                f"/stores/{name}/sure?what=backfill&since={key}&resource={key}",
            )
        ]  # fmt: skip
        for what, field in (("backfill", "since"), ("reset", "resource"), ("retry", "note")):
            client.post(f"/stores/{name}/{what}", data={"csrf": csrf, field: key})
            shown += [client.get("/").text, client.get("/acts").text]
    assert key not in "".join(shown)
    assert shown[0].count(SHOWN) == 1, "what was typed is quoted, but for the key"
    assert key not in str(mirror.rows("SELECT * FROM sync.act"))


def _all_that_is_kept(mirror: Mirror) -> str:
    found = []
    for table in ("lane", "store", "coverage", "crawl", "drift", "proof"):
        found += mirror.rows(f"SELECT t::text FROM sync.{table} AS t")
    found += mirror.rows("SELECT reason || encode(body, 'escape') FROM sync.parked_page")
    return "\n".join(str(row[0]) for row in found)


def test_rotating_the_secret_key_seals_every_stores_key_anew(
    database: str,
    redis_url: str,
    open_mirror: Open,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of them or none; running it twice changes nothing; a wrong old key is named."""
    mirror = open_mirror()
    old = vault.key_of(mirror.services.settings)
    new = base64.urlsafe_b64encode(os.urandom(32)).decode()
    for name, value in {
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "SECRET_KEY": new,
    }.items():
        monkeypatch.setenv(f"SYNC_{name}", value)
    settings.forget()
    services_module._made.clear()
    right, wrong = tmp_path / "old", tmp_path / "wrong"
    right.write_text(old.text().get_secret_value())
    wrong.write_text(vault.Key.generate().text().get_secret_value())

    def run(*files: Path) -> str:
        arguments = [part for file in files for part in ("--old-key-file", str(file))]
        done = CliRunner().invoke(rotate_key, arguments)
        return done.output if done.exception is None else str(done.exception)

    def sealed() -> bytes:
        return bytes(mirror.value("SELECT api_key FROM sync.store WHERE id = :store"))

    before = sealed()
    assert "Nothing was changed" in run(wrong)
    assert sealed() == before
    assert "1 store's key is sealed anew" in run(wrong, right)
    plain = vault.unseal(sealed(), key=vault.Key.parse(new), store_id=mirror.store_id)
    assert plain.get_secret_value() == mirror.account.key
    after = sealed()
    assert "Nothing to seal anew" in run(right)
    assert sealed() == after
    services_module.services().engine.dispose()
    services_module._made.clear()
