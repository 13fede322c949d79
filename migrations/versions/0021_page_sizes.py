"""Sizes of pages as they come, checkpoints within a page, one look at the access for all

Revision: 0021, after 0020.
Additive only. A window that is being walked goes on: its pages have a hundred records, as before.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_NONE = sa.text("0")
_NOW = sa.text("now()")


def upgrade() -> None:
    op.add_column(
        "window",
        sa.Column(
            "page_size",
            sa.BigInteger,
            nullable=False,
            server_default=sa.text("100"),
            comment="records of a page as page_count and last_page count them, whatever size is"
            " asked for",
        ),
        schema="sync",
    )
    op.add_column(
        "window",
        sa.Column(
            "in_page",
            sa.BigInteger,
            nullable=False,
            server_default=_NONE,
            comment="checkpoint: records committed of the page after last_page",
        ),
        schema="sync",
    )
    _comments(
        last_page="checkpoint: the last page committed whole",
        met_page="place in the window, from 0, of the first of them",
    )
    op.execute("UPDATE sync.met SET page = -page")  # numbers of pages: never a place
    op.create_table(
        "page_size",
        *_key("resource"),
        _count("size", "records asked for in a request"),
        _count("failures", "times in a row that a page was too large"),
        _moment("larger_at", "from when on a larger page is tried", nullable=False),
        sa.Column("reason", sa.Text, nullable=False, comment="how the last larger page failed"),
        _moment("changed_at", "when the size was last changed", nullable=False, default=True),
        schema="sync",
        comment="Lists whose pages do not come at their usual size, with the size that they are"
        " asked in",
    )
    op.create_table(
        "access_look",
        *_key(),
        _moment("asked_at", "send moment of that answer; NULL before the first"),
        sa.Column(
            "answer",
            sa.dialects.postgresql.JSONB,
            comment="the access it told, or the refusal: its kind and message",
        ),
        _moment("next_at", "nobody asks before then", nullable=False, default=True),
        schema="sync",
        comment="The last answer of each store to credentials: one look serves all that wait for"
        " one",
    )


def downgrade() -> None:
    op.drop_table("access_look", schema="sync")
    op.drop_table("page_size", schema="sync")
    op.execute("DELETE FROM sync.met")
    _comments(last_page="checkpoint: the last page committed", met_page="page of the window")
    op.drop_column("window", "in_page", schema="sync")
    op.drop_column("window", "page_size", schema="sync")


def _comments(*, last_page: str, met_page: str) -> None:
    op.alter_column("window", "last_page", schema="sync", comment=last_page)
    op.alter_column("met", "page", schema="sync", comment=met_page)


def _key(*names: str) -> list[sa.Column[object]]:
    store = sa.Column(
        "store_id",
        sa.BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="sync.store.id",
    )
    others = [sa.Column(name, sa.Text, primary_key=True, comment="Resource.name") for name in names]
    return [store, *others]


def _count(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=_NONE, comment=comment)


def _moment(
    name: str, comment: str, *, nullable: bool = True, default: bool = False
) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=nullable,
        server_default=_NOW if default else None,
        comment=comment,
    )
