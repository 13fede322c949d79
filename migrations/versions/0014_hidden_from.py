"""When a key was first seen to have lost sites, beside when it was last known to see them

Coverage is held back to the earlier moment. What is absent may be of those sites if it was read before
the later one: between the two nobody knows on which side of the loss a row was read.

Revision: 0014, after 0013.
Additive only: a process of the release before leaves it NULL, which stands for hidden_as_of.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "store",
        sa.Column(
            "hidden_from",
            sa.DateTime(timezone=True),
            comment="when it was first seen not to see them: rows read before may be of them",
        ),
        schema="sync",
    )
    op.execute("UPDATE sync.store SET hidden_from = now() WHERE hidden_sites <> '{}'")


def downgrade() -> None:
    op.drop_column("store", "hidden_from", schema="sync")
