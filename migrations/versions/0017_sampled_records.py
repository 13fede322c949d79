"""Counts of sampled records, by which a store's lateness bound rises

Revision: 0017, after 0016.
Additive only.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

COLUMNS = {
    "sampled_records": "records sampled of late, of about the last 200",
    "untold_records": "of them changed without an entry that told it",
}


KIND = "shrank, grew, repeated, beyond_end, endless, order or gap ({})"


def upgrade() -> None:
    _comment("ops/docs/runbook.md")
    for name, comment in COLUMNS.items():
        op.add_column(
            "feed",
            sa.Column(name, sa.Float, nullable=False, server_default=sa.text("0"), comment=comment),
            schema="sync",
        )


def downgrade() -> None:
    _comment("ops/runbook.md")
    for name in reversed(COLUMNS):
        op.drop_column("feed", name, schema="sync")


def _comment(page: str) -> None:
    op.alter_column("drift", "kind", schema="sync", comment=KIND.format(page))
