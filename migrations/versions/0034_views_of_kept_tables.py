"""Status spans and margins shown from the tables that keep them

Revision: 0034, after 0033.
Readers of the two views wait for a moment; nothing that takes long is locked with them.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1]
FILES = ("revisions/0034/rights", "revisions/0034/views")


def upgrade() -> None:
    for name in FILES:
        _run_file(name)


def downgrade() -> None:
    for view in ("order_status_spans", "order_margin"):
        _run_file(f"revisions/0018/{view}")


def _run_file(name: str) -> None:
    """Execute SQL as it stands; without parameters % and : are just characters."""
    sql = (FOLDER / f"{name}.sql").read_text("utf-8")
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
