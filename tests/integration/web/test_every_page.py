"""Every page in every state as people see it: wide, on a phone, dark, without JavaScript.

axe-core (a checker of accessibility) finds nothing, and nothing has to be scrolled sideways.
Pictures are left in build/screenshots.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from sync.state import acts
from sync.work.estimates import Estimate, Plan
from tests.integration.many_stores import REFUSED, add_stores, at_work, bring_trouble, silent
from tests.integration.pipeline.harness import Mirror
from tests.integration.web.conftest import PICTURES, TOKEN, Open, Serve, Served
from tests.integration.web.test_site import name_of

pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning")]
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
CONTRAST = {"runOnly": ["color-contrast"]}
LOOKS: list[tuple[dict[str, int], str, dict[str, Any]]] = [
    (WIDE, "light", {}),
    (WIDE, "dark", CONTRAST),
    (PHONE, "dark", CONTRAST),
    (PHONE, "light", {}),
]
"""Size, colours, and what axe looks for: all of it at each size, the contrast in dark too."""


PLAN = Plan(
    [
        Estimate("orders", 1_000_000, 10_300, "newest first"),
        Estimate("costs", 0, 0, "cannot be read: the API key may not read /api/v5/costs"),
    ],
    per_second=4.9,
    others=1,
)


class Eye:
    """Looks at pages in one browser context, which it keeps; what it complains of is collected."""

    def __init__(self, browser: Any, axe: Any) -> None:
        self._axe = axe
        self._contexts = [
            browser.new_context(viewport=WIDE, java_script_enabled=scripts)
            for scripts in (True, False)
        ]
        self.page, self._plain = (context.new_page() for context in self._contexts)
        self.complaints: list[str] = []

    def log_in(self, served: Served) -> None:
        for page in (self.page, self._plain):
            page.goto(f"{served.url}/login")
            page.get_by_label("Token").fill(TOKEN)
            page.get_by_role("button", name="Log in").click()
            page.wait_for_url(f"{served.url}/")

    def look(self, served: Served, state: str, *paths: str, status: int = 200) -> str:
        """Look at some pages; return the verdict that the last one begins with, if it has one."""
        for path in paths:
            answer = self.page.goto(served.url + path)
            assert answer.status == status, path
            name = re.sub(r"\W+", "-", state + path).rstrip("-")
            self.look_here(name)
            self._plain.goto(served.url + path)
            with_scripts = self.page.locator("main h1, main h2").all_inner_texts()
            if self._plain.locator("main h1, main h2").all_inner_texts() != with_scripts:
                self.complaints.append(f"{name}: without JavaScript something is missing")
        return self.verdict()

    def look_here(self, name: str) -> None:
        """Look at the page that is open, in each size and in both colours."""
        for size, scheme, rules in LOOKS:
            self.page.set_viewport_size(size)
            self.page.emulate_media(color_scheme=scheme)
            self._judge(f"{name}-{size['width']}-{scheme}", size["width"], rules)

    def verdict(self, served: Served | None = None) -> str:
        """Return the first line of the overview, or of the page that is open."""
        if served is not None:
            self.page.goto(served.url)
        return " ".join(self.page.locator(".verdict").all_inner_texts())

    def _judge(self, look: str, width: int, rules: dict[str, Any]) -> None:
        self.page.screenshot(path=PICTURES / f"{look}.png", full_page=True)
        if (wide := self.page.evaluate("document.documentElement.scrollWidth")) > width:
            self.complaints.append(f"{look}: {wide} px wide")
        for found in self._axe.run(self.page, options=rules).response["violations"]:
            for node in found["nodes"][:3]:
                self.complaints.append(
                    f"{look}: {found['id']}: {node['html'][:150]} {node['failureSummary'][:200]}"
                )

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture
def eye(browser: Any) -> Iterator[Eye]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core here")
    made = Eye(browser, axe.Axe())
    yield made
    made.close()
    assert made.complaints == []


def test_a_store_in_every_state(
    serve: Serve, open_settled: Open, eye: Eye, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.work.outlook._secret_key", lambda _: "")
    monkeypatch.setattr("sync.work.surroundings.dangers", lambda *_: [])  # the test's clocks differ
    mirror = open_settled()
    mirror.rows("UPDATE sync.store SET title = 'Магазин на Невском'")
    name, order = name_of(mirror), min(mirror.truth("orders"))
    _work_for_long(mirror.engine)
    _make_a_week(mirror)
    crawl = mirror.queue("orders", "backfill")
    store, served = f"/stores/{name}", serve()
    eye.look(served, "stranger", "/login")
    eye.log_in(served)
    pages = (
        f"{store}/records/orders/{order}", f"{store}/records/orders/99999",
        f"/crawls/{crawl}", "/rejects", "/unknown", "/acts",
        f"{store}/sure?what=backfill", f"{store}/sure?what=key",
    )  # fmt: skip
    assert eye.look(served, "well", "/").startswith("All is well")
    eye.look(served, "well", *pages, store)
    monkeypatch.setattr("sync.web.actions.plan", lambda *_, **__: PLAN)
    eye.page.get_by_role("button", name="Plan").click()
    eye.page.get_by_text(PLAN.words).wait_for()
    eye.look_here("well-plan")
    eye.look(served, "well", "/nowhere", status=404)
    mirror.rows(
        "UPDATE sync.lane SET parked_at = now(), failing_since = now(), error = 'no list'"
        " WHERE resource IN ('orders', 'customers') AND lane = 'walk'"
    )
    eye.look(served, "parked", store, "/crawls")
    mirror.rows("UPDATE sync.store SET error = :error", error=REFUSED)
    eye.look(served, "refused", "/", store)
    mirror.rows("UPDATE sync.store SET error = NULL, enabled = false")
    eye.look(served, "disabled", "/")


def test_thirty_stores_and_what_is_away(
    serve: Serve, database: str, eye: Eye, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.work.outlook._secret_key", lambda _: "")
    served = serve()
    eye.log_in(served)
    assert "No store" in eye.look(served, "empty", "/crawls", "/acts", "/")
    engine = served.services.engine
    names = add_stores(engine)
    bring_trouble(engine, refused=names[17], parked=names[23])
    _work_for_long(engine)
    eye.look(served, "thirty", "/", f"/stores/{names[17]}", "/?q=nobody")
    silent(engine, queues="beat", seconds=28)
    assert eye.verdict(served).startswith("Beat has sent nothing")
    silent(engine, queues="feeds|crawls|beat", seconds=28)
    assert eye.verdict(served).startswith("No worker has taken work")
    # One browser, one token: the session is good at both.
    away = serve(redis_url="redis://127.0.0.1:9/0")
    assert "Redis does not answer" in eye.look(away, "no-redis", "/")
    away = serve(database_url="postgresql+psycopg://u:p@127.0.0.1:1/d")
    assert "Postgres does not answer" in eye.look(away, "no-postgres", "/", status=503)


def _work_for_long(engine: sa.Engine) -> None:
    """Have everything run, however long the looks take."""
    at_work(engine)
    silent(engine, queues="feeds|crawls|beat", seconds=-86_400)


def _make_a_week(mirror: Mirror) -> None:
    """A week of samples and an hour of requests, rejects, an unknown field, and acts."""
    for sql in (
        "INSERT INTO sync.budget_use SELECT 'default', 'default', :store,"
        " now() - make_interval(mins => 61 - m), m * m * 9, m * 120000, m / 20"
        " FROM generate_series(0, 60) AS m",
        "INSERT INTO sync.reject (store_id, resource, record, field, value, reason) VALUES"
        " (:store, 'orders', '1', 'total_summ', repeat('9', 900), repeat('unbroken', 60)),"
        " (:store, 'orders', 'record:1', '', '{\"a\": 1}', 'the record has no id')",
        "INSERT INTO sync.sample (store_id, at, lag_seconds, rows_written, granted, waited_ms,"
        " refused) SELECT :store, now() - make_interval(hours => 168 - h), h % 9, h * 50, h * 90,"
        " h * 900, h / 60 FROM generate_series(0, 167) AS h",
        "INSERT INTO sync.unknown_field (store_id, resource, path, example) VALUES"
        " (:store, 'orders', 'shiny.new', '\"x\"')",
    ):
        mirror.rows(sql)
    with mirror.engine.begin() as connection:
        acts.note(connection, "backfill", store=name_of(mirror), detail="resource orders")
