"""A store gets another key from its page: checked, sealed, noted, and told to nobody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from sync.sandbox import Sandbox, running
from sync.telemetry import scrubbed
from tests.integration.many_stores import REFUSED, add_stores
from tests.integration.web.conftest import Serve, Served
from tests.integration.web.test_site import csrf_in

KEY, FOREIGN = "k" * 31 + "7", "o" * 31 + "7"


@pytest.fixture
def url() -> Iterator[str]:
    sandbox = Sandbox(seed=3)
    sandbox.account("shop", orders=3, customers=3, key=KEY)
    sandbox.account("other", orders=3, customers=3, key=FOREIGN)
    with running(sandbox) as found:
        yield found


@pytest.fixture
def served(serve: Serve, url: str) -> Iterator[Served]:
    """A page over one store whose key is refused."""
    made = serve(rate_limit=500)
    [name] = add_stores(made.services.engine, 1)
    set_ = "UPDATE sync.store SET url = :url, error = :error, account = :account WHERE name = :name"
    account = "https://shopwtest.retailcrm.io"
    run(made, set_, url=url, error=REFUSED, account=account, name=name)
    yield made
    made.services.client.close()


def run(served: Served, sql: str, **binds: str) -> list[sa.Row[tuple[object, ...]]]:
    with served.services.engine.begin() as connection:
        done = connection.execute(sa.text(sql), binds)
        return list(done) if done.returns_rows else []


def give(served: Served, key: str) -> str:
    """Type a key on the page that asks; return the page that follows."""
    with served.client() as client:
        page = client.get("/stores/shop-00/sure?what=key").text
        assert "Three requests" in page
        assert 'type="password" name="key"' in page
        data = {"csrf": csrf_in(page), "sure": "yes", "key": key}
        answer = client.post("/stores/shop-00/key", data=data)
        assert answer.status_code == 303
        return client.get(answer.headers["location"]).text


def test_a_new_key_is_used_and_noted_and_shown_nowhere(
    served: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    page = give(served, f" {KEY} ")
    assert "shop-00 has another key" in page
    [store] = run(served, "SELECT error, key_fingerprint, s::text AS all FROM sync.store AS s")
    assert (store.error, store.key_fingerprint != "x") == (None, True)
    [act] = run(served, "SELECT who, source, what, detail, a::text AS all FROM sync.act AS a")
    assert (act.who, act.source, act.what) == ("operator", "page", "store set")
    assert act.detail.endswith(f"key x → {store.key_fingerprint}")
    told = [page, store.all, act.all, *capfd.readouterr()]
    assert [text for text in told if KEY in text] == []


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (FOREIGN, "is another account"),
        ("w" * 32, "refuses this API key"),
        ("", "There is no API key"),
    ],
)
def test_a_key_that_is_none_of_the_account_changes_nothing(
    served: Served, key: str, said: str
) -> None:
    page = give(served, key)
    assert said in page
    assert not key or key not in page
    [store] = run(served, "SELECT error, key_fingerprint FROM sync.store")
    assert tuple(store) == (REFUSED, "x")
    assert run(served, "SELECT FROM sync.act") == []


@pytest.mark.parametrize("typed", ["https://shop.retailcrm.ru", "shop-moscow", "with spaces"])
def test_what_can_be_no_key_is_refused_and_not_removed_from_pages(
    served: Served, typed: str
) -> None:
    assert "is not an API key" in give(served, typed)
    assert scrubbed(f"see {typed}.") == f"see {typed}."


def test_a_key_that_came_over_plain_http_from_elsewhere_is_refused(served: Served) -> None:
    host = {"Host": "mirror.example.com", "Origin": "http://mirror.example.com"}
    with served.client() as client:
        csrf = csrf_in(client.get("/stores/shop-00").text)
        data = {"csrf": csrf, "key": KEY}
        refused = client.post("/stores/shop-00/key", data=data, headers=host)
        assert (refused.status_code, "Make a new key" in refused.text) == (403, True)
        # The field is not shown there either; a proxy's https is known by what the browser says.
        for referer, status in (("", 403), ("http://a/", 403), ("https://a/", 200)):
            seen = {"Host": "mirror.example.com", "Referer": referer}
            asked = client.get("/stores/shop-00/sure?what=key", headers=seen)
            assert (asked.status_code, 'name="key"' in asked.text) == (status, status == 200)


def test_a_token_of_the_page_is_no_key(serve: Serve) -> None:
    token = "t0ken" * 6
    made = serve(web_scrape_token=SecretStr(token))
    add_stores(made.services.engine, 1)
    assert "is a token of this page" in give(made, token)


def test_whoever_may_only_look_gives_no_key(serve: Serve) -> None:
    looks = serve(web_read_token=SecretStr("a token to look with only"))
    add_stores(looks.services.engine, 1)
    with looks.client(logged_in=False) as client:
        client.post("/login", data={"token": "a token to look with only", "next": "/"})
        page = client.get("/stores/shop-00/sure?what=key").text
        assert 'name="key"' not in page
        data = {"csrf": csrf_in(page), "sure": "yes", "key": KEY}
        assert client.post("/stores/shop-00/key", data=data).status_code == 403


def test_a_page_whose_login_may_not_store_keys_tells_the_command(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served.client() as client:
        csrf = csrf_in(client.get("/stores/shop-00").text)
        assert "sure?what=key" in client.get("/").text
        monkeypatch.setattr("sync.state.stores.may_set_key", lambda _: False)
        assert "sure?what=key" not in client.get("/").text + client.get("/stores/shop-00").text
        asked = client.get("/stores/shop-00/sure?what=key")
        assert asked.status_code == 403
        assert "celery -A sync mirror store set shop-00" in asked.text
        data = {"csrf": csrf, "sure": "yes", "key": KEY}
        client.post("/stores/shop-00/key", data=data)
        assert "celery -A sync mirror store set shop-00" in client.get("/stores/shop-00").text
