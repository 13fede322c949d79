"""A plan made on the page: the account is asked what a backfill costs, and nothing is queued."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from sync import vault
from sync.sandbox import Sandbox, running
from sync.state import stores
from sync.work import estimates
from tests.integration.many_stores import add_stores
from tests.integration.web.conftest import Serve, Served
from tests.integration.web.test_site import csrf_in

KEY = "k" * 31 + "7"
LOOKS = "a token to look with only"
CHOSEN = {"resource": ["orders", "statuses"], "since": "2020-01-01"}


@pytest.fixture
def served(serve: Serve) -> Iterator[Served]:
    """A page over a store of 230 orders."""
    sandbox = Sandbox(seed=3)
    sandbox.account("shop", orders=230, customers=3, key=KEY)
    made = serve(rate_limit=500, web_read_token=SecretStr(LOOKS))
    add_stores(made.services.engine, 1)
    [(store,)] = run(made, "SELECT id FROM sync.store")
    sealed = vault.seal(KEY, key=vault.key_of(made.services.settings), store_id=store)
    with running(sandbox) as url:
        run(made, "UPDATE sync.store SET url = :url, api_key = :key", url=url, key=sealed)
        yield made
    made.services.client.close()


def run(served: Served, sql: str, **binds: Any) -> list[Any]:
    with served.services.engine.begin() as connection:
        done = connection.execute(sa.text(sql), binds)
        return list(done) if done.returns_rows else []


def asked(served: Served, **fields: Any) -> str:
    """Ask for a plan; return the page that comes, be it by a redirect."""
    with served.client() as client:
        form = {"csrf": csrf_in(client.get("/").text), **fields}
        answer = client.post("/stores/shop-00/plan", data=form)
        if answer.status_code == 303:
            answer = client.get(answer.headers["location"])
        assert answer.status_code == 200
        return answer.text


def test_it_tells_what_the_command_tells_and_leads_to_the_backfill(served: Served) -> None:
    page = asked(served, **CHOSEN)
    with served.services.engine.connect() as connection:
        known = stores.by_name(connection, "shop-00")
    days = (dt.date(2020, 1, 1), None)
    made = estimates.plan(served.services, known, CHOSEN["resource"], days=days)
    rows = re.findall(
        r'<th scope="row" data-label="Resource">(\w+)</th><td class="num" data-label="Records">'
        r'([\d,]+)</td><td class="num" data-label="Requests">([\d,]+)</td>',
        page,
    )
    assert rows == [(e.resource, f"{e.records:,}", f"{e.requests:,}") for e in made.lines]
    assert ("orders", "230") in [row[:2] for row in rows]
    assert made.words in page
    assert made.words.startswith(f"{sum(line.requests for line in made.lines)} requests, about ")
    assert run(served, "SELECT FROM sync.crawl") == []
    with served.client() as client:
        kept = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page)
        form = {name: [v for n, v in kept if n == name] for name, _ in kept}
        form["csrf"] = [csrf_in(client.get("/").text)]
        client.post("/stores/shop-00/backfill", data=form)
    queued = run(served, "SELECT resource, kind, since::text FROM sync.crawl ORDER BY resource")
    assert queued == [("orders", "backfill", "2020-01-01"), ("statuses", "backfill", None)]


def test_it_is_offered_with_its_cost_and_noted(served: Served) -> None:
    with served.client() as client:
        page = client.get("/stores/shop-00").text
        assert 'formaction="/stores/shop-00/plan"' in page
        assert "a request for each list" in page
        sure = client.get("/stores/shop-00/sure?what=backfill").text
        assert 'formaction="/stores/shop-00/plan"' in sure
        assert client.get("/stores/shop-00/plan").status_code == 405, "a look asks nothing"
    asked(served, **CHOSEN)
    [act] = run(served, "SELECT who, source, address, store, what, detail FROM sync.act")
    assert tuple(act) == (
        "operator", "page", "127.0.0.1", "shop-00", "plan",
        "resource orders, resource statuses, since 2020-01-01",
    )  # fmt: skip


def test_whoever_may_only_look_makes_none(served: Served) -> None:
    with served.client(logged_in=False) as client:
        client.post("/login", data={"token": LOOKS, "next": "/"})
        page = client.get("/stores/shop-00").text
        assert "/plan" not in page
        answer = client.post("/stores/shop-00/plan", data={"csrf": csrf_in(page), **CHOSEN})
        assert answer.status_code == 403
    assert run(served, "SELECT FROM sync.act") == []


def test_a_page_whose_login_may_read_no_key_tells_the_command(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.state.stores.may_use_key", lambda _: False)
    with served.client() as client:
        page = client.get("/stores/shop-00").text
        assert "formaction" not in page + client.get("/stores/shop-00/sure?what=backfill").text
        assert "celery -A sync mirror plan shop-00" in page
    assert "run: celery -A sync mirror plan shop-00" in asked(served, **CHOSEN)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"resource": "ordrs"}, "Did you mean &#39;orders&#39;?"),
        ({"since": "2024-02-01", "until": "2024-01-01"}, "is before the first"),
        ({"since": "2099-01-01"}, "is in the future"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(
    served: Served, fields: dict[str, str], said: str
) -> None:
    assert said in asked(served, **fields)
    assert run(served, "SELECT FROM sync.act") == []


def test_an_account_that_takes_too_long_is_told_with_the_command(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page has a minute; the plan's thread ends with the request that is under way."""
    stops: list[Any] = []

    def endless(*_: Any, stop: Any, **__: Any) -> None:
        stops.append(stop)
        assert stop.wait(30)
        raise AssertionError("nobody takes this")

    monkeypatch.setattr("sync.web.actions.plan", endless)
    monkeypatch.setattr("sync.web.actions.PLAN_SECONDS", 0.2)
    assert "run: celery -A sync mirror plan shop-00" in asked(served, **CHOSEN)
    assert stops[0].is_set()
