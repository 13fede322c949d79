"""The cost of each part of 1,000 orders: CPU of this process, and of Postgres, apart.

Each part is done alone and again, and the least of its times counts: other work on the machine only
adds. Their sum is less than the cost of a load, which also plans, counts, sends and keeps leases.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any

import orjson
import sqlalchemy as sa

from sync.crm.decode import decode
from sync.declare import Resource
from sync.declare.moments import zone_of
from sync.embedded import Servers
from sync.records import jsonb
from sync.records.normalise import Normaliser, Row, digest_of
from sync.resources import RESOURCES
from sync.rows import children, kept, upsert
from sync.rows.sql import upsert_sql
from sync.schema.kept import KEPT
from tests.bench.orders import orders
from tests.bench.stage import Figure, Stage, cpu_of

PAGES, PAGE = 20, 100
REPEATS = 7
ZONE = "Europe/Moscow"
ORDERS = RESOURCES["orders"]


def bodies() -> list[bytes]:
    """Pages of orders under ids of their own, as a server sends them."""
    records = orders()
    many = [{**records[n % len(records)], "id": n + 1} for n in range(PAGES * PAGE)]
    return [orjson.dumps(many[n : n + PAGE]) for n in range(0, len(many), PAGE)]


def _least(work: Callable[[], Any], clock: Callable[[], float] = time.process_time) -> float:
    """The least milliseconds for 1,000 orders."""
    times = []
    for _ in range(REPEATS):
        began = clock()
        work()
        times.append(clock() - began)
    return min(times) * 1e6 / (PAGES * PAGE)


def parts(servers: Servers) -> list[Figure]:
    """The parts of a page's way, from its body to the row."""
    sent = bodies()
    pages = [decode(body) for body in sent]
    normaliser = Normaliser(ORDERS, zone_of(ZONE), ZONE)
    encoded = [jsonb.storable(record) for page in pages for record in page]
    childless = Normaliser(_without_children(), zone_of(ZONE), ZONE)
    now = dt.datetime.now(dt.UTC)
    rows = [normaliser.batch(page, as_of=now).rows for page in pages]
    all_of = _least(lambda: [normaliser.batch(page, as_of=now) for page in pages])
    children = all_of - _least(lambda: [childless.batch(page, as_of=now) for page in pages])
    encoding = _least(lambda: [jsonb.storable(record) for page in pages for record in page])
    hashing = _least(lambda: [digest_of(each.raw, b"salt", None) for each in encoded])
    ours = {
        "decode": _least(lambda: [decode(body) for body in sent]),
        "encode raw, search it": encoding,
        "hash": hashing,
        "columns of orders": all_of - children - encoding - hashing,
        "columns of children": children,
        "JSON for Postgres": _least(lambda: [_documents(page) for page in rows]),
    }
    theirs = _of_postgres(Stage(servers, "bench_parts"), rows)
    return [
        Figure(f"1,000 orders, {who}: {part}", f"{milliseconds:.0f} ms", "")
        for who, found in (("worker", ours), ("Postgres", theirs))
        for part, milliseconds in found.items()
    ]


def _without_children() -> Resource:
    paths = tuple((child.path, "left out") for child in ORDERS.children)
    return replace(ORDERS, children=(), raw_only=(*ORDERS.raw_only, *paths))


def _documents(page: list[Row]) -> None:
    upsert.sent_rows(ORDERS, 1, page)
    for index in range(len(ORDERS.children)):
        children.sent(ORDERS, page, index)


def _of_postgres(stage: Stage, rows: list[list[Row]]) -> dict[str, float]:
    """The CPU of one backend for each statement of new orders, four pages a transaction."""
    together = [list(chain(*rows[n : n + 4])) for n in range(0, len(rows), 4)]
    with stage.engine.connect() as connection:
        whole = _written(connection, together)
        with stage.engine.begin() as other:
            indexes = other.exec_driver_sql(
                "SELECT indexname FROM pg_indexes WHERE schemaname = 'crm' AND tablename IN"
                " ('orders', 'order_items', 'order_payments') AND indexname NOT LIKE '%%_pkey'"
            )
            for name in indexes.scalars().all():
                other.exec_driver_sql(f'DROP INDEX crm."{name}"')
        without = _written(connection, together)
    return {
        "orders": whole["orders"],
        "of these, indexes besides the key": whole["orders"] - without["orders"],
        "children": whole["children"],
        "what is kept up with orders": whole["kept"],
    }


def _written(connection: sa.Connection, pages: list[list[Row]]) -> dict[str, float]:
    """The least milliseconds of the statements for 1,000 orders, into empty tables."""
    pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    connection.commit()
    best = {"orders": 1e9, "children": 1e9, "kept": 1e9}
    tables = ", ".join(
        ["crm.orders", "crm.order_items", "crm.order_payments", *(f"crm.{t.name}" for t in KEPT)]
    )
    for _ in range(3):
        connection.exec_driver_sql(f"TRUNCATE {tables}")
        connection.commit()
        took = dict.fromkeys(best, 0.0)
        for page in pages:
            keys = [row.key for row in page]
            with kept.following(connection, ORDERS, 1, keys) as written:
                began = cpu_of(pid)
                sent = upsert.sent_rows(ORDERS, 1, page)
                connection.exec_driver_sql(upsert_sql(ORDERS), sent).all()
                between = cpu_of(pid)
                children.replace(connection, ORDERS, 1, page)
                ended = cpu_of(pid)
                written.update(keys)
            took["kept"] += cpu_of(pid) - ended
            connection.commit()
            took["orders"] += between - began
            took["children"] += ended - between
        best = {name: min(best[name], 1e6 * took[name] / (PAGES * PAGE)) for name in best}
    return best
