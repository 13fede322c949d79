"""Tokens of three kinds, and locks that slow whoever guesses and nobody else."""

from __future__ import annotations

import re

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sync.metrics.scraping import scrape
from sync.web.actions import ACTIONS
from sync.web.security import TRIES, TRIES_OF_ALL
from tests.integration.pipeline.harness import Mirror
from tests.integration.web.conftest import TOKEN, Open, Serve, Served, serving
from tests.integration.web.test_site import PAGES, csrf_in, name_of

READ, SCRAPE = "a token that only reads", "a token that only scrapes"
THREE = {"web_read_token": READ, "web_scrape_token": SCRAPE}


def log_in(client: httpx.Client, token: str, **headers: str) -> int:
    answer = client.post("/login", data={"token": token, "next": "/"}, headers=headers)
    return answer.status_code


def stranger(served: Served, **options: str) -> httpx.Client:
    return httpx.Client(base_url=served.url, trust_env=False, timeout=15, headers=options)


@pytest.fixture
def named(open_mirror: Open) -> Mirror:
    return open_mirror()


def test_a_reader_sees_every_page_and_pushes_no_button(serve: Serve, named: Mirror) -> None:
    """Also by a form made by hand: the role is the session's, not the page's."""
    name = name_of(named)
    with serve(**THREE).client(logged_in=False) as client:
        assert log_in(client, READ) == 303
        for path in (*PAGES, f"/stores/{name}"):
            text = client.get(path).text
            assert re.findall(r'<form method="post" action="(?!/logout)', text) == [], path
        csrf = csrf_in(client.get("/").text)
        for what in ACTIONS:
            answer = client.post(f"/stores/{name}/{what}", data={"csrf": csrf})
            assert (answer.status_code, "Read only" in answer.text) == (403, True), what
        assert named.value("SELECT enabled FROM sync.store WHERE id = :store") is True
        assert client.post("/logout", data={"csrf": csrf}).status_code == 303
        assert client.get("/").status_code == 303


def test_each_token_opens_its_own_door_and_no_other(serve_bare: Serve) -> None:
    served = serve_bare(**THREE)
    for token, pages, metrics in ((TOKEN, 303, 401), (READ, 303, 401), (SCRAPE, 401, 200)):
        with stranger(served) as client:
            assert log_in(client, token) == pages
            bearer = {"Authorization": f"Bearer {token}"}
            assert client.get("/metrics", headers=bearer).status_code == metrics
            assert client.get("/metrics").status_code == 401, "a session scrapes nothing"


def test_a_token_to_scrape_alone_opens_no_page_to_others(serve_bare: Serve) -> None:
    served = serve_bare(token=None, web_scrape_token=SCRAPE)
    with stranger(served) as client:
        assert client.get("/metrics").status_code == 401
        bearer = {"Authorization": f"Bearer {SCRAPE}"}
        assert client.get("/metrics", headers=bearer).status_code == 200
        assert client.get("/", headers={"Host": "evil.example.com"}).status_code == 403
        assert log_in(client, SCRAPE) == 404


def test_nobody_locks_the_log_in_for_others_whatever_he_says_he_is(serve_bare: Serve) -> None:
    """Sixty guesses, each said to come from elsewhere: an operator waits for a second."""
    with stranger(serve_bare(web_proxies=("127.0.0.0/8",))) as client:
        for number in range(TRIES_OF_ALL):
            said = {"X-Forwarded-For": f"203.0.113.{number}"}
            assert log_in(client, "guess", **said) == 401
        assert log_in(client, TOKEN, **{"X-Forwarded-For": "198.51.100.7"}) == 303


def test_an_address_that_nobody_vouches_for_is_not_believed(serve_bare: Serve) -> None:
    """By a connection that is no proxy's, each guess counts for the connection's own address."""
    with stranger(serve_bare(web_proxies=("192.0.2.1",))) as client:
        found = [
            log_in(client, "guess", **{"X-Forwarded-For": f"203.0.113.{number}"})
            for number in range(TRIES + 2)
        ]
    assert found == [401] * TRIES + [429] * 2


def test_a_guesser_does_not_lock_the_operator_of_the_same_address(serve_bare: Serve) -> None:
    """A browser that an operator has used is counted for itself."""
    served = serve_bare(**THREE)
    with stranger(served) as mine, stranger(served) as guesser:
        assert log_in(mine, TOKEN) == 303
        del mine.cookies["mirror_session"]  # it is over
        found = [log_in(guesser, "guess") for _ in range(TRIES + 1)]
        assert found == [401] * TRIES + [429]
        assert log_in(guesser, TOKEN) == 429
        assert log_in(mine, TOKEN) == 303


def test_a_reader_is_no_operators_browser(serve_bare: Serve) -> None:
    """Else every log-in to read would give five guesses more at the other token."""
    with stranger(serve_bare(**THREE)) as client:
        for _ in range(TRIES):
            assert log_in(client, READ) == 303
            assert set(client.cookies) == {"mirror_session"}
            assert log_in(client, "guess") == 401
        assert log_in(client, READ) == 429


def test_the_metrics_are_guessed_at_as_seldom_as_the_log_in(serve_bare: Serve) -> None:
    served = serve_bare(web_proxies=("127.0.0.0/8",), **THREE)
    with stranger(served) as client:

        def scraped(token: str, address: str) -> int:
            headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": address}
            return client.get("/metrics", headers=headers).status_code

        found = [scraped(f"guess {number}", "203.0.113.1") for number in range(TRIES + 1)]
        assert found == [401] * TRIES + [429]
        assert scraped(SCRAPE, "203.0.113.1") == 429
        assert scraped(SCRAPE, "198.51.100.1") == 200
        assert log_in(client, TOKEN, **{"X-Forwarded-For": "203.0.113.1"}) == 303


def test_a_log_out_is_for_good(serve: Serve) -> None:
    """A cookie that was copied before is worth nothing after it: here, elsewhere, later."""
    served = serve()
    with serving(served.services) as other, served.client() as client:
        cookie = {"mirror_session": client.cookies["mirror_session"]}

        def status_at(url: str) -> int:
            with httpx.Client(base_url=url, trust_env=False, cookies=cookie) as thief:
                return thief.get("/crawls").status_code

        assert status_at(other) == 200
        client.post("/logout", data={"csrf": csrf_in(client.get("/").text)})
        assert status_at(served.url) == status_at(other) == 303
        with serving(served.services) as restarted:
            assert status_at(restarted) == 303


def test_another_token_ends_the_sessions_of_the_one_before(serve: Serve) -> None:
    before = serve(**THREE)
    with before.client() as operator, stranger(before) as reader:
        assert log_in(reader, READ) == 303
        after = serve(token="another token of operators", **THREE)
        for client, status in ((operator, 303), (reader, 200)):
            cookies = {"mirror_session": client.cookies["mirror_session"]}
            with httpx.Client(base_url=after.url, trust_env=False, cookies=cookies) as same:
                assert same.get("/").status_code == status


def test_cookies_are_for_this_page_alone(serve_bare: Serve) -> None:
    """No script reads them, no other site has them sent, and over https no other way."""
    with stranger(serve_bare()) as client:
        answer = client.post("/login", data={"token": TOKEN}, headers={"Host": "m.example.com"})
        cookies = answer.headers.get_list("set-cookie")
        assert len(cookies) == 2
        for each in cookies:
            for needed in ("httponly", "samesite=strict", "secure", "path=/"):
                assert needed in each.lower(), each
            assert "domain" not in each.lower()


def test_another_sites_page_cannot_log_anybody_in(serve_bare: Serve) -> None:
    """Whoever is logged in as somebody else types into that one's pages."""
    with stranger(serve_bare()) as client:
        for headers in (
            {"Origin": "https://evil.example.com"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            assert log_in(client, TOKEN, **headers) == 403
        assert not client.cookies


def test_a_form_of_one_session_is_none_of_another(serve: Serve, named: Mirror) -> None:
    served = serve(**THREE)
    path = f"/stores/{name_of(named)}/disable"
    with served.client() as one, served.client() as other, stranger(served) as reader:
        assert log_in(reader, READ) == 303
        for client in (other, reader):
            theirs = csrf_in(client.get("/").text)
            assert one.post(path, data={"csrf": theirs}).status_code == 403
    assert named.value("SELECT enabled FROM sync.store WHERE id = :store") is True


def test_a_button_is_pushed_by_post_alone(serve: Serve, named: Mirror) -> None:
    """A picture on another page, a link in a mail: a GET changes nothing."""
    name = name_of(named)
    with serve().client() as client:
        csrf = csrf_in(client.get("/").text)
        for what in ACTIONS:
            for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"):
                answer = client.request(method, f"/stores/{name}/{what}?csrf={csrf}")
                assert answer.status_code == 405, (method, what)
        assert client.get(f"/logout?csrf={csrf}").status_code == 405
        assert client.get("/").status_code == 200
    assert named.value("SELECT enabled FROM sync.store WHERE id = :store") is True


def test_a_name_is_no_line_of_the_metrics(serve: Serve, named: Mirror) -> None:
    """One with a line break in it would else be a metric of somebody else's."""
    evil = 'a"} 1\nmirror_store_enabled{store="other"} 0\n# HELP x \\'
    named.rows("UPDATE sync.store SET name = :x WHERE id = :store", x=evil)
    text = scrape(serve().services)[0].decode()
    families = text_string_to_metric_families(text)
    stores = {sample.labels.get("store") for family in families for sample in family.samples}
    assert stores - {None} == {evil}
