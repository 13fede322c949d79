"""A store's title: its name for people, of any text

Revision: 0036, after 0035.
Additive only.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1]
FILES = ("revisions/0036/store_titles",)
COMMENT = "its name for people, of any text; NULL where none was given"


def upgrade() -> None:
    op.add_column("store", sa.Column("title", sa.Text, comment=COMMENT), schema="sync")
    for file in FILES:
        _run((FOLDER / f"{file}.sql").read_text("utf-8"))


def downgrade() -> None:
    _run("DROP VIEW crm.store_titles")
    op.drop_column("store", "title", schema="sync")


def _run(sql: str) -> None:
    """Execute a file's statements in one go; without parameters % and : are just characters."""
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
