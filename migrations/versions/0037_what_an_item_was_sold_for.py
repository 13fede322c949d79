"""What an item was sold for, defined once for order lines and for the kept margin

Revision: 0037, after 0036.
Both give what they gave before: nothing is filled anew. Readers of crm.order_lines and writers of
orders wait for a moment.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1]
FILES = ("revisions/0037/item_summ",)


def upgrade() -> None:
    for name in FILES:
        _run(_text(name))


def downgrade() -> None:
    _run(_text("revisions/0032/order_lines"))
    margin = _text("revisions/0033/definitions").partition("CREATE VIEW sync.order_margin")
    _run(f"CREATE OR REPLACE VIEW sync.order_margin{margin[2]}")
    _run("DROP FUNCTION sync.item_summ(jsonb, numeric, numeric, numeric)")


def _text(name: str) -> str:
    return (FOLDER / f"{name}.sql").read_text("utf-8")


def _run(sql: str) -> None:
    """Execute SQL as it stands; without parameters % and : are just characters."""
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
