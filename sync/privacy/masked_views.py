"""The views of `crm_masked`: every table and ready view of `crm`, with personal data hashed or cut.

`sync.declare.personal` alone says what is personal. A hash is salted with this database's secret,
so that equal values stay equal, join, and reveal nothing. The views run with their owner's rights:
they can read the salt, and their users cannot. Row-level security does not look through them, so
they leave out the stores that a reader may not see themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from sync.database.quoting import literal, quoted
from sync.declare.personal import OPEN_CHANGES, Care, judge
from sync.resources import RESOURCES

SCHEMA = "crm_masked"
_VISIBLE = "t.store_id = ANY (ARRAY(SELECT unnest(sync.visible_stores(current_user::name))))"
_CODES = frozenset(
    (table, field.name)
    for resource in RESOURCES.values()
    for table, fields in (
        (resource.name, resource.fields),
        *((child.name, child.fields) for child in resource.children),
    )
    for field in fields
    if field.kind.name == "code"
)
_VERSIONS = {"order_versions": "orders", "customer_versions": "customers"}
# Views of custom fields are left out: nobody has judged what an account keeps in them.
_RELATIONS = (
    "SELECT c.relname, coalesce('security_invoker=true' = ANY (c.reloptions),"
    " false) OR coalesce('security_invoker=on' = ANY (c.reloptions), false),"
    " pg_get_viewdef(c.oid), obj_description(c.oid, 'pg_class')"
    " FROM pg_class AS c WHERE c.relnamespace = 'crm'::regnamespace"
    " AND c.relkind IN ('r', 'p', 'v')"
    " AND c.relname NOT IN (SELECT name FROM sync.custom_view) ORDER BY 1"
)
_COLUMNS = (
    "SELECT a.attname, format_type(a.atttypid, a.atttypmod),"
    " col_description(a.attrelid, a.attnum) FROM pg_attribute AS a"
    " WHERE a.attrelid = ('crm.' || quote_ident(%s))::regclass AND a.attnum > 0"
    " AND NOT a.attisdropped ORDER BY a.attnum"
)
_SHORT = {"timestamp with time zone": "timestamptz", "time without time zone": "time"}


def build(connection: sa.Connection) -> list[str]:
    """Create or renew every masked view; return their names. Columns are only added, at the end."""
    connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    connection.exec_driver_sql(
        f"COMMENT ON SCHEMA {SCHEMA} IS 'crm with personal data hashed or cut'"
    )
    made = []
    for name, is_invoker, definition, note in connection.exec_driver_sql(_RELATIONS).all():
        columns = connection.exec_driver_sql(_COLUMNS, (name,)).all()
        # A view with its caller's rights is copied: inside ours it would still need those rights.
        source = f"({definition.rstrip().rstrip(';')})" if is_invoker else f"crm.{quoted(name)}"
        shown = ", ".join(
            f"{_expression(name, column, kind)} AS {quoted(column)}" for column, kind, _ in columns
        )
        view = f"{SCHEMA}.{quoted(name)}"
        connection.exec_driver_sql(
            f"CREATE OR REPLACE VIEW {view} WITH (security_barrier) AS"
            f" SELECT {shown} FROM {source} AS t WHERE {_VISIBLE}".replace("%", "%%")
        )
        connection.exec_driver_sql(_comments(view, name, note, columns))
        made.append(name)
    return made


def _expression(table: str, column: str, kind: str) -> str:
    value = f"t.{quoted(column)}"
    sql = short(kind)
    care = judge(table, column, sql, is_code=is_code(table, column)).care
    if care in {Care.OPEN, Care.PLACE}:
        return value
    if care is Care.HASH:
        return (
            "substr(encode(sha256((SELECT salt FROM sync.salt) || convert_to("
            f"{value}, 'UTF8')), 'hex'), 1, 20)"
        )
    if care is Care.YEAR:
        return f"date_trunc('year', {value})::date"
    if care is Care.CHANGE:
        fields = ", ".join(literal(field) for field in OPEN_CHANGES)
        return f"CASE WHEN t.field IN ({fields}) THEN {value} END"
    return f"NULL::{kind}"


def short(kind: str) -> str:
    """Return a type's name as declarations write it."""
    return _SHORT.get(kind, kind)


def is_code(table: str, column: str) -> bool:
    """Tell whether a column is declared a code, not text."""
    return (_VERSIONS.get(table, table), column) in _CODES


def _comments(view: str, table: str, note: str | None, columns: Iterable[Sequence[Any]]) -> str:
    statements = [f"COMMENT ON VIEW {view} IS {literal(note or table)}"]
    for column, kind, about in columns:
        care = judge(table, column, short(kind), is_code=is_code(table, column)).care
        shown = {Care.HASH: "hashed: ", Care.CUT: "cut: ", Care.YEAR: "the year alone: "}
        text = shown.get(care, "") + (about or column)
        statements.append(f"COMMENT ON COLUMN {view}.{quoted(column)} IS {literal(text)}")
    return "; ".join(statements).replace("%", "%%")
