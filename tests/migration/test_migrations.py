"""Migrations: forward and back leave the same schema, rows stay, nothing an analyst uses goes."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from sync.database import migrate
from sync.database.engine import connect
from sync.embedded.process import wait_until
from sync.errors import NeedsOperator, SyncError
from sync.schema.everything import METADATA

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [*ScriptDirectory.from_config(migrate._config()).walk_revisions("base", "heads")][::-1]
REVISIONS = [script.revision for script in SCRIPTS]
BASELINE = "9328f5c62e29261369c84b34047ffab2c4d934cce9c691ceb8ea2372affbfb92"
TURN = 0x5D0C_4B1D  # as in migrations/env.py
_OURS = "n.nspname IN ('crm', 'sync') AND c.relname <> 'alembic_version'"
COLUMNS = f"""
    SELECT n.nspname, c.relname, c.relkind, a.attname, format_type(a.atttypid, a.atttypmod),
        a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid),
        col_description(c.oid, a.attnum), row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum)
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE {_OURS} AND c.relkind IN ('r', 'v', 'm', 'p') ORDER BY 1, 2, 4
"""
REST = f"""
    SELECT 'index', pg_get_indexdef(i.indexrelid) FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE {_OURS}
    UNION ALL SELECT 'constraint', c.relname || ': ' || pg_get_constraintdef(o.oid)
    FROM pg_constraint AS o JOIN pg_class AS c ON c.oid = o.conrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE {_OURS}
    UNION ALL SELECT 'relation', concat_ws(' ', c.relname, c.reloptions,
        obj_description(c.oid, 'pg_class')) FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE {_OURS} AND c.relkind IN ('r', 'v', 'S')
    UNION ALL SELECT 'view', c.relname || ': ' || pg_get_viewdef(c.oid) FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE {_OURS} AND c.relkind = 'v'
    UNION ALL SELECT 'function', regexp_replace(pg_get_functiondef(p.oid), '\\s+', ' ', 'g')
        || coalesce(obj_description(p.oid, 'pg_proc'), '')
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname IN ('crm', 'sync') AND p.prokind = 'f'
    UNION ALL SELECT 'policy', tablename || ': ' || policyname || ' ' || coalesce(qual, '')
    FROM pg_policies WHERE schemaname IN ('crm', 'sync') ORDER BY 1, 2
"""


@pytest.fixture
def engine(empty_database: str) -> Iterator[sa.Engine]:
    made = connect(empty_database)
    yield made
    made.dispose()


def rows(engine: sa.Engine, sql: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]


def schema(engine: sa.Engine) -> list[tuple[object, ...]]:
    """Everything that is in the two schemas, as Postgres tells it."""
    return rows(engine, COLUMNS) + rows(engine, REST)


def test_what_the_baseline_makes_never_changes(empty_database: str, engine: sa.Engine) -> None:
    """Databases are at its revision, and get nothing of an edit: that is a revision of its own.
    White space and the order of files are free."""
    migrate.upgrade(empty_database, REVISIONS[0])
    made = hashlib.sha256("\n".join(sorted(map(repr, schema(engine)))).encode()).hexdigest()
    assert made == BASELINE


def test_every_sql_file_belongs_to_a_revision() -> None:
    """A view that is written and never made would be missed by nobody."""
    folder = ROOT / "migrations"
    written = {str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("*.sql")}
    assert written == {file for each in SCRIPTS for file in getattr(each.module, "FILES", ())}


def test_steps_only_add_and_steps_back_leave_what_was_there_before(
    empty_database: str, engine: sa.Engine
) -> None:
    """Old workers run beside new ones, and analysts' queries are written to last. All the way up
    the declarations ask for nothing more, and up again is the same."""
    before = {"base": schema(engine)}
    known: dict[tuple[object, ...], object] = {}
    for revision in REVISIONS:
        migrate.upgrade(empty_database, revision)
        before[revision] = schema(engine)
        now = {row[:2] + row[3:4]: row[4] for row in rows(engine, COLUMNS)}
        assert {name: kind for name, kind in known.items() if now.get(name) != kind} == {}, revision
        known = now
    migrate.check(empty_database)
    for revision, earlier in pairwise([*reversed(REVISIONS), "base"]):
        migrate.downgrade(empty_database, earlier)
        assert schema(engine) == before[earlier], f"{revision} down to {earlier}"
    assert before["base"] == []
    migrate.upgrade(empty_database)
    assert schema(engine) == before[REVISIONS[-1]]


def test_a_database_at_head_is_left_as_it_is(database: str) -> None:
    """Whoever was there before the release needs nothing: not a row is written."""
    engine = connect(database)
    secret = "SELECT xmin::text, salt FROM sync.salt"
    revision = "SELECT xmin::text, version_num FROM sync.alembic_version"
    before = schema(engine), rows(engine, secret), rows(engine, revision)
    migrate.upgrade(database)
    assert (schema(engine), rows(engine, secret), rows(engine, revision)) == before
    engine.dispose()


@pytest.mark.parametrize(
    ("revision", "told"),
    [
        ("0001", r"at revision 0001, .* upgrades from 0016 on\. Check out commit [0-9a-f]{7,} and"),
        ("0015", r"run there: celery -A sync mirror migrate\. Then run it again"),
        ("9998", r"at revision 9998, which a later release made"),
    ],
)
def test_a_revision_there_is_no_way_from_is_refused_in_words(
    revision: str, told: str, empty_database: str, engine: sa.Engine
) -> None:
    """An older database goes by the commit before the baseline first. Nothing is touched."""
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA sync")
        connection.exec_driver_sql("CREATE TABLE sync.alembic_version AS SELECT %s::text"
                                   " AS version_num", (revision,))  # fmt: skip
    with pytest.raises(NeedsOperator, match=told):
        migrate.upgrade(empty_database)
    assert schema(engine) == []
    assert rows(engine, "SELECT version_num FROM sync.alembic_version") == [(revision,)]


def test_migrators_at_once_take_turns(empty_database: str, engine: sa.Engine) -> None:
    """Several hosts are deployed together: each waits until the one before it is done, however
    much longer than for a table, and finds it done."""
    code = "import sys; from sync.database import migrate; migrate.LOCK_SECONDS = 1;"
    code += " migrate.upgrade(sys.argv[1])"
    waiting = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event = 'advisory' AND clock_timestamp() - query_start > interval '1.2 seconds'"
    )
    with engine.connect() as first:
        first.exec_driver_sql("SELECT pg_advisory_lock(%s)", (TURN,))
        first.commit()
        migrators = [
            subprocess.Popen([sys.executable, "-c", code, empty_database], cwd=ROOT)
            for _ in range(2)
        ]
        wait_until(
            lambda: (
                len(rows(engine, waiting)) == 2
                or any(each.poll() is not None for each in migrators)
            ),
            seconds=120,
            what="both wait for their turn",
        )
        first.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (TURN,))
    assert [migrator.wait(120) for migrator in migrators] == [0, 0]
    assert rows(engine, "SELECT version_num FROM sync.alembic_version") == [(REVISIONS[-1],)]


@pytest.fixture
def next_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The revision after the last one, as the next release may bring it."""
    shutil.copytree(ROOT / "migrations", tmp_path / "migrations")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "migrations/versions/9999_next.py").write_text(
        "from alembic import op\n"
        f"revision, down_revision = '9999', '{REVISIONS[-1]}'\n"
        "branch_labels = depends_on = None\n"
        "def upgrade():\n"
        "    op.execute('ALTER TABLE sync.reader ADD COLUMN a text')\n"
        "    op.execute('ALTER TABLE sync.store ADD COLUMN b text')\n",
        "utf-8",
    )
    monkeypatch.setattr(migrate, "_ROOT", tmp_path)
    return "9999"


def test_a_table_somebody_holds_is_not_waited_for_long(
    next_revision: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration that queues for a lock would hold up every reader behind it: it fails whole,
    and is run again."""
    monkeypatch.setattr(migrate, "LOCK_SECONDS", 1)
    engine = connect(database)
    added = (
        "SELECT attname FROM pg_attribute WHERE attname IN ('a', 'b')"
        " AND attrelid IN ('sync.reader'::regclass, 'sync.store'::regclass)"
    )
    with engine.begin() as holder:
        holder.exec_driver_sql("LOCK sync.store IN ACCESS SHARE MODE")
        with pytest.raises((SyncError, sa.exc.DBAPIError), match="lock"):
            migrate.upgrade(database)
    assert rows(engine, "SELECT version_num FROM sync.alembic_version") == [(REVISIONS[-1],)]
    assert rows(engine, added) == []
    migrate.upgrade(database)
    assert rows(engine, "SELECT version_num FROM sync.alembic_version") == [(next_revision,)]
    assert sorted(rows(engine, added)) == [("a",), ("b",)]
    engine.dispose()


def test_a_declaration_without_a_migration_is_told_with_the_step_to_take(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Who adds a resource and forgets its migration reads which step that is, and no traceback."""
    extra = sa.Table("forgotten", METADATA, sa.Column("id", sa.BigInteger), schema="sync")
    try:
        assert migrate._main(["check"]) == 1
    finally:
        METADATA.remove(extra)
    told = capsys.readouterr().err
    assert "forgotten" in told
    assert "CONTRIBUTING.md, Add a resource, step 5" in told
