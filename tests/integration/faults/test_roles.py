"""The roles of ops/postgres/roles.sh: each login can do its work, and nothing beyond it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psycopg
import pytest
from click.testing import CliRunner

from sync.commands import mirror
from sync.embedded.process import free_port
from sync.settings import forget
from tests.integration.faults.conftest import Ends
from tests.integration.faults.rig import FEW, ROOT, Rig

BASH = shutil.which("bash")
ROLES = {"": "owner", "_worker": "owner_worker", "_web": "owner_web"}
pytestmark = pytest.mark.skipif(BASH is None, reason="bash is not installed")


@pytest.fixture
def urls(rig: Rig, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A database with the roles, migrated by its owner; the URLs by role."""
    postgres = rig.stage.servers.postgres
    name = f"{rig.database}_roles"
    where = f"127.0.0.1:{postgres.port}/{name}"
    found = {role: f"postgresql://{role}:pw-{role}@{where}" for role in ROLES.values()}
    for suffix, role in ROLES.items():
        (tmp_path / f"database_url{suffix}").write_text(found[role] + "\r\n")
    superuser = rig.stage.servers.database_url.partition("://")[2].partition(":")[0]
    with postgres.connect("postgres") as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        done = subprocess.run(
            [str(BASH), str(ROOT / "ops/postgres/roles.sh")],
            env={
                "PATH": f"{postgres.bin}:{os.environ['PATH']}",
                "SECRETS": str(tmp_path),
                "DATABASE": name,
                "ROLE": "owner",
                "POSTGRES_USER": superuser,
                "PGHOST": "127.0.0.1",
                "PGPORT": str(postgres.port),
                "PGPASSWORD": postgres.password,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "pw-" not in done.stdout + done.stderr
        yield found
    finally:
        rig.end()
        with postgres.connect("postgres") as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
            for role in reversed(ROLES.values()):
                connection.execute(f"DROP ROLE IF EXISTS {role}")


@pytest.fixture
def run(
    rig: Rig, urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str]]:
    """Runs a command as the owner."""

    def call(*arguments: str) -> tuple[int, str]:
        for name, value in (rig.environment | {"SYNC_DATABASE_URL": urls["owner"]}).items():
            monkeypatch.setenv(name, value)
        forget()
        from sync.work import services as module

        for made in module._made.values():
            made.heart.end()
        module._made.clear()
        done = CliRunner().invoke(mirror, arguments)
        for made in module._made.values():
            made.engine.dispose()
        module._made.clear()
        forget()
        return done.exit_code, done.output

    return call


@pytest.mark.in_every_run
def test_each_login_does_its_work_and_nothing_beyond_it(
    rig: Rig, urls: dict[str, str], run: Callable[..., tuple[int, str]], ends_exact: Ends
) -> None:
    """Migrations are the owner's; a load and the views of custom fields are the workers'."""
    status, told = run("migrate")
    assert status == 0, told
    rig.database = urls["owner"].rpartition("/")[2]
    with psycopg.connect(urls["owner_worker"], autocommit=True) as worker:
        for forbidden in (
            "ALTER TABLE crm.orders ADD COLUMN x text",
            "DROP TABLE crm.orders",
            "CREATE TABLE sync.mine (x int)",
            "CREATE ROLE another",
            "SELECT rolpassword FROM pg_authid",
            "COPY crm.orders FROM PROGRAM 'true'",
            "SELECT pg_read_file('/etc/passwd')",
            "ALTER ROLE owner_worker SUPERUSER",
            "CREATE DATABASE another",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                worker.execute(forbidden)
    with psycopg.connect(urls["owner_web"], autocommit=True) as web:
        web.execute("SELECT count(*) FROM crm.coverage")
        web.execute("SELECT count(*) FROM sync.lane")
        web.execute("INSERT INTO sync.ended_session VALUES (1, now())")  # a log-out
        for forbidden in (
            "SELECT count(*) FROM crm.orders",
            "SELECT count(*) FROM crm.customers",
            "SELECT api_key FROM sync.store",
            "SELECT salt FROM sync.salt",
            "UPDATE sync.store SET url = 'https://elsewhere.example'",
            "CREATE TABLE crm.mine (x int)",
            "CREATE TEMPORARY TABLE mine (x int)",
            "SELECT rolpassword FROM pg_authid",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                web.execute(forbidden)

    with rig.connect() as root:
        found = root.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'owner%' AND rolsuper"
        ).fetchall()
        assert found == []
    rig.add_store(rig.open_account(), only=(*FEW, "custom_fields"))
    rig.churn(5)
    as_worker = {"SYNC_DATABASE_URL": urls["owner_worker"]}
    rig.start("beat", "beat", "--pidfile=", more=as_worker)
    rig.start("worker", "worker", "-Q", "feeds,crawls", more=as_worker)
    rig.struck()
    ends_exact(rig, "workers log in by a role of their own", 1)


def test_pages_are_served_by_the_webs_role(
    rig: Rig, urls: dict[str, str], run: Callable[..., tuple[int, str]]
) -> None:
    """Every page and the metrics need no row of crm."""
    assert run("migrate")[0] == 0
    rig.database = urls["owner"].rpartition("/")[2]
    rig.add_store(rig.open_account(orders=20, customers=5), only=FEW)
    port = free_port(None)
    rig.start("web", "mirror", "web", "--port", str(port),
              more={"SYNC_DATABASE_URL": urls["owner_web"]})  # fmt: skip
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:

        def answers() -> bool:
            with suppress(httpx.TransportError):
                return client.get("/healthz").status_code == 200
            return False

        rig.wait(answers, "the status page answers")
        for path in ("/", f"/stores/{rig.account}", "/crawls", "/rejects", "/unknown"):
            assert client.get(path).status_code == 200, (path, rig.said())
        assert b"mirror_resource_state" in client.get("/metrics").content
        assert client.get("/readyz").json()["checks"]["database"] == {"ok": True}
