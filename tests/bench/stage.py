"""What the measures share: servers, a store, workers, orders, and a table to print."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sync import vault
from sync.database import migrate
from sync.database.engine import connect
from sync.embedded import Servers
from sync.resources import RESOURCES
from sync.state import lanes, stores
from sync.state.stores import Access
from sync.work.access import access_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CELERY = [sys.executable, "-m", "celery", "-A", "sync"]
ORDERS = 20_000
ONLY = ("orders", "order_history")


_one_migrates = threading.Lock()  # Alembic knows one migration at a time in a process


@dataclass
class Figure:
    """A row of the table. `target` and `peers` are words; `good` says whether the target is met."""

    measure: str
    found: str
    target: str
    peers: str = "–"
    good: bool | None = None


class Stage:
    """A database of its own on the bench's servers, with one store."""

    def __init__(self, servers: Servers, name: str) -> None:
        with servers.postgres.connect("postgres") as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {name}")
        self.url = f"{servers.database_url.rpartition('/')[0]}/{name}"
        self.servers = servers
        with _one_migrates:
            migrate.upgrade(self.url)
        self.engine = connect(self.url)
        self.key = vault.Key.generate()

    def add_store(
        self,
        url: str,
        api_key: str,
        *,
        only: tuple[str, ...] = (),
        zone: str = "Europe/Moscow",
        name: str = "bench",
    ) -> int:
        """A store as `store add` makes it; with `only`, everything else is switched off."""
        access = (
            access_of(call(url, "/api/credentials", key=api_key))
            if api_key
            else Access(None, None, None)
        )
        with self.engine.begin() as connection:
            store_id: int = connection.execute(
                sa.text(
                    "INSERT INTO sync.store (name, url, account, api_key, key_fingerprint, zone,"
                    " site_access, sites, scopes) VALUES (:name, :url, :url, '', 'x', :zone,"
                    " :site_access, :sites, :scopes) RETURNING id"
                ),
                {
                    "name": name,
                    "url": url,
                    "zone": zone,
                    "site_access": access.site_access,
                    "sites": None if access.sites is None else list(access.sites),
                    "scopes": None if access.scopes is None else list(access.scopes),
                },
            ).scalar_one()
            sealed = vault.seal(api_key, key=self.key, store_id=store_id)
            connection.execute(
                sa.text("UPDATE sync.store SET api_key = :key WHERE id = :id"),
                {"key": sealed, "id": store_id},
            )
            stores.register(connection, [store_id], RESOURCES.values())
            if only:
                connection.execute(
                    sa.text("UPDATE sync.coverage SET selected = resource = ANY(:only)"),
                    {"only": list(only)},
                )
                lanes.set_lanes(connection, store_id)
        return store_id

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of our processes."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SYNC_")}
        return clean | {
            "SYNC_DATABASE_URL": self.url,
            "SYNC_REDIS_URL": self.servers.redis_url,
            "SYNC_SECRET_KEY": self.key.text().get_secret_value(),
        } | more  # fmt: skip

    @contextlib.contextmanager
    def service(self, **more: str) -> Iterator[list[subprocess.Popen[bytes]]]:
        """A real worker and a real beat; ended at the end."""
        environment = self.environment(**more)
        with tempfile.TemporaryFile() as log:
            processes = [
                subprocess.Popen(
                    [*CELERY, *words], env=environment, cwd=ROOT, stdout=log, stderr=log
                )
                for words in (["worker", "-Q", "feeds,crawls"], ["beat", "--pidfile="])
            ]
            try:
                yield processes
            finally:
                for process in processes:
                    process.terminate()
                for process in processes:
                    process.wait(30)

    def rows(self, sql: str, **binds: Any) -> list[Any]:
        """Read something."""
        with self.engine.connect() as connection:
            return list(connection.execute(sa.text(sql), binds).all())

    def one(self, sql: str, **binds: Any) -> Any:
        """Read one value."""
        return self.rows(sql, **binds)[0][0]


def call(url: str, path: str, body: dict[str, Any] | None = None, *, key: str = "") -> Any:
    """The sandbox's oracle (GET) or control (POST), or a method of the API."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url + path, data, headers={"X-API-KEY": key} if key else {})  # noqa: S310
    with urllib.request.urlopen(asked, timeout=120) as answer:  # noqa: S310
        return json.loads(answer.read())


def cpu_of(pid: int) -> float:
    """The CPU seconds of a process of one thread, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def records(count: int = 200) -> str:
    """Some orders as the sandbox sends them, in a file."""
    from sync.sandbox import Sandbox

    sandbox = Sandbox(seed=7)
    sandbox.account("bench", orders=count, customers=80, awkward=0)
    path = Path(tempfile.mkstemp(suffix=".jsonl")[1])
    path.write_bytes(b"\n".join(json.dumps(r).encode() for r in sandbox.truth("bench", "orders")))
    return str(path)


def table(figures: list[Figure]) -> str:
    """The figures as a Markdown table."""
    mark = {True: "met", False: "MISSED", None: ""}
    lines = [
        "| measure | found | target | | peers (dlt beside it where said) |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {f.measure} | {f.found} | {f.target} | {mark[f.good]} | {f.peers} |" for f in figures
    ]
    return "\n".join(lines)
