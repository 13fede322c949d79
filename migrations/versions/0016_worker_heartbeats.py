"""Heartbeats of processes, which leases live by; odd answers, counted until they are believed

Revision: 0016, after 0015.
Additive only: a process of the release before renews its leases itself, and has no heartbeat.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

NOTES = {
    "lease_until": (
        sa.DateTime(timezone=True),
        "the holder of token may write until then",
        "the lease ends then at the latest, should its holder live so long",
    ),
    "holder": (
        sa.Text(),
        "process that holds the lease",
        "sync.worker.id of the process that holds the lease",
    ),
}


def upgrade() -> None:
    op.create_table(
        "worker",
        sa.Column("id", sa.Text, primary_key=True, comment="a UUID made when the process began"),
        sa.Column("host", sa.Text, nullable=False, comment="its host"),
        sa.Column("pid", sa.BigInteger, nullable=False, comment="its process id there"),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), nullable=False, comment="its first beat"
        ),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False, comment="its last beat"),
        schema="sync",
        comment="Heartbeats of processes that hold leases",
    )
    for column in (
        sa.Column(
            "odd_answer",
            sa.Text,
            comment="kind of answer that is believed when it has come several times",
        ),
        sa.Column(
            "odd_times",
            sa.BigInteger,
            nullable=False,
            server_default=sa.text("0"),
            comment="how often it came since a slice last ended well",
        ),
        sa.Column("odd_since", sa.DateTime(timezone=True), comment="when it came first"),
    ):
        op.add_column("lane", column, schema="sync")
    for name, (kind, before, after) in NOTES.items():
        op.alter_column(
            "lane", name, existing_type=kind, comment=after, existing_comment=before, schema="sync"
        )


def downgrade() -> None:
    for name, (kind, before, after) in NOTES.items():
        op.alter_column(
            "lane", name, existing_type=kind, comment=before, existing_comment=after, schema="sync"
        )
    for name in ("odd_since", "odd_times", "odd_answer"):
        op.drop_column("lane", name, schema="sync")
    op.drop_table("worker", schema="sync")
