"""Nudges of accounts, and what people did

Revision: 0027, after 0026.
Additive only.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_ZERO, _NOW, _NONE = sa.text("0"), sa.text("now()"), sa.text("'{}'")


def upgrade() -> None:
    op.create_table(
        "nudge",
        sa.Column(
            "store_id",
            sa.BigInteger,
            primary_key=True,
            autoincrement=False,
            comment="sync.store.id",
        ),
        sa.Column(
            "digest", sa.LargeBinary, nullable=False, comment="hash of the secret in the URL"
        ),
        _moment("made_at", "when the secret was made", nullable=False, server_default=_NOW),
        _count("came", "nudges that came"),
        _count("acted", "looks that were made sooner because of them"),
        _moment("last_at", "when the last one came"),
        _ids("orders", "orders named, to be read first"),
        _ids("customers", "customers named, to be read first"),
        sa.UniqueConstraint("digest", name="nudge_digest"),
        schema="sync",
        comment="Stores whose account calls a URL when something changed, and the records it named"
        " last",
    )
    op.create_table(
        "act",
        sa.Column(
            "id",
            sa.BigInteger,
            sa.Identity(always=True),
            primary_key=True,
            comment="our own number",
        ),
        _moment("at", "when", nullable=False, server_default=_NOW),
        _text("who", "name of the token, or of the login of this machine", nullable=False),
        _text("source", "page or command", nullable=False),
        _text("address", "address of the client; NULL for commands"),
        _text("store", "its name then; empty for all", nullable=False),
        _text("what", "retry, approve, backfill …", nullable=False),
        _text("detail", "resources, days and the like", nullable=False),
        sa.CheckConstraint("source IN ('page', 'command')", name="act_source_known"),
        schema="sync",
        comment="What people did, by command or on the status page",
    )
    op.create_index("act_at", "act", ["at"], schema="sync")
    op.create_table(
        "sample",
        sa.Column(
            "store_id",
            sa.BigInteger,
            primary_key=True,
            autoincrement=False,
            comment="sync.store.id; 0 for the service",
        ),
        sa.Column(
            "at", sa.DateTime(timezone=True), primary_key=True, comment="the quarter it is of"
        ),
        sa.Column("lag_seconds", sa.Float, comment="longest lag of a feed"),
        _count("rows_written", "rows written until then"),
        _count("granted", "requests granted until then"),
        _count("waited_ms", "milliseconds they waited for their slots"),
        _count("refused", "requests the API answered with 503 or 429"),
        sa.Column("memory_bytes", sa.BigInteger, comment="of the worker that sampled"),
        schema="sync",
        comment="A week of figures by store, a row each quarter of an hour; store 0 is the service"
        " itself",
    )
    op.create_index("sample_at", "sample", ["at"], schema="sync")


def downgrade() -> None:
    op.drop_table("sample", schema="sync")
    op.drop_table("act", schema="sync")
    op.drop_table("nudge", schema="sync")


def _count(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=_ZERO, comment=comment)


def _moment(name: str, comment: str, **options: object) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), comment=comment, **options)


def _text(name: str, comment: str, **options: object) -> sa.Column[object]:
    return sa.Column(name, sa.Text, comment=comment, **options)


def _ids(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.dialects.postgresql.ARRAY(sa.BigInteger),
        nullable=False,
        server_default=_NONE,
        comment=comment,
    )
