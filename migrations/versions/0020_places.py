"""Places of a worker: what a store holds is counted where lanes are claimed

Revision: 0020, after 0019.
Additive only, but for an index of `sync.lane`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

ANSWERING = "unknown until its store has answered once; no since a slice had no answer; yes"
DUE = sa.text("enabled AND parked_at IS NULL")
HELD = sa.text("holder IS NOT NULL OR claimed_until IS NOT NULL")


def upgrade() -> None:
    # The lanes that exist are of stores that answer; of those added later it is not known yet.
    op.add_column(
        "lane",
        sa.Column("answering", sa.Text, nullable=False, server_default="yes", comment=ANSWERING),
        schema="sync",
    )
    op.alter_column("lane", "answering", server_default="unknown", schema="sync")
    op.create_check_constraint(
        "lane_answering_known", "lane", "answering IN ('unknown', 'no', 'yes')", schema="sync"
    )
    op.drop_index("lane_due", "lane", schema="sync")
    op.create_index(
        "lane_due", "lane", ["lane", "answering", "due_at"], schema="sync", postgresql_where=DUE
    )
    op.create_index("lane_held", "lane", ["lane"], schema="sync", postgresql_where=HELD)
    op.add_column(
        "heartbeat",
        sa.Column("places", sa.BigInteger, comment="lanes of this queue that it works on at once"),
        schema="sync",
    )
    table = op.create_table(
        "dispatch",
        sa.Column("lane", sa.Text, primary_key=True, comment="feed or walk"),
        schema="sync",
        comment="A row for each kind of lanes, locked by whoever claims some: one at a time",
    )
    op.bulk_insert(table, [{"lane": "feed"}, {"lane": "walk"}])


def downgrade() -> None:
    op.drop_table("dispatch", schema="sync")
    op.drop_column("heartbeat", "places", schema="sync")
    op.drop_index("lane_held", "lane", schema="sync")
    op.drop_index("lane_due", "lane", schema="sync")
    op.create_index("lane_due", "lane", ["lane", "due_at"], schema="sync", postgresql_where=DUE)
    op.drop_constraint("lane_answering_known", "lane", schema="sync")
    op.drop_column("lane", "answering", schema="sync")
