"""What an operator watches: counts that only grow, use of the budget, notifications

Revision: 0003, after 0002.
Additive only: nothing an analyst's view may stand on is dropped or retyped.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _count(name: str, comment: str) -> sa.Column[int]:
    return sa.Column(
        name, sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment=comment
    )


def _moment(name: str, comment: str, **options: object) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), comment=comment, **options)


def upgrade() -> None:
    op.add_column(
        "lane",
        _count("failures", "failures ever, also those that were followed by success"),
        schema="sync",
    )
    op.add_column(
        "coverage",
        _count("rows_written", "rows inserted, changed, revived or tombstoned, ever"),
        schema="sync",
    )
    op.create_table(
        "budget_use",
        sa.Column("egress", sa.Text(), nullable=False, comment="SYNC_EGRESS"),
        sa.Column("bucket", sa.Text(), nullable=False, comment="default or telephony"),
        sa.Column(
            "store_id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="sync.store.id",
        ),
        _moment("at", "when it was read", nullable=False),
        _count("granted", "requests granted until then"),
        _count("waited_ms", "milliseconds they waited for their slots"),
        _count("refused", "requests the API answered with 503 or 429"),
        sa.PrimaryKeyConstraint("egress", "bucket", "store_id", "at"),
        schema="sync",
        comment="Samples of the request budget's counts, which only grow: the last hours, by store",
    )
    op.create_index("budget_use_at", "budget_use", ["at"], schema="sync")
    op.create_table(
        "notification",
        sa.Column(
            "id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="our own number",
        ),
        sa.Column("store_id", sa.BigInteger(), nullable=False, comment="sync.store.id"),
        sa.Column("kind", sa.Text(), nullable=False, comment="operator or lag"),
        sa.Column(
            "resource",
            sa.Text(),
            nullable=False,
            comment="Resource.name; empty for the store as a whole",
        ),
        sa.Column("text", sa.Text(), nullable=False, comment="what is wrong and what to do"),
        _moment(
            "began_at", "when it was first seen", server_default=sa.text("now()"), nullable=False
        ),
        _moment("ended_at", "when it was gone"),
        sa.Column(
            "told",
            sa.Text(),
            comment="what was delivered last: trouble or recovered; NULL for nothing yet",
        ),
        _moment("told_at", "when"),
        sa.Column(
            "telling",
            sa.Text(),
            comment="what waits to be delivered: trouble or recovered; NULL for nothing",
        ),
        _moment("due_at", "when delivery is tried next"),
        _count("attempts", "deliveries tried of what waits"),
        sa.Column("error", sa.Text(), comment="why the last one failed"),
        sa.CheckConstraint("kind IN ('operator', 'lag')", name="notification_kind_known"),
        sa.CheckConstraint(
            "told IN ('trouble', 'recovered') AND telling IN ('trouble', 'recovered')",
            name="notification_message_known",
        ),
        sa.PrimaryKeyConstraint("id"),
        schema="sync",
        comment=(
            "What an operator is told by webhook: one row for each trouble, from its beginning to"
            " its end"
        ),
    )
    op.create_index(
        "notification_open",
        "notification",
        ["store_id", "kind", "resource"],
        unique=True,
        schema="sync",
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        "notification_due",
        "notification",
        ["due_at"],
        schema="sync",
        postgresql_where=sa.text("telling IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("notification", schema="sync")
    op.drop_table("budget_use", schema="sync")
    op.drop_column("coverage", "rows_written", schema="sync")
    op.drop_column("lane", "failures", schema="sync")
