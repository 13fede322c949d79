"""A stage for faults: real workers and beats, servers to break, a CRM that lives beside them.

A `Stage` is a pair of servers and a sandbox, kept for all scenarios of a test process. A `Rig` is
one scenario on it: a fresh database, an emptied Redis, an account of its own, and every process it
starts, which end with it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import orjson
import psycopg
import sqlalchemy as sa

from sync import vault
from sync.crm import Account
from sync.database import migrate
from sync.embedded import Servers, private
from sync.embedded.process import wait_until
from sync.resources import RESOURCES
from sync.sandbox.knobs import CHURN_MIX, Knobs
from sync.sandbox.serve import Spawned, spawn
from sync.settings import Settings
from sync.state import lanes, stores
from sync.work import account
from sync.work.services import Services
from sync.work.session import Session
from tests import in_memory
from tests.integration.faults.truth import (
    COLLECTIONS,
    DICTIONARIES,
    HISTORIES,
    Connection,
    Told,
    Verdict,
    judge,
)
from tests.pooler import MODE, pooler, through

ROOT = Path(__file__).resolve().parents[3]
SCALE = 0.1
"""A heart is fresh for 2 s, claims and the tail take 6 s."""
RATE = 60
ORDERS, CUSTOMERS = 600, 150
EXACT_SECONDS = 180.0
TEMPLATE = "faults_template"
LISTED = "/api/v5/orders"
FEW = ("credentials", "settings", "sites", "statuses", "customers", "customer_history", "orders",
       "order_history")  # fmt: skip
"""What a store mirrors in scenarios whose request budget is small."""
# Left out: changes no history tells of; nothing but a reconcile finds them.
TOLD_MIX = {kind: share for kind, share in CHURN_MIX.items() if kind != "touch_silently"}
BUG = b"raised unexpected"
LOOK_SECONDS = 0.1
_numbers = count(1)


@dataclass
class Program:
    """A process we started, and what it said."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    seen_bytes: int = 0

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def is_buggy(self) -> bool:
        """Whether it has said, since this was asked last, that a task failed by a bug."""
        with self.log.open("rb") as log:
            log.seek(self.seen_bytes)
            news = log.read()
        self.seen_bytes += max(len(news) - len(BUG), 0)  # its beginning may be here already
        return BUG in news

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def terminate(self, *, seconds: float = 20.0) -> int:
        """SIGTERM, and the status it ends with."""
        self.process.terminate()
        return self.process.wait(seconds)

    def wait_dead(self, *, seconds: float = 60.0) -> None:
        """Wait until the fault it was armed with has killed it."""
        wait_until(lambda: not self.runs, seconds=seconds, what=f"{self.name} is killed")
        assert self.process.returncode == -signal.SIGKILL, self.text()[-3000:]

    def wait_stopped(self, *, seconds: float = 60.0) -> None:
        """Wait until it has stopped itself."""

        def is_stopped() -> bool:
            stat = Path(f"/proc/{self.process.pid}/stat").read_text()
            return stat.rpartition(")")[2].split()[0] == "T"

        wait_until(is_stopped, seconds=seconds, what=f"{self.name} is stopped")


class Stage:
    """A pair of servers and a sandbox; `pooler` is the port of a pgbouncer before Postgres."""

    def __init__(self, servers: Servers, sandbox: Spawned, pooler: int | None = None) -> None:
        self.servers = servers
        self.pooler = pooler
        self.sandbox = sandbox
        self.http = httpx.Client(base_url=sandbox.url, timeout=60)
        with servers.postgres.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
        migrate.upgrade(self.url_of(TEMPLATE))

    def url_of(self, database: str) -> str:
        return f"{self.servers.database_url.rpartition('/')[0]}/{database}"

    def served_url_of(self, database: str) -> str:
        """The URL that the mirror's own processes are given."""
        return through(self.url_of(database), self.pooler)

    def control(self, path: str, **values: Any) -> Any:
        answer = self.http.post(f"/control/{path}", json=values)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def oracle(self, path: str) -> Any:
        answer = self.http.get(f"/oracle/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def lines(self, path: str) -> dict[int, Any]:
        answer = self.http.get(f"/oracle/{path}")
        assert answer.status_code == 200, answer.text
        records = [orjson.loads(line) for line in answer.content.splitlines()]
        return {record["id"]: record for record in records}

    def quieten(self) -> None:
        """Every knob as it was at the start."""
        self.control("churn/stop")
        self.control("knobs", **Knobs(**KNOBS).as_json())
        self.control("reset_log")


KNOBS: dict[str, Any] = {"rate": RATE, "latency_ms": (5, 20), "strict_since_id": True}


@contextlib.contextmanager
def staged() -> Iterator[Stage]:
    """A stage, gone at the end with all that ran on it."""
    arguments = ["--account", "nobody:Europe/Moscow:0:0:nobody", "--knobs"]
    with (
        private(fast=True, under=in_memory.run) as servers,
        spawn(*arguments, orjson.dumps(KNOBS).decode(), cwd=str(ROOT)) as sandbox,
        pooler(servers, mode=MODE) if MODE else contextlib.nullcontext() as port,
    ):
        stage = Stage(servers, sandbox, port)
        try:
            yield stage
        finally:
            stage.http.close()


@dataclass
class Rig:
    """One scenario."""

    stage: Stage
    folder: Path
    database: str
    key: vault.Key
    rate: float = RATE
    scale: float = SCALE
    programs: list[Program] = field(default_factory=list)
    store_id: int = 0
    account: str = ""
    began: float = 0.0
    _asking: Connection | None = None

    # --- the CRM

    def open_account(self, *, orders: int = ORDERS, customers: int = CUSTOMERS, **more: Any) -> str:
        """A new account of the sandbox; its name."""
        name = f"shop{os.getpid()}x{next(_numbers)}"
        self.stage.control("accounts", name=name, orders=orders, customers=customers, **more)
        return name

    def mutate(self, mutation: str, **arguments: Any) -> Any:
        return self.stage.control(f"{self.account}/{mutation}", **arguments)["result"]

    def post(self, path: str, **form: Any) -> Any:
        """Change the account as a client of the API does; what no client can do is `mutate`'s."""
        texts = {k: v if isinstance(v, str) else orjson.dumps(v).decode() for k, v in form.items()}
        headers, told = {"X-API-KEY": self._writer}, []

        def admitted() -> bool:
            told[:] = [self.stage.http.post(f"/api/v5/{path}", data=texts, headers=headers)]
            return bool(told[0].status_code != 503)  # the workers share the address, and its rate

        self.wait(admitted, f"{path} is admitted")
        assert told[0].is_success, told[0].text
        return told[0].json()

    @functools.cached_property
    def _writer(self) -> str:
        """A key of its own: what it writes is not `current` to the mirror's."""
        return str(self.mutate("add_key"))

    def churn(self, per_second: float) -> None:
        """People at work in the account until `quiet`."""
        self.stage.control(
            "churn/start", per_second=per_second, mix=TOLD_MIX, accounts=[self.account]
        )

    def requests(self, path: str = LISTED, *, since: float = 0.0) -> list[dict[str, Any]]:
        """Requests of this account's pages of one list, of one method exactly."""
        found = self.stage.oracle(f"requests?account={self.account}&path={path}&since={since}")
        return [request for request in found["requests"] if request["path"] == path]

    # --- the mirror

    @property
    def environment(self) -> dict[str, str]:
        return {
            "SYNC_DATABASE_URL": self.stage.served_url_of(self.database),
            "SYNC_REDIS_URL": self.stage.servers.redis_url,
            "SYNC_SECRET_KEY": self.key.text().get_secret_value(),
            "SYNC_RATE_LIMIT": f"{self.rate:g}",
            "SYNC_FEED_SECONDS": "1",
            "SYNC_TEST_SCALE": f"{self.scale:g}",
        }

    def add_store(
        self, account_name: str = "", *, api_key: str = "", only: tuple[str, ...] = ()
    ) -> int:
        """Add a store as the command does, and queue its first load; `only` names resources."""
        account_name = account_name or self.open_account()
        told_key = self.stage.control(f"{account_name}/add_key")["result"]
        services = self.services()
        try:
            api = Session(
                services.client,
                Account(self.stage.sandbox.url, told_key),
                store_id=0,
                limiter=None,
                draw=lambda: dt.datetime.now(dt.UTC),
            )
            told = account.look_up(api, url=self.stage.sandbox.url)
            with services.engine.begin() as connection:
                store_id: int = connection.execute(
                    sa.text(
                        "INSERT INTO sync.store (name, url, account, api_key, key_fingerprint,"
                        " zone, currency, site_access, sites, scopes) VALUES (:name, :url,"
                        " :account, '', '', :zone, :currency, :access, :sites, :scopes)"
                        " RETURNING id"
                    ),
                    {
                        "name": account_name,
                        "url": self.stage.sandbox.url,
                        "account": told.account,
                        "zone": told.zone,
                        "currency": told.currency,
                        "access": told.access.site_access,
                        "sites": told.access.sites and list(told.access.sites),
                        "scopes": told.access.scopes and list(told.access.scopes),
                    },
                ).scalar_one()
                sealed = vault.seal(api_key or told_key, key=self.key, store_id=store_id)
                connection.execute(
                    sa.text("UPDATE sync.store SET api_key = :key WHERE id = :id"),
                    {"key": sealed, "id": store_id},
                )
                stores.register(connection, [store_id], RESOURCES.values())
                if only:
                    connection.execute(
                        sa.text(
                            "UPDATE sync.coverage SET selected = false"
                            " WHERE store_id = :id AND resource <> ALL(:only)"
                        ),
                        {"id": store_id, "only": list(only)},
                    )
                    connection.execute(
                        sa.text(
                            "DELETE FROM sync.crawl WHERE store_id = :id AND resource <> ALL(:only)"
                        ),
                        {"id": store_id, "only": list(only)},
                    )
                    lanes.set_lanes(connection, store_id)
        finally:
            services.client.close()
            services.engine.dispose()
        if not self.store_id:
            self.store_id, self.account = store_id, account_name
        return store_id

    def services(self) -> Services:
        settings = Settings(
            database_url=self.stage.served_url_of(self.database),  # type: ignore[arg-type]
            redis_url=self.stage.servers.redis_url,  # type: ignore[arg-type]
            secret_key=self.key.text(),
        )
        return Services(settings, threading.Event())

    def start(
        self, name: str, *arguments: str, app: str = "sync", more: Mapping[str, str] | None = None
    ) -> Program:
        """A celery process."""
        log = self.folder / f"{len(self.programs)}-{name}.log"
        home = {n: v for n, v in os.environ.items() if not n.startswith("SYNC_")}
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", app, *arguments],
                env=home | self.environment | dict(more or {}),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        program = Program(name, process, log)
        self.programs.append(program)
        return program

    def worker(self, fault: str = "", *, app: str = "sync") -> Program:
        """A worker; with `point:n[:action]` it strikes itself there."""
        more = {"SYNC_TEST_FAULT": fault} if fault else {}
        node = f"w{next(_numbers)}@%h"
        return self.start("worker", "worker", "-Q", "feeds,crawls", "-n", node, app=app, more=more)

    def beat(self, *, app: str = "sync") -> Program:
        return self.start("beat", "beat", "--pidfile=", app=app)

    def connect(self) -> Connection:
        return self.stage.servers.postgres.connect(self.database)

    def ask(self, sql: str, *binds: Any) -> list[tuple[Any, ...]]:
        """Rows of a statement; [] while Postgres is out of reach.

        By one connection for as long as it lasts: to log in costs more than what is asked.
        """
        for _ in range(2):
            try:
                if self._asking is None:
                    self._asking = self.connect()
                cursor = self._asking.execute(sql, binds)  # type: ignore[arg-type]
                return cursor.fetchall() if cursor.description else []
            except psycopg.OperationalError:
                self.hang_up()
        return []

    def hang_up(self) -> None:
        """Forget the connection of `ask`."""
        if self._asking is not None:
            self._asking.close()
            self._asking = None

    def value(self, sql: str, *binds: Any) -> Any:
        rows = self.ask(sql, *binds)
        return rows[0][0] if rows else None

    def wait(self, condition: Callable[[], bool], what: str, *, seconds: float = 60.0) -> None:
        """Poll a condition; what the processes said comes with the failure."""
        try:
            wait_until(lambda: condition() or self._require_no_bug(), seconds=seconds, what=what)
        except Exception as error:
            raise AssertionError(f"{error}\n{self.said()}") from None

    def _require_no_bug(self) -> bool:
        """Nothing mends a task that fails by a bug, so fail at once. False otherwise."""
        for program in self.programs:
            if program.is_buggy():
                text = program.text()
                raise AssertionError(text[max(text.index(BUG.decode()) - 9_000, 0) :])
        return False

    def wait_pages(self, pages: int, resource: str = "orders") -> None:
        """Wait until so many pages of a first load are committed."""
        self.wait(lambda: self.pages_done(resource) >= pages, f"{pages} pages of {resource}")

    def pages_done(self, resource: str = "orders") -> int:
        found = self.value(
            "SELECT coalesce(sum(pages_done), 0) FROM sync.crawl"
            " WHERE store_id = %s AND resource = %s",
            self.store_id,
            resource,
        )
        return int(found or 0)

    def committed(self, resource: str = "orders") -> dict[tuple[str, str], int]:
        """Windows by their days, and the last page of each that is committed."""
        rows = self.ask(
            "SELECT coalesce(first_day::text, ''), coalesce(last_day::text, ''), last_page"
            " FROM sync.window WHERE store_id = %s AND resource = %s",
            self.store_id,
            resource,
        )
        return {(row[0], row[1]): row[2] for row in rows}

    def struck(self) -> None:
        """The fault is over: the time to exactness counts from here."""
        self.began = time.monotonic()

    def quiet(self) -> dt.datetime:
        """Nobody works in the account from here on; this moment by Postgres's clock."""
        self.stage.control("churn/stop")
        self.wait(
            lambda: self.stage.oracle(self.account)["pending"] == 0, "no save is under way any more"
        )
        self.wait(lambda: bool(self.ask("SELECT 1")), "Postgres serves")
        moment = self.value("SELECT clock_timestamp()")
        assert isinstance(moment, dt.datetime)
        return moment

    def behind(self, moment: dt.datetime) -> list[tuple[Any, ...]] | None:
        """Resources that are not complete as of the moment; dictionaries only have to be."""
        if not self.ask("SELECT 1"):
            return None
        return self.ask(
            "SELECT v.resource, v.state, v.complete_as_of FROM crm.coverage AS v"
            " JOIN sync.coverage AS c USING (store_id, resource) WHERE v.store_id = %s"
            " AND v.state <> 'disabled' AND"
            " (v.complete_as_of IS NULL OR (c.feed IS NOT NULL AND v.complete_as_of <= %s))",
            self.store_id,
            moment,
        )

    def in_doubt(self) -> list[tuple[Any, ...]] | None:
        """Resources that are in doubt, or are still compared because they were."""
        if not self.ask("SELECT 1"):
            return None
        return self.ask(
            "SELECT resource, 'in doubt' FROM sync.doubt WHERE store_id = %s"
            " AND accepted_at IS NULL UNION SELECT resource, 'compared' FROM sync.crawl"
            " WHERE store_id = %s AND deep AND state IN ('pending', 'running')",
            self.store_id,
            self.store_id,
        )

    def exact(self, *, seconds: float = EXACT_SECONDS) -> float:
        """Wait until coverage says everything is complete as of now; seconds since `struck`.

        What was in doubt has been compared, too: `settle` finds every crawl done.
        """
        moment = self.quiet()
        last: list[Any] = [None]
        looked_at = 0.0

        def is_complete() -> bool:
            nonlocal looked_at
            if time.monotonic() - looked_at < LOOK_SECONDS:  # what is watched needs the machine
                return False
            looked_at = time.monotonic()
            last[0] = self.behind(moment)
            if last[0] == []:
                last[0] = self.in_doubt()
            return last[0] == [] or self._require_no_bug()

        try:
            wait_until(is_complete, seconds=seconds, what="the mirror is complete")
        except Exception as error:
            raise AssertionError(f"{error}\n{last[0]}\n{self.lanes()}\n{self.said()}") from None
        return time.monotonic() - (self.began or time.monotonic())

    def lanes(self) -> list[tuple[Any, ...]]:
        return self.ask(
            "SELECT resource, lane, due_at - now(), lease_until - now(), attempts, error"
            " FROM sync.lane WHERE store_id = %s AND (error IS NOT NULL OR attempts > 0"
            " OR parked_at IS NOT NULL)",
            self.store_id,
        )

    def settle(self) -> Verdict:
        """End the processes that still run, and compare the mirror with the oracle."""
        for program in self.programs:
            if program.runs:
                program.process.terminate()
        for program in self.programs:
            assert program.process.wait(30) in (0, -signal.SIGKILL), program.text()[-3000:]
        with self.connect() as connection:
            return judge(connection, self.store_id, self._told())

    def _told(self) -> Told:
        stage, name = self.stage, self.account
        collections = COLLECTIONS.values()
        return Told(
            stage.oracle(name),
            {each: stage.lines(f"{name}/{each}") for each in collections},
            {each: stage.oracle(f"{name}/{each}/deleted") for each in collections},
            {each: stage.lines(f"{name}/history/{each}") for each in HISTORIES.values()},
            {each: stage.oracle(f"{name}/reference/{each}") for each in DICTIONARIES.values()},
        )

    def walked_again(self, committed: dict[tuple[str, str], int], *, since: float) -> list[str]:
        """Pages asked for after a moment although they were committed at that moment."""
        return [
            f"page {page} of {days}, {last} were committed"
            for days, page in self.pages_asked(since=since)
            for last in [committed.get(days, 0)]
            if page <= last
        ]

    def pages_asked(self, *, since: float = 0.0) -> list[tuple[tuple[str, str], int]]:
        """The windows' pages of orders that were asked for, in order, with repetitions."""
        found = []
        for request in self.requests(since=since):
            params = request["params"]
            days = params.get("filter") or {}
            if params.get("limit") == "100" and "ids" not in days:
                window = (days.get("createdAtFrom", ""), days.get("createdAtTo", ""))
                found.append((window, int(params.get("page", 1))))
        return found

    def turn(self, **knobs: Any) -> None:
        self.stage.control("knobs", **knobs)

    def said(self) -> str:
        """The last words of every process."""
        return "\n".join(
            f"--- {program.log.name} (status {program.process.poll()})\n{program.text()[-2500:]}"
            for program in self.programs
        )

    def end(self) -> None:
        """End every process, also one that is stopped."""
        self.hang_up()
        for program in self.programs:
            if program.runs:
                program.process.kill()
                program.process.wait()


@contextlib.contextmanager
def rigged(stage: Stage, folder: Path) -> Iterator[Rig]:
    """A scenario on a stage that is made fresh for it."""
    name = f"scenario_{next(_numbers)}"
    with stage.servers.postgres.connect("postgres") as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")
        # What was committed must survive a crash of the server, as it does in production.
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = on")
    stage.servers.valkey.flush()
    stage.quieten()
    rig = Rig(stage, folder, name, vault.Key.generate())
    try:
        yield rig
    finally:
        rig.end()
        stage.quieten()
        with stage.servers.postgres.connect("postgres") as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
