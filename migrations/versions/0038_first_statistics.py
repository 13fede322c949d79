"""First statistics of a table, for workers whose login owns no table

Revision: 0038, after 0037.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1]
FILES = ("revisions/0038/first_statistics",)


def upgrade() -> None:
    for name in FILES:
        _run((FOLDER / f"{name}.sql").read_text("utf-8"))


def downgrade() -> None:
    _run("DROP FUNCTION sync.make_first_statistics(text[])")


def _run(sql: str) -> None:
    """Execute SQL as it stands; without parameters % and : are just characters."""
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
