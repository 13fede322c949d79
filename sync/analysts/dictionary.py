"""The pages of ops/docs/dictionary, from the database's own comments and the declarations.

python -m sync.analysts.dictionary write      make them anew, on an embedded database
python -m sync.analysts.dictionary check      exit status 1 when they are not current
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from sync.declare import Field
from sync.declare.personal import Care, judge
from sync.privacy.masked_views import is_code, short
from sync.resources import RESOURCES
from sync.schema.columns import VERSIONED

FOLDER = Path(__file__).resolve().parents[2] / "ops/docs/dictionary"
QUERIES = FOLDER / "queries"
_JOINS = re.compile(r"joins (?:crm\.)?(\w+)\.(\w+)")
_CORE = frozenset(
    {
        "orders", "order_items", "order_payments", "order_history", "order_versions", "customers",
        "customer_phones", "corporate_customers", "statuses", "status_groups", "offers",
        "products", "inventories", "inventory_stores", "warehouses", "sites", "users", "costs",
    }
)  # fmt: skip
_UNDER_MASK = {
    Care.HASH: "hashed",
    Care.CUT: "cut",
    Care.YEAR: "year",
    Care.CHANGE: "codes only",
}
_RELATIONS = (
    "SELECT c.relname, c.relkind = 'v', obj_description(c.oid, 'pg_class'),"
    " coalesce(c.reloptions::text LIKE '%%security_invoker%%', false) FROM pg_class AS c"
    " WHERE c.relnamespace = 'crm'::regnamespace AND c.relkind IN ('r', 'p', 'v') ORDER BY 1"
)
_COLUMNS = (
    "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod),"
    " col_description(c.oid, a.attnum), coalesce(a.attnum = ANY (i.indkey), false)"
    " FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid"
    " LEFT JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary"
    " WHERE c.relnamespace = 'crm'::regnamespace AND c.relkind IN ('r', 'p', 'v')"
    " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum"
)
Columns = dict[str, list[tuple[str, str, str, bool]]]


def pages(connection: sa.Connection) -> dict[str, str]:
    """Return the text of every page by its file name."""
    relations = connection.exec_driver_sql(_RELATIONS).all()
    columns: Columns = {}
    for table, name, kind, note, is_key in connection.exec_driver_sql(_COLUMNS):
        columns.setdefault(table, []).append((name, kind, note or "", is_key))
    tables = {name: note or "" for name, is_view, note, _ in relations if not is_view}
    views = {name: note or "" for name, is_view, note, _ in relations if is_view}
    queries = {name for name, _, _, is_query in relations if is_query}
    return {
        "README.md": _front(tables, views),
        "tables.md": _relations("Tables", tables, columns, queries),
        "views.md": _relations("Views", views, columns, queries),
        "picture.md": _picture(),
        "queries.md": _queries(),
    }


def _front(tables: dict[str, str], views: dict[str, str]) -> str:
    lines = [
        "# Data dictionary",
        "",
        "What stands in `crm`, made from the comments of the database itself (`make dictionary`).",
        "",
        "- [Tables](tables.md), with their columns, keys, and what `grant --mask` makes of them",
        "- [Views](views.md): time in a status, sales, customers, stock, margin, freshness",
        "- [The whole picture](picture.md): what joins what",
        "- [Example queries](queries.md), which the tests run",
        "",
        "Every table leads with `store_id`; live rows are `deleted_at IS NULL`; moments are",
        "`timestamptz`, local days are `created_on`; `raw` is the record as the CRM sent it.",
        "[How odd values are read](../decisions/0034-odd-values.md);",
        "[how to follow changes](../changes.md).",
        "",
        "Custom fields as typed columns: `crm.orders_custom_<store_id>`, joined by `store_id, id`;",
        "likewise of customers, companies, loyalty accounts. Masked readers find the same names in",
        "`crm_masked`, except these views of custom fields.",
        "",
        "```mermaid",
        "erDiagram",
        *_relationships(_CORE),
        "```",
        "",
        "## All of it",
        "",
        *(f"- [`{name}`](views.md#{name}): {note}" for name, note in views.items()),
        *(f"- [`{name}`](tables.md#{name}): {note}" for name, note in tables.items()),
    ]
    return "\n".join(lines) + "\n"


def _relations(title: str, relations: dict[str, str], columns: Columns, queries: set[str]) -> str:
    """Return a page; masked, the views in `queries` are the same queries over masked tables."""
    lines = [f"# {title}", ""]
    for name, note in relations.items():
        lines += [f"## {name}", "", f"{note}.", "", "| column | type | what | masked |",
                  "|---|---|---|---|"]  # fmt: skip
        for column, kind, about, is_key in columns[name]:
            sql = short(kind)
            care = judge(name, column, sql, is_code=is_code(name, column)).care
            if name in queries:
                care = Care.OPEN
            shown = f"**{column}**" if is_key else column
            text = about.replace("|", "\\|")
            lines.append(f"| {shown} | {sql} | {text} | {_UNDER_MASK.get(care, '')} |")
        lines.append("")
    return "\n".join(lines)


def _picture() -> str:
    return "\n".join(["# What joins what", "", "```mermaid", "erDiagram",
                      *_relationships(None), "```", ""])  # fmt: skip


def _relationships(among: frozenset[str] | None) -> list[str]:
    """Return lines of mermaid: parents and children, and columns whose note says what they join."""
    lines = {
        f'    {many[0]} {arrow} {many[1]} : "{label}"'
        for *many, arrow, label in _edges()
        if among is None or (many[0] in among and many[1] in among)
    }
    return sorted(lines)


def _edges() -> Iterator[tuple[str, str, str, str]]:
    for resource in RESOURCES.values():
        for child in resource.children:
            yield resource.name, child.name, "||--o{", resource.parent_column or "store_id"
            yield from _joined(child.name, child.fields)
        if resource.name in VERSIONED:
            yield resource.name, VERSIONED[resource.name], "||--o{", resource.key
        if resource.parent is not None:
            yield resource.parent.resource, resource.name, "||--o{", resource.parent.column
        yield from _joined(resource.name, resource.fields)


def _joined(table: str, fields: tuple[Field, ...]) -> Iterator[tuple[str, str, str, str]]:
    for field in fields:
        for other, _ in _JOINS.findall(field.note):
            if other in RESOURCES:
                yield other, table, "||--o{", field.name


def _queries() -> str:
    lines = ["# Example queries", ""]
    for path in sorted(QUERIES.glob("*.sql")):
        title, _, rest = path.read_text(encoding="utf-8").partition("\n")
        lines += [f"## {title.removeprefix('-- ')}", "", "```sql", rest.strip(), "```", ""]
    return "\n".join(lines)


def stale(connection: sa.Connection, folder: Path = FOLDER) -> list[str]:
    """Return the names of pages that are not current."""
    return [
        name
        for name, text in pages(connection).items()
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != text
    ]


def _main(arguments: list[str]) -> int:
    from sync.database.migrate import upgrade
    from sync.embedded import private

    if arguments not in (["write"], ["check"]):
        sys.stderr.write("usage: python -m sync.analysts.dictionary write|check\n")
        return 2
    with private(fast=True) as servers:
        upgrade(servers.database_url)
        engine = sa.create_engine(servers.database_url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            if arguments == ["check"]:
                old = stale(connection)
                if old:
                    sys.stderr.write(f"Not current: {', '.join(old)}. Run: make dictionary\n")
                return 1 if old else 0
            for name, text in pages(connection).items():
                (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1:]))
