"""What an operator sees and does, in a real Chromium. Pictures are left in build/screenshots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from tests.integration.pipeline.harness import Mirror
from tests.integration.web.conftest import PICTURES, TOKEN, Open, Serve, Served

pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning")]
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
Visit = Callable[..., Any]


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    """Opens a page in a fresh context, logged in; whatever a script complains of fails the test."""
    contexts, complaints = [], []

    def make(served: Served, *, login: bool = True, **options: Any) -> Any:
        options = {"viewport": {"width": 1280, "height": 900}} | options
        context = browser.new_context(base_url=served.url, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("dialog", lambda dialog: complaints.append(dialog.message) or dialog.dismiss())
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda line: complaints.append(line.text) if "Content Security" in line.text else None,
        )
        if login:
            page.goto("/login")
            page.get_by_label("Token").fill(TOKEN)
            page.get_by_role("button", name="Log in").click()
            page.wait_for_url(f"{served.url}/")
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []


def picture(page: Any, name: str) -> None:
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


def test_a_wrong_token_is_refused_and_the_right_one_leads_to_the_page_that_was_wanted(
    serve: Serve, open_mirror: Open, visit: Visit
) -> None:
    name = _name(open_mirror())
    page = visit(served := serve(), login=False)
    page.goto(f"/stores/{name}")
    assert page.url == f"{served.url}/login?next=/stores/{name}"
    page.get_by_label("Token").fill("something else")
    page.keyboard.press("Enter")
    assert page.get_by_role("alert").inner_text() == "That is not the token."
    picture(page, "login")
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{served.url}/stores/{name}")
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(f"{served.url}/login")
    page.goto("/crawls")
    assert "/login" in page.url


def test_a_backfill_is_started_and_followed_to_its_end(
    serve: Serve, open_settled: Open, visit: Visit
) -> None:
    """The crawl's page keeps itself fresh: nobody has to reload it."""
    mirror = open_settled()
    page = visit(serve())
    page.get_by_role("link", name=_name(mirror)).first.click()
    form = page.locator("form[action$='/backfill']")
    form.get_by_label("Resource").select_option("orders")
    form.get_by_role("button", name="Backfill").click()
    page.wait_for_url("**/crawls/*")
    assert page.get_by_role("status").inner_text() == "Backfill queued: orders."
    assert page.locator("#crawl-state").inner_text() == "pending"
    picture(page, "backfill-queued")
    mirror.finish(int(page.url.rpartition("/")[2]))
    page.locator("#crawl-state", has_text="done").wait_for()
    assert "45" in page.locator("dl.facts").inner_text()
    picture(page, "backfill-done")


def test_a_failing_store_says_what_to_do_and_its_button_does_it(
    serve: Serve, open_settled: Open, visit: Visit
) -> None:
    """Error texts come from accounts: they are shown as they are and never run."""
    mirror = open_settled()
    mirror.rows(
        "UPDATE sync.lane SET parked_at = now(), failing_since = now(), error = :error,"
        " attempts = 3 WHERE store_id = :store AND resource = 'orders' AND lane = 'walk'",
        error=f"the API said {HOSTILE}",
    )
    page = visit(serve())
    needs = page.locator("#needs")
    assert f"the API said {HOSTILE}" in needs.inner_text()
    assert "mirror retry" in needs.inner_text()
    picture(page, "failing")
    needs.get_by_role("button", name=f"Retry orders of {_name(mirror)}").click()
    assert page.get_by_role("status").inner_text() == "orders is tried again now."
    assert mirror.lane("orders").parked_at is None
    mirror.rows("UPDATE sync.store SET error = 'the account refuses the API key' WHERE id = :store")
    page.goto("/")
    assert "the whole store" in page.locator("#needs").inner_text()
    picture(page, "store-stopped")


def test_a_load_is_shown_with_its_progress(serve: Serve, open_mirror: Open, visit: Visit) -> None:
    mirror = open_mirror()
    mirror.rows(
        "UPDATE sync.crawl SET state = 'running', started_at = now() - interval '60 s',"
        " phase = 'walk', pages_planned = 40, pages_done = 10, rows_seen = 1000"
        " WHERE store_id = :store AND resource = 'orders'"
    )
    page = visit(serve())
    text = page.locator("#stores").inner_text()
    assert "10 of 40 pages, 3 min left" in text.replace("\u00a0", " ")
    picture(page, "loading")


def test_it_is_dark_where_the_machine_is(serve: Serve, open_mirror: Open, visit: Visit) -> None:
    mirror = open_mirror()
    served = serve()
    _use_budget(mirror)
    seen = {}
    for scheme in ("light", "dark"):
        page = visit(served, color_scheme=scheme)
        seen[scheme] = [
            page.evaluate(f"getComputedStyle(document.querySelector('{where}')).{what}")
            for where, what in (("body", "backgroundColor"), ("body", "color"))
        ]
        picture(page, f"overview-{scheme}")
    (paper, ink), (dark_paper, dark_ink) = (
        [_lightness(colour) for colour in seen[scheme]] for scheme in ("light", "dark")
    )
    assert paper > 0.9
    assert ink < 0.2
    assert dark_paper < 0.1
    assert dark_ink > 0.8


@pytest.mark.parametrize("width", [360, 320, 768])
def test_no_page_scrolls_sideways_on_a_phone(
    serve: Serve, open_mirror: Open, visit: Visit, width: int
) -> None:
    mirror = open_mirror()
    _use_budget(mirror)
    mirror.rows(
        "INSERT INTO sync.reject (store_id, resource, record, field, value, reason) VALUES"
        " (:store, 'orders', '1', 'total_summ', repeat('9', 900), repeat('unbroken', 60))"
    )
    mirror.rows(
        "UPDATE sync.store SET error = repeat('nospace', 80), url = 'https://' || repeat('a', 60)"
        " || '.retailcrm.ru' WHERE id = :store"
    )
    name = _name(mirror)
    page = visit(serve(), viewport={"width": width, "height": 780})
    for path in ("/", f"/stores/{name}", "/crawls", "/crawls/1", "/rejects", "/unknown", "/no"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        if width == 360:
            picture(page, f"phone{path.replace('/', '-')}")


def test_the_keyboard_reaches_everything_and_shows_where_it_is(
    serve: Serve, open_mirror: Open, visit: Visit
) -> None:
    page = visit(serve())
    page.goto(f"/stores/{_name(open_mirror())}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        at = page.evaluate(
            "(() => { const e = document.activeElement, s = getComputedStyle(e);"
            " return [e.tagName, e.name || e.textContent.trim(), s.outlineStyle]; })()"
        )
        assert at[0] == "BODY" or at[2] != "none", at
        reached.add(at[1])
    assert {"Disable", "Backfill", "Reconcile", "since", "until", "deep"} <= reached
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input:not([type=hidden]), select, progress')]"
        ".filter(e => !e.labels?.length && !e.ariaLabel).length"
    )
    assert unnamed == 0


def test_without_javascript_it_is_read_and_asked_all_the_same(
    serve: Serve, open_settled: Open, visit: Visit
) -> None:
    mirror = open_settled()
    page = visit(serve(), java_script_enabled=False)
    page.goto(f"/stores/{_name(mirror)}")
    page.locator("form[action$='/reconcile']").get_by_role("button").click()
    assert page.get_by_role("status").inner_text().startswith("Reconcile queued: all")
    assert {row.kind for row in mirror.open_crawls()} == {"reconcile"}


def test_where_there_is_no_store_it_tells_the_command(
    serve: Serve, database: str, visit: Visit
) -> None:
    page = visit(serve())
    assert "celery -A sync mirror store add NAME https://" in page.inner_text("main")
    picture(page, "empty")


def test_an_open_page_is_refreshed_again_after_an_error(serve: Serve, visit: Visit) -> None:
    """An error's page tells nothing of this one: said as such, and asked again."""
    page = visit(served := serve())
    page.clock.install()
    page.goto("/")
    error = "<!doctype html><body><main id=main><h1>Cannot find out</h1></main>"
    page.route(
        f"{served.url}/",
        lambda route: route.fulfill(status=503, content_type="text/html", body=error),
    )
    page.clock.run_for(11_000)
    page.wait_for_selector("#freshness.trouble")
    page.unroute(f"{served.url}/")
    page.clock.run_for(61_000)
    page.wait_for_selector("#freshness:not(.trouble)")


def test_a_session_that_ends_is_told_on_top_of_the_open_page(
    serve: Serve, open_mirror: Open, visit: Visit
) -> None:
    """Nothing shown is of now any more, and no button works."""
    name = _name(open_mirror())
    page = visit(serve())
    page.clock.install()
    page.goto(f"/stores/{name}")
    page.context.clear_cookies()
    page.clock.run_for(11_000)
    told = page.locator("main > :first-child")
    told.get_by_text("Your session has ended").wait_for()
    assert told.get_attribute("role") == "alert"
    told.get_by_role("link", name="Log in again").click()
    page.wait_for_url(f"**/login?next=*{name}")


def test_a_page_that_found_no_postgres_shows_everything_once_it_is_back(
    serve: Serve, open_mirror: Open, visit: Visit
) -> None:
    open_mirror()
    page = visit(served := serve())
    with serve(database_url="postgresql+psycopg://u:p@127.0.0.1:1/d").client() as client:
        away = client.get("/").text
    page.clock.install()
    page.route(
        f"{served.url}/",
        lambda route: route.fulfill(status=503, content_type="text/html", body=away),
    )
    page.goto("/")
    assert "Postgres does not answer" in page.inner_text("main")
    page.unroute(f"{served.url}/")
    page.clock.run_for(11_000)
    page.wait_for_selector("#stores")
    assert "Nothing can be shown" not in page.inner_text("main")


def test_without_a_token_it_is_read_only(serve: Serve, open_mirror: Open, visit: Visit) -> None:
    name = _name(open_mirror())
    page = visit(serve(token=None), login=False)
    for path in ("/", f"/stores/{name}", "/crawls"):
        page.goto(path)
        assert page.get_by_text("Read only").is_visible()
        assert page.locator("form[method=post]").count() == 0


def _name(mirror: Mirror) -> str:
    name: str = mirror.value("SELECT name FROM sync.store WHERE id = :store")
    return name


def _use_budget(mirror: Mirror) -> None:
    """An hour of requests, as a worker samples them."""
    with mirror.engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO sync.budget_use SELECT 'default', 'default', :store,"
                " now() - make_interval(mins => 61 - m), m * m * 9, m * 120000, m / 20"
                " FROM generate_series(0, 60) AS m"
            ),
            {"store": mirror.store_id},
        )


def _lightness(colour: str) -> float:
    red, green, blue = (
        int(part) / 255 for part in colour.removeprefix("rgb(").rstrip(")").split(",")
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
