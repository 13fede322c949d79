"""Change numbers: a cursor in the order of commits, on children too, and a trace of removed ones

Revision: 0028, after 0027.
Columns are added with constants for defaults, so no table is rewritten. Rows that are there have
number 0, and children a `changed_at` of this moment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1]
FILES = ("revisions/0028/change_numbers",)
NUMBER = "number of the change that made it so; see crm.changes"
CHANGED = "when its content last changed here, since the mirror keeps that of it"
ITEMS = "Positions of orders; each is written only when it changed"
ITEMS_BEFORE = "Positions of orders; replaced whole when the order changes"
# Earlier contents have no number. Records first, histories before their records by name, as workers
# write: who holds one table and waits for the next does not wait for us in turn.
_TABLES = (
    "SELECT c.relname, EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid"
    " AND a.attname = 'first_seen_at') FROM pg_class AS c"
    " WHERE c.relnamespace = 'crm'::regnamespace AND c.relkind IN ('r', 'p')"
    " AND c.relname NOT IN ('order_versions', 'customer_versions', 'removed_rows') ORDER BY 2 DESC, 1"
)
_TABLE = re.compile(r"^-- (.+)\nCREATE TABLE (\S+) \(\n((?: .+\n)+)\)", re.MULTILINE)
_COLUMN = re.compile(r"^    (\S+) .+ -- (.+)$", re.MULTILINE)


def upgrade() -> None:
    for file in FILES:
        sql = (FOLDER / f"{file}.sql").read_text("utf-8")
        _run("\n".join((sql, *_comments(sql))))
    _run("SELECT sync.change_no()")  # begins the era
    for table, is_record in _tables():
        added = "" if is_record else " ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now(),"
        _run(
            f'ALTER TABLE crm."{table}"{added} ADD COLUMN change_no bigint NOT NULL DEFAULT 0;'
            f' ALTER TABLE crm."{table}" ALTER COLUMN change_no SET DEFAULT sync.change_no();'
            f" COMMENT ON COLUMN crm.\"{table}\".change_no IS '{NUMBER}'"
        )
        if not is_record:
            _run(f"COMMENT ON COLUMN crm.\"{table}\".changed_at IS '{CHANGED}'")
    _run(f"COMMENT ON TABLE crm.order_items IS '{ITEMS}'")


def downgrade() -> None:
    for table, is_record in _tables():
        removed = "" if is_record else " DROP COLUMN changed_at,"
        _run(f'ALTER TABLE crm."{table}"{removed} DROP COLUMN change_no')
    _run(f"COMMENT ON TABLE crm.order_items IS '{ITEMS_BEFORE}'")
    _run("DROP VIEW crm.changes")
    _run("DROP TABLE crm.removed_rows")
    _run("DROP FUNCTION sync.change_no(); DROP FUNCTION sync.place()")
    _run("DROP TABLE sync.era")


def _tables() -> Iterator[tuple[str, bool]]:
    yield from map(tuple, op.get_bind().exec_driver_sql(_TABLES).all())


def _run(sql: str) -> None:
    """Execute statements as they stand; without parameters % and : are just characters."""
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})


def _comments(sql: str) -> Iterator[str]:
    """The notes above tables and behind columns as comments, which the dictionary is made from."""
    for note, table, columns in _TABLE.findall(sql):
        yield f"COMMENT ON TABLE {table} IS {_quoted(note)};"
        for column, behind in _COLUMN.findall(columns):
            yield f"COMMENT ON COLUMN {table}.{column} IS {_quoted(behind)};"


def _quoted(note: str) -> str:
    return "'" + note.replace("'", "''") + "'"
