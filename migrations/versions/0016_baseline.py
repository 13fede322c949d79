"""The schema of the first release, from the SQL in migrations/baseline and migrations/views

Revision: 0016, after nothing. Like a revision, its files do not change once they are released.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from alembic import op

revision = "0016"
down_revision = None
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1]
# In this order: what a file refers to is made before it.
FILES = (
    *(f"baseline/crm/{name}" for name in (
        "bookkeeping", "account", "references", "customers", "corporate", "orders", "catalogue",
        "loyalty", "tasks", "records", "versions", "functions",
    )),
    *(f"baseline/sync/{name}" for name in ("crawls", "service", "functions")),
    *(f"views/{name}" for name in (
        "store", "claim", "coverage", "coverage_months", "known_gaps", "freshness",
        "order_status_spans", "daily_sales", "customer_summary", "stock", "order_margin",
    )),
)  # fmt: skip
_MADE = re.compile(r"^CREATE (TABLE|VIEW|FUNCTION) ([^\s(]+)", re.MULTILINE)
_TABLE = re.compile(r"^-- (.+)\nCREATE (?:TEMPORARY )?TABLE (\S+) \(\n((?: .+\n)+)\)", re.MULTILINE)
_COLUMN = re.compile(r"^    (\S+) .+ -- (.+)$", re.MULTILINE)


def upgrade() -> None:
    for sql in map(_text, FILES):
        _run("\n".join((sql, *_comments(sql))))


def downgrade() -> None:
    """Drop what the files made; before it the views of custom fields, which stand on it."""
    _run(
        "DO $$ DECLARE v record; BEGIN FOR v IN SELECT name FROM sync.custom_view WHERE definition"
        " <> '' LOOP EXECUTE format('DROP VIEW crm.%I CASCADE', v.name); END LOOP; END $$"
    )
    made = [each for sql in map(_text, FILES) for each in _MADE.findall(sql)]
    _run("\n".join(f"DROP {kind} {name};" for kind, name in reversed(made)))


def _text(file: str) -> str:
    return (FOLDER / f"{file}.sql").read_text("utf-8")


def _run(sql: str) -> None:
    """Execute a file's statements in one go; without parameters % and : are just characters."""
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})


def _comments(sql: str) -> Iterator[str]:
    """The notes above tables and behind columns as comments, which the dictionary is made from."""
    for note, table, columns in _TABLE.findall(sql):
        yield f"COMMENT ON TABLE {table} IS {_quoted(note)};"
        for column, behind in _COLUMN.findall(columns):
            yield f"COMMENT ON COLUMN {table}.{column} IS {_quoted(behind)};"


def _quoted(note: str) -> str:
    return "'" + note.replace("'", "''") + "'"
