"""Which egress address a process that consumes a queue sends from

How often feeds are looked at follows from the addresses that work at them, however many there are.

Revision: 0010, after 0009.
Additive only: a process of the release before notes itself without it, and counts for no address.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "heartbeat",
        sa.Column("egress", sa.Text(), comment="SYNC_EGRESS: the address it sends from"),
        schema="sync",
    )


def downgrade() -> None:
    op.drop_column("heartbeat", "egress", schema="sync")
