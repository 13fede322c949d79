"""Tables kept up with orders, against the views that define them."""

from __future__ import annotations

import sqlalchemy as sa

from sync.schema.kept import KEPT


def assert_kept(connection: sa.Connection) -> None:
    """What is kept is what the definition gives for all rows, of every store."""
    for table in KEPT:
        kept, defined = table.name, table.name.removeprefix("kept_")
        differing = connection.exec_driver_sql(
            f"(SELECT 'stale', * FROM (TABLE crm.{kept} EXCEPT ALL TABLE sync.{defined}) AS k)"
            f" UNION ALL"
            f" (SELECT 'lacking', * FROM (TABLE sync.{defined} EXCEPT ALL TABLE crm.{kept}) AS d)"
        ).all()
        assert not differing, (kept, differing[:5])
