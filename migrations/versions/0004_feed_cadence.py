"""How often each feed is looked at, and how much it changes

Revision: 0004, after 0003.
Additive only: nothing an analyst's view may stand on is dropped or retyped.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "feed",
        sa.Column(
            "every_seconds",
            sa.Float(),
            comment="interval it is looked at; NULL for SYNC_FEED_SECONDS",
        ),
        schema="sync",
    )
    op.add_column(
        "feed",
        sa.Column(
            "changes_per_second",
            sa.Float(),
            server_default=sa.text("0"),
            nullable=False,
            comment="entries a second, averaged over about an hour",
        ),
        schema="sync",
    )


def downgrade() -> None:
    op.drop_column("feed", "changes_per_second", schema="sync")
    op.drop_column("feed", "every_seconds", schema="sync")
