"""What a reader tries who wants more than to read: each statement is refused, and finds nothing."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from sync.database.engine import connect
from sync.privacy import readers, shared
from tests.integration.analysts.conftest import MakeRole, Role
from tests.integration.analysts.test_readers import two_stores

__all__ = ["two_stores"]

KINDS = {
    "all": {"is_masked": False, "is_limited": False},
    "one store": {"is_masked": False, "is_limited": True},
    "masked": {"is_masked": True, "is_limited": False},
    "masked, one store": {"is_masked": True, "is_limited": True},
}


@pytest.fixture
def each(engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole) -> dict[str, Role]:
    """A reader of each kind, over two stores."""
    made = {kind: make_role() for kind in KINDS}
    for kind, role in made.items():
        readers.grant(
            engine,
            role.name,
            store_ids=[two_stores[0]] if KINDS[kind]["is_limited"] else None,
            is_masked=KINDS[kind]["is_masked"],
        )
    return made


DENIED = "42501"
NOT_THERE = {"0A000", "58P01", "42704", "3D000"}  # an extension or language that is not installed

FILES_AND_PROGRAMS = [
    "COPY (SELECT 1) TO PROGRAM 'id > /tmp/owned'",
    "COPY (SELECT 1) TO '/tmp/owned'",
    "CREATE TEMPORARY TABLE t (x text); COPY t FROM '/etc/passwd'",
    "CREATE TEMPORARY TABLE t (x text); COPY t FROM PROGRAM 'id'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_read_binary_file('postgresql.conf')",
    "SELECT pg_ls_dir('.')",
    "SELECT pg_ls_waldir()",
    "SELECT pg_stat_file('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/owned')",
    "LOAD '/tmp/evil'",
    "CREATE FUNCTION pg_temp.f() RETURNS int AS '/tmp/evil', 'f' LANGUAGE c",
    "CREATE FUNCTION pg_temp.f() RETURNS int AS 'x' LANGUAGE internal",
    "CREATE EXTENSION file_fdw",
    "CREATE EXTENSION dblink",
    "CREATE EXTENSION adminpack",
    "CREATE LANGUAGE mine HANDLER plpgsql_call_handler",
    "CREATE FOREIGN DATA WRAPPER w",
    "CREATE TABLESPACE t LOCATION '/tmp'",
]
SERVER = [
    "ALTER SYSTEM SET archive_command = 'id'",
    "SET session_preload_libraries = 'evil'",
    "SET log_statement = 'none'",
    "SET session_replication_role = 'replica'",
    "SELECT pg_reload_conf()",
    "SELECT pg_rotate_logfile()",
    "SELECT pg_switch_wal()",
    "SELECT pg_promote()",
    "SELECT pg_create_physical_replication_slot('s')",
    "SELECT pg_create_restore_point('p')",
    "CREATE SUBSCRIPTION s CONNECTION 'host=evil.example.com' PUBLICATION p",
    "CREATE PUBLICATION p FOR ALL TABLES",
    "CREATE EVENT TRIGGER t ON ddl_command_end EXECUTE FUNCTION crm.nothing()",
    "CREATE DATABASE mine",
]
ROLES = [
    "SELECT rolpassword FROM pg_authid",
    "SELECT passwd FROM pg_shadow",
    "SELECT * FROM pg_user_mapping",
    "SELECT umoptions FROM pg_catalog.pg_user_mapping",
    "SELECT * FROM pg_hba_file_rules",
    "CREATE ROLE mine SUPERUSER",
    "ALTER ROLE current_user SUPERUSER",
    "ALTER ROLE current_user BYPASSRLS",
    "SET ROLE {owner}",
    "SET SESSION AUTHORIZATION {owner}",
    "GRANT {owner} TO current_user",
    "GRANT pg_read_all_data TO current_user",
    "REASSIGN OWNED BY {owner} TO current_user",
    "DROP OWNED BY {owner}",
    "ALTER ROLE {owner} PASSWORD 'mine'",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT ALL ON TABLES TO PUBLIC",
    "SELECT pg_terminate_backend({pid})",
    "SELECT pg_cancel_backend({pid})",
]
ROWS = [
    "UPDATE crm.orders SET number = ''",
    "DELETE FROM crm.orders",
    "TRUNCATE crm.orders",
    "INSERT INTO crm.orders (store_id, id) VALUES (1, 1)",
    "MERGE INTO crm.orders AS o USING (VALUES (1)) AS v (x) ON false WHEN MATCHED THEN DELETE",
    "DROP TABLE crm.orders",
    "DROP SCHEMA crm CASCADE",
    "ALTER TABLE crm.orders DISABLE ROW LEVEL SECURITY",
    "CREATE POLICY mine ON crm.orders USING (true)",
    "CREATE TRIGGER t BEFORE UPDATE ON crm.orders EXECUTE FUNCTION crm.nothing()",
    "CREATE RULE r AS ON SELECT TO crm.orders DO INSTEAD SELECT 1",
    "CREATE INDEX ON crm.orders (id)",
    "CREATE STATISTICS s ON id, number FROM crm.orders",
    "BEGIN; LOCK TABLE crm.orders IN ACCESS EXCLUSIVE MODE",
    "BEGIN; LOCK TABLE crm.orders IN SHARE MODE",
    "SELECT * FROM crm.orders FOR UPDATE",
    "COMMENT ON TABLE crm.orders IS 'owned'",
    "CLUSTER crm.orders",
    "REINDEX TABLE crm.orders",
    "COPY crm.orders FROM STDIN",
    "CREATE TABLE crm.mine (x int)",
    "CREATE VIEW crm.mine AS SELECT 1",
    "CREATE FUNCTION crm.lower(text) RETURNS text LANGUAGE sql AS 'SELECT $1'",
    "CREATE OR REPLACE FUNCTION crm.custom_text(value jsonb) RETURNS text LANGUAGE sql"
    " AS 'SELECT 1'",
    "CREATE SCHEMA mine",
]
STATE = [
    "SELECT api_key FROM sync.store",
    "SELECT salt FROM sync.salt",
    "SELECT body FROM sync.parked_page",
    "SELECT value FROM sync.reject",
    "SELECT digest FROM sync.suppressed",
    "SELECT * FROM sync.ended_session",
    "SELECT sync.visible_stores('{owner}'::name)",
    "UPDATE sync.reader SET store_ids = NULL",
    "INSERT INTO sync.lane (store_id, resource, lane) VALUES (1, 'x', 'feed')",
    "SELECT nextval('sync.store_id_seq')",
    "CREATE TABLE sync.mine (x int)",
]
SHARED = [
    "SELECT pg_advisory_lock(n) FROM generate_series(1, 1000000) AS n",
    "SELECT pg_advisory_lock_shared(1)",
    "SELECT pg_advisory_xact_lock(1, 2)",
    "SELECT pg_try_advisory_lock(1)",
    "SELECT pg_try_advisory_xact_lock_shared(1)",
    "SELECT lo_create(0)",
    "SELECT lo_creat(-1)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_put(1, 0, 'x')",
    "SELECT pg_logical_emit_message(false, 'mirror', repeat('x', 100000))",
    "SELECT pg_logical_emit_message(true, 'mirror', 'x'::bytea)",
]
LIMITS = [
    "ALTER ROLE CURRENT_USER CONNECTION LIMIT -1",
    "ALTER ROLE CURRENT_USER VALID UNTIL 'infinity'",
    "ALTER ROLE CURRENT_USER IN DATABASE {database} SET temp_file_limit = -1",
    "SET temp_file_limit = -1",
    "SELECT set_config('temp_file_limit', '-1', false)",
    "SELECT pg_stat_reset()",
    "SET track_activities = off",
]
INNARDS = [
    "SELECT * FROM pg_shmem_allocations",
    "SELECT * FROM pg_file_settings",
    "SELECT * FROM pg_config",
    "SELECT * FROM pg_statistic_ext_data",
    "SELECT * FROM pg_largeobject",
    "SELECT pg_ls_logdir()",
    "SELECT pg_current_logfile()",
    "SELECT pg_log_backend_memory_contexts({pid})",
    "SELECT pg_import_system_collations('pg_catalog')",
    "SET log_min_messages = 'debug5'",
    "SET log_duration = on",
    'CREATE COLLATION c FROM "C"',
    "CHECKPOINT",
]
BY_NAME = [
    "SELECT table_to_xml('sync.store', true, false, '')",
    "SELECT query_to_xml('SELECT salt FROM sync.salt', true, false, '')",
    "SELECT * FROM ts_stat('SELECT to_tsvector(name) FROM sync.store')",
    "SELECT pg_relation_size('sync.store')",
    "SELECT pg_sequence_last_value('sync.store_id_seq')",
    "SELECT pg_get_serial_sequence('sync.store', 'id')",
    "SELECT has_table_privilege('sync.store', 'select')",
    "SELECT pg_get_functiondef('sync.visible_stores'::regproc)",
    "SELECT pg_get_viewdef('sync.claim'::regclass)",
    "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'sync.store'::regclass",
    "SELECT 'sync.store'::regclass",
]
ATTACKS = {
    "files and programs": FILES_AND_PROGRAMS,
    "the server": SERVER,
    "roles": ROLES,
    "rows of crm": ROWS,
    "the service's state": STATE,
    "locks and disk": SHARED,
    "its own limits": LIMITS,
    "the server's innards": INNARDS,
    "what only its name leads to": BY_NAME,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_reader_is_refused(each: dict[str, Role], engine: sa.Engine, attack: str) -> None:
    """Every statement, for readers of every kind, by a right that is lacking."""
    with engine.connect() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        owner = connection.exec_driver_sql("SELECT quote_ident(current_user)").scalar_one()
        tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'crm'::regnamespace"
        before = connection.exec_driver_sql(tables).scalar_one()
        for kind, reader in each.items():
            with reader.connect() as session:
                for statement in ATTACKS[attack]:
                    asked = statement.replace("{owner}", owner).replace("{pid}", str(pid))
                    asked = asked.replace("{database}", engine.url.database or "")
                    allowed = NOT_THERE | {DENIED} if "EXTENSION" in asked else {DENIED}
                    assert _refusal(session, asked) in allowed, (kind, asked)
                    session.execute("ROLLBACK")
        assert connection.exec_driver_sql(tables).scalar_one() == before
        assert connection.exec_driver_sql("SELECT count(*) FROM crm.orders").scalar_one() == 2


def _refusal(session: psycopg.Connection[Any], statement: str) -> str | None:
    """The code by which Postgres refuses a statement; None when it does not."""
    try:
        session.execute(statement.encode())
    except psycopg.Error as error:
        return error.sqlstate
    return None


def test_objects_of_the_readers_own_are_never_taken_for_ours(each: dict[str, Role]) -> None:
    """Temporary tables and functions of the same names, and a search path that begins with them:
    what runs with the owner's rights has a search path of its own; views are bound by number."""
    for kind, reader in each.items():
        stores = (
            f"SELECT DISTINCT store_id FROM {'crm_masked' if 'masked' in kind else 'crm'}.orders"
        )
        with reader.connect() as session:
            honest = session.execute(stores).fetchall()  # type: ignore[call-overload]
            session.execute(
                "CREATE TEMPORARY TABLE reader (role text, store_ids bigint[], masked boolean);"
                "INSERT INTO reader VALUES (current_user, NULL, false);"
                "CREATE TEMPORARY TABLE store (id bigint, name text);"
                "CREATE FUNCTION pg_temp.visible_stores(name) RETURNS bigint[] LANGUAGE sql"
                " AS 'SELECT ARRAY[1, 2, 3, 4, 5, 6]::bigint[]';"
                "CREATE FUNCTION pg_temp.pg_has_role(name, name, text) RETURNS boolean LANGUAGE sql"
                " AS 'SELECT true';"
                "SET search_path = pg_temp, pg_catalog, crm, crm_masked"
            )
            after = session.execute(stores).fetchall()  # type: ignore[call-overload]
            assert after == honest, kind


def test_what_runs_with_the_owners_rights_names_its_search_path(engine: sa.Engine) -> None:
    """Of every function made SECURITY DEFINER, and none of them is called by its name by others."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT n.nspname || '.' || p.proname, p.proconfig FROM pg_proc AS p"
            " JOIN pg_namespace AS n ON n.oid = p.pronamespace"
            " WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
        ).all()
    assert sorted(name for name, _ in found) == [
        "sync.make_first_statistics", "sync.place", "sync.visible_stores"
    ]  # fmt: skip
    assert all("search_path=pg_catalog, pg_temp" in config for _, config in found)


def test_a_function_on_rows_that_are_left_out_hears_nothing(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """A masked reader of one store: the view's condition comes first, however cheap the other."""
    one, two = two_stores
    role = make_role()
    readers.grant(engine, role.name, store_ids=[one], is_masked=True)
    with role.connect() as session:
        session.execute(
            "CREATE FUNCTION pg_temp.leak(store bigint, value text) RETURNS boolean"
            " LANGUAGE plpgsql COST 0.0001"
            " AS $$ BEGIN RAISE NOTICE 'saw % %', store, value; RETURN true; END $$"
        )
        heard: list[str] = []
        session.add_notice_handler(lambda notice: heard.append(notice.message_primary or ""))
        for table, column in (("orders", "number"), ("customers", "external_id")):
            session.execute(
                f"SELECT 1 FROM crm_masked.{table} WHERE pg_temp.leak(store_id, {column}::text)"  # type: ignore[arg-type]
            )
    assert {text.split()[1] for text in heard} == {str(one)}
    assert not [text for text in heard if f"private {two}" in text]


def test_an_error_tells_nothing_of_rows_that_are_left_out(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """A division by zero, or a cast, on another store's row would say that the row is there."""
    one, two = two_stores
    role = make_role()
    readers.grant(engine, role.name, store_ids=[one], is_masked=False)
    for probe in (
        f"SELECT 1 FROM crm.orders WHERE 1 / (CASE WHEN store_id = {two} THEN 0 ELSE 1 END) = 1",
        f"SELECT 1 FROM crm.orders WHERE 1 / (id - {two}) IS NOT NULL",
        "SELECT 1 FROM crm.orders WHERE external_id::text ="
        f" CASE WHEN external_id = 'private {two}' THEN (1 / (store_id - store_id))::text"
        " ELSE external_id::text END",
        f"SELECT 1 FROM crm.store WHERE 1 / (CASE WHEN store_id = {two} THEN 0 ELSE 1 END) = 1",
    ):
        assert role.rows(probe) == [(1,)], probe


def test_a_plan_tells_no_value(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """EXPLAIN shows how many rows were passed over, which is all it shows of other stores."""
    one, two = two_stores
    role = make_role()
    readers.grant(engine, role.name, store_ids=[one], is_masked=False)
    with engine.begin() as connection:
        connection.exec_driver_sql("ANALYZE crm.orders")
        connection.exec_driver_sql("ANALYZE crm.customers")
    for table in ("orders", "customers", "store", "customer_summary", "daily_sales"):
        lines = role.rows(f"EXPLAIN (ANALYZE, VERBOSE, COSTS) SELECT * FROM crm.{table}")
        text = "\n".join(line for (line,) in lines)
        assert f"private {two}" not in text
        assert "two" not in text


def test_a_hash_cannot_be_made_by_who_sees_it(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """A masked reader who could hash every phone number would have them all: it lacks the salt."""
    role = make_role()
    readers.grant(engine, role.name, store_ids=None, is_masked=True)
    for table in ("customers", "orders"):
        definition = role.value(f"SELECT pg_get_viewdef('crm_masked.{table}'::regclass)")
        with engine.connect() as connection:
            salt = connection.exec_driver_sql("SELECT salt FROM sync.salt").scalar_one()
        assert bytes(salt).hex() not in definition
    named = role.rows(
        "SELECT p.oid::regprocedure::text FROM pg_proc AS p"
        " JOIN pg_namespace AS n ON n.oid = p.pronamespace"
        " WHERE n.nspname IN ('sync', 'crm', 'crm_masked') AND has_schema_privilege(n.oid, 'USAGE')"
    )
    assert named == [], "no function of ours may be called by a masked reader"
    assert role.is_refused("SELECT salt FROM sync.salt")
    with role.connect() as session, pytest.raises(psycopg.Error):
        session.execute("CREATE VIEW pg_temp.mine AS SELECT salt FROM sync.salt")


def test_other_sessions_statements_are_not_seen(each: dict[str, Role], engine: sa.Engine) -> None:
    """What others run has keys, names and phones in it."""
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 'a marked value of somebody'")
        for kind, reader in each.items():
            seen = reader.rows(
                "SELECT query FROM pg_stat_activity WHERE usename <> current_user"
                " UNION ALL SELECT query FROM pg_stat_get_activity(NULL) WHERE usesysid <>"
                " (SELECT oid FROM pg_roles WHERE rolname = current_user)"
            )
            assert seen
            assert {text for (text,) in seen} <= {"<insufficient privilege>", None, ""}, kind


def test_a_notice_of_a_readers_reaches_nothing_of_ours(
    each: dict[str, Role], engine: sa.Engine
) -> None:
    """What a reader may do without any right: nothing of ours listens to it or waits for it."""
    with each["all"].connect() as session:
        session.execute("SELECT pg_notify('mirror', repeat('x', 7999))")
        with engine.begin() as connection:
            assert connection.exec_driver_sql("SELECT pg_listening_channels()").all() == []
            connection.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
            connection.exec_driver_sql("UPDATE crm.orders SET changed_at = now()")


def test_what_our_role_may_not_close_is_told_with_the_statement_that_closes_it(
    engine: sa.Engine, make_role: MakeRole
) -> None:
    """A service in the cloud gives nobody a superuser: there it is said, and no grant fails."""
    url = engine.url.set(username=make_role().name, password="secret")
    ordinary = connect(url.render_as_string(hide_password=False), size=1, name="ordinary")
    told = shared.close(ordinary)
    ordinary.dispose()
    statement = told.partition("in this database: ")[2].rstrip(";")
    with engine.begin() as connection:
        connection.exec_driver_sql(statement.replace("%", "%%"))
    assert shared.close(engine) == ""
    assert make_role().is_refused("SELECT pg_advisory_lock(1)")


def test_what_was_closed_is_said_once_with_the_statement_that_opens_it(
    engine: sa.Engine, make_role: MakeRole
) -> None:
    """Another application of the same database may fail by it: whoever granted knows why, and the
    way back. Where one is there already, nothing is closed, and that is said each time."""
    reader, other = make_role(), make_role()
    said: list[str] = []
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA shop AUTHORIZATION {other.name}")
        connection.exec_driver_sql(f"CREATE SCHEMA analytics AUTHORIZATION {reader.name}")
    for _ in range(2):
        readers.grant(engine, reader.name, store_ids=None, is_masked=False, say=said.append)
    assert len(said) == 2
    assert f"in this database: shop (of {other.name}). " in said[0]
    assert other.rows("SELECT pg_try_advisory_lock(1)") == [(True,)]
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA shop")
    for _ in range(2):
        readers.grant(engine, reader.name, store_ids=None, is_masked=False, say=said.append)
    assert len(said) == 3
    assert other.is_refused("SELECT pg_try_advisory_lock(1)")
    with engine.begin() as connection:
        statement = said[2].partition("of its role for ROLE: ")[2].rstrip(";")
        statement = statement.replace("TO ROLE", f"TO {other.name}")
        connection.exec_driver_sql(statement.replace("%", "%%"))
    readers.grant(engine, reader.name, store_ids=None, is_masked=False, say=said.append)
    assert len(said) == 3
    assert other.rows("SELECT pg_try_advisory_lock(1)") == [(True,)]
