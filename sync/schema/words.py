"""What tables are made of: the metadata they all belong to, and the columns they share."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

METADATA = sa.MetaData()
"""Whole once `crm`, `service` and `crawls` are imported: `everything.py` does."""

NOW = sa.text("now()")
ZERO = sa.text("0")

VERSIONED = {"orders": "order_versions", "customers": "customer_versions"}
"""Resources whose earlier contents a store may keep, and where."""


def timestamp(name: str, comment: str, **options: Any) -> sa.Column[Any]:
    """A moment, in UTC."""
    return sa.Column(name, sa.DateTime(timezone=True), comment=comment, **options)


def store_id(comment: str = "crm.store.store_id") -> sa.Column[Any]:
    """The store a row belongs to, first in every key."""
    return sa.Column(
        "store_id", sa.BigInteger, primary_key=True, autoincrement=False, comment=comment
    )


def ours(name: str, comment: str, *items: Any) -> sa.Table:
    """A table of ours."""
    return sa.Table(name, METADATA, *items, schema="sync", comment=comment)


def text(name: str, comment: str, **options: Any) -> sa.Column[Any]:
    """A text column."""
    return sa.Column(name, sa.Text, comment=comment, **options)


def count(name: str, comment: str, **options: Any) -> sa.Column[Any]:
    """A number that begins at 0."""
    merged: dict[str, Any] = {"nullable": False, "server_default": ZERO} | options
    return sa.Column(name, sa.BigInteger, comment=comment, **merged)


def resource(comment: str = "Resource.name") -> sa.Column[Any]:
    """The resource a row is about, part of the key."""
    return sa.Column("resource", sa.Text, primary_key=True, comment=comment)


def serial() -> sa.Column[Any]:
    """A number of our own."""
    return sa.Column(
        "id", sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="our own number"
    )


def owner() -> list[sa.Column[Any]]:
    """The store and the resource a row belongs to, outside of its key."""
    return [
        sa.Column("store_id", sa.BigInteger, nullable=False, comment="sync.store.id"),
        sa.Column("resource", sa.Text, nullable=False, comment="Resource.name"),
    ]
