"""The running count of live rows: right however two lanes meet at it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from sync.embedded.process import wait_until
from sync.records.loaded import Loaded, Source
from sync.rows.sql import known_sql
from sync.state import coverage
from sync.state.clock import draw
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror

Count = Callable[[Mirror, sa.Connection], None]


def _proven(mirror: Mirror, connection: sa.Connection) -> None:
    as_of = draw(mirror.engine, mirror.store_id)
    coverage.mark_proven(connection, mirror.resources["orders"], mirror.store_id, as_of=as_of)


def _closed(mirror: Mirror, connection: sa.Connection) -> None:
    as_of = draw(mirror.engine, mirror.store_id)
    coverage.mark_pass_complete(
        connection, mirror.resources["orders"], mirror.store_id, complete_as_of=as_of
    )


@pytest.mark.parametrize("count", [_proven, _closed])
def test_rows_a_feed_adds_while_a_walk_counts_are_counted_once(
    open_settled: Open, count: Count
) -> None:
    """The walk waits for the feed's transaction, and counts what is there then."""
    mirror = open_settled()
    before = len(mirror.live("orders"))

    def walk() -> None:
        with mirror.engine.begin() as connection:
            count(mirror, connection)

    with mirror.engine.begin() as feed:
        feed.exec_driver_sql(
            "INSERT INTO crm.orders (store_id, id, as_of, first_seen_at, changed_at)"
            f" VALUES ({mirror.store_id}, 1000001, now(), now(), now())"
        )
        coverage.add_loaded(
            feed, mirror.resources["orders"], mirror.store_id, Loaded(seen=1, inserted=1),
            source=Source.NEWS,
        )  # fmt: skip
        walking = threading.Thread(target=walk)
        walking.start()
        waits = (
            "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        )
        wait_until(lambda: bool(mirror.value(waits)), seconds=30, what="the walk waits")
    walking.join(30)
    assert mirror.value("SELECT count(*) FROM crm.orders WHERE deleted_at IS NULL") == before + 1
    counted = "SELECT mirrored FROM sync.coverage WHERE resource = 'orders'"
    assert mirror.value(counted) == before + 1


def test_a_page_is_looked_up_by_key_in_a_table_postgres_knows_nothing_of(
    open_settled: Open,
) -> None:
    """While a table is filled for the first time it has no statistics: reading all rows of the
    store for each page would make a load quadratic."""
    mirror = open_settled()
    keys = list(range(2_000_000, 2_000_400))
    with mirror.engine.connect() as connection:
        connection.exec_driver_sql(
            "INSERT INTO crm.orders (store_id, id, manager_comment, as_of, first_seen_at,"
            f" changed_at) SELECT {mirror.store_id}, 1000000 + n, (SELECT string_agg("
            "md5((n * m)::text), '') FROM generate_series(1, 60) AS m), now(), now(), now()"
            " FROM generate_series(1, 3000) AS n"  # as large as orders are
        )
        plan = connection.exec_driver_sql(
            "EXPLAIN " + known_sql(mirror.resources["orders"]), (keys, mirror.store_id)
        )
        told = "\n".join(row[0] for row in plan)
    assert "Index Scan using orders_pkey" in told, told
    assert "Seq Scan on orders" not in told, told
