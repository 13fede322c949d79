"""How far a worker's clock is from Postgres's

Revision: 0022, after 0021.
Additive only.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

AHEAD = "its clock minus Postgres's; NULL before its second beat"
CLAIMED = "a task has been sent for it; from then on it is sent again"
CLAIMED_BEFORE = "a task has been sent for it that expires then"


def upgrade() -> None:
    op.add_column("worker", sa.Column("ahead_seconds", sa.Float, comment=AHEAD), schema="sync")
    op.alter_column("lane", "claimed_until", schema="sync", comment=CLAIMED)


def downgrade() -> None:
    op.alter_column("lane", "claimed_until", schema="sync", comment=CLAIMED_BEFORE)
    op.drop_column("worker", "ahead_seconds", schema="sync")
