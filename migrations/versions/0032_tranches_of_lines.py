"""Lines of orders worth what their tranches tell, worked out in one pass

Revision: 0032, after 0031.
Readers of crm.order_lines wait for a moment, and only here: what takes long is a revision of its own.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1]
FILES = ("revisions/0032/order_lines",)


def upgrade() -> None:
    _run((FOLDER / "revisions/0032/order_lines.sql").read_text("utf-8"))


def downgrade() -> None:
    before = (FOLDER / "revisions/0018/order_lines.sql").read_text("utf-8")
    _run(before.replace("CREATE VIEW", "CREATE OR REPLACE VIEW"))


def _run(sql: str) -> None:
    """Execute SQL as it stands; without parameters % and : are just characters."""
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
