"""What a row was before a write: held before it, as on every Postgres, or told by 18's RETURNING.

Pages of orders that are all there and all changed, by the two ways in turn, on the same rows.
"""

from __future__ import annotations

import datetime as dt
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as sa

from sync.crm.decode import decode
from sync.declare.moments import zone_of
from sync.embedded import Servers
from sync.records.normalise import Normaliser, Row
from sync.rows import upsert
from sync.rows.sql import upsert_sql
from tests.bench.parts import ORDERS, PAGE, PAGES, ZONE, bodies
from tests.bench.stage import Figure, Stage, cpu_of

ROUNDS = 15
_HELD = "t.xmax <> 0"
_TOLD = "old.id IS NOT NULL, old.deleted_at IS NULL"


def returning(servers: Servers) -> list[Figure]:
    """Postgres's CPU and the time of both ways, for 1,000 changed orders without their children."""
    normaliser = Normaliser(ORDERS, zone_of(ZONE), ZONE)
    began = dt.datetime.now(dt.UTC)
    pages = [normaliser.batch(decode(body), as_of=began).rows for body in bodies()]
    found: dict[str, list[tuple[float, float]]] = {"held": [], "told": []}
    with Stage(servers, "bench_returning").engine.connect() as connection:
        for number in range(2 * ROUNDS + 2):
            sent = [
                [replace(row, as_of=began + dt.timedelta(seconds=number)) for row in page]
                for page in pages
            ]
            way = ("held", "told")[number % 2]
            took = _written(connection, sent, is_held=way == "held")
            if number > 1:  # the first round of each fills the tables and caches
                found[way].append(took)
    figures = []
    for n, what in enumerate(("Postgres's CPU", "time")):
        held, told = ([each[n] for each in found[way]] for way in ("held", "told"))
        ratio = statistics.median(a / b for a, b in zip(held, told, strict=True))
        figures.append(
            Figure(
                f"1,000 changed orders, {what}: rows held before the write; told by RETURNING old",
                f"{statistics.median(held):.1f} and {statistics.median(told):.1f} ms"
                f" (median of {ROUNDS} pairs {ratio:.2f} ×)",
                "",
            )
        )
    return figures


def _written(
    connection: sa.Connection, pages: Sequence[Sequence[Row]], *, is_held: bool
) -> tuple[float, float]:
    """Write pages, a transaction each; milliseconds of CPU and of time for 1,000 orders."""
    pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    connection.commit()
    statement = upsert_sql(ORDERS) if is_held else upsert_sql(ORDERS).replace(_HELD, _TOLD)
    cpu, began = cpu_of(pid), time.perf_counter()
    for page in pages:
        sent = upsert.sent_rows(ORDERS, 1, page)
        if is_held:
            held = upsert.hold(connection, ORDERS, 1, [row.key for row in page])
            rows = connection.exec_driver_sql(statement, sent)
            assert len(list(upsert.written(rows, held))) == PAGE
        else:
            assert len(connection.exec_driver_sql(statement, sent).all()) == PAGE
        connection.commit()
    share = 1e6 / (PAGES * PAGE)
    return (cpu_of(pid) - cpu) * share, (time.perf_counter() - began) * share
