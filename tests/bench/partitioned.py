"""Orders, their items and their history, plain and partitioned by store: loads and the queries.

Eight stores share a million orders. The same tables are asked and written first as they are, then
divided by a hash of the store: what ops/docs/partitioning.md tells comes from here.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from itertools import chain

import sqlalchemy as sa

from sync.crm.decode import decode
from sync.declare.moments import zone_of
from sync.embedded import Servers
from sync.records.normalise import Normaliser
from sync.rows import children, upsert
from sync.rows.sql import upsert_sql
from tests.bench import analysts
from tests.bench.parts import ORDERS, ZONE, bodies
from tests.bench.stage import Figure, Stage, cpu_of

STORES = PARTITIONS = 8
TABLES = ("orders", "order_items", "order_history")
WAS_THERE = ", t.xmax <> 0"
"""What an upsert of a partitioned table may not return."""


def build(servers: Servers) -> Stage:
    """An account's orders, copied to all stores by turns."""
    stage = Stage(servers, "bench_partitioned")
    store = analysts.mirror(stage)
    for number in range(2, STORES + 1):
        stage.add_store(f"https://127.0.0.{number}", "", zone=ZONE, name=f"demo{number}")
    analysts.multiply(stage, store, stores=STORES)
    return stage


def divide(stage: Stage) -> None:
    """Put partitioned tables in the place of the plain ones, below all views."""
    with stage.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        run = connection.exec_driver_sql
        run("SET statement_timeout = 0")
        run("SET search_path = pg_catalog")
        views = run(
            "SELECT oid::regclass::text, pg_get_viewdef(oid), reloptions FROM pg_class"
            " WHERE relkind = 'v' AND relnamespace IN ('crm'::regnamespace, 'sync'::regnamespace)"
            " ORDER BY oid"
        ).all()
        for table in TABLES:
            run(
                f"CREATE TABLE crm.{table}_parts (LIKE crm.{table} INCLUDING ALL)"
                " PARTITION BY HASH (store_id)"
            )
            for number in range(PARTITIONS):
                run(
                    f"CREATE TABLE crm.{table}_{number} PARTITION OF crm.{table}_parts"
                    f" FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {number})"
                )
            run(f"INSERT INTO crm.{table}_parts SELECT * FROM crm.{table}")
            run(f"ALTER TABLE crm.{table} RENAME TO {table}_plain")
            run(f"ALTER TABLE crm.{table}_parts RENAME TO {table}")
        for name, definition, options in views:  # a view is older than those that read it
            written = f" WITH ({', '.join(options)})" if options else ""
            connection.execute(
                sa.text(
                    f"CREATE OR REPLACE VIEW {name}{written} AS {definition}".replace(":", "\\:")
                )
            )
        for table in TABLES:
            run(f"DROP TABLE crm.{table}_plain")
        run("VACUUM ANALYZE")


def writes(stage: Stage) -> dict[str, float]:
    """CPU milliseconds of one backend for 1,000 orders: new ones, then the same again."""
    normaliser = Normaliser(ORDERS, zone_of(ZONE), ZONE)
    now = dt.datetime.now(dt.UTC)
    rows = [normaliser.batch(decode(body), as_of=now).rows for body in bodies()]
    pages = [list(chain(*rows[n : n + 4])) for n in range(0, len(rows), 4)]
    sql = upsert_sql(ORDERS).replace(WAS_THERE, "")
    took = {}
    with stage.engine.connect() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        connection.exec_driver_sql(
            "DELETE FROM crm.orders WHERE store_id > 1 AND id <= 2000;"
            " DELETE FROM crm.order_items WHERE store_id > 1 AND order_id <= 2000"
        )
        connection.commit()
        for what in ("new orders", "orders written again"):
            began = cpu_of(pid)
            for store in range(2, STORES + 1):
                for page in pages:
                    connection.exec_driver_sql(sql, upsert.sent_rows(ORDERS, store, page)).all()
                    children.replace(connection, ORDERS, store, page)
                    connection.commit()
            orders = (STORES - 1) * sum(len(page) for page in pages)
            took[what] = (cpu_of(pid) - began) * 1e6 / orders
            later = now + dt.timedelta(days=1)
            pages = [[replace(each, as_of=later) for each in page] for page in pages]
    return took


def asked(stage: Stage, role: str) -> dict[str, float | None]:
    """Seconds of every query and look-up for a reader of everything."""
    mine = f"store_id = {1 + 100 % STORES}"  # of the order that is looked up
    every = [
        *analysts.questions(),
        *(replace(each, sql=each.sql.replace("store_id = 1", mine))
          for each in analysts.look_ups(stage)),
        analysts.Asked("orders of all stores by month", "SELECT date_trunc('month', created_on),"
                       " count(*), sum(total_summ) FROM crm.orders GROUP BY 1"),
    ]  # fmt: skip
    with analysts.session(stage, role, None) as connection:
        return {each.name: analysts.ask(connection, each.sql) for each in every}


def measure(stage: Stage, role: str) -> tuple[dict[str, float], dict[str, float | None]]:
    """What writes cost and queries take, as the tables are now."""
    return writes(stage), asked(stage, role)


def figures(
    plain: tuple[dict[str, float], dict[str, float | None]],
    divided: tuple[dict[str, float], dict[str, float | None]],
) -> list[Figure]:
    """Both beside each other."""
    return [
        *(
            Figure(f"CPU of Postgres for 1,000 {what}",
                   f"plain {plain[0][what]:.0f} ms, partitioned {divided[0][what]:.0f} ms", "")
            for what in plain[0]
        ),
        *(
            Figure(name, f"plain {analysts.told(seconds)},"
                   f" partitioned {analysts.told(divided[1][name])}", "")
            for name, seconds in plain[1].items()
        ),
    ]  # fmt: skip


def partitioned(servers: Servers) -> list[Figure]:
    """Build, measure, divide, measure."""
    stage = build(servers)
    plain = measure(stage, "plain")
    divide(stage)
    return figures(plain, measure(stage, "divided"))
