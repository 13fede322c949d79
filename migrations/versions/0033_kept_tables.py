"""Status spans and margins kept up with orders, so that a query of all of them takes no minute

Revision: 0033, after 0032.
Filled while all is readable, however long it takes; writers wait. A million orders take about a
minute.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1]
VIEWS = ("order_status_spans", "order_margin")
FILES = ("revisions/0033/definitions", "revisions/0033/keep")
# In the order in which workers write: a history before its records, records before their lists.
SOURCES = (
    "corporate_customer_history", "costs", "customer_history", "order_history", "orders",
    "order_items", "pack_history", "task_history",
)  # fmt: skip
HISTORIES = (
    "corporate_customer_history", "customer_history", "order_history", "pack_history",
    "task_history",
)  # fmt: skip
STORE = "crm.store.store_id"
ORDER = "joins crm.orders.id"
DAY = "day the order was made, in the store's zone"


def upgrade() -> None:
    # Who writes while they are filled would not be followed. All at first, as revision 0029 does.
    tables = ", ".join(f"crm.{table}" for table in SOURCES)
    _run(f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE")
    # Ended by a limit, the fill of many orders would begin anew for ever.
    _run("SET LOCAL statement_timeout = 0")
    for name in FILES:
        _run_file(name)
    op.create_table(
        "kept_order_status_spans",
        _id("store_id", STORE),
        _id("order_id", ORDER),
        _id("ordinal", "1 for the order's first status"),
        sa.Column("status", sa.Text, comment="joins crm.statuses.code"),
        _moment("entered_at", "when the order entered the status"),
        _moment("left_at", "when it left; NULL while it is in it"),
        sa.PrimaryKeyConstraint("store_id", "order_id", "ordinal"),
        schema="crm",
        comment="crm.order_status_spans as they are stored; read that view",
    )
    op.create_table(
        "kept_order_margin",
        _id("store_id", STORE),
        _id("order_id", ORDER),
        sa.Column("site", sa.Text, comment="joins crm.sites.code"),
        sa.Column("created_on", sa.Date, comment=DAY),
        sa.Column("status", sa.Text, comment="joins crm.statuses.code"),
        sa.Column("currency", sa.Text, comment="ISO 4217 currency of all amounts but costs"),
        _amount("total_summ", "amount due"),
        _amount("items_summ", "what its items were sold for"),
        _amount("purchase_summ", "the same at purchase prices"),
        sa.Column(
            "items_without_purchase_price",
            sa.BigInteger,
            comment="items of no known purchase price",
        ),
        _amount("delivery_net_cost", "what delivery costs the shop"),
        _amount("costs", "other costs booked on the order, in the account's currency"),
        sa.PrimaryKeyConstraint("store_id", "order_id"),
        schema="crm",
        comment="crm.order_margin without what joins add; read that view",
    )
    for view in VIEWS:
        _run(f"INSERT INTO crm.kept_{view} SELECT * FROM sync.{view}")
    op.create_index(
        "kept_order_margin_by_created_on",
        "kept_order_margin",
        ["store_id", "created_on"],
        schema="crm",
    )
    for table in HISTORIES:
        _run(
            f"CREATE INDEX {table}_by_time ON crm.{table} USING brin (store_id, created_at)"
            " WITH (autosummarize = on)"
        )


def downgrade() -> None:
    for table in HISTORIES:
        op.drop_index(f"{table}_by_time", table, schema="crm")
    for view in VIEWS:
        _run(f"DROP FUNCTION sync.keep_{view}(bigint, bigint[])")
        _run(f"DROP VIEW sync.{view}")
        op.drop_table(f"kept_{view}", schema="crm")


def _id(name: str, comment: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, autoincrement=False, nullable=False, comment=comment)


def _moment(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), comment=comment)


def _amount(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(name, sa.Numeric, comment=comment)


def _run_file(name: str) -> None:
    _run((FOLDER / f"{name}.sql").read_text("utf-8"))


def _run(sql: str) -> None:
    """Execute SQL as it stands; without parameters % and : are just characters."""
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
