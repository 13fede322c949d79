"""The overview of thirty stores: the verdict on top, small, searchable; acts are asked about."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from sync.database.engine import connect
from tests.integration.many_stores import (
    REFUSED,
    add_stores,
    at_work,
    bring_trouble,
    disable_long_ago,
    silent,
)
from tests.integration.web.conftest import TOKEN, Open, Serve
from tests.integration.web.test_site import csrf_in, name_of


@pytest.fixture
def engine(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    monkeypatch.setattr("sync.work.outlook._secret_key", lambda _: "")
    made = connect(database, size=2, name="test")
    yield made
    made.dispose()


def verdict_in(text: str) -> str:
    found = re.search(r'class="verdict[^>]*><b>([^<]+)</b>', text)
    assert found, text[:2_000]
    return found[1].replace("&#39;", "'")


def test_thirty_stores_are_a_table_with_trouble_on_top_and_small_to_fetch(
    serve: Serve, engine: sa.Engine
) -> None:
    names = add_stores(engine)
    bring_trouble(engine, refused=names[17], parked=names[23])
    at_work(engine)
    with serve().client() as client:
        answer = client.get("/", headers={"Accept-Encoding": "gzip"})
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.num_bytes_downloaded <= 30_000
        assert verdict_in(answer.text).startswith("2 of 30 stores need a person: shop-17")
        order = re.findall(
            r'<th scope="row" data-label="Store"><a href="/stores/([^"]+)"', answer.text
        )
        assert order[:3] == ["shop-17", "shop-23", "shop-00"]
        assert len(order) == 30
        assert answer.text.count(REFUSED[:60]) <= 3
        found = client.get("/", params={"q": "shop-1 well", "sort": "rows"}).text
        assert set(re.findall(r'data-label="Store"><a href="/stores/([^"]+)"', found)) == {
            f"shop-1{n}" for n in range(10) if n != 7
        }
        assert "No store is found" in client.get("/", params={"q": "nobody"}).text


def test_metrics_of_thirty_stores_are_small_unless_all_is_asked_for(
    serve: Serve, engine: sa.Engine
) -> None:
    add_stores(engine)
    at_work(engine)
    bearer = {"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": "identity"}
    with serve().client(logged_in=False) as client:
        usual = client.get("/metrics", headers=bearer)
        whole = client.get("/metrics", params={"detail": "resources"}, headers=bearer)
    assert len(usual.content) <= 150_000
    assert len(whole.content) > 500_000

    def total(text: str, name: str) -> float:
        values = re.findall(rf'^{name}{{[^}}]*store="shop-04"[^}}]*}} (\S+)$', text, re.MULTILINE)
        return sum(float(value) for value in values)

    for name in ("mirror_live_rows", "mirror_rows_written_total", "mirror_rejected_values"):
        assert total(usual.text, name) == total(whole.text, name) > 0, name
    for series in ("mirror_lag_seconds", "mirror_complete_age_seconds", "mirror_live_rows"):
        assert f'{series}{{resource="orders",store="shop-04"}}' in usual.text


def test_what_alerts_name_has_a_series_of_its_own(serve: Serve, engine: sa.Engine) -> None:
    """The thresholds are for one resource, not for the sum of a store's fifty."""
    add_stores(engine, 1)
    at_work(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE sync.lane SET failures = 1 WHERE lane = 'walk'")
        connection.exec_driver_sql(
            "UPDATE sync.lane SET failures = 12, failing_since = now()"
            " WHERE lane = 'walk' AND resource = 'users'"
        )
        connection.exec_driver_sql(
            "UPDATE sync.coverage SET rejects = CASE resource WHEN 'users' THEN 40 ELSE 0 END"
        )
        total = connection.exec_driver_sql(
            "SELECT sum(failures) FROM sync.lane WHERE lane = 'walk' AND enabled"
        ).scalar_one()
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    with serve().client(logged_in=False) as client:
        text = client.get("/metrics", headers=bearer).text
    failures = re.findall(
        r'mirror_crawl_failures_total{lane="walk",resource="(\w+)".*} (\S+)', text
    )
    assert sorted(failures) == [("all", f"{total:.1f}"), ("users", "12.0")]
    rejects = re.findall(r'mirror_rejected_values{resource="(\w+)".*} (\S+)', text)
    assert sorted(rejects) == [("all", "0.0"), ("users", "40.0")]


@pytest.mark.parametrize(
    ("queues", "beginning"),
    [("feeds|crawls|beat", "No worker has taken work for "), ("beat", "Beat has sent nothing")],
)
def test_what_does_not_run_is_the_first_line_of_the_page(
    serve: Serve, engine: sa.Engine, queues: str, beginning: str
) -> None:
    add_stores(engine, 2)
    at_work(engine)
    silent(engine, queues=queues, seconds=28)
    with serve().client() as client:
        assert verdict_in(client.get("/").text).startswith(beginning)


def test_a_server_that_is_away_is_the_first_line_of_the_page(
    serve: Serve, engine: sa.Engine
) -> None:
    add_stores(engine, 2)
    at_work(engine)
    with serve(redis_url="redis://127.0.0.1:9/0").client() as client:
        text = client.get("/").text
        assert verdict_in(text).startswith("Redis does not answer")
        assert "well</span>" not in text
    with serve(database_url="postgresql+psycopg://u:p@127.0.0.1:1/d").client() as client:
        answer = client.get("/")
        assert answer.status_code == 503
        assert verdict_in(answer.text).startswith("Postgres does not answer")
        assert "data-refresh" in answer.text


def test_a_danger_around_the_service_is_no_need_of_a_person(
    serve: Serve, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One page never says that all is well and that something needs a person."""
    add_stores(engine, 1)
    at_work(engine)
    monkeypatch.setattr("sync.work.surroundings.dangers", lambda *_: ["a clock differs"])
    with serve().client() as client:
        text = client.get("/").text
    assert verdict_in(text).startswith("All is well")
    assert re.search(r'<h2>Should be changed <span class="count">1<', text)
    assert "Needs a person" not in text
    assert '<span class="figure">Nothing</span>' in text


def test_a_disabled_store_says_how_old_its_rows_are(serve: Serve, engine: sa.Engine) -> None:
    [name] = add_stores(engine, 1)
    moment = disable_long_ago(engine)
    words = f"Disabled: its rows are of {moment} at the latest, and no longer updated."
    with serve().client() as client:
        assert words in client.get("/").text
        assert words in client.get(f"/stores/{name}").text


def test_a_refused_key_is_no_page_of_red_rows(serve: Serve, engine: sa.Engine) -> None:
    [name] = add_stores(engine, 1)
    bring_trouble(engine, refused=name, parked="nobody")
    at_work(engine)
    with serve().client() as client:
        text = client.get(f"/stores/{name}").text
        assert text.count(REFUSED[:60]) <= 3
        crawls = client.get("/crawls").text
        assert "tried again by itself" not in crawls


def test_big_things_are_asked_about_with_their_cost(serve: Serve, open_mirror: Open) -> None:
    mirror = open_mirror()
    name = name_of(mirror)
    with serve().client() as client:
        csrf = csrf_in(client.get("/").text)
        asked = client.post(f"/stores/{name}/backfill", data={"csrf": csrf})
        assert asked.status_code == 303
        assert "/sure?what=backfill" in asked.headers["location"]
        assert {row.kind for row in mirror.open_crawls()} == {"load"}
        page = client.get(asked.headers["location"]).text
        assert "requests of the shared budget" in page
        done = client.post(f"/stores/{name}/backfill", data={"csrf": csrf, "sure": "yes"})
        assert done.headers["location"].startswith("/crawls")
        assert {row.kind for row in mirror.open_crawls()} == {"load", "backfill"}
        assert "no longer updated" in client.get(f"/stores/{name}/sure?what=disable").text
        future = client.post(
            f"/stores/{name}/backfill",
            data={"csrf": csrf, "resource": "orders", "since": "2099-01-01"},
        )
        assert future.status_code == 303
        assert "is in the future" in client.get(f"/stores/{name}").text


def test_a_choice_of_lists_is_asked_about_from_a_minute_of_the_budget_on(
    serve: Serve, open_mirror: Open
) -> None:
    """The cost of what was chosen, and an answer that does what was chosen, days included."""
    mirror = open_mirror()
    place = f"/stores/{name_of(mirror)}"
    small = {"resource": ["customers", "orders"], "since": "2024-01-01"}
    with serve().client() as client:
        csrf = csrf_in(client.get("/").text)
        mirror.rows("UPDATE sync.coverage SET expected = 1000")
        done = client.post(f"{place}/backfill", data={"csrf": csrf, **small})
        assert done.headers["location"].startswith("/crawls")
        mirror.rows("UPDATE sync.coverage SET expected = 1000000 WHERE resource = 'orders'")
        for what, field in (("backfill", ("until", "2024-01-31")), ("reconcile", ("deep", "on"))):
            big = {"resource": ["customers", "orders"], **dict([field])}
            asked = client.post(f"{place}/{what}", data={"csrf": csrf, **big})
            assert f"/sure?what={what}" in asked.headers["location"]
            page = client.get(asked.headers["location"]).text
            assert "10,010 requests of the shared budget: 17 min if nobody" in page
            assert ("At most 10,010" in page) is (what == "backfill")
            kept = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page)
            assert {field, ("resource", "customers"), ("resource", "orders")} <= set(kept)
            fields = {name: [v for n, v in kept if n == name] for name, _ in kept}
            done = client.post(f"{place}/{what}", data=fields)
            assert done.headers["location"].startswith("/crawls"), what
    queued = mirror.rows(
        "SELECT resource, kind, deep, until::text FROM sync.crawl"
        " WHERE asked_by = 'operator' AND (deep OR until IS NOT NULL)"
    )
    assert sorted(map(tuple, queued)) == [
        ("customers", "backfill", False, "2024-01-31"),
        ("customers", "reconcile", True, None),
        ("orders", "backfill", False, "2024-01-31"),
        ("orders", "reconcile", True, None),
    ]


@pytest.mark.parametrize(
    ("what", "cost"),
    [
        ("pause", "No request"),
        ("resume", "A request for each page"),
        ("reset", "requests of the shared budget"),
        ("rebuild", "No request; Postgres writes"),
        ("key", "Three requests"),
    ],
)
def test_what_a_page_does_to_a_resource_is_asked_about_with_its_cost(
    serve: Serve, open_mirror: Open, what: str, cost: str
) -> None:
    place = f"/stores/{name_of(open_mirror())}"
    with serve().client() as client:
        page = client.get(f"{place}/sure?what={what}&resource=orders").text
    assert cost in page
    assert f'action="{place}/{what}"' in page


def test_every_act_is_kept_with_who_and_from_where(serve: Serve, open_mirror: Open) -> None:
    mirror = open_mirror()
    name = name_of(mirror)
    with serve().client() as client:
        csrf = csrf_in(client.get("/").text)
        client.post(f"/stores/{name}/retry", data={"csrf": csrf, "resource": "orders"})
        client.post(f"/stores/{name}/approve", data={"csrf": csrf, "resource": "orders"})
        queued = client.post(
            f"/stores/{name}/backfill", data={"csrf": csrf, "resource": "customers"}
        )
        crawl = queued.headers["location"].rpartition("/")[2]
        client.post(f"/stores/{name}/cancel", data={"csrf": csrf, "crawl": crawl})
        page = client.get("/acts").text
    acts = mirror.rows("SELECT who, source, address, what, detail FROM sync.act ORDER BY id")
    assert [(act.what, act.detail) for act in acts] == [
        ("retry", "resource orders"),
        ("backfill", "resource customers"),
        ("cancel", f"crawl {crawl}"),
    ], "what was refused is no act"
    assert {(act.who, act.source, act.address) for act in acts} == {
        ("operator", "page", "127.0.0.1")
    }
    assert page.count('<td data-label="Who">operator</td>') == 3
    [state] = mirror.rows(f"SELECT state FROM sync.crawl WHERE id = {int(crawl)}")
    assert state.state == "dropped"


def test_a_load_is_not_cancelled(serve: Serve, open_mirror: Open) -> None:
    """Coverage rests on it; a resource is turned off instead."""
    mirror = open_mirror()
    load = "SELECT id, state FROM sync.crawl WHERE store_id = :store AND resource = 'orders'"
    [before] = mirror.rows(load)
    with serve().client() as client:
        csrf = csrf_in(client.get("/").text)
        place = f"/stores/{name_of(mirror)}/cancel"
        client.post(place, data={"csrf": csrf, "crawl": before.id})
    assert mirror.rows(load) == [before]


def test_the_page_of_a_record_tells_all_about_it(serve: Serve, open_settled: Open) -> None:
    mirror = open_settled()
    name, order = name_of(mirror), min(mirror.truth("orders"))
    number = mirror.value("SELECT number FROM crm.orders WHERE id = :id", id=order)
    with serve().client() as client:
        to = client.get(f"/stores/{name}/why", params={"resource": "orders", "key": number})
        assert to.headers["location"] == f"/stores/{name}/records/orders/{order}"
        page = client.get(to.headers["location"]).text
        assert f"order {order}" in page
        assert "/orders/" in page
        assert "Its history" in page
        assert client.get(f"/stores/{name}/records/orders/999999999").status_code == 200
        assert "not here" in client.get(f"/stores/{name}/records/orders/999999999").text
        assert client.get(f"/stores/{name}/records/nothing/1").status_code == 404
        assert client.get(f"/stores/{name}/records/orders/x").status_code == 404


def test_a_value_that_did_not_fit_is_told_as_it_is_kept(serve: Serve, open_settled: Open) -> None:
    """Its place, its letters, the order's own number, and where it is still to be found."""
    mirror = open_settled()
    order = min(mirror.truth("orders"))
    mirror.account.update_order(order, managerComment="Анна\0Иванова")
    mirror.work("order_history", "feed")
    number = mirror.value("SELECT number FROM crm.orders WHERE id = :id", id=order)
    raw = mirror.value("SELECT raw ->> 'managerComment' FROM crm.orders WHERE id = :id", id=order)
    assert raw == "Анна\ufffdИванова"
    with serve().client() as client:
        page = client.get("/rejects").text
    assert "are replaced in the column and in <code>raw</code>" in page
    found = re.findall(
        r'data-label="Record"><a href="([^"]+)">([^<]+)</a></td><th scope="row"'
        r' data-label="Field">([^<]+)</th><td data-label="Value" class="value"><code>([^<]+)<',
        page,
    )
    place = f"/stores/{name_of(mirror)}/records/orders/{order}"
    assert (place, number, "managerComment") in [each[:3] for each in found]
    assert [value for *_, value in found if "Анна" in value and "Иванова" in value], found
