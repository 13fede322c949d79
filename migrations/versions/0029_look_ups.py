"""Indexes for look-ups by people and for readers of changes

Revision: 0029, after 0028.
Built while tables are readable; writers wait. A million orders with their items, histories and
customers take about a minute.
"""

from __future__ import annotations

from collections.abc import Iterator

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

BY_COLUMN = {
    "orders": ("number", "external_id", "status", "created_at", "phone", "email"),
    "order_items": ("offer_id",),
    "customers": ("external_id", "email"),
    "customer_phones": ("number",),
}
TEXTS = frozenset({"number", "external_id", "status", "phone", "email"})
# In the order in which workers write: a history before its records, records before their lists.
BY_CHANGE = (
    "corporate_customer_history", "corporate_customer_notes", "corporate_customers",
    "corporate_customer_tags", "costs", "cost_sites", "customer_history", "customer_notes",
    "customers", "customer_phones", "customer_tags", "customer_segments", "files",
    "file_attachments", "loyalty_accounts", "order_history", "orders", "order_items",
    "order_payments", "pack_history", "packs", "task_history", "tasks",
)  # fmt: skip
LONGEST = 500  # characters, as sync/declare/kinds.py has it from now on


def upgrade() -> None:
    # All at first: a try that meets a writer ends before any index is built, and waits for nobody
    # who waits for it.
    tables = ", ".join(f"crm.{table}" for table in BY_CHANGE)
    _run(f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE")
    for table, columns in BY_COLUMN.items():
        for column in TEXTS & {*columns}:
            # No index can hold it; from now on it is rejected, and `raw` has it in any case.
            _run(f'UPDATE crm.{table} SET "{column}" = NULL WHERE length("{column}") > {LONGEST}')
    for name, table, column in _indexes():
        op.create_index(name, table, ["store_id", column], schema="crm")


def downgrade() -> None:
    for name, table, _ in _indexes():
        op.drop_index(name, table, schema="crm")


def _indexes() -> Iterator[tuple[str, str, str]]:
    for table, columns in BY_COLUMN.items():
        for column in columns:
            yield f"{table}_by_{column}", table, column
    for table in BY_CHANGE:
        yield f"{table}_by_change", table, "change_no"


def _run(sql: str) -> None:
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
