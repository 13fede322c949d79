"""Statistics of tables that get their first rows: until Postgres has some, it takes ways that walk
all rows of a store for each page.

Autovacuum looks once a minute, in which a first load writes a hundred thousand rows. Without
statistics any index that leads with `store_id` seems as good as the key, and the smallest is taken.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from sync.database.identifiers import crm_name

ENOUGH_ROWS = 50
"""Rows in one write from which statistics are worth the look; autovacuum waits for as many."""


def make(connection: sa.Connection, tables: Iterable[str]) -> None:
    """Analyse those of the tables that never were, with the rows of this transaction.

    Who analyses a table at the same moment does it for us, and is not waited for.
    """
    new = connection.exec_driver_sql(
        "SELECT oid::regclass::text FROM pg_class WHERE oid = ANY(%s::regclass[])"
        " AND reltuples < 0 ORDER BY 1",
        ([crm_name(table) for table in tables],),
    ).scalars().all()  # fmt: skip
    if new:
        connection.exec_driver_sql(f"ANALYZE (SKIP_LOCKED) {', '.join(new)}")
