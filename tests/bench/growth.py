"""What does not grow with the mirror: a page's upsert, `status`, `crm.coverage`, the claim."""

from __future__ import annotations

import datetime as dt
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event

import sqlalchemy as sa

from sync.crm.decode import decode
from sync.declare.moments import zone_of
from sync.embedded import Servers
from sync.records.normalise import Normaliser, Row
from sync.resources import RESOURCES
from sync.rows.upsert import load
from sync.settings import Settings
from sync.state import status as look
from sync.state.claims import claim_due
from sync.work import dispatching
from sync.work.services import Services
from tests.bench.stage import Figure, Stage

ROWS = 5_000_000
STORES = 10_000
KEPT = 2_000
PAGES = 40


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def _pages(file: str, *, first_id: int) -> list[list[Row]]:
    """Pages of a hundred orders under rising ids, their items and payments under their own."""
    templates = [json.loads(line) for line in Path(file).read_bytes().splitlines()][:100]
    normaliser = Normaliser(RESOURCES["orders"], zone_of("Europe/Moscow"), "Europe/Moscow")
    now = dt.datetime.now(dt.UTC)
    pages = []
    for page in range(PAGES):
        records = []
        for number, template in enumerate(templates):
            order = first_id + page * 100 + number
            payments = list((template.get("payments") or {}).values())
            record = {
                **template,
                "id": order,
                "items": [{**i, "id": order * 100 + n} for n, i in enumerate(template["items"])],
                "payments": {
                    str(order * 100 + n): {**p, "id": order * 100 + n}
                    for n, p in enumerate(payments)
                },
            }
            records.append(decode(json.dumps(record).encode()))
        pages.append(normaliser.batch(records, as_of=now).rows)
    return pages


def _changed(row: Row) -> Row:
    return replace(row, content_hash=b"changed", as_of=row.as_of + dt.timedelta(seconds=9))


def upserts(servers: Servers, records: str) -> list[Figure]:
    """Pages of new orders, then of the same orders changed, into 5 million rows and into none."""
    stage = Stage(servers, "bench_growth")
    store = stage.add_store("https://127.0.0.1", "")
    took: dict[str, float] = {}
    for size in (0, ROWS):
        if size:
            with stage.engine.begin() as connection:
                connection.exec_driver_sql("SET LOCAL transaction_timeout = 0")
                connection.exec_driver_sql(
                    "INSERT INTO crm.orders (store_id, id, number, status, total_summ, created_at,"
                    " created_on, raw, content_hash, as_of, first_seen_at, changed_at)"
                    f" SELECT {store}, n, n::text, 'new', n, now(), current_date - n::int %% 2000,"
                    " '{}', decode(md5(n::text), 'hex'), now(), now(), now()"
                    f" FROM generate_series(1, {size}) AS n"
                )
            with stage.engine.connect().execution_options(
                isolation_level="AUTOCOMMIT"
            ) as connection:
                connection.exec_driver_sql("SET transaction_timeout = 0")
                connection.exec_driver_sql("VACUUM ANALYZE crm.orders")
        for what in ("new", "changed"):
            pages = _pages(records, first_id=10_000_000 + size)
            times = []
            if what == "changed":
                pages = [[_changed(row) for row in page] for page in pages]
            for each in pages:

                def write(page: list[Row] = each) -> None:
                    with stage.engine.begin() as connection:
                        load(connection, RESOURCES["orders"], store, page)

                times.append(_timed(write))
            took[f"{what} {size}"] = statistics.median(times)
    ratios = {what: took[f"{what} {ROWS}"] / took[f"{what} 0"] for what in ("new", "changed")}
    words = "; ".join(
        f"{what} {took[f'{what} {ROWS}']:.0f} ms ({ratio:.2f} ×)" for what, ratio in ratios.items()
    )
    return [
        Figure(
            f"a page's upsert into {ROWS:,} rows (× that into an empty table)",
            words, "about 1 ×", "–", max(ratios.values()) <= 1.3,
        )
    ]  # fmt: skip


def _many_stores(stage: Stage, count: int) -> None:
    """One registered store, and copies of it."""
    first = stage.add_store("https://127.0.0.1", "")
    with stage.engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL transaction_timeout = 0")
        copied = (
            "INSERT INTO sync.store (name, url, account, api_key, key_fingerprint, zone,"
            " site_access, scopes) SELECT 'shop' || n, url || n, account || n, api_key,"
            f" key_fingerprint, zone, site_access, scopes FROM sync.store,"
            f" generate_series(2, {count}) AS n WHERE id = {first} RETURNING id"
        )
        connection.exec_driver_sql(copied)
        for table in ("coverage", "lane", "crawl"):
            columns = ", ".join(
                f'"{row[0]}"'
                for row in connection.exec_driver_sql(
                    "SELECT column_name FROM information_schema.columns WHERE table_schema = 'sync'"
                    f" AND table_name = '{table}' AND column_name NOT IN ('store_id', 'id')"
                    " AND is_generated = 'NEVER'"
                )
            )
            connection.exec_driver_sql(
                f"INSERT INTO sync.{table} (store_id, {columns}) SELECT s.id, t.*"
                f" FROM sync.store AS s, (SELECT {columns} FROM sync.{table}"
                f" WHERE store_id = {first}) AS t WHERE s.id <> {first}"
            )
    with stage.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in ("store", "coverage", "lane", "crawl"):
            connection.exec_driver_sql(f"VACUUM ANALYZE sync.{table}")


def housekeeping(servers: Servers) -> list[Figure]:
    """2,000 stores as they are declared; then a release that declares one resource otherwise, and
    one that reads every one of them otherwise: a rebuild of each is queued."""
    stage = Stage(servers, "bench_housekeeping")
    _many_stores(stage, KEPT)
    services = Services(Settings.from_env(stage.environment()), Event())
    services.__dict__["engine"] = stage.engine
    longest = 0.0

    @sa.event.listens_for(stage.engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.info["began"] = time.perf_counter()

    @sa.event.listens_for(stage.engine, "commit")
    def commit(connection: sa.Connection) -> None:
        nonlocal longest
        longest = max(longest, time.perf_counter() - connection.info["began"])

    figures = []
    for what, change in (
        ("as declared", "SELECT 1"),
        ("one resource otherwise", "every_seconds = -1 WHERE resource = 'users'"),
        ("all read otherwise", "version = 'older'"),
    ):
        with stage.engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL transaction_timeout = 0")
            sql = change if change.startswith("SELECT") else f"UPDATE sync.coverage SET {change}"
            connection.exec_driver_sql(sql)
        longest = 0.0
        took = _timed(lambda: dispatching.housekeep(services)) / 1000
        found = f"{took:.1f} s; {longest * 1000:.0f} ms"
        figures.append(
            Figure(f"housekeeping of {KEPT:,} stores, {what}: all; its longest transaction",
                   found, "≤ 15 s; ≤ 1 s", "–", took <= 15 and longest <= 1)
        )  # fmt: skip
    return figures


def looks(servers: Servers) -> list[Figure]:
    """`status` of one store, `crm.coverage` of one, and both of all, with 10,000 stores."""
    stage = Stage(servers, "bench_looks")
    _many_stores(stage, STORES)
    order = list(RESOURCES)

    def told() -> None:
        with stage.engine.begin() as connection:
            look.statuses(connection, look.chosen(connection, "bench"), order=order)

    one = statistics.median(_timed(told) for _ in range(5))
    coverage = statistics.median(
        _timed(lambda: stage.rows("SELECT * FROM crm.coverage WHERE store = 'bench'"))
        for _ in range(5)
    )
    everything = _timed(lambda: stage.one("SELECT count(complete_as_of) FROM crm.coverage"))
    count = stage.one("SELECT count(*) FROM sync.coverage")
    return [
        Figure(
            f"{STORES:,} stores ({count:,} rows of coverage): one store's status; its coverage;"
            " all of coverage",
            f"{one:.0f} ms; {coverage:.0f} ms; {everything / 1000:.1f} s", "≤ 100 ms; ≤ 100 ms",
            "–", one <= 100 and coverage <= 100,
        )
    ]  # fmt: skip


def dispatch(servers: Servers) -> list[Figure]:
    """10,000 stores × 60 resources, 600 due: the claim, and the same among 600 lanes in all; then
    with all of them due, a tenth of the stores silent: the claim of the places that are free."""
    stage = Stage(servers, "bench_dispatch")
    claims = []
    for stores in (10, 10_000):
        with stage.engine.begin() as connection:
            connection.exec_driver_sql("TRUNCATE sync.lane")
            connection.exec_driver_sql(
                "INSERT INTO sync.lane (store_id, resource, lane, due_at, answering)"
                " SELECT s, 'r' || r, CASE WHEN r < 6 THEN 'feed' ELSE 'walk' END,"
                " now() + interval '1 hour', 'yes'"
                f" FROM generate_series(1, {stores}) AS s, generate_series(1, 60) AS r"
            )
            connection.exec_driver_sql(
                "UPDATE sync.lane SET due_at = now() - interval '1 second'"
                " WHERE (store_id, resource) IN (SELECT store_id, resource FROM sync.lane"
                " ORDER BY random() LIMIT 600)"
            )
        claims.append(_claimed(stage, places=600, expected=600))
    with stage.engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL transaction_timeout = 0")
        connection.exec_driver_sql(
            "UPDATE sync.lane SET due_at = now() - interval '1 second', claimed_until = NULL,"
            " answering = CASE WHEN store_id %% 10 = 0 THEN 'no' ELSE 'yes' END"
        )
    all_due = [_claimed(stage, places=8 * n, expected=16) for n in range(1, 31)]
    return [
        Figure("dispatch, 10,000 stores × 60 resources, 600 due: the claim",
               f"{claims[1]:.0f} ms ({claims[1] / claims[0]:.1f} × that of 10 stores)", "≤ 100 ms",
               "–", claims[1] <= 100),
        Figure("dispatch, all 600,000 due, a tenth silent: the claim for 16 free places, median",
               f"{statistics.median(all_due):.0f} ms", "≤ 20 ms", "–",
               statistics.median(all_due) <= 20),
    ]  # fmt: skip


def _claimed(stage: Stage, *, places: int, expected: int) -> float:
    """The milliseconds of a claim for so many places of each kind."""
    with stage.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE sync.lane")
    began = time.perf_counter()
    with stage.engine.begin() as connection:
        found = claim_due(connection, lane="feed", places=places)
        found += claim_due(connection, lane="walk", places=places)
    took = (time.perf_counter() - began) * 1000
    assert len(found) == expected, len(found)
    return took
