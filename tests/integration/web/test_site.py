"""Who may see and do what; headers; and that nothing shown is ever a key or a script."""

from __future__ import annotations

import base64
import re

import httpx
import pytest

from sync.web.security import TRIES
from tests.integration.pipeline.harness import Mirror
from tests.integration.web.conftest import TOKEN, Open, Serve

HOSTILE = "<script>alert('x')</script>\"'&"
PAGES = ("/", "/crawls", "/crawls/1", "/rejects", "/unknown")


def csrf_in(text: str) -> str:
    found = re.search(r'name="csrf" value="([\w-]+)"', text)
    assert found
    return found[1]


def test_every_answer_has_the_headers_that_keep_other_sites_and_scripts_out(
    serve: Serve, open_mirror: Open
) -> None:
    open_mirror()
    served = serve()
    with served.client() as client:
        for path in ("/", "/login", "/nowhere", "/crawls/999", "/healthz", "/static/page.js"):
            headers = client.get(path).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
        assert client.get("/").headers["cache-control"] == "no-store"


def test_pages_need_nothing_from_elsewhere_and_no_inline_script(
    serve: Serve, open_mirror: Open
) -> None:
    open_mirror()
    with serve().client() as client:
        for path in PAGES:
            text = client.get(path).text
            assert re.findall(r'(?:src|href)="(https?:)?//', text) == []
            assert re.findall(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", text) == []


def test_with_a_token_nothing_is_shown_before_the_log_in(serve: Serve, open_mirror: Open) -> None:
    open_mirror()
    with serve().client(logged_in=False) as client:
        for path in PAGES:
            answer = client.get(path)
            assert (answer.status_code, answer.headers["location"].split("?")[0]) == (
                303,
                "/login",
            )
        assert client.get("/metrics").status_code == 401
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get("/metrics", headers=bearer).status_code == 200
        assert client.get("/healthz").json() == {"alive": True}


def test_without_a_token_only_this_machine_reads_and_nobody_acts(
    serve: Serve, open_mirror: Open
) -> None:
    """The Host header too: a page elsewhere can have its name point to this machine."""
    name = name_of(open_mirror())
    with serve(token=None).client(logged_in=False) as client:
        assert client.get("/").status_code == 200
        for path in ("/", "/metrics"):
            assert client.get(path, headers={"Host": "evil.example.com"}).status_code == 403
        assert client.post(f"/stores/{name}/disable").status_code == 403
        assert client.post("/login", data={"token": ""}).status_code == 404


def test_a_form_of_another_site_or_an_old_page_does_nothing(
    serve: Serve, open_mirror: Open
) -> None:
    mirror = open_mirror()
    path = f"/stores/{name_of(mirror)}/disable"
    with serve().client() as client:
        csrf = csrf_in(client.get("/").text)
        refused = [
            client.post(path),
            client.post(path, data={"csrf": "0" * 64}),
            client.post(path, data={"csrf": csrf}, headers={"Origin": "https://evil.example.com"}),
            client.post(path, data={"csrf": csrf}, headers={"Sec-Fetch-Site": "cross-site"}),
            client.get(path),
        ]
        assert [answer.status_code for answer in refused] == [403, 403, 403, 403, 405]
        assert mirror.value("SELECT enabled FROM sync.store WHERE id = :store") is True
        assert client.post(path, data={"csrf": csrf}).status_code == 303
    assert mirror.value("SELECT enabled FROM sync.store WHERE id = :store") is False


def test_a_session_that_was_logged_out_or_made_up_is_none(serve: Serve) -> None:
    with serve().client() as client:
        cookie = client.cookies["mirror_session"]
        client.post("/logout", data={"csrf": csrf_in(client.get("/").text)})
        told, signature = cookie.split(".")
        longer = base64.urlsafe_b64encode(b'[9999999999,"made-up"]').decode().rstrip("=")
        for made_up in (
            cookie,
            f"{longer}.{signature}",
            f"{told}.{'0' * len(signature)}",
            "x",
            "",
            "…".encode().decode("latin-1"),
        ):
            headers = {"Cookie": f"mirror_session={made_up}".encode("latin-1")}
            fresh = httpx.Client(base_url=client.base_url, trust_env=False)
            assert fresh.get("/", headers=headers).status_code == 303
            fresh.close()


def test_who_fails_too_often_has_to_wait_even_with_the_right_token(serve: Serve) -> None:
    with serve().client(logged_in=False) as client:
        for _ in range(TRIES):
            assert client.post("/login", data={"token": "guess"}).status_code == 401
        answer = client.post("/login", data={"token": TOKEN})
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 60


def test_behind_a_proxy_the_clients_addresses_count_and_nobody_locks_another_out(
    serve: Serve,
) -> None:
    """Whose X-Forwarded-For is believed is a setting; one that anybody sends is not."""
    guess = {"token": "guess"}
    for proxies, others in ((("127.0.0.0/8",), 303), (("192.0.2.1", "gateway"), 429)):
        with serve(web_proxies=proxies).client(logged_in=False) as client:
            for _ in range(TRIES):
                forwarded = {"X-Forwarded-For": "203.0.113.9, 198.51.100.1"}
                assert client.post("/login", data=guess, headers=forwarded).status_code == 401
            for name, right in (("198.51.100.1", 429), ("198.51.100.2", others)):
                answer = client.post(
                    "/login", data={"token": TOKEN}, headers={"X-Forwarded-For": name}
                )
                assert answer.status_code == right


HTTPS, HTTP = "https://mirror.example.com", "http://mirror.example.com"


@pytest.mark.parametrize(
    ("headers", "secure"),
    [
        ({"X-Forwarded-Proto": "https", "Host": "mirror.example.com"}, True),
        ({"Host": "mirror.example.com", "Origin": HTTPS}, True),
        ({"Host": "mirror.example.com"}, True),
        # Over plain http a browser drops what is Secure: nobody could log in.
        ({"Host": "mirror.example.com", "Origin": HTTP}, False),
        ({}, False),
    ],
)
def test_the_session_is_sent_over_https_alone_unless_the_page_came_without(
    serve: Serve, headers: dict[str, str], secure: bool
) -> None:
    """Also behind a proxy that does not say that it speaks https."""
    with serve().client(logged_in=False) as client:
        answer = client.post("/login", data={"token": TOKEN}, headers=headers)
        assert answer.status_code == 303
        assert ("; secure" in answer.headers["set-cookie"].lower()) is secure


def test_what_a_stranger_says_of_https_is_not_believed(serve: Serve) -> None:
    with serve(web_proxies=("192.0.2.1",)).client(logged_in=False) as client:
        said = {"X-Forwarded-Proto": "https"}
        answer = client.post("/login", data={"token": TOKEN}, headers=said)
        assert "secure" not in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    "wanted", ["//evil.example.com", "https://evil.example.com", "/\\evil", "javascript:x", ""]
)
def test_a_log_in_leads_nowhere_else(serve: Serve, wanted: str) -> None:
    with serve().client(logged_in=False) as client:
        answer = client.post("/login", data={"token": TOKEN, "next": wanted})
        assert answer.headers["location"] == "/"
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()


def test_whatever_an_account_sends_is_shown_as_text(serve: Serve, open_mirror: Open) -> None:
    mirror = open_mirror()
    mirror.rows(
        "UPDATE sync.store SET name = replace(:x, '/', ''), error = :x, url = :x WHERE id = :store",
        x=HOSTILE,
    )
    mirror.rows(
        "UPDATE sync.lane SET error = :x, parked_at = now(), failing_since = now()", x=HOSTILE
    )
    mirror.rows("UPDATE sync.crawl SET error = :x", x=HOSTILE)
    for sql in (
        "INSERT INTO sync.reject (store_id, resource, record, field, value, reason)"
        " VALUES (:store, :x, :x, :x, :x, :x)",
        "INSERT INTO sync.unknown_field (store_id, resource, path, example)"
        " VALUES (:store, :x, :x, :x)",
        "INSERT INTO sync.parked_page (store_id, resource, request, reason, body)"
        " VALUES (:store, :x, :x, :x, convert_to(:x, 'UTF8'))",
    ):
        mirror.rows(sql, x=HOSTILE)
    with serve().client() as client:
        store = re.search(r'href="(/stores/[^"]+)"', client.get("/").text)
        assert store
        for path in (*PAGES, store[1]):
            answer = client.get(path)
            assert answer.status_code == 200, path
            assert "<script>alert" not in answer.text, path
            assert "&lt;script&gt;alert(&#39;x&#39;)" in answer.text, path


def test_no_page_ever_shows_a_key(serve: Serve, open_settled: Open) -> None:
    mirror = open_settled()
    served = serve()
    with served.client() as client:
        for path in (*PAGES, f"/stores/{name_of(mirror)}"):
            text = client.get(path).text
            assert mirror.account.key not in text
            assert TOKEN not in text
        metrics = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
        assert mirror.account.key not in metrics


def test_wrong_input_is_answered_in_one_sentence(serve: Serve, open_mirror: Open) -> None:
    mirror = open_mirror()
    name = name_of(mirror)
    with serve().client() as client:
        csrf = csrf_in(client.get("/").text)

        def said(what: str, **form: object) -> str:
            answer = client.post(f"/stores/{name}/{what}", data={"csrf": csrf, **form})
            assert answer.status_code == 303
            found = re.search(r'class="said bad" role="status">([^<]+)<', client.get("/").text)
            return found[1] if found else ""

        assert "Did you mean &#39;orders&#39;?" in said("backfill", resource="ordrs")
        assert "is before the first" in said("backfill", since="2024-02-01", until="2024-01-01")
        assert "write it like 2024-01-31" in said("backfill", since="yesterday")
        assert "Nothing of orders waits" in said("approve", resource="orders")
        assert client.get("/stores/nowhere").status_code == 404
        assert client.get("/crawls/99999999999999999999999").status_code in {404, 500}
        assert client.post(f"/stores/{name}/explode", data={"csrf": csrf}).status_code == 404
        assert client.post("/login", content=b"x" * 20_000).status_code == 413
    assert mirror.open_crawls("orders")[0].kind == "load"


def test_a_database_that_is_away_is_said_in_words(serve: Serve) -> None:
    away = serve(database_url="postgresql+psycopg://u:hunter2@127.0.0.1:1/d")
    with away.client() as client:
        answer = client.get("/")
        assert answer.status_code == 503
        assert "Postgres could not serve us" in answer.text
        assert "hunter2" not in answer.text
        checks = client.get("/readyz")
        assert checks.status_code == 503
        assert checks.json()["checks"]["database"] == {
            "ok": False,
            "why": "Postgres cannot be reached",
        }
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert (
            'mirror_server_up{server="postgres"} 0.0' in client.get("/metrics", headers=bearer).text
        )


def name_of(mirror: Mirror) -> str:
    name: str = mirror.value("SELECT name FROM sync.store WHERE id = :store")
    return name
