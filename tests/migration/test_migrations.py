"""Migrations: forward and back leave the same schema, rows stay, nothing an analyst uses goes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from sync.embedded.process import wait_until
from sync.errors import SyncError
from sync.mirror import migrate
from sync.mirror.engine import connect

ROOT = Path(__file__).resolve().parents[2]
REVISIONS = [
    script.revision
    for script in reversed(
        list(ScriptDirectory.from_config(migrate._config()).walk_revisions("base", "heads"))
    )
]
TURN = 0x5D0C_4B1D  # as in migrations/env.py
_OURS = "n.nspname IN ('crm', 'sync') AND c.relname <> 'alembic_version'"
COLUMNS = f"""
    SELECT n.nspname, c.relname, c.relkind, a.attname, format_type(a.atttypid, a.atttypmod),
        a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
        CASE WHEN c.relkind = 'r' THEN col_description(c.oid, a.attnum) END
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
    UNION ALL SELECT 'view', c.relname || ': ' || pg_get_viewdef(c.oid) FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE {_OURS} AND c.relkind = 'v'
    UNION ALL SELECT 'function', regexp_replace(pg_get_functiondef(p.oid), '\\s+', ' ', 'g')
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
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


def test_each_step_back_leaves_what_was_there_before_and_up_again_is_the_same_schema(
    empty_database: str, engine: sa.Engine
) -> None:
    """Also that the declarations ask for nothing more."""
    before = {"base": schema(engine)}
    for revision in REVISIONS:
        migrate.upgrade(empty_database, revision)
        before[revision] = schema(engine)
    assert len(before[REVISIONS[-1]]) > 1000
    migrate.check(empty_database)
    for revision, earlier in zip(reversed(REVISIONS), [*reversed(REVISIONS[:-1]), "base"],
                                 strict=True):  # fmt: skip
        migrate.downgrade(empty_database, earlier)
        assert schema(engine) == before[earlier], f"{revision} down to {earlier}"
    assert before["base"] == []
    migrate.upgrade(empty_database)
    assert schema(engine) == before[REVISIONS[-1]]


def test_nothing_an_analyst_uses_is_dropped_or_retyped(
    empty_database: str, engine: sa.Engine
) -> None:
    """Old workers run beside new ones, and queries are written to last."""
    known: dict[tuple[object, ...], object] = {}
    for revision in REVISIONS:
        migrate.upgrade(empty_database, revision)
        now = {row[:2] + row[3:4]: row[4] for row in rows(engine, COLUMNS)}
        changed = {name: (kind, now.get(name)) for name, kind in known.items()
                   if now.get(name) != kind}  # fmt: skip
        assert changed == {}, revision
        known = now


def test_rows_of_every_earlier_release_are_there_after_the_upgrade(
    empty_database: str, engine: sa.Engine
) -> None:
    """Each release leaves a store with rows, and every later migration passes over them."""
    for revision in REVISIONS[:-1]:
        migrate.upgrade(empty_database, revision)
        with engine.begin() as connection:
            for sql in (
                "INSERT INTO sync.store (name, url, account, api_key, key_fingerprint, zone)"
                f" VALUES ('{revision}', 'https://{revision}.retailcrm.ru', '{revision}', 'x', 'y',"
                " 'Europe/Moscow')",
                "INSERT INTO sync.coverage (store_id, resource) SELECT id, 'orders'"
                f" FROM sync.store WHERE name = '{revision}'",
                "INSERT INTO sync.lane (store_id, resource, lane) SELECT id, 'orders', 'walk'"
                f" FROM sync.store WHERE name = '{revision}'",
                "INSERT INTO crm.orders (store_id, id, number, as_of, first_seen_at, changed_at)"
                f" SELECT id, 7, '7A', now(), now(), now() FROM sync.store"
                f" WHERE name = '{revision}'",
            ):
                connection.exec_driver_sql(sql)
    migrate.upgrade(empty_database)
    told = rows(
        engine,
        "SELECT c.store, o.id, o.number, l.resource, l.lane, c.resource, c.complete_as_of, c.state"
        " FROM crm.coverage AS c LEFT JOIN crm.orders AS o ON o.store_id = c.store_id"
        " LEFT JOIN sync.lane AS l ON l.store_id = c.store_id ORDER BY c.store",
    )
    kept = (7, "7A", "orders", "walk", "orders", None, "pending")
    assert told == [(revision, *kept) for revision in REVISIONS[:-1]]


def test_migrators_at_once_take_turns(empty_database: str, engine: sa.Engine) -> None:
    """Several hosts are deployed together: each waits until the one before it is done, however
    much longer than for a table, and finds it done."""
    code = "import sys; from sync.mirror import migrate; migrate.LOCK_SECONDS = 1;"
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


def test_a_table_somebody_holds_is_not_waited_for_long(
    empty_database: str, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration that queues for a lock would hold up every reader behind it: it fails whole,
    and is run again."""
    monkeypatch.setattr(migrate, "LOCK_SECONDS", 1)
    migrate.upgrade(empty_database, "0008")
    with engine.begin() as holder:
        holder.exec_driver_sql("LOCK sync.store, sync.coverage IN ACCESS SHARE MODE")
        with pytest.raises((SyncError, sa.exc.DBAPIError), match="lock"):
            migrate.upgrade(empty_database)
    assert rows(engine, "SELECT version_num FROM sync.alembic_version") == [("0008",)]
    migrate.upgrade(empty_database)
    migrate.check(empty_database)
