"""Databases made from others, by another one of the same server."""

from __future__ import annotations

import psycopg
import sqlalchemy as sa


def administer(url: str, *statements: str) -> None:
    """Run statements about databases, from another one of the same server."""
    other = sa.make_url(url).set(drivername="postgresql", database="postgres")
    with psycopg.connect(other.render_as_string(hide_password=False), autocommit=True) as server:
        for statement in statements:
            server.execute(statement.encode())


def copying(url: str, template: str) -> str:
    """Return the statement that makes the database of a URL as a copy of another."""
    # FILE_COPY: in memory 15 ms for 2,100 files, WAL_LOG 36; on a disk 250 and 76.
    name = sa.make_url(url).database
    return f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"
