"""Statistics of tables that get their first rows: until Postgres has some, it takes ways that walk
all rows of a store for each page.

Autovacuum looks once a minute, in which a first load writes a hundred thousand rows. Without
statistics any index that leads with `store_id` seems as good as the key, and the smallest is taken.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

ENOUGH_ROWS = 50
"""Rows in one write from which statistics are worth the look; autovacuum waits for as many."""


def make(connection: sa.Connection, tables: Iterable[str]) -> None:
    """Analyse those of the tables of `crm` that never were, with the rows of this transaction.

    Whoever analyses a table at the same moment does it for us, and is not waited for.
    """
    connection.exec_driver_sql("SELECT sync.make_first_statistics(%s)", (list(tables),))
