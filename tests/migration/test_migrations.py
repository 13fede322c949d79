"""Migrations: forward and back leave the same schema, rows stay, nothing an analyst uses goes."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from sync.database import migrate, patience, revisions
from sync.database.engine import connect
from sync.database.patience import Patience
from sync.embedded import Servers
from sync.embedded.process import free_port, wait_until
from sync.errors import NeedsOperator, TryLater
from sync.schema.everything import METADATA

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [*ScriptDirectory.from_config(migrate._config()).walk_revisions("base", "heads")][::-1]
REVISIONS = [script.revision for script in SCRIPTS]
BASELINE = "34ef34e14f7cac06b504406f728e49c3e8b1b2cc9618783a0311862f728a1838"
ADVISORY = 0x5D0C_4B1D  # the lock of earlier releases
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


@pytest.fixture
def current(database: str) -> Iterator[sa.Engine]:
    """A database at this release's schema."""
    made = connect(database)
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
    if rows(engine, "SELECT current_setting('server_version_num')::int / 10000") != [(18,)]:
        pytest.skip("each Postgres tells a view in words of its own; these are 18's")
    migrate.upgrade(empty_database, REVISIONS[0])
    made = hashlib.sha256("\n".join(sorted(map(repr, schema(engine)))).encode()).hexdigest()
    assert made == BASELINE


def test_the_files_tell_the_chain_of_revisions() -> None:
    """Workers read it from their names: a name in the wrong place would make them wait for ever."""
    assert revisions.known() == REVISIONS


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
    """Several hosts are deployed together: each waits until the one before it is done, and finds
    it done."""
    code = "import sys; from sync.database import migrate; migrate.upgrade(sys.argv[1])"
    waiting = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock' AND query LIKE 'LOCK TABLE sync.alembic_version%%'"
        " AND clock_timestamp() - query_start > interval '1.7 seconds'"
    )
    with engine.begin() as connection:
        migrate.prepare(connection)
    with engine.connect() as first:
        migrate.take_turn(first)
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
        first.rollback()
    assert [migrator.wait(120) for migrator in migrators] == [0, 0]
    assert rows(engine, "SELECT version_num FROM sync.alembic_version") == [(REVISIONS[-1],)]


def test_a_migrator_that_waits_for_its_turn_says_for_whom(
    empty_database: str, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migrator that hangs on another host is found by its name; the wait ends with it."""
    monkeypatch.setattr(patience, "_TOLD_SECONDS", (0.0, 60.0))
    told: list[str] = []
    with engine.begin() as connection:
        migrate.prepare(connection)
    other = connect(empty_database, name="mirror migrate on another host")
    with other.connect() as first:
        migrate.take_turn(first)
        pid = first.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()

        def say(text: str) -> None:
            told.append(text)
            with engine.connect() as connection:
                connection.exec_driver_sql("SELECT pg_terminate_backend(%s)", (pid,))

        migrate.upgrade(empty_database, say=say)
        first.invalidate()
    assert told[0].startswith(f"Waiting for pid {pid} (user mirror, application mirror migrate on")
    assert rows(engine, "SELECT version_num FROM sync.alembic_version") == [(REVISIONS[-1],)]
    other.dispose()


def test_migrators_of_an_empty_database_at_once_both_succeed(empty_database: str) -> None:
    """Nothing is there yet that could be locked: who makes the schema second finds it made."""
    code = "import sys; from sync.database import migrate; migrate.upgrade(sys.argv[1])"
    migrators = [
        subprocess.Popen([sys.executable, "-c", code, empty_database], cwd=ROOT) for _ in range(3)
    ]
    assert [migrator.wait(120) for migrator in migrators] == [0, 0, 0]


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
    monkeypatch.setattr(revisions, "ROOT", tmp_path)
    return "9999"


ADDED = (
    "SELECT attname FROM pg_attribute WHERE attname IN ('a', 'b')"
    " AND attrelid IN ('sync.reader'::regclass, 'sync.store'::regclass)"
)


def test_a_migration_waits_in_short_tries_and_names_who_is_in_the_way(
    next_revision: str, database: str, current: sa.Engine
) -> None:
    """A report left open holds a table. Between the tries everybody passes, so that the migration
    holds up nobody for longer than a try; once the report ends, it goes on by itself."""
    holder = connect(database, name="DBeaver")
    told: list[str] = []
    with holder.connect() as report:
        report.exec_driver_sql("LOCK sync.store IN ACCESS SHARE MODE")
        pid = report.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()

        def say(text: str) -> None:
            with current.begin() as other:  # a pause has begun: nothing is locked, nobody queues
                other.exec_driver_sql("SET LOCAL lock_timeout = '100ms'")
                other.exec_driver_sql("LOCK sync.reader, sync.store IN ROW EXCLUSIVE MODE")
            assert rows(current, ADDED) == []
            told.append(text)
            if len(told) == 3:
                report.rollback()

        migrate.upgrade(database, say=say)
    assert len(told) == 3
    assert all(text.startswith("Revision 9999 waits for ") for text in told)
    assert f"pid {pid} (user mirror, application DBeaver, its transaction is" in told[-1]
    assert f"to end it: SELECT pg_terminate_backend({pid})" in told[-1]
    assert "Everybody else passes; the next try is in" in told[-1]
    assert rows(current, "SELECT version_num FROM sync.alembic_version") == [(next_revision,)]
    assert sorted(rows(current, ADDED)) == [("a",), ("b",)]
    holder.dispose()


# pg_locks shows all databases, and the tables of those copied from one template share their OIDs.
LOCKS = (
    "SELECT FROM pg_locks WHERE database ="
    " (SELECT oid FROM pg_database WHERE datname = current_database())"
)
# Between its two tables the revision waits until the report wants the first: then each waits.
TURNED_ROUND = f"""
    op.execute('''DO $$ BEGIN
        WHILE NOT EXISTS ({LOCKS} AND NOT granted AND relation = 'sync.reader'::regclass)
            AND EXISTS ({LOCKS} AND granted AND relation = 'sync.store'::regclass)
        LOOP PERFORM pg_sleep(0.01); END LOOP;
    END $$''')
"""
ALTERED = (
    f"{LOCKS} AND granted AND relation = 'sync.reader'::regclass AND mode = 'AccessExclusiveLock'"
)


def test_a_deadlock_with_a_migration_is_told_and_tried_again(
    next_revision: str, database: str, current: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that takes the same tables the other way round goes on; the migration comes later,
    and says who was there and why."""
    # On a busy machine a try may else be over before Postgres looks for a deadlock.
    monkeypatch.setattr(patience, "TRY_SECONDS", 60.0)
    file = revisions.ROOT / "migrations/versions/9999_next.py"
    first, second, third = file.read_text("utf-8").partition(
        "    op.execute('ALTER TABLE sync.store"
    )
    file.write_text(first + TURNED_ROUND + second + third, "utf-8")
    other, told = connect(database, name="report"), []
    with other.connect() as report, ThreadPoolExecutor(1) as thread:
        report.exec_driver_sql("SET LOCAL deadlock_timeout = '1h'")  # Postgres ends the other one
        report.exec_driver_sql("SET LOCAL lock_timeout = 0")
        report.exec_driver_sql("LOCK sync.store IN ACCESS SHARE MODE")
        pid = report.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()

        def turn_round() -> None:
            wait_until(lambda: bool(rows(current, ALTERED)), seconds=60, what="a table is altered")
            report.exec_driver_sql("LOCK sync.reader IN ACCESS SHARE MODE")

        waits = thread.submit(turn_round)

        def say(text: str) -> None:
            told.append(text)
            waits.result(60)
            report.rollback()

        migrate.upgrade(database, say=say)
    assert len(told) == 1
    assert told[0].startswith(f"Revision 9999 waits for pid {pid} (user mirror, application report")
    assert ", which waited for it in turn: Postgres ended this try (deadlock). Every" in told[0]
    assert rows(current, "SELECT version_num FROM sync.alembic_version") == [(next_revision,)]
    other.dispose()


@pytest.mark.parametrize(
    ("revision", "held", "next_of_it"),
    [("0028", "orders", "order_items"), ("0029", "order_history", "orders")],
)
def test_a_writer_goes_on_beside_a_revision_that_waits_for_it(
    empty_database: str, engine: sa.Engine, revision: str, held: str, next_of_it: str
) -> None:
    """Tables are locked in the order in which workers write them, so nothing is undone."""
    migrate.upgrade(empty_database, REVISIONS[REVISIONS.index(revision) - 1])
    waits = f"{LOCKS} AND NOT granted AND relation = 'crm.{held}'::regclass"
    told: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as writer:
            writer.exec_driver_sql("SET LOCAL lock_timeout = '700ms'")
            writer.exec_driver_sql(f"DELETE FROM crm.{held}")
            run = pool.submit(migrate.upgrade, empty_database, revision, say=told.append)
            wait_until(
                lambda: rows(engine, waits) != [], seconds=20, what="the migration at the table"
            )
            writer.exec_driver_sql(f"DELETE FROM crm.{next_of_it}")
        run.result(60)
    assert not any("deadlock" in line for line in told)


def test_a_migration_that_gives_up_says_where_it_stands(
    next_revision: str, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each revision commits for itself: what was made stays, and the run can be repeated."""
    migrate.upgrade(empty_database, REVISIONS[-2])
    engine = connect(empty_database)
    monkeypatch.setattr(patience, "PAUSES", (0.01,))
    monkeypatch.setattr(migrate, "Patience", partial(Patience, seconds=0.02))
    with engine.begin() as report:
        report.exec_driver_sql("LOCK sync.reader IN ACCESS SHARE MODE")
        pid = report.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with pytest.raises(TryLater) as caught:
            migrate.upgrade(empty_database, say=lambda _: None)
    assert str(caught.value).startswith("Revision 9999 waited for 0 s for locks, in short tries.")
    assert f"SELECT pg_terminate_backend({pid})" in str(caught.value)
    total = len(REVISIONS) + 1
    assert (
        f"The database is at revision {REVISIONS[-1]} ({total - 1} of {total}); what was made"
        " stays. It is safe to run again: celery -A sync mirror migrate" in str(caught.value)
    )
    migrate.upgrade(empty_database)
    assert rows(engine, "SELECT version_num FROM sync.alembic_version") == [(next_revision,)]
    engine.dispose()


@pytest.fixture
def weak(servers: Servers, empty_database: str) -> Iterator[str]:
    """The URL of a role that may connect to the database, and has no right besides."""
    name = f"weak_{empty_database.rpartition('/')[2]}"
    with servers.postgres.connect("postgres") as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'weak'")
        yield (
            sa.make_url(empty_database)
            .set(username=name, password="weak")
            .render_as_string(hide_password=False)
        )
        with servers.postgres.connect(empty_database.rpartition("/")[2]) as inside:
            inside.execute(f"DROP OWNED BY {name} CASCADE")
        admin.execute(f"DROP ROLE {name}")


@pytest.fixture
def pooled(servers: Servers, empty_database: str, tmp_path: Path) -> Iterator[str]:
    """The database behind pgbouncer, which gives each transaction any of its connections."""
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    url, port = sa.make_url(empty_database), free_port(None)
    config = tmp_path / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n{url.database} = host=127.0.0.1 port={url.port} user={url.username}"
        f" password={url.password}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        "unix_socket_dir =\nauth_type = any\npool_mode = transaction\nserver_round_robin = 1\n"
        "ignore_startup_parameters = options,extra_float_digits\n",
        "utf-8",
    )
    for path in (tmp_path, *tmp_path.parents):
        if path != Path(tempfile.gettempdir()) and tempfile.gettempdir() in str(path):
            path.chmod(0o755)
    account = (
        {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    )
    with subprocess.Popen([program, str(config)], stderr=subprocess.DEVNULL, **account) as running:
        try:
            found = url.set(port=port)
            wait_until(lambda: _serves(found), seconds=60, what="pgbouncer serves")
            yield found.render_as_string(hide_password=False)
        finally:
            running.terminate()


def _serves(url: sa.URL) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", url.port or 0)):
        return True
    return False


def test_migrators_take_turns_behind_a_pooler_of_transactions(
    pooled: str, empty_database: str, engine: sa.Engine
) -> None:
    """A session is not ours there: what a migrator relies on lasts as long as its transaction."""
    code = "import sys; from sync.database import migrate; migrate.upgrade(sys.argv[1])"
    migrators = [subprocess.Popen([sys.executable, "-c", code, pooled], cwd=ROOT) for _ in range(2)]
    assert [migrator.wait(120) for migrator in migrators] == [0, 0]
    assert rows(engine, "SELECT version_num FROM sync.alembic_version") == [(REVISIONS[-1],)]


def test_whoever_may_connect_cannot_stop_a_migration(
    weak: str, empty_database: str, engine: sa.Engine
) -> None:
    """Advisory locks belong to nobody: any role of the server could hold one for ever."""
    visitor = connect(weak)
    with visitor.connect() as connection:
        for number in (ADVISORY, 0, 1):
            connection.exec_driver_sql("SELECT pg_advisory_lock(%s)", (number,))
        with engine.begin() as owner:
            migrate.prepare(owner)
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied for schema sync"):
            connection.exec_driver_sql(migrate.TURN)
        connection.rollback()
        migrate.upgrade(empty_database)
    visitor.dispose()


def test_a_migration_needs_the_two_schemas_and_no_other_right(weak: str, engine: sa.Engine) -> None:
    """Where a role may not make schemas, the one who may is told the least that is needed."""
    with pytest.raises(NeedsOperator) as caught:
        migrate.upgrade(weak)
    told = str(caught.value)
    assert "permission denied for database" in told
    cure = re.search(r"run: (CREATE SCHEMA sync .+; CREATE SCHEMA crm \S+ \S+?); or", told)
    assert cure, told
    assert "The database is at revision none (0 of" in told
    with engine.begin() as owner:
        owner.exec_driver_sql(cure[1])
    migrate.upgrade(weak)
    migrate.upgrade(weak)
    assert rows(engine, "SELECT version_num FROM sync.alembic_version") == [(REVISIONS[-1],)]


def test_tables_of_another_role_are_named(
    next_revision: str, weak: str, empty_database: str, engine: sa.Engine
) -> None:
    """A login without the tables' ownership cannot alter them: that is said, with the cure."""
    migrate.upgrade(empty_database, REVISIONS[-1])
    role = sa.make_url(weak).username
    with engine.begin() as owner:
        owner.exec_driver_sql(f"GRANT ALL ON SCHEMA sync, crm TO {role}")
        owner.exec_driver_sql(f"GRANT ALL ON ALL TABLES IN SCHEMA sync, crm TO {role}")
    with pytest.raises(NeedsOperator, match="must be owner of table reader") as caught:
        migrate.upgrade(weak)
    assert f"ALTER SCHEMA sync OWNER TO {role}" in str(caught.value)
    assert f"is at revision {REVISIONS[-1]} ({len(REVISIONS)} of" in str(caught.value)


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


def test_views_of_custom_fields_get_their_store_s_id_for_a_name(
    empty_database: str, engine: sa.Engine
) -> None:
    """Also where a store is named like another one's id; what stands on a view goes on."""
    migrate.upgrade(empty_database, "0022")
    with engine.begin() as connection:
        for store, name in ((1, "shop"), (2, "1")):
            connection.exec_driver_sql(
                "INSERT INTO sync.custom_view (store_id, resource, name, definition)"
                f" VALUES ({store}, 'orders', 'orders_custom_{name}', 'x')"
            )
            connection.exec_driver_sql(
                f"CREATE VIEW crm.orders_custom_{name} AS SELECT {store} AS store_id"
            )
        connection.exec_driver_sql(
            "CREATE VIEW public.mine AS SELECT * FROM crm.orders_custom_shop"
        )
    migrate.upgrade(empty_database, "0024")
    for store in (1, 2):
        assert rows(engine, f"SELECT * FROM crm.orders_custom_{store}") == [(store,)]
    assert rows(engine, "SELECT name FROM sync.custom_view ORDER BY store_id") == [
        ("orders_custom_1",),
        ("orders_custom_2",),
    ]
    assert rows(engine, "SELECT * FROM public.mine") == [(1,)]


ORDERS = (
    "INSERT INTO crm.orders (store_id, id, created_at, as_of, first_seen_at, changed_at)"
    " SELECT n, n, now(), now(), now(), now() FROM generate_series(1, 2) AS n"
)
# What holds while the first of the indexes is made, that is after the fill.
WATCHED = """
CREATE TABLE public.seen (statement_timeout text, shut text);
CREATE FUNCTION public.look() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.seen SELECT current_setting('statement_timeout'), (
        SELECT string_agg(DISTINCT c.relname, ', ') FROM pg_locks AS l
        JOIN pg_class AS c ON c.oid = l.relation AND c.relnamespace = 'crm'::regnamespace
        WHERE l.pid = pg_backend_pid() AND l.mode = 'AccessExclusiveLock'
            AND c.relkind IN ('r', 'v') AND c.relname NOT LIKE 'kept%%');
END $$;
CREATE EVENT TRIGGER look ON ddl_command_end WHEN TAG IN ('CREATE INDEX')
    EXECUTE FUNCTION public.look();
"""


def test_nobody_who_reads_waits_while_kept_tables_are_filled(
    empty_database: str, engine: sa.Engine
) -> None:
    """The fill takes a minute for a million orders, and as long as it needs for more: neither a
    limit nor a report that is open at its end undoes it, and no view is shut meanwhile."""
    migrate.upgrade(empty_database, "0031")
    with engine.begin() as connection:
        connection.exec_driver_sql(ORDERS)
        connection.exec_driver_sql(WATCHED)
    report, told = engine.connect(), []
    report.exec_driver_sql("SELECT * FROM crm.order_status_spans")

    def say(text: str) -> None:
        told.append(text)
        kept = rows(engine, "SELECT count(*) FROM crm.kept_order_status_spans")
        assert kept == [(2,)], text
        report.rollback()

    migrate.upgrade(empty_database, "0034", say=say)
    report.close()
    assert [text.split(" waits")[0] for text in told] == ["Revision 0034"]
    assert {*rows(engine, "SELECT * FROM public.seen")} == {("0", None)}


@pytest.mark.parametrize("is_limited", [True, False], ids=["limited", "by hand"])
def test_whoever_reads_ready_views_reads_them_after_each_revision(
    weak: str, empty_database: str, engine: sa.Engine, is_limited: bool
) -> None:
    """A view may show another table from now on: its readers have that right with the same commit,
    for their stores alone; readers that were granted by hand as well."""
    migrate.upgrade(empty_database, "0031")
    role = sa.make_url(weak).username
    with engine.begin() as owner:
        owner.exec_driver_sql(ORDERS)
        owner.exec_driver_sql(f"GRANT USAGE ON SCHEMA crm TO {role}")
        owner.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA crm TO {role}")
        if is_limited:
            owner.exec_driver_sql(
                f"INSERT INTO sync.reader (role, store_ids) VALUES ('{role}', '{{1}}')"
            )
            owner.exec_driver_sql(
                f"CREATE POLICY {role} ON crm.orders FOR SELECT TO {role} USING (store_id = 1)"
            )
            owner.exec_driver_sql(f"COMMENT ON POLICY {role} ON crm.orders IS 'stores 1'")
            owner.exec_driver_sql("ALTER TABLE crm.orders ENABLE ROW LEVEL SECURITY")
    reader = sa.create_engine(weak)  # ours refuses to see less than all rows
    seen = [(1,)] if is_limited else [(1,), (2,)]
    for revision in REVISIONS[REVISIONS.index("0031") :]:
        migrate.upgrade(empty_database, revision)
        for view in ("order_margin", "order_status_spans", "order_lines"):
            found = rows(reader, f"SELECT store_id FROM crm.{view} ORDER BY 1")
            assert found == ([] if view == "order_lines" else seen), (revision, view)
    reader.dispose()
    told = "SELECT tablename, obj_description(p.oid, 'pg_policy') FROM pg_policies AS v"
    told += " JOIN pg_policy AS p ON p.polname = v.policyname AND p.polrelid = format("
    told += "'crm.%%I', v.tablename)::regclass WHERE v.tablename LIKE 'kept%%' ORDER BY 1"
    policies = [("kept_order_margin", "stores 1"), ("kept_order_status_spans", "stores 1")]
    assert rows(engine, told) == (policies if is_limited else [])
