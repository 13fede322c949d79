"""The list of erased persons belongs to the account, and outlives its store

Revision: 0019, after 0018.
Additive only. Reasons of rejects quote no values any more; values stand beside them. Which account
an entry of an earlier release belongs to is its store's.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

NOTES = {
    "store_id": (
        "sync.store.id",
        "sync.store.id when it was added; below 0 when the account was not mirrored then",
    ),
    "digest": (
        "salted hash of resource and key",
        "salted hash of resource and key, or of a phone or e-mail",
    ),
    "resource": ("Resource.name", "Resource.name, phone or email"),
}


def upgrade() -> None:
    op.add_column(
        "suppressed",
        sa.Column(
            "account",
            sa.Text,
            nullable=False,
            server_default="",
            comment="sync.store.account, whose list outlives the store",
        ),
        schema="sync",
    )
    op.create_index("suppressed_by_account", "suppressed", ["account", "digest"], schema="sync")
    op.execute(
        "UPDATE sync.suppressed AS t SET account = s.account FROM sync.store AS s"
        " WHERE s.id = t.store_id"
    )
    # Reasons of earlier releases quote the first characters of the value.
    op.execute("UPDATE sync.reject SET reason = split_part(reason, ', got ', 1)")
    for column, (_, note) in NOTES.items():
        op.alter_column("suppressed", column, schema="sync", comment=note)


def downgrade() -> None:
    for column, (note, _) in NOTES.items():
        op.alter_column("suppressed", column, schema="sync", comment=note)
    op.drop_index("suppressed_by_account", "suppressed", schema="sync")
    op.drop_column("suppressed", "account", schema="sync")
