"""Which secret key encrypted an API key, for logins that may not read the encrypted key

Revision: 0023, after 0022.
Additive only.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

COMMENT = "fingerprint of the SYNC_SECRET_KEY that encrypted api_key; empty without a key"


def upgrade() -> None:
    op.add_column(
        "store",
        sa.Column(
            "sealed_under",
            sa.Text,
            sa.Computed("encode(substr(api_key, 2, 4), 'hex'::text)", persisted=True),
            comment=COMMENT,
        ),
        schema="sync",
    )


def downgrade() -> None:
    op.drop_column("store", "sealed_under", schema="sync")
