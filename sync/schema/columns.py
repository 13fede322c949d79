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
    return key("store_id", comment)


def change_no() -> sa.Column[Any]:
    """Return the column by which readers follow changes in the order of their commits."""
    return number(
        "change_no",
        "number of the change that made it so; see crm.changes",
        nullable=False,
        server_default=sa.text("sync.change_no()"),
    )


def ours(name: str, comment: str, *items: Any) -> sa.Table:
    """Return a table in `sync`."""
    return sa.Table(name, METADATA, *items, schema="sync", comment=comment)


def text(name: str, comment: str, **options: Any) -> sa.Column[Any]:
    """Return a text column."""
    return sa.Column(name, sa.Text, comment=comment, **options)


def number(name: str, comment: str, **options: Any) -> sa.Column[Any]:
    """Return a column for a whole number."""
    return sa.Column(name, sa.BigInteger, comment=comment, **options)


def key(name: str, comment: str) -> sa.Column[Any]:
    """Return a whole number of the key, which Postgres does not number."""
    return number(name, comment, primary_key=True, autoincrement=False)


def real(name: str, comment: str, **options: Any) -> sa.Column[Any]:
    """Return a column for a number with a fraction."""
    return sa.Column(name, sa.Float, comment=comment, **options)


def day(name: str, comment: str) -> sa.Column[Any]:
    """Return a column for a day."""
    return sa.Column(name, sa.Date, comment=comment)


def flag(name: str, comment: str, *, default: bool) -> sa.Column[Any]:
    """Return a column for yes or no."""
    usual = sa.true() if default else sa.false()
    return sa.Column(name, sa.Boolean, nullable=False, server_default=usual, comment=comment)


def count(name: str, comment: str, **options: Any) -> sa.Column[Any]:
    """Return a column for a number that begins at 0."""
    merged: dict[str, Any] = {"nullable": False, "server_default": ZERO} | options
    return number(name, comment, **merged)


def resource(comment: str = "Resource.name") -> sa.Column[Any]:
    """Return the column of a row's resource, part of the key."""
    return text("resource", comment, primary_key=True)


def serial() -> sa.Column[Any]:
    """Return an `id` column that Postgres numbers."""
    return sa.Column(
        "id", sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="our own number"
    )


def owner() -> list[sa.Column[Any]]:
    """Return the columns of a row's store and resource, for tables with a key of their own."""
    return [
        number("store_id", "sync.store.id", nullable=False),
        text("resource", "Resource.name", nullable=False),
    ]
