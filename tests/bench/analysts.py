"""What an analyst waits for at a million orders: queries, look-ups, polls of changes.

A sandbox account is mirrored once and multiplied in the database, set by set: each copy has ids of
its own, and days of its own within two years. Each query is asked by a reader of everything, one
limited to the store, and a masked one; the best of three, everything in memory that fits.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import sqlalchemy as sa

from sync.analysts import dictionary
from sync.crm.decode import decode
from sync.declare import Resource, SinceId, SinglePage
from sync.declare.moments import zone_of
from sync.embedded import Servers
from sync.privacy import readers
from sync.records.normalise import Normaliser, records_of
from sync.resources import RESOURCES
from sync.rows.upsert import load
from sync.sandbox import Sandbox
from sync.schema import kept
from sync.state import clock
from tests.bench.stage import Figure, Stage

ORDERS = 1_000_000
SEEDED = 2_000
STEP = 10_000_000
"""Ids of a copy are those of the account and this many more for each copy."""
ZONE = "Europe/Madrid"
MIRRORED = (
    "sites", "statuses", "status_groups", "product_statuses", "users", "cost_items", "warehouses",
    "products", "offers", "inventories", "corporate_customers", "customers", "orders", "costs",
    "order_history",
)  # fmt: skip
IDS = {"id", "order_id", "customer_id", "contact_id", "item_id", "payment_id"}
KEPT = {"order_items": {"offer_id"}, "costs": {"customer_id"}}
SHIFTED = {"created_at", "status_updated_at", "paid_at", "full_paid_at", "date_from", "date_to"}
TEXTS = {
    "orders": {"number", "external_id", "email", "phone"},
    "customers": {"external_id", "email"},
    "customer_phones": {"number"},
}
GROWN = ("customers", "orders", "costs", "order_history")
HOT = "SELECT id, number, email, phone, external_id FROM crm.orders WHERE number IS NOT NULL"


@dataclass(frozen=True)
class Asked:
    """A query, and the seconds it may take for a reader of everything."""

    name: str
    sql: str
    seconds: float = 2.0


def mirror(stage: Stage) -> int:
    """Write what the lists of a sandbox account have; return the store."""
    sandbox = Sandbox(seed=7)
    sandbox.account("demo", zone=ZONE, orders=SEEDED, customers=SEEDED * 3 // 10, products=300)
    store = stage.add_store("https://127.0.0.1", "", zone=ZONE, name="demo")
    for name in MIRRORED:
        resource = RESOURCES[name]
        normaliser = Normaliser(resource, zone_of(ZONE), ZONE)
        for records in _pages(sandbox, resource):
            as_of = clock.draw(stage.engine, store)
            rows = normaliser.batch(records, as_of=as_of).rows
            with stage.engine.begin() as connection:
                load(connection, resource, store, rows)
    return store


def _pages(sandbox: Sandbox, resource: Resource) -> Iterator[list[object]]:
    """The pages of a list as the API gives them."""
    page, since = 1, 0
    while True:
        paged = f"?limit=100&page={page}"
        if isinstance(resource.listing, SinglePage):
            paged = ""
        elif isinstance(resource.listing, SinceId):
            paged = f"?limit=100&filter[sinceId]={since}"
        status, answer = sandbox.get(resource.path + paged)
        assert status == 200, answer
        records = records_of(decode(json.dumps(answer).encode())[resource.answer_key])
        if records:
            yield records
        if isinstance(resource.listing, SinglePage) or len(records) < 100:
            return
        page, since = page + 1, int(records[-1]["id"])


def multiply(stage: Stage, store: int, *, orders: int = ORDERS, stores: int = 1) -> None:
    """Copy the account's records until there are so many orders, to so many stores by turns."""
    copies = orders // SEEDED - 1
    with stage.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql("SET search_path = pg_catalog")
        for name in GROWN:
            for table in RESOURCES[name].tables:
                columns = connection.exec_driver_sql(
                    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
                    " WHERE attrelid = ('crm.' || %s)::regclass AND attnum > 0"
                    " AND NOT attisdropped ORDER BY attnum",
                    (table,),
                ).all()
                names = ", ".join(f'"{column}"' for column, _ in columns)
                values = ", ".join(_value(table, column, kind, stores) for column, kind in columns)
                for first in range(1, copies + 1, 50):
                    last = min(first + 49, copies)
                    connection.exec_driver_sql(
                        f"INSERT INTO crm.{table} ({names}) SELECT {values}"
                        f" FROM generate_series({first}::bigint, {last}) AS k"
                        f" CROSS JOIN crm.{table} AS t"
                        f" WHERE t.store_id = {store} AND {_first_of(table)} < {STEP}"
                        f" ORDER BY k, {_first_of(table)}"
                    )
        connection.exec_driver_sql("VACUUM ANALYZE")
        for table in kept.KEPT:
            defined = table.name.removeprefix("kept_")
            connection.exec_driver_sql(f"INSERT INTO crm.{table.name} SELECT * FROM sync.{defined}")
        connection.exec_driver_sql("VACUUM ANALYZE")


def _first_of(table: str) -> str:
    return {
        "order_items": "t.order_id", "order_payments": "t.order_id", "cost_sites": "t.cost_id",
        "customer_phones": "t.customer_id", "customer_tags": "t.customer_id",
        "customer_segments": "t.customer_id",
    }.get(table, "t.id")  # fmt: skip


def _value(table: str, column: str, kind: str, stores: int) -> str:
    name = f't."{column}"'
    if column == "store_id":
        return f"1 + k %% {stores}" if stores > 1 else name
    if column in IDS - KEPT.get(table, set()) or (column == "cost_id" and table == "cost_sites"):
        return f"{name} + k * {STEP}"
    if column == "change_no":
        return "(SELECT sync.change_no())"
    if column in SHIFTED and kind.startswith("timestamp"):
        return f"{name} - make_interval(days => (k %% 700)::int)"
    if column == "created_on":
        return f"{name} - (k %% 700)::int"
    if column in TEXTS.get(table, set()):
        return f"k || '-' || {name}"
    return name


def questions() -> list[Asked]:
    """Twenty: those of the dictionary that grow with the orders, and what else people ask."""
    files = {path.stem: path.read_text("utf-8").rstrip().rstrip(";")
             for path in sorted(dictionary.QUERIES.glob("*.sql"))}  # fmt: skip
    asked = [Asked(name, sql) for name, sql in files.items() if name[:2] not in ("01", "08", "12")]
    days = "created_on > current_date - 30"
    return [
        *asked,
        Asked(
            "top products of all time",
            "SELECT offer_id, sum(quantity), sum(initial_price * quantity) FROM crm.order_items"
            " WHERE store_id = 1 GROUP BY 1 ORDER BY 3 DESC LIMIT 20",
        ),
        Asked(
            "the same by store name",
            "SELECT i.offer_id, sum(i.quantity) FROM crm.order_items AS i"
            " JOIN crm.store AS s USING (store_id) WHERE s.name = 'demo'"
            " GROUP BY 1 ORDER BY 2 DESC LIMIT 20",
        ),
        Asked(
            "sales by day and site of 30 days",
            f"SELECT created_on, site, count(*), sum(total_summ) FROM crm.orders WHERE store_id = 1"
            f" AND deleted_at IS NULL AND {days} GROUP BY 1, 2",
        ),
        Asked(
            "margin of 30 days",
            "SELECT site, currency, sum(margin) FROM crm.order_margin WHERE store_id = 1"
            f" AND {days} GROUP BY 1, 2",
        ),
        Asked(
            "lines of 30 days by offer, with margin",
            f"SELECT offer_id, sum(summ), sum(margin) FROM crm.order_lines WHERE store_id = 1"
            f" AND is_sale AND {days} GROUP BY 1 ORDER BY 2 DESC LIMIT 20",
        ),
        Asked(
            "time in each status of three orders",
            "SELECT order_id, status, lasted FROM crm.order_status_spans WHERE store_id = 1"
            f" AND order_id IN ({', '.join(str(number * STEP + 1) for number in (1, 20, 300))})",
            0.05,
        ),
        Asked(
            "best customers",
            "SELECT customer_id, total_summ FROM crm.customer_summary WHERE store_id = 1"
            " ORDER BY total_summ DESC NULLS LAST LIMIT 100",
        ),
        Asked(
            "revenue by kind of buyer",
            "SELECT buyer_type, currency, sum(sales), sum(total_summ) FROM crm.buyer_sales"
            " WHERE store_id = 1 GROUP BY 1, 2",
        ),
        Asked(
            "customers by month of registration",
            "SELECT date_trunc('month', created_at), count(*) FROM crm.customers WHERE store_id = 1"
            " AND deleted_at IS NULL GROUP BY 1",
        ),
        Asked(
            "unpaid orders of 30 days",
            "SELECT count(*), sum(o.total_summ) FROM crm.orders AS o WHERE o.store_id = 1"
            f" AND o.deleted_at IS NULL AND o.{days} AND NOT EXISTS (SELECT FROM"
            " crm.order_payments AS p WHERE p.store_id = 1 AND p.order_id = o.id"
            " AND p.status = 'paid')",
        ),
        Asked(
            "changes of a day by field",
            "SELECT field, count(*) FROM crm.order_history WHERE store_id = 1"
            " AND created_at > now() - interval '1 day' GROUP BY 1",
        ),
    ]  # fmt: skip


def look_ups(stage: Stage) -> list[Asked]:
    """One row, or the rows of one thing, by what people have in their hands."""
    [row] = stage.rows(f"{HOT} AND id > {STEP * 100} AND email IS NOT NULL ORDER BY id LIMIT 1")
    by = {"number": row.number, "external_id": row.external_id, "email": row.email,
          "phone": row.phone}  # fmt: skip
    asked = [
        Asked(f"an order by {name}", f"SELECT * FROM crm.orders WHERE store_id = 1 AND {name} ="
              f" '{value}'", 0.02)
        for name, value in by.items() if value is not None
    ]  # fmt: skip
    return [
        *asked,
        Asked("the latest 100 orders", "SELECT number, status, total_summ FROM crm.orders"
              " WHERE store_id = 1 ORDER BY created_at DESC LIMIT 100", 0.02),
        Asked("items of an order", "SELECT * FROM crm.order_items WHERE store_id = 1"
              f" AND order_id = {row.id}", 0.02),
        Asked("the last 50 items of an offer", "SELECT order_id, quantity FROM crm.order_items"
              " WHERE store_id = 1 AND offer_id = 7 ORDER BY order_id DESC LIMIT 50", 0.02),
        Asked("its history", "SELECT * FROM crm.order_history WHERE store_id = 1"
              f" AND order_id = {row.id} ORDER BY id", 0.02),
    ]  # fmt: skip


def polls(stage: Stage) -> list[Asked]:
    """What a reader asks after a hundred orders changed, and their items with them."""
    last = stage.one("SELECT settled_no FROM crm.changes")
    with stage.engine.begin() as connection:
        for table, key in (("orders", "id"), ("order_items", "order_id"), ("customers", "id")):
            connection.exec_driver_sql(
                f"UPDATE crm.{table} SET change_no = (SELECT sync.change_no()) WHERE store_id = 1"
                f" AND {key} IN (SELECT id FROM crm.orders ORDER BY id DESC LIMIT 100)"
            )
    return [
        Asked(
            f"what changed in {table}",
            f"SELECT * FROM crm.{table} WHERE store_id = 1 AND change_no > {last}"
            " AND change_no <= (SELECT settled_no FROM crm.changes WHERE store_id = 1)",
            0.05,
        )
        for table in ("orders", "order_items", "order_history", "customers", "removed_rows")
    ]


def ask(
    connection: psycopg.Connection[object], sql: str, *, times: int = 3, most: float = 60.0
) -> float | None:
    """The best of some askings, in seconds; None when the first took longer than `most`."""
    best = most
    for _ in range(times):
        began = time.perf_counter()
        try:
            connection.execute(sql.encode()).fetchall()
        except psycopg.errors.QueryCanceled:
            return None
        best = min(best, time.perf_counter() - began)
        if best > 5:
            break
    return best


def session(stage: Stage, name: str, stores: list[int] | None) -> psycopg.Connection[object]:
    """A session of a reader made for it; masked, if it is called so."""
    role = f"bench_{name}"
    with stage.servers.postgres.connect("postgres") as connection:
        connection.execute(f"DROP ROLE IF EXISTS {role}".encode())
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'bench'".encode())
    readers.grant(stage.engine, role, store_ids=stores, is_masked=name == "masked")
    url = sa.make_url(stage.url).set(drivername="postgresql", username=role, password="bench")
    made: psycopg.Connection[object] = psycopg.connect(
        url.render_as_string(hide_password=False), autocommit=True
    )
    made.execute("SET statement_timeout = '60s'")
    return made


def measure(stage: Stage, store: int) -> list[Figure]:
    """Ask everything as every reader; a limit to stores is there only for the last of them."""
    every = [*questions(), *look_ups(stage), *polls(stage)]
    took: dict[str, list[float | None]] = {}
    for name, stores in (("plain", None), ("masked", None), ("limited", [store])):
        schema = "crm_masked." if name == "masked" else "crm."
        with session(stage, name, stores) as connection:
            took[name] = [ask(connection, each.sql.replace("crm.", schema)) for each in every]
    figures = []
    for number, asked in enumerate(every):
        plain, masked, limited = (took[name][number] for name in ("plain", "masked", "limited"))
        words = f"plain {told(plain)}, limited {told(limited)}, masked {told(masked)}"
        good = (
            plain is not None and plain <= asked.seconds
            and masked is not None and masked <= max(1.3 * plain, asked.seconds / 4)
        )  # fmt: skip
        figures.append(Figure(asked.name, words, f"≤ {told(asked.seconds)}", good=good))
    return figures


def told(seconds: float | None) -> str:
    """A time as people read it."""
    if seconds is None:
        return "> 60 s"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def analysts(servers: Servers) -> list[Figure]:
    """Build, then ask."""
    stage = Stage(servers, "bench_analysts")
    store = mirror(stage)
    multiply(stage, store)
    return measure(stage, store)
