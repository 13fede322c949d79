"""Logins of the service that do not own the schema: what migrations cannot grant by default.

Workers and the status page may log in by roles of their own (ops/postgres/roles.sh). Workers get
all tables by default privileges. The status page gets what is listed here, and no more: no
encrypted API key, nothing of erased persons, and of `crm` the coverage alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import sqlalchemy as sa

from sync.database.engine import reading
from sync.database.patience import Patience, Say, warn
from sync.database.quoting import quoted

SHOWN: Mapping[str, str] = {
    "act": "SELECT, INSERT",
    "alembic_version": "SELECT",
    "budget_use": "SELECT",
    "coverage": "SELECT, UPDATE",
    "crawl": "SELECT, INSERT, UPDATE",
    "doubt": "SELECT",
    "ended_session": "SELECT, INSERT, DELETE",
    "feed": "SELECT",
    "heartbeat": "SELECT",
    "lane": "SELECT, UPDATE",
    "notification": "SELECT",
    "nudge": "SELECT, UPDATE",
    "pace": "SELECT",
    "parked_page": "SELECT",
    "reject": "SELECT",
    "reread": "SELECT",
    "sample": "SELECT",
    "store": "UPDATE (enabled)",
    "unknown_field": "SELECT",
    "window": "SELECT, DELETE",
    "worker": "SELECT",
}
"""The rights of pages, which show, and of their buttons, which write, by table of `sync`."""
SECRET = {"store": ("api_key",)}
"""Columns of a table of which all others are shown."""

# Readers never get USAGE on sync (sync/privacy/readers.py), so who has it serves. Workers read crm.
_LOGINS = """
SELECT r.rolname FROM pg_roles AS r
WHERE r.rolcanlogin AND NOT r.rolsuper AND has_schema_privilege(r.oid, 'sync', 'USAGE')
  AND NOT pg_has_role(r.oid, (SELECT nspowner FROM pg_namespace WHERE nspname = 'sync'), 'MEMBER')
  AND has_table_privilege(r.oid, 'sync.lane', 'UPDATE')
  AND NOT (has_schema_privilege(r.oid, 'crm', 'USAGE')
           AND has_table_privilege(r.oid, 'crm.orders', 'SELECT'))
"""
_GRANTED = """
SELECT a.privilege_type, c.relname, NULL FROM pg_class AS c, aclexplode(c.relacl) AS a
WHERE c.relnamespace = 'sync'::regnamespace AND c.relkind <> 'S'
  AND a.grantee = to_regrole(quote_ident(%(role)s))
UNION ALL
SELECT a.privilege_type, c.relname, t.attname
FROM pg_class AS c JOIN pg_attribute AS t ON t.attrelid = c.oid, aclexplode(t.attacl) AS a
WHERE c.relnamespace = 'sync'::regnamespace AND a.grantee = to_regrole(quote_ident(%(role)s))
"""
_COLUMNS = """
SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0
AND NOT attisdropped
"""
_DEFAULTS = """
SELECT FROM pg_default_acl AS d, aclexplode(d.defaclacl) AS a
WHERE d.defaclnamespace = 'sync'::regnamespace
  AND d.defaclrole = (SELECT oid FROM pg_roles WHERE rolname = current_user)
  AND a.grantee = to_regrole(quote_ident(%s))
"""
Privilege = tuple[str, str, str | None]
"""A right, the table of `sync`, and the column; None for the whole table."""


def settle_logins(engine: sa.Engine, *, say: Say = warn) -> None:
    """Give each login of the status page its rights, and take all others of `sync`; idempotent."""
    with reading(engine) as connection:
        roles = connection.exec_driver_sql(_LOGINS).scalars().all()
    for role in roles:
        Patience(engine, say).run(partial(_settle, role=role), what=f"the login {role}")


def _settle(connection: sa.Connection, *, role: str) -> None:
    connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA crm TO {quoted(role)}")
    connection.exec_driver_sql(f"GRANT SELECT ON crm.coverage TO {quoted(role)}")
    # Made with the roles, before there were tables: else the next table would be theirs whole.
    if connection.exec_driver_sql(_DEFAULTS, (role,)).first() is not None:
        for kind in ("TABLES", "SEQUENCES"):
            connection.exec_driver_sql(
                f"ALTER DEFAULT PRIVILEGES IN SCHEMA sync REVOKE ALL ON {kind} FROM {quoted(role)}"
            )
        connection.exec_driver_sql(
            f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA sync FROM {quoted(role)}"
        )
    wanted = _wanted(connection)
    for what, table, column in sorted(_granted(connection, role) - wanted, key=str):
        connection.exec_driver_sql(f"REVOKE {_on(what, table, column)} FROM {quoted(role)}")
    # Asked again: what is revoked of a table is revoked of its columns.
    for what, table, column in sorted(wanted - _granted(connection, role), key=str):
        connection.exec_driver_sql(f"GRANT {_on(what, table, column)} TO {quoted(role)}")


def _wanted(connection: sa.Connection) -> set[Privilege]:
    found: set[Privilege] = set()
    for table, words in SHOWN.items():
        for word in words.split(", "):
            what, _, column = word.partition(" ")
            found.add((what, table, column.strip("()") or None))
    for table, hidden in SECRET.items():
        columns = connection.exec_driver_sql(_COLUMNS, (f"sync.{table}",)).scalars()
        found |= {("SELECT", table, column) for column in columns if column not in hidden}
    return found


def _granted(connection: sa.Connection, role: str) -> set[Privilege]:
    rows = connection.exec_driver_sql(_GRANTED, {"role": role})
    return {(what, table, column) for what, table, column in rows}


def _on(what: str, table: str, column: str | None) -> str:
    return f"{what}{'' if column is None else f' ({quoted(column)})'} ON sync.{quoted(table)}"
