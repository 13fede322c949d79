"""Every kind of drift is named where it is kept

Revision: 0013, after 0012.
Additive only: a comment.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

BEFORE = "shrank, grew, repeated, beyond_end, endless or order"
AFTER = "shrank, grew, repeated, beyond_end, endless, order or gap (ops/runbook.md)"


def say(comment: str, *, instead_of: str) -> None:
    """Comment the column."""
    op.alter_column(
        "drift",
        "kind",
        existing_type=sa.Text(),
        existing_nullable=False,
        comment=comment,
        existing_comment=instead_of,
        schema="sync",
    )


def upgrade() -> None:
    say(AFTER, instead_of=BEFORE)


def downgrade() -> None:
    say(BEFORE, instead_of=AFTER)
