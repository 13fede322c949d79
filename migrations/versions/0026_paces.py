"""How fast crawls go, how many requests they were expected to take, and signs of beat

Revision: 0026, after 0025.
Additive only.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_ZERO = sa.text("0")
EXPECTED = "requests it was expected to take before it was planned; NULL where nobody asked"
BEAT = "when it last took what beat sends to this queue at fixed intervals"


def upgrade() -> None:
    op.add_column(
        "heartbeat",
        sa.Column("beat_at", sa.DateTime(timezone=True), comment=BEAT),
        schema="sync",
    )
    op.add_column(
        "crawl",
        sa.Column("pages_expected", sa.BigInteger, comment=EXPECTED),
        schema="sync",
    )
    op.create_table(
        "pace",
        sa.Column(
            "store_id",
            sa.BigInteger,
            primary_key=True,
            autoincrement=False,
            comment="sync.store.id",
        ),
        sa.Column(
            "resource",
            sa.Text,
            primary_key=True,
            comment="Resource.name; empty for all first loads of the store together",
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="when it was sampled"),
        sa.Column(
            "pages",
            sa.BigInteger,
            nullable=False,
            server_default=_ZERO,
            comment="pages read until then",
        ),
        sa.Column(
            "per_second",
            sa.Float,
            comment="pages a second of late; NULL before the second sample",
        ),
        sa.Column(
            "seconds",
            sa.Float,
            nullable=False,
            server_default=_ZERO,
            comment="time measured so far",
        ),
        schema="sync",
        comment="Pages a second that open crawls read of late: what estimates of the time left are"
        " made from",
    )


def downgrade() -> None:
    op.drop_column("heartbeat", "beat_at", schema="sync")
    op.drop_table("pace", schema="sync")
    op.drop_column("crawl", "pages_expected", schema="sync")
