"""The views of `crm_masked`: every table and ready view of `crm`, with personal data hashed or cut.

`sync.declare.personal` alone says what is personal. A ready view is the same query over the masked
tables, so that its codes are codes and what it takes from a hashed column is hashed. A hash is
salted with this database's secret, so that equal values stay equal, join, and reveal nothing. The
views run with their owner's rights: they can read the salt, and their users cannot. Row-level
security does not look through them, so they leave out the stores that a reader may not see
themselves, behind a security barrier. That hides the tables' statistics from the planner too, so it
is there only while some reader is limited to stores.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from graphlib import TopologicalSorter
from typing import Any

import sqlalchemy as sa

from sync.database.engine import outages, reading
from sync.database.patience import MADE_BY_ANOTHER, Patience
from sync.database.quoting import literal, quoted
from sync.declare.personal import OPEN_CHANGES, Care, judge
from sync.errors import NeedsOperator
from sync.privacy.policies import ONE_AT_A_TIME
from sync.resources import RESOURCES

SCHEMA = "crm_masked"
_VISIBLE = " WHERE t.store_id = ANY (ARRAY(SELECT unnest(sync.visible_stores(current_user::name))))"
_IS_LIMITED = "SELECT EXISTS (SELECT FROM sync.reader WHERE store_ids IS NOT NULL)"
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
_CRM = re.compile(r'\bcrm\."?(\w+)"?')
_TOLD = (
    "SELECT count(DISTINCT (pg_get_viewdef(c.oid), c.reloptions, (SELECT array_agg("
    "d.objsubid || ' ' || d.description ORDER BY d.objsubid) FROM pg_description AS d"
    " WHERE d.objoid = c.oid AND d.classoid = 'pg_class'::regclass)))"
    " FROM pg_class AS c WHERE c.oid IN (%s::regclass, %s::regclass)"
)
_SHORT = {"timestamp with time zone": "timestamptz", "time without time zone": "time"}


@dataclass(frozen=True, slots=True)
class _View:
    """A masked view as it should be; `visible` leaves out stores, `comments` are for its name."""

    name: str
    select: str
    visible: str
    comments: Callable[[str], str]


def build(run: Patience) -> list[str]:
    """Create or renew the masked views that differ; return their names.

    Columns are only added, at the end. A view that is as it should be is not touched, and each
    other has a transaction of its own: no reader is waited for in vain, or holds up the rest.
    """
    run.run(_make_schema, what=f"the schema {SCHEMA}", passing=MADE_BY_ANOTHER)
    with reading(run.engine) as connection:
        views = list(_views(connection))
    made = []
    for view in views:
        with outages(), run.engine.connect() as connection:
            differs = _differs(connection, view)
            connection.rollback()
        if differs:
            what = f"the view {SCHEMA}.{view.name}"
            run.run(partial(_make, view=view), what=what, passing=MADE_BY_ANOTHER)
            made.append(view.name)
    return made


def _make_schema(connection: sa.Connection) -> None:
    # Not IF NOT EXISTS, which asks for the right to make schemas even where it makes none.
    there, may, role = connection.exec_driver_sql(
        "SELECT to_regnamespace(%s) IS NOT NULL, has_database_privilege(current_database(),"
        " 'CREATE'), quote_ident(current_user)",
        (SCHEMA,),
    ).one()
    if not there and not may:
        raise NeedsOperator(
            f"{role} may not make the schema {SCHEMA}, which masked readers need. Let a superuser"
            f" run: CREATE SCHEMA {SCHEMA} AUTHORIZATION {role}"
        )
    if not there:
        connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")
        connection.exec_driver_sql(
            f"COMMENT ON SCHEMA {SCHEMA} IS 'crm with personal data hashed or cut'"
        )


def _make(connection: sa.Connection, view: _View) -> None:
    # Whoever grants a limit at the same time comes before this, or finds the view and renews it.
    connection.exec_driver_sql(ONE_AT_A_TIME)
    _create(connection, view, view.name)


def _views(connection: sa.Connection) -> Iterator[_View]:
    relations = {row[0]: row[1:] for row in connection.exec_driver_sql(_RELATIONS)}
    # A ready view comes after all that its query reads.
    reads = {
        name: relations.keys() & {*_CRM.findall(definition)} if is_invoker else set[str]()
        for name, (is_invoker, definition, _) in relations.items()
    }
    for name in TopologicalSorter(reads).static_order():
        is_invoker, definition, note = relations[name]
        columns = connection.exec_driver_sql(_COLUMNS, (name,)).all()
        if is_invoker:
            select, visible = _CRM.sub(rf'{SCHEMA}."\1"', definition), ""
        else:
            shown = ", ".join(
                f"{_expression(name, column, kind)} AS {quoted(column)}"
                for column, kind, _ in columns
            )
            select, visible = f"SELECT {shown} FROM crm.{quoted(name)} AS t", _VISIBLE
        comments = partial(_comments, table=name, note=note, columns=columns, is_query=is_invoker)
        yield _View(name, select, visible, comments)


def _create(connection: sa.Connection, view: _View, made: str) -> None:
    target = f"{SCHEMA}.{quoted(made)}"
    options, where = "", ""
    if connection.exec_driver_sql(_IS_LIMITED).scalar_one():
        options, where = " WITH (security_barrier)", view.visible
    create = f"CREATE OR REPLACE VIEW {target}{options} AS {view.select}{where}"
    connection.exec_driver_sql(create.replace("%", "%%"))
    connection.exec_driver_sql(view.comments(target))


def _differs(connection: sa.Connection, view: _View) -> bool:
    """Tell whether a view is missing or another than it should be, as Postgres reads both.

    It is made under a name that nobody knows, compared, and never committed.
    """
    there = f"{SCHEMA}.{quoted(view.name)}"
    if connection.exec_driver_sql("SELECT to_regclass(%s)", (there,)).scalar() is None:
        return True
    other = f"~{secrets.token_hex(8)}"
    _create(connection, view, other)
    told = connection.exec_driver_sql(_TOLD, (there, f"{SCHEMA}.{quoted(other)}")).scalar_one()
    return bool(told != 1)


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


def _comments(
    view: str, table: str, note: str | None, columns: Iterable[Sequence[Any]], *, is_query: bool
) -> str:
    statements = [f"COMMENT ON VIEW {view} IS {literal(note or table)}"]
    for column, kind, about in columns:
        care = judge(table, column, short(kind), is_code=is_code(table, column)).care
        if is_query:
            care = Care.OPEN
        shown = {Care.HASH: "hashed: ", Care.CUT: "cut: ", Care.YEAR: "the year alone: "}
        text = shown.get(care, "") + (about or column)
        statements.append(f"COMMENT ON COLUMN {view}.{quoted(column)} IS {literal(text)}")
    return "; ".join(statements).replace("%", "%%")
