"""The name of a store's zone: one that this Postgres takes, because analysts write AT TIME ZONE."""

from __future__ import annotations

import psycopg.errors
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from sync.declare.moments import spellings
from sync.errors import NeedsOperator

_UNKNOWN = psycopg.errors.InvalidParameterValue.sqlstate


def name_here(connection: sa.Connection, sent: str) -> str:
    """Return the present name of a zone that an account names; an earlier one on an old server.

    Python's files and those of the server may differ: the image of Postgres 18 has no former names.
    """
    for name in spellings(sent):
        if _is_taken(connection, name):
            return name
    raise NeedsOperator(
        f"This Postgres knows no time zone {sent!r}, which the account is in. Install or update its"
        " time zone files (on Debian the packages tzdata and tzdata-legacy), and restart Postgres"
    )


def _is_taken(connection: sa.Connection, name: str) -> bool:
    try:
        with connection.begin_nested():
            connection.exec_driver_sql("SELECT now() AT TIME ZONE %s::text", (name,)).scalar_one()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _UNKNOWN:
            raise
        return False
    return True
