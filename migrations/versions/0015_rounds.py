"""Rounds of a crawl without a result, and until when it waits

Revision: 0015, after 0014.
Additive only.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column(
            "not_before",
            sa.DateTime(timezone=True),
            comment="it waits until then; NULL for not at all",
        ),
        sa.Column(
            "rounds",
            sa.BigInteger,
            nullable=False,
            server_default=sa.text("0"),
            comment="rounds without result, in a row",
        ),
        sa.Column(
            "fruitless_since",
            sa.DateTime(timezone=True),
            comment="when the first of them began",
        ),
    ):
        op.add_column("crawl", column, schema="sync")


def downgrade() -> None:
    for name in ("fruitless_since", "rounds", "not_before"):
        op.drop_column("crawl", name, schema="sync")
