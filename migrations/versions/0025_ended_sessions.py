"""Sessions of the status page that were logged out, also for a page that is started again

Revision: 0025, after 0024.
Additive only.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ended_session",
        sa.Column(
            "number",
            sa.BigInteger,
            primary_key=True,
            autoincrement=False,
            comment="what its cookie says",
        ),
        sa.Column(
            "ends_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when it is over anyway, and this row may go",
        ),
        schema="sync",
        comment="Sessions of the status page that were logged out before their end",
    )


def downgrade() -> None:
    op.drop_table("ended_session", schema="sync")
