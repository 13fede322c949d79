"""The metadata of all tables, and the columns that tables share."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

METADATA = sa.MetaData()
"""The metadata; complete once `crm`, `service` and `crawls` are imported (everything.py)."""

NOW = sa.text("now()")
ZERO = sa.text("0")

VERSIONED = {"orders": "order_versions", "customers": "customer_versions"}
"""Resources whose earlier contents a store may keep, with the table of these contents."""


def timestamp(name: str, comment: str, **options: Any) -> sa.Column[Any]:
    """Return a column for a moment, in UTC."""
    return sa.Column(name, sa.DateTime(timezone=True), comment=comment, **options)


def store_id(comment: str = "crm.store.store_id") -> sa.Column[Any]:
    """Return the column of a row's store, the first column of every key."""
    return sa.Column(
        "store_id", sa.BigInteger, primary_key=True, autoincrement=False, comment=comment
    )


def change_no() -> sa.Column[Any]:
    """Return the column by which readers follow changes in the order of their commits."""
    return sa.Column(
        "change_no",
        sa.BigInteger,
        nullable=False,
        server_default=sa.text("sync.change_no()"),
        comment="number of the change that made it so; see crm.changes",
    )


def ours(name: str, comment: str, *items: Any) -> sa.Table:
    """Return a table in `sync`."""
    return sa.Table(name, METADATA, *items, schema="sync", comment=comment)


def text(name: str, comment: str, **options: Any) -> sa.Column[Any]:
    """Return a text column."""
    return sa.Column(name, sa.Text, comment=comment, **options)


def count(name: str, comment: str, **options: Any) -> sa.Column[Any]:
    """Return a column for a number that begins at 0."""
    merged: dict[str, Any] = {"nullable": False, "server_default": ZERO} | options
    return sa.Column(name, sa.BigInteger, comment=comment, **merged)


def resource(comment: str = "Resource.name") -> sa.Column[Any]:
    """Return the column of a row's resource, part of the key."""
    return sa.Column("resource", sa.Text, primary_key=True, comment=comment)


def serial() -> sa.Column[Any]:
    """Return an `id` column that Postgres numbers."""
    return sa.Column(
        "id", sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="our own number"
    )


def owner() -> list[sa.Column[Any]]:
    """Return the columns of a row's store and resource, for tables with a key of their own."""
    return [
        sa.Column("store_id", sa.BigInteger, nullable=False, comment="sync.store.id"),
        sa.Column("resource", sa.Text, nullable=False, comment="Resource.name"),
    ]
