"""The services of docker-compose.yml, by their very commands, as processes of their own.

A real worker for each queue and a real beat mirror an account of the sandbox against servers given
by URL in secret files; the mirror then equals the sandbox's oracle.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from sync.embedded.process import wait_until
from sync.errors import TryLater
from sync.sandbox import Sandbox, running
from sync.vault import Key

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(
    (ROOT / "docker-compose.yml").read_text("utf-8")
)["services"]
KEY = "secretkeyofshop" * 2
LOAD_SECONDS = 150
AT_REST = {"following", "fresh", "disabled", "unavailable"}


class Host:
    """Runs what compose would run: the image's entrypoint, a service's command and environment."""

    def __init__(self, folder: Path, **secrets: str) -> None:
        self._folder = folder
        (folder / "secrets").mkdir()
        unused = dict.fromkeys(("sentry_dsn", "webhook_url", "webhook_secret"), "")
        for name, value in (unused | secrets).items():
            (folder / "secrets" / name).write_text(value + "\n")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def _environment(self, name: str) -> dict[str, str]:
        told = {
            variable: value.replace("/run/secrets", str(self._folder / "secrets"))
            for variable, value in SERVICES[name]["environment"].items()
            if not value.startswith("${")
        }
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("SYNC_")}
        # Its waits a fifth as long: a history is clear after 12 s, and not after a minute.
        quick = {"SYNC_RATE_LIMIT": "200", "SYNC_FEED_SECONDS": "1", "SYNC_TEST_SCALE": "0.2"}
        quick |= {"SYNC_DATA_DIR": str(self._folder / "data")}
        quick |= {"SYNC_HEALTH_DIR": str(self._folder / "health")}
        return inherited | told | quick

    def start(self, name: str) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "sync", *SERVICES[name]["command"]],
                env=self._environment(name), cwd=ROOT, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def run(self, name: str, *command: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "celery", "-A", "sync", *command],
            env=self._environment(name) | extra, cwd=ROOT, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=100, check=False,
        )  # fmt: skip

    def mirror(self, *command: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return self.run("commands", "mirror", *command, **extra)

    def health(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run the check of the compose file's service, in the folder of this test."""
        line = SERVICES[name]["healthcheck"]["test"][1].replace("$$", "$")
        line = line.replace("/tmp/health", str(self._folder / "health"))  # noqa: S108
        return subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)

    def stop(self) -> dict[str, int]:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(60) for name, process in self.processes.items()}

    def logs(self) -> str:
        return "\n".join(path.read_text()[-3000:] for path in self._folder.glob("*.log"))


@pytest.fixture
def host(empty_database: str, redis_url: str, tmp_path: Path) -> Iterator[Host]:
    made = Host(
        tmp_path,
        database_url=empty_database,
        redis_url=redis_url,
        secret_key=Key.generate().text().get_secret_value(),
    )
    yield made
    for process in made.processes.values():
        if process.poll() is None:
            process.kill()
            process.wait()


def command_lines() -> str:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError:
            continue
    return "\n".join(lines)


def settle(host: Host, database: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Wait until every resource is complete; `status` says so, too."""
    states: set[str] = set()

    def is_complete() -> bool:
        nonlocal states
        found = database.execute("SELECT DISTINCT state FROM crm.coverage").fetchall()
        states = {state for (state,) in found}
        assert "attention" not in states, host.mirror("status", "--json").stdout
        return bool(states) and states <= AT_REST

    try:
        wait_until(is_complete, seconds=LOAD_SECONDS, what="every resource is complete")
    except TryLater:
        raise AssertionError((states, host.logs())) from None
    [store] = json.loads(host.mirror("status", "--json").stdout)["stores"]
    assert {each["state"] for each in store["resources"]} <= AT_REST


@pytest.mark.timeout(400)
def test_the_services_mirror_an_account_and_end_when_told(host: Host, empty_database: str) -> None:
    sandbox = Sandbox(seed=5)
    shop = sandbox.account("shop", orders=150, customers=60, key=KEY)
    with running(sandbox) as url:
        assert host.health("beat").returncode == 1, "it does not run yet"
        migrated = host.run("migrate", *SERVICES["migrate"]["command"])
        assert migrated.returncode == 0, migrated.stderr
        assert host.health("worker-feeds").returncode == 1, "nothing is consumed yet"
        for name in ("worker-feeds", "worker-crawls", "beat"):
            host.start(name)
        added = host.mirror("store", "add", "shop", url, "--api-key-env", "SHOP_KEY", SHOP_KEY=KEY)
        assert added.returncode == 0, added.stderr
        plain = empty_database.replace("postgresql+psycopg", "postgresql")
        with psycopg.connect(plain, autocommit=True) as connection:
            settle(host, connection)
        assert KEY not in command_lines()
        for name in ("worker-feeds", "worker-crawls", "beat"):
            checked = host.health(name)
            assert checked.returncode == 0, (name, checked.stderr)

        waited = host.mirror("backfill", "shop", "orders", "statuses", "--wait")
        assert waited.returncode == 0, (waited.stdout, waited.stderr)
        assert "orders: " in waited.stdout
        assert "done in" in waited.stdout

        shop.delete_order(min(shop.collections["orders"].truth.live))
        order = max(shop.collections["orders"].truth.live)
        shop.update_order(order, managerComment="seen")
        with psycopg.connect(plain, autocommit=True) as connection:
            ask = "SELECT manager_comment FROM crm.orders WHERE id = %s"
            wait_until(
                lambda: connection.execute(ask, [order]).fetchone() == ("seen",),
                seconds=60,
                what="the change is here",
            )
            for table in ("orders", "customers"):
                ids = connection.execute(
                    f"SELECT id FROM crm.{table} WHERE deleted_at IS NULL ORDER BY id"
                ).fetchall()
                assert [row[0] for row in ids] == sorted(shop.collections[table].truth.live)
        assert host.stop() == {"worker-feeds": 0, "worker-crawls": 0, "beat": 0}
    assert KEY not in host.logs()


@pytest.mark.timeout(400)
def test_a_worker_waits_for_its_schema_and_ends_before_a_later_one(
    host: Host, empty_database: str
) -> None:
    """A deployment may start workers before `migrate` has run, or an old release by mistake. The
    first waits, says so, and works as soon as it can; the second ends with one sentence. A worker
    that runs goes on when a later release migrates."""
    host.start("worker-feeds")
    host.start("beat")
    wait_until(lambda: "the worker waits" in host.logs(), seconds=100, what="the worker waits")

    def health() -> subprocess.CompletedProcess[str]:
        return host.mirror("health", "--queue", "feeds")

    for text in (host.logs(), health().stderr):
        assert "The database is at revision none, this release needs" in text
        assert "Run: celery -A sync mirror migrate" in text
    assert "ready" not in host.logs()
    assert (health().returncode, host.health("worker-feeds").returncode) == (3, 1)
    assert host.run("migrate", "mirror", "migrate").returncode == 0

    def works() -> bool:
        return health().returncode == 0

    wait_until(works, seconds=100, what="the worker takes tasks")
    assert "does not exist" not in host.logs(), "no task ran before"
    plain = empty_database.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("UPDATE sync.alembic_version SET version_num = '9998'")
        connection.execute("DELETE FROM sync.heartbeat")
        wait_until(works, seconds=100, what="it goes on beside a later release")
    ended = host.run("worker-crawls", *SERVICES["worker-crawls"]["command"])
    assert ended.returncode == 1
    assert "The database is at revision 9998, which a later release made" in ended.stderr
    assert "ready" not in ended.stderr
    assert "Traceback" not in ended.stderr
    assert host.stop() == {"worker-feeds": 0, "beat": 0}
