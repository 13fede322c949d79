"""Ready views: one definition of a sale, costs counted once, spans in the order of entries

Revision: 0018, after 0017.
Columns are only added, at the end of views. `visible_stores` may run in parallel workers, so that
queries which join `crm.store` or read masked views are planned with them.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1]
CHANGED = ("order_status_spans", "daily_sales", "customer_summary", "order_margin")
NEW = ("order_lines", "buyer_sales")
FILES = tuple(f"revisions/0018/{name}" for name in (*NEW, *CHANGED))


def upgrade() -> None:
    op.create_index("costs_by_order_id", "costs", ["store_id", "order_id"], schema="crm")
    _run("ALTER FUNCTION sync.visible_stores(name) PARALLEL SAFE")
    for file in FILES:
        _run((FOLDER / f"{file}.sql").read_text("utf-8"))


def downgrade() -> None:
    for name in reversed((*NEW, *CHANGED)):
        _run(f"DROP VIEW crm.{name}")
    for name in CHANGED:
        _run((FOLDER / f"views/{name}.sql").read_text("utf-8"))
    _run("ALTER FUNCTION sync.visible_stores(name) PARALLEL UNSAFE")
    op.drop_index("costs_by_order_id", "costs", schema="crm")


def _run(sql: str) -> None:
    """Execute statements as they stand; without parameters % and : are just characters."""
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
