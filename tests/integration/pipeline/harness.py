"""A store mirrored in this process: a sandbox without sockets, a real Postgres, the real pipeline.

    mirror = Mirror(database, monkeypatch, orders=45, customers=20)
    mirror.settle()                                  # all lanes worked until all is proven
    mirror = settled(url, template, monkeypatch)     # both, of which every test gets a copy
    mirror.account.update_order(7, status="complete")
    mirror.work("order_history", "feed")             # one slice of one lane
    mirror.pass_time(61)                             # for Postgres and the sandbox alike
    mirror.assert_equal_to_oracle()

Requests run through the sandbox's ASGI application in the calling thread, fetches "ahead" too, so
that a test decides what happens between a fetch and its commit (`mirror.wire`).
"""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import functools
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import count
from threading import Event, RLock
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.pool import QueuePool

from sync import vault
from sync.crawl import Days
from sync.crm import Account as Address
from sync.crm import CrmClient
from sync.database import contract
from sync.database.engine import connect
from sync.declare import Resource
from sync.resources import RESOURCES
from sync.sandbox import Account, Sandbox
from sync.sandbox.app import App
from sync.sandbox.clock import Clock
from sync.sandbox.sending import steady
from sync.schema.crm import crm_tables
from sync.settings import Settings
from sync.state import access_looks, crawls, lanes, stores
from sync.state.heartbeat import Heart
from sync.state.lanes import Claim
from sync.work import account as accounts
from sync.work import prefetch, slices
from sync.work.context import Context
from sync.work.failures import ODD_SECONDS, ODD_TIMES
from sync.work.services import Services
from sync.work.session import Session
from sync.work.windows import counts, prove, walk
from tests.databases import administer, copying
from tests.integration.pipeline import typed
from tests.integration.pipeline.kept import assert_kept

URL = "http://127.0.0.1:9"
# Every run begins at the same moment, so that what it finds does not depend on the day it is run;
# the variable has it look at another one, such as 2026-03-01T00:00:30 or the end of a year.
MOMENT = dt.datetime.fromisoformat(
    os.environ.get("MIRROR_TEST_MOMENT", "2026-11-17T09:41:00")
).replace(tzinfo=dt.UTC)
FOLLOWED = {"orders": "order_history", "customers": "customer_history"}


def sandbox_then(seed: int = 7, moment: dt.datetime = MOMENT) -> Sandbox:
    """A CRM whose clock begins at a moment and runs on."""
    clock = Clock()
    clock.advance(moment.timestamp() - time.time())
    return Sandbox(seed=seed, clock=clock)


def small(*names: str, page_size: int = 20) -> dict[str, Resource]:
    """Some resources as declared, in pages so small that a small account has several."""
    wanted = names or ("customers", "customer_history", "orders", "order_history")
    return {
        name: dataclasses.replace(RESOURCES[name], page_size=page_size)
        for name in RESOURCES
        if name in wanted
    }


class Wire(httpx.BaseTransport):
    """The sandbox's application called in place; `before` and `after` may do anything.

    What `after` does happens between the answer and whatever the pipeline makes of it.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self.before: Callable[[httpx.Request], None] | None = None
        self.after: Callable[[httpx.Request], None] | None = None
        self.answers: Callable[[httpx.Request], httpx.Response | None] | None = None
        self.paths: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.paths.append(request.url.raw_path.decode())
        if self.before is not None:
            self.before(request)
        response = self.answers(request) if self.answers is not None else None
        if response is None:
            response = self._answer(request)
        if self.after is not None:
            self.after(request)
        return response

    def _answer(self, request: httpx.Request) -> httpx.Response:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": request.method,
            "path": request.url.path,
            "query_string": request.url.query,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": ("127.0.0.1", 1),
        }
        try:
            _run(self.app(scope, receive, send))
        except ConnectionResetError as error:
            raise httpx.ReadError(str(error), request=request) from error
        start = sent[0]
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return httpx.Response(start["status"], headers=start["headers"], content=body)


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that waits for nothing; without an event loop it takes microseconds."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration:
        return


class InPlace:
    """An executor that runs a job when it is handed in: fetched ahead, in one order."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def submit(self, job: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(job(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def shutdown(self, **_: object) -> None:
        pass


SEARCH_PATH = "testclock, pg_catalog, public"
contract.MEANING = tuple(
    dataclasses.replace(each, value=SEARCH_PATH) if each.name == "search_path" else each
    for each in contract.MEANING
)
TEST_CLOCK = f"""
SET LOCAL search_path = pg_catalog;
CREATE SCHEMA IF NOT EXISTS testclock;
CREATE TABLE testclock.shift AS SELECT interval '0' AS by, NULL::timestamptz AS frozen;
CREATE FUNCTION testclock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS 'SELECT coalesce(s.frozen, pg_catalog.clock_timestamp()) + s.by FROM testclock.shift AS s';
CREATE FUNCTION testclock.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT coalesce(s.frozen, pg_catalog.now()) + s.by FROM testclock.shift AS s';
DO $$
DECLARE item record; text_of text;
BEGIN
    FOR item IN SELECT d.adrelid::regclass AS tab, a.attname FROM pg_attrdef AS d
        JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        WHERE pg_get_expr(d.adbin, d.adrelid) = 'now()' LOOP
        EXECUTE format('ALTER TABLE %%s ALTER %%I SET DEFAULT testclock.now()',
            item.tab, item.attname);
    END LOOP;
    text_of := pg_get_viewdef('sync.claim'::regclass);
    EXECUTE 'CREATE OR REPLACE VIEW sync.claim AS '
        || replace(text_of, 'now()', 'testclock.now()');
    EXECUTE format('ALTER DATABASE %%I SET search_path = {SEARCH_PATH}',
        current_database());
END $$;
"""


class StillHeart(Heart):
    """The heart of a process that a test has live and die."""

    def beating(self, url: str) -> str:
        return self.id


class Mirror:
    """One store in one database, worked on by the real pipeline."""

    def __init__(
        self,
        database: str,
        monkeypatch: pytest.MonkeyPatch | None = None,
        *,
        resources: Mapping[str, Resource] | None = None,
        sandbox: Sandbox | None = None,
        account: Account | None = None,
        orders: int = 45,
        customers: int = 20,
        zone: str = "Europe/Moscow",
        sites: Iterable[str] | None = None,
        since: dt.date | None = None,
        name: str = "demo",
        engine: sa.Engine | None = None,
        threads: bool = False,
        frozen_at: float | None = None,
    ) -> None:
        self.sandbox = sandbox or sandbox_then()
        self.account = account or self.sandbox.account(
            name, zone=zone, orders=orders, customers=customers, products=6, awkward=0
        )
        self.resources = dict(resources or small())
        self.shift = 0.0
        self.frozen_at = frozen_at
        self.cfg = Settings(
            database_url=SecretStr(database), secret_key=vault.Key.generate().text(), feed_seconds=1
        )
        self._open(engine or engine_of(database))
        self._set_clock(self.sandbox.clock.now() - self.now())
        if monkeypatch is not None:
            without_waiting(monkeypatch, threads=threads)
        if self.resources.keys() - RESOURCES.keys():
            metadata = sa.MetaData()
            crm_tables(self.resources, metadata)
            metadata.create_all(self.engine)
        self.store_id = self._add(sites=sites, since=since)

    def _open(self, engine: sa.Engine) -> None:
        """Give the process what it needs to work."""
        self.wire = Wire(App(self.sandbox))
        self.engine = engine
        self._hearts = connect(self.cfg.database_url.get_secret_value(), size=1, name="hearts")
        self.services = Services(self.cfg, Event())
        self.services.__dict__ |= {
            "engine": self.engine,
            "limiter": None,
            "client": CrmClient(transport=self.wire),
        }
        self.services.heart = StillHeart()

    def copied(self, database: str) -> Mirror:
        """The same mirror and account in a database that is a copy, at the moment of `closed_at`.

        The copy's clock is put back by what has passed since.
        """
        made = copy.copy(self)
        lock = RLock()  # the one thing of a sandbox that cannot be copied
        made.sandbox = copy.deepcopy(self.sandbox, {id(self.sandbox.lock): lock})
        made.account = made.sandbox.accounts[self.account.name]
        made.cfg = self.cfg.model_copy(update={"database_url": SecretStr(database)})
        made._open(_shiftable(database))
        made.pass_time(self.closed_at - time.time())
        return made

    def _add(self, *, sites: Iterable[str] | None, since: dt.date | None) -> int:
        api = Session(
            self.services.client,
            Address(URL, self.account.key),
            store_id=0,
            limiter=None,
            draw=lambda: dt.datetime.now(dt.UTC),
        )
        told = accounts.look_up(api, url=URL)
        self.wire.paths.clear()
        with self.engine.begin() as connection:
            store_id: int = connection.execute(
                sa.text(
                    "INSERT INTO sync.store (name, url, account, api_key, key_fingerprint, zone,"
                    " currency, site_access, sites, scopes, chosen_sites, since) VALUES"
                    " (cast(:name AS text) || currval('sync.store_id_seq'), :url, :account, '',"
                    " 'x', :zone, :currency, :access, :sites, :scopes, :chosen, :since)"
                    " RETURNING id"
                ).bindparams(),
                {
                    "name": f"{self.account.name}-",
                    "url": URL,
                    "account": told.account,
                    "zone": told.zone,
                    "currency": told.currency,
                    "access": told.access.site_access,
                    "sites": _list(told.access.sites),
                    "scopes": _list(told.access.scopes),
                    "chosen": _list(sites),
                    "since": since,
                },
            ).scalar_one()
            connection.execute(
                sa.text("UPDATE sync.store SET api_key = :key WHERE id = :id"),
                {
                    "key": vault.seal(
                        self.account.key, key=vault.key_of(self.cfg), store_id=store_id
                    ),
                    "id": store_id,
                },
            )
            stores.register(connection, [store_id], self.resources.values(), load=since is None)
            if since is not None:
                for resource in self.resources.values():
                    days = Days(since, None) if resource.created_field else Days()
                    crawls.queue_crawl(connection, store_id, resource.name, kind="load", days=days)
        return store_id

    def close(self) -> None:
        """Close every connection."""
        self.services.client.close()
        self.engine.dispose()
        self._hearts.dispose()
        self.closed_at = time.time()

    # --- working

    def work(self, resource: str, lane: str) -> None:
        """One slice of a lane, due or not, unless it is parked or held."""
        claim = Claim(self.store_id, resource, lane)  # type: ignore[arg-type]
        with self.process():
            slices.work(claim, self.services, self.resources)

    def believe(self, resource: str, lane: str) -> None:
        """Work a lane as often, and over as long, as an odd answer takes to be believed."""
        for _ in range(ODD_TIMES):
            self.pass_time(ODD_SECONDS)
            self.work(resource, lane)
            if self.lane(resource, lane).odd_answer is None:
                return

    @contextmanager
    def process(self) -> Iterator[Heart]:
        """A process that lives, however much time passes, until the block ends."""
        before, heart = self.services.heart, StillHeart()
        self.services.heart = heart
        self._beat(heart, ahead=dt.timedelta(days=999))
        try:
            yield heart
        finally:
            self._beat(heart, ahead=-dt.timedelta(days=1))
            self.services.heart = before

    def _beat(self, heart: Heart, *, ahead: dt.timedelta) -> None:
        with self._hearts.begin() as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO sync.worker (id, host, pid, started_at, beat_at)"
                    " VALUES (:id, 'test', 1, now(), now() + :ahead)"
                    " ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at"
                ),
                {"id": heart.id, "ahead": ahead},
            )

    def feeds(self) -> None:
        """One turn of every feed."""
        for resource in self.resources.values():
            if resource.is_history:
                self.work(resource.name, "feed")

    def walks(self) -> None:
        """One slice of every walk lane that has something to do."""
        for name in self.resources:
            if self.open_crawls(name):
                self.work(name, "walk")

    def settle(self, *, most: int = 12) -> None:
        """Work until no crawl is open and the feeds have come to rest, a minute later."""
        for _ in range(most):
            self.feeds()
            self.walks()
            if not self.open_crawls():
                break
            self.pass_time(20)
        assert not self.open_crawls(), (
            f"not settled after {most} turns: {self.open_crawls()}, {self.errors()}"
        )
        self.come_to_rest()

    def finish(self, crawl_id: int, *, slices: int = 90, pass_seconds: float = 20) -> None:
        """Slice after slice until a crawl is done; time passes, and the feeds, while it waits."""
        resource = self.crawl(crawl_id).resource
        for _ in range(slices):
            self.work(resource, "walk")
            crawl = self.crawl(crawl_id)
            if crawl.state == "done":
                return
            if crawl.not_before is not None and crawl.not_before.timestamp() > self.now():
                self.pass_time(pass_seconds)
                self.feeds()
        raise AssertionError(f"not done: {self.open_crawls()} {self.errors()}")

    def come_to_rest(self) -> None:
        """What was said a minute ago has been read by head and tail, and every re-read is done."""
        for _ in range(10):
            self.pass_time(61)
            self.feeds()
            if not self._waiting():
                self.pass_time(61)
                self.feeds()
                if not self._waiting():
                    return
        raise AssertionError("records are read again and again")

    def _waiting(self) -> list[Any]:
        """Records that wait to be read again and hold coverage meanwhile."""
        return self.rows(
            "SELECT 1 FROM sync.reread WHERE store_id = :store"
            " AND isfinite(coalesce(since, now())) LIMIT 1"
        )

    def queue(
        self,
        resource: str,
        kind: str = "reconcile",
        *,
        days: tuple[dt.date | None, dt.date | None] = (None, None),
        **options: Any,
    ) -> int:
        """Queue a crawl as the commands do."""
        with self.engine.begin() as connection:
            return crawls.queue_crawl(
                connection,
                self.store_id,
                resource,
                kind=kind,
                asked_by="operator",
                days=Days(*days),
                **options,
            )

    def pass_time(self, seconds: float) -> None:
        """Let time pass, for Postgres and for the CRM."""
        with self.sandbox.lock:
            self.sandbox.clock.advance(seconds)
        self._set_clock(self.shift + seconds)

    def _set_clock(self, shift: float) -> None:
        """Have Postgres's clock differ from this machine's by `shift` seconds."""
        self.shift = shift
        with self.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE testclock.shift SET by = make_interval(secs => %s)", (shift,)
            )

    def now(self) -> float:
        """Seconds since the epoch, by the clock that Postgres and the CRM share."""
        return (time.time() if self.frozen_at is None else self.frozen_at) + self.shift

    @contextmanager
    def between(self, path: str, act: Callable[[], object], *, nth: int = 1) -> Any:
        """Have `act` happen between the nth answer whose URL contains `path` and its commit."""
        left = nth

        def after(request: httpx.Request) -> None:
            nonlocal left
            if path in request.url.raw_path.decode():
                left -= 1
                if left == 0:
                    self.wire.after = None
                    act()

        self.wire.after = after
        yield
        assert left <= 0, f"no request of {path} was answered ({self.wire.paths[-10:]})"
        self.wire.after = None

    # --- looking

    def rows(self, sql: str, **binds: Any) -> list[Any]:
        """Rows of a query; `:store` is this store's id."""
        with self.engine.begin() as connection:
            result = connection.execute(sa.text(sql), {"store": self.store_id, **binds})
            return list(result.all()) if result.returns_rows else []

    def value(self, sql: str, **binds: Any) -> Any:
        """The one value of a query."""
        [row] = self.rows(sql, **binds)
        return row[0]

    def coverage(self, resource: str) -> Any:
        """The row of crm.coverage."""
        [row] = self.rows(
            "SELECT * FROM crm.coverage WHERE store_id = :store AND resource = :r", r=resource
        )
        return row

    def crawl(self, crawl_id: int) -> Any:
        """The row of a crawl."""
        [row] = self.rows("SELECT * FROM sync.crawl WHERE id = :id", id=crawl_id)
        return row

    def lane(self, resource: str, lane: str = "walk") -> Any:
        """The row of a lane."""
        [row] = self.rows(
            "SELECT * FROM sync.lane WHERE store_id = :store AND resource = :r AND lane = :l",
            r=resource,
            l=lane,
        )
        return row

    def open_crawls(self, resource: str | None = None) -> list[Any]:
        """(resource, kind, phase) of crawls that are not done."""
        return self.rows(
            "SELECT resource, kind, phase FROM sync.crawl WHERE store_id = :store"
            " AND state IN ('pending', 'running') AND (cast(:r AS text) IS NULL OR resource = :r)",
            r=resource,
        )

    def errors(self) -> list[Any]:
        """What lanes say went wrong."""
        return self.rows(
            "SELECT resource, lane, error, parked_at FROM sync.lane"
            " WHERE store_id = :store AND error IS NOT NULL"
        )

    def drifts(self, resource: str) -> list[str]:
        """Kinds of drift noted."""
        return [
            row[0]
            for row in self.rows(
                "SELECT kind FROM sync.drift WHERE store_id = :store AND resource = :r ORDER BY id",
                r=resource,
            )
        ]

    def live(self, resource: str) -> dict[int, dict[str, Any]]:
        """Live rows' raw, without what changes unannounced, by id."""
        return {
            row.id: steady(row.raw)
            for row in self.rows(
                f"SELECT id, raw FROM crm.{resource} WHERE store_id = :store AND deleted_at IS NULL"
            )
        }

    def tombstones(self, resource: str) -> dict[int, str]:
        """Reasons of tombstones by id."""
        return dict(
            tuple(row)
            for row in self.rows(
                f"SELECT id, deleted_reason FROM crm.{resource} WHERE store_id = :store"
                " AND deleted_at IS NOT NULL"
            )
        )

    def truth(self, resource: str) -> dict[int, dict[str, Any]]:
        """What the CRM has, by id."""
        return {
            record["id"]: record
            for record in self.sandbox.truth(self.account.name, resource, steady=True)
        }

    def assert_equal_to_oracle(self, *resources: str) -> None:
        """Live rows, their columns and children, tombstones and counts are what the CRM has; what
        is kept up with them is what they give."""
        for name in resources or [name for name in FOLLOWED if name in self.resources]:
            want, have = self.truth(name), self.live(name)
            lost, ghosts = want.keys() - have.keys(), have.keys() - want.keys()
            stale = {
                key: {
                    part: (have[key].get(part), want[key].get(part))
                    for part in have[key].keys() | want[key].keys()
                    if have[key].get(part) != want[key].get(part)
                }
                for key in want.keys() & have.keys()
                if have[key] != want[key]
            }
            wrong = {"lost": sorted(lost), "ghosts": sorted(ghosts), "stale": stale}
            assert wrong == {"lost": [], "ghosts": [], "stale": {}}, name
            live_and_dead = self.tombstones(name).keys() & want.keys()
            assert not live_and_dead, f"{name}: tombstones of living records {live_and_dead}"
            cover = self.coverage(name)
            assert cover.mirrored == len(want), f"{name}: {cover.mirrored} counted, {len(want)} are"
            assert cover.expected == len(want)
            zone = self.value("SELECT zone FROM sync.store WHERE id = :store")
            with self.engine.begin() as connection:
                typed.assert_columns_follow_from_raw(connection, self.store_id, name, zone)
        with self.engine.begin() as connection:
            assert_kept(connection)

    def assert_tombstones(self, resource: str, *, since: float) -> None:
        """Whatever the CRM deleted after a moment is a tombstone with its reason."""
        dead = self.tombstones(resource)
        gone = self.account.collections[resource].gone
        wrong = {
            key: (dead.get(key), about.reason)
            for key, about in gone.items()
            if about.at >= since and dead.get(key) != about.reason
        }
        assert not wrong, f"{resource}: tombstones (have, want) {wrong}"


def _list(values: Iterable[str] | None) -> list[str] | None:
    return None if values is None else list(values)


_SETTLED: dict[tuple[object, ...], tuple[Mirror, str]] = {}


def settled(
    database_url: str, template: str, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> Mirror:
    """A mirror that is loaded and proven, with everything at rest; its options are `Mirror`'s.

    The first test of a process makes it, and every test gets a copy of its database, its account
    and its moment: thirty slices cost more than most rules that begin after them.
    """
    without_waiting(monkeypatch)
    name = sa.make_url(database_url).database
    key = tuple((option, repr(value)) for option, value in sorted(options.items()))
    if key not in _SETTLED:
        administer(database_url, f"DROP DATABASE IF EXISTS {name}", copying(database_url, template))
        first = Mirror(database_url, **options)
        first.settle()
        first.close()
        _SETTLED[key] = first, f"settled_{name}"
        administer(database_url, f"ALTER DATABASE {name} RENAME TO settled_{name}")
    made, kept = _SETTLED[key]
    administer(
        database_url,
        f"DROP DATABASE IF EXISTS {name}",
        copying(database_url, kept),
        f"ALTER DATABASE {name} SET search_path = {SEARCH_PATH}",  # is not copied
    )
    return made.copied(database_url)


def engine_of(database: str) -> sa.Engine:
    """An engine on a database whose clock can be moved on."""
    plain = connect(database, size=6, name="test")
    with plain.begin() as connection:
        connection.exec_driver_sql(TEST_CLOCK)
    plain.dispose()
    return _shiftable(database)


def _shiftable(database: str) -> sa.Engine:
    """An engine on a database that has the test's clock, whose sessions read it."""
    engine = connect(database, size=30, name="test")
    assert isinstance(engine.pool, QueuePool)
    engine.pool._pre_ping = False  # a third of all round trips, and the server is our own
    return engine


def without_waiting(monkeypatch: pytest.MonkeyPatch, *, threads: bool = False) -> None:
    """Nothing sleeps; without `threads` everything happens in the calling one."""
    monkeypatch.setattr(prove, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(counts, "FOLLOW_SECONDS", 0.2)
    monkeypatch.setattr(access_looks, "LEAST_SECONDS", 0.0)
    if not threads:
        monkeypatch.setattr(prefetch, "ThreadPoolExecutor", InPlace)
    monkeypatch.setattr(walk, "in_flight", lambda **_: prefetch.IN_FLIGHT)
    ticks = count()
    # A slice is so long by the number of looks at the clock: the same on a busy machine.
    context = functools.partial(Context, monotonic=lambda: next(ticks) / 100)
    monkeypatch.setattr(slices, "Context", context)


def expire_lease(mirror: Mirror, resource: str, lane: str) -> None:
    """As if the holder had held its lease for as long as it may."""
    mirror.rows(
        "UPDATE sync.lane SET lease_until = clock_timestamp() - interval '1 second'"
        " WHERE store_id = :store AND resource = :r AND lane = :l AND lease_until IS NOT NULL",
        r=resource,
        l=lane,
    )


def take_over(mirror: Mirror, resource: str, lane: str) -> lanes.Lease:
    """Another worker finds the lease expired and takes it."""
    expire_lease(mirror, resource, lane)
    claim = Claim(mirror.store_id, resource, lane)  # type: ignore[arg-type]
    with mirror.engine.begin() as connection:
        taken = lanes.acquire(connection, claim, holder="another")
    assert taken is not None
    return taken
