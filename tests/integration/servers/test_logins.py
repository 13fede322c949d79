"""The login of the status page: what pages show and buttons write, and nothing beyond it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from threading import Event

import httpx
import psycopg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from sync import vault
from sync.database.engine import connect
from sync.database.logins import settle_logins
from sync.embedded import Servers
from sync.embedded.process import wait_until
from sync.settings import Settings
from sync.state import nudges
from sync.web.actions import ACTIONS
from sync.work.services import Services
from tests.integration.pipeline.harness import Mirror
from tests.integration.web.conftest import TOKEN, serving

ALL = "SELECT, INSERT, UPDATE, DELETE"


@pytest.fixture
def page_url(servers: Servers, database: str) -> Iterator[str]:
    """The database by a login that had every right in `sync`, as earlier releases gave it."""
    url = sa.make_url(database)
    role = f"page_{url.database}"
    with (
        servers.postgres.connect("postgres") as admin,
        servers.postgres.connect(url.database or "") as inside,
    ):
        admin.execute(f"CREATE ROLE {role} LOGIN BYPASSRLS PASSWORD 'page'")
        try:
            inside.execute(f"GRANT USAGE ON SCHEMA sync TO {role}")
            inside.execute(f"GRANT {ALL} ON ALL TABLES IN SCHEMA sync TO {role}")
            inside.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA sync TO {role}")
            inside.execute(
                f"ALTER DEFAULT PRIVILEGES IN SCHEMA sync GRANT {ALL} ON TABLES TO {role}"
            )
            engine = connect(database)
            settle_logins(engine)
            engine.dispose()
            yield url.set(username=role, password="page").render_as_string(hide_password=False)
        finally:
            inside.execute(f"DROP OWNED BY {role}")
            admin.execute(f"DROP ROLE {role}")


def test_pages_and_buttons_work_by_the_login_of_the_status_page(
    mirror: Mirror, page_url: str, redis_url: str
) -> None:
    """A page that begins to show another table needs its right in `logins.py`."""
    services = Services(
        Settings(
            database_url=SecretStr(page_url), redis_url=SecretStr(redis_url),
            secret_key=vault.Key.generate().text(), web_token=SecretStr(TOKEN),
        ),
        Event(),
    )  # fmt: skip
    mirror.rows(
        "UPDATE sync.coverage SET approval = 'wait'"
        " WHERE store_id = :store AND resource = 'customers'"
    )
    with mirror.engine.begin() as connection:
        secret = nudges.make(connection, mirror.store_id)
    role = sa.make_url(page_url).username
    for kind in ("SCHEMA", "ALL TABLES IN SCHEMA"):  # of the mirror's made-up clock
        right = "USAGE" if kind == "SCHEMA" else "SELECT"
        mirror.rows(f"GRANT {right} ON {kind} testclock TO {role}")
    with serving(services) as url, httpx.Client(base_url=url, trust_env=False) as client:
        assert client.post("/login", data={"token": TOKEN, "next": "/"}).status_code == 303
        name = mirror.value("SELECT name FROM sync.store WHERE id = :store")
        crawl = mirror.value("SELECT max(id) FROM sync.crawl WHERE store_id = :store")
        page = f"/stores/{name}"
        paths = (
            "/", page, f"{page}/sure?what=backfill", "/crawls", f"/crawls/{crawl}", "/rejects",
            "/unknown", "/acts",
        )  # fmt: skip
        for path in paths:
            answer = client.get(path, follow_redirects=True)
            assert answer.status_code == 200, (path, answer.text)
        record = client.get(f"{page}/records/orders/1")
        assert record.status_code == 403
        assert "celery -A sync mirror why" in record.text
        token = {"Authorization": f"Bearer {TOKEN}"}
        assert "mirror_resource_state" in client.get("/metrics", headers=token).text
        checks = client.get("/readyz").json()["checks"]
        assert checks["database"] == {"ok": True}
        assert checks["secret_key"]["why"] == "the API keys are encrypted with another one"
        assert client.post(f"/nudge/{secret}", data={"order": "1"}).status_code == 204
        wait_until(
            lambda: mirror.value("SELECT acted FROM sync.nudge WHERE store_id = :store") == 1,
            seconds=30, what="the nudge is acted on",
        )  # fmt: skip
        found = re.search(r'name="csrf" value="([^"]+)"', client.get(page).text)
        assert found is not None
        for what in sorted(ACTIONS, key=lambda each: each in {"disable", "enable"}):
            crawl = mirror.value("SELECT max(id) FROM sync.crawl WHERE kind = 'reconcile'")
            resource = {"approve": "customers", "pause": "customers", "resume": "customers"}.get(
                what
            )
            form = {
                "csrf": found[1], "resource": resource or "orders", "crawl": str(crawl),
                "sure": "yes",
            }  # fmt: skip
            assert client.post(f"{page}/{what}", data=form).status_code == 303, what
            [said] = re.findall(r'class="said.*', client.get(page).text)
            if what in {"reset", "resume"}:  # they look for rows
                assert "This page may not read crm; run: celery" in said
            else:
                assert 'class="said good"' in said, (what, said)
        assert client.post(f"{page}/plan", data={"csrf": found[1]}).status_code == 303
        assert "This page may not use keys; run: celery" in client.get(page).text
        assert client.post("/logout", data={"csrf": found[1]}).status_code == 303
    assert mirror.value("SELECT enabled FROM sync.store WHERE id = :store") is False
    assert mirror.value("SELECT count(*) FROM sync.act") == len(ACTIONS) - 2
    services.engine.dispose()
    services.redis.close()


def test_the_login_of_the_status_page_reads_no_key_and_changes_no_store(page_url: str) -> None:
    """Whoever takes the status page over gets no account, no erased person, no row of crm."""
    plain = sa.make_url(page_url).set(drivername="postgresql").render_as_string(False)
    with psycopg.connect(plain, autocommit=True) as page:
        page.execute("SELECT name, zone, sealed_under FROM sync.store")
        for forbidden in (
            "SELECT api_key FROM sync.store",
            "SELECT * FROM sync.store",
            "SELECT s FROM sync.store AS s",
            "SELECT salt FROM sync.salt",
            "SELECT digest FROM sync.suppressed",
            "UPDATE sync.store SET url = 'https://elsewhere.example'",
            "UPDATE sync.alembic_version SET version_num = '0000'",
            "INSERT INTO sync.reader (role) VALUES ('page')",
            "DELETE FROM sync.crawl",
            "TRUNCATE sync.lane",
            "SELECT count(*) FROM crm.orders",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                page.execute(forbidden)


def test_a_later_table_is_not_open_to_the_status_page(page_url: str, database: str) -> None:
    """What a release adds is granted by name, or not at all; settling again changes nothing."""
    engine = connect(database)
    granted = "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'sync'::regnamespace"
    with engine.begin() as connection:
        before = connection.exec_driver_sql(granted).all()
    settle_logins(engine)
    with engine.begin() as connection:
        assert connection.exec_driver_sql(granted).all() == before
        connection.exec_driver_sql("CREATE TABLE sync.later (secret text)")
    engine.dispose()
    plain = sa.make_url(page_url).set(drivername="postgresql").render_as_string(False)
    with psycopg.connect(plain) as page, pytest.raises(psycopg.errors.InsufficientPrivilege):
        page.execute("SELECT secret FROM sync.later")
