"""Comments that hid something: before which discount, and where a task's performer is

Revision: 0035, after 0034.
"""

from __future__ import annotations

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

SUMM = (
    "items before the order''s discount, in currency [summ]",
    "items at initial prices, before every discount, in currency [summ]",
)
NOTES = {
    "orders.summ": SUMM,
    "order_versions.summ": SUMM,
    "tasks.performer_id": (
        "user it is for [performerId]",
        "mostly empty: the id is in performer [performerId]",
    ),
}


def upgrade() -> None:
    for column, (_, note) in NOTES.items():
        op.execute(f"COMMENT ON COLUMN crm.{column} IS '{note}'")


def downgrade() -> None:
    for column, (before, _) in NOTES.items():
        op.execute(f"COMMENT ON COLUMN crm.{column} IS '{before}'")
