"""Who reads what: roles log in and try to reach the rest."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg
import pytest
import sqlalchemy as sa
import structlog

from sync import telemetry
from sync.database import patience
from sync.database.migrate import upgrade
from sync.embedded import Servers
from sync.errors import BadRequest, NeedsOperator, TryLater
from sync.privacy import readers
from sync.rows.custom_fields import refresh_views
from tests.integration.analysts.conftest import MakeRole, Role, add_store, put

EVERY_RELATION = (
    "SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'crm'::regnamespace"
    " AND c.relkind IN ('r', 'p', 'v') ORDER BY 1"
)


@pytest.fixture
def two_stores(engine: sa.Engine) -> tuple[int, int]:
    """Every table of crm has a row of each of two stores, and what its views show of `sync` too."""
    one, two = add_store(engine, "one"), add_store(engine, "two")
    with engine.begin() as connection:
        tables = connection.exec_driver_sql(
            "SELECT relname FROM pg_class WHERE relnamespace = 'crm'::regnamespace"
            " AND relkind IN ('r', 'p')"
        ).scalars()
        for table in list(tables):
            for store in (one, two):
                _fill(connection, table, store)
        connection.exec_driver_sql(
            "INSERT INTO sync.coverage (store_id, resource) VALUES (%s, 'orders'), (%s, 'orders')",
            (one, two),
        )
        for store in (one, two):
            connection.exec_driver_sql(
                "INSERT INTO sync.doubt (store_id, resource, kind, detail, since, accepted_at,"
                " accepted_by, accepted_because)"
                " VALUES (%s, 'orders', 'count', %s, now(), now(), %s, %s)",
                (store, *(f"private {store}",) * 3),
            )
        connection.exec_driver_sql("SELECT sync.change_no()")  # a change in this copy of a database
    return one, two


def _fill(connection: sa.Connection, table: str, store: int) -> None:
    """A row in which every column that must have a value has one that tells the store."""
    columns = connection.exec_driver_sql(
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute"
        " WHERE attrelid = ('crm.' || quote_ident(%s))::regclass AND attnum > 0"
        " AND NOT attisdropped ORDER BY attnum",
        (table,),
    ).all()
    values = {
        "text": f"'private {store}'",
        "bigint": str(store),
        "timestamp with time zone": "now()",
        "date": "current_date",
        "jsonb": f"""'{{"private": {store}}}'""",
        "numeric": str(store),
    }
    chosen = [
        (f'"{name}"', values[kind])
        for name, kind, is_needed in columns
        if kind in values and (is_needed or name not in {"deleted_at", "deleted_reason"})
    ]
    connection.exec_driver_sql(
        f'INSERT INTO crm."{table}" ({", ".join(n for n, _ in chosen)})'
        f" VALUES ({', '.join(v for _, v in chosen)})"
    )


def _stores_seen(role: object, schema: str) -> dict[str, set[int]]:
    """Which stores' rows a role finds, by table and view."""
    seen: dict[str, set[int]] = {}
    with role.connect() as connection:  # type: ignore[attr-defined]
        names = connection.execute(EVERY_RELATION.replace("'crm'", f"'{schema}'")).fetchall()
        for (name,) in names:
            rows = connection.execute(f'SELECT DISTINCT store_id FROM {schema}."{name}"')
            seen[name] = {store for (store,) in rows}
    return seen


def test_a_reader_reads_all_of_crm_and_nothing_of_sync(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """crm and what comes into it later; of the service's own tables not even their names' use."""
    role = make_role()
    readers.grant(engine, role.name, store_ids=None, is_masked=False)
    assert all(stores == set(two_stores) for stores in _stores_seen(role, "crm").values())
    assert role.is_refused("SELECT * FROM sync.store")
    assert role.is_refused("SELECT sync.visible_stores('postgres')")
    assert role.is_refused("SELECT nextval('sync.store_id_seq')")
    assert role.is_refused("UPDATE crm.orders SET number = ''")
    assert role.is_refused("CREATE TABLE crm.mine ()")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE crm.later (store_id bigint)")
        connection.exec_driver_sql("CREATE VIEW crm.later_too AS SELECT * FROM crm.later")
    assert role.rows("SELECT * FROM crm.later") == []
    assert role.rows("SELECT * FROM crm.later_too") == []


def test_a_reader_of_one_store_finds_no_row_of_another_in_anything(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """Through every table and view of crm, also those over sync."""
    one, two = two_stores
    role = make_role()
    readers.grant(engine, role.name, store_ids=[one], is_masked=False)
    seen = _stores_seen(role, "crm")
    assert {name for name, stores in seen.items() if stores != {one}} == set()
    assert role.rows("SELECT name FROM crm.store") == [("one",)]
    assert role.rows("SELECT title FROM crm.store_titles") == [("one",)]
    assert role.is_refused("SELECT * FROM sync.store")
    assert role.is_refused(f"SELECT sync.visible_stores('{role.name}')")
    assert role.is_refused("SET ROLE mirror")
    assert role.rows("SELECT * FROM crm.orders WHERE store_id = " + str(two)) == []


def test_the_catalogue_names_no_other_store(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """Whoever may connect reads names, comments, definitions and policies: stores stand there by
    their ids."""
    one, two = two_stores
    name = "zweitladen"
    by_hand(engine, f"UPDATE sync.store SET name = '{name}' WHERE id = {two}")
    for store in two_stores:
        put(engine, "custom_fields", {"store_id": store, "id": 9, "entity": "order",
                                      "code": "gift", "name": "Gift"})  # fmt: skip
    with engine.begin() as connection:
        assert f"orders_custom_{two}" in refresh_views(connection, two, name)
    role = make_role()
    readers.grant(engine, role.name, store_ids=[one], is_masked=False)
    readers.grant(engine, make_role().name, store_ids=[two], is_masked=True)
    seen = 0
    with role.connect() as connection:
        catalogue = connection.execute(
            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c"
            " JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname IN"
            " ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v')"
            " AND has_table_privilege(c.oid, 'SELECT')"
            " AND c.relname NOT IN ('pg_stat_activity', 'pg_largeobject')"
        ).fetchall()
        for (table,) in catalogue:
            rows = f"SELECT count(*) FROM {table} AS t WHERE t::text ILIKE '%{name}%'"
            try:
                found = connection.execute(rows).fetchone()  # type: ignore[call-overload]
            except psycopg.Error:  # functions that a reader may not call
                continue
            assert found == (0,), table
            seen += 1
        views = "SELECT count(*) FROM pg_class WHERE pg_get_viewdef(oid) ILIKE %s"
        assert connection.execute(views, [f"%{name}%"]).fetchone() == (0,)
    assert seen > 100


def test_what_is_kept_from_a_reader_does_not_leak_sideways(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """Neither by a function that is called on rows before they are left out, nor by statistics,
    nor by a view or prepared plan made before."""
    one, two = two_stores
    role = make_role()
    readers.grant(engine, role.name, store_ids=[one], is_masked=False)
    with engine.begin() as connection:
        connection.exec_driver_sql("ANALYZE crm.orders")
        connection.exec_driver_sql("ANALYZE crm.customers")
    with role.connect() as connection:
        connection.execute(
            "CREATE FUNCTION pg_temp.leak(value text) RETURNS boolean LANGUAGE plpgsql"
            " COST 0.0001 AS $$ BEGIN RAISE NOTICE 'saw %', value; RETURN true; END $$"
        )
        heard: list[str] = []
        connection.add_notice_handler(lambda notice: heard.append(notice.message_primary or ""))
        for relation in ("orders", "customers", "order_items", "stock", "customer_summary"):
            column = {"stock": "article", "customer_summary": "site", "order_items": "comment"}
            name = column.get(relation, "external_id")
            connection.execute(f"SELECT 1 FROM crm.{relation} WHERE pg_temp.leak({name})")
        connection.execute("SELECT 1 FROM crm.store WHERE pg_temp.leak(name)")
        connection.execute("SELECT 1 FROM crm.coverage WHERE pg_temp.leak(store)")
        assert heard
        assert not [text for text in heard if f"private {two}" in text or "two" in text]
        assert connection.execute(
            "SELECT count(*) FROM pg_stats WHERE schemaname = 'crm'"
        ).fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM pg_statistic_ext").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM pg_statistic")
        connection.execute("SET row_security = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM crm.orders")


def test_a_member_of_a_limited_role_is_limited_too(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """People log in as members of a group; the limit is the group's."""
    one, _ = two_stores
    group, member = make_role(), make_role()
    readers.grant(engine, group.name, store_ids=[one], is_masked=False)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"GRANT {group.name} TO {member.name}")
    assert {name for name, seen in _stores_seen(member, "crm").items() if seen != {one}} == set()


def test_limits_change_and_end_and_leave_nothing_behind(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """Another store instead, then none: with the last limited reader row-level security goes."""
    one, two = two_stores
    limited, free = make_role(), make_role()
    readers.grant(engine, free.name, store_ids=None, is_masked=False)
    readers.grant(engine, limited.name, store_ids=[one], is_masked=False)
    assert free.value("SELECT count(*) FROM crm.orders") == 2
    assert free.value("SELECT count(*) FROM crm.store") == 2
    readers.grant(engine, limited.name, store_ids=[two], is_masked=False)
    assert limited.rows("SELECT DISTINCT store_id FROM crm.orders") == [(two,)]
    readers.grant(engine, limited.name, store_ids=[one, two], is_masked=False)
    assert limited.value("SELECT count(*) FROM crm.orders") == 2
    assert readers.revoke(engine, limited.name)
    assert limited.is_refused("SELECT 1 FROM crm.orders")
    assert free.value("SELECT count(*) FROM crm.orders") == 2
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM pg_policy").scalar() == 0
        left = connection.exec_driver_sql("SELECT count(*) FROM pg_class WHERE relrowsecurity")
        assert left.scalar() == 0
    assert not readers.revoke(engine, limited.name)


def test_the_mirror_itself_is_not_subject_to_limits(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """The owner writes and counts rows of every store as before."""
    role = make_role()
    readers.grant(engine, role.name, store_ids=[two_stores[0]], is_masked=False)
    with engine.begin() as connection:
        forced = "SELECT count(*) FROM pg_class WHERE relforcerowsecurity"
        assert connection.exec_driver_sql(forced).scalar() == 0
        assert connection.exec_driver_sql("SELECT count(*) FROM crm.orders").scalar() == 2
        assert connection.exec_driver_sql("SELECT count(*) FROM crm.coverage").scalar() == 2


def test_a_table_that_comes_later_is_closed_to_limited_readers_until_it_has_a_policy(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """Between a migration and `migrate`'s settling nothing is open by accident."""
    one, two = two_stores
    role = make_role()
    readers.grant(engine, role.name, store_ids=[one], is_masked=False)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE crm.later (store_id bigint)")
        connection.exec_driver_sql("INSERT INTO crm.later VALUES (%s), (%s)", (one, two))
    assert role.is_refused("SELECT * FROM crm.later")
    readers.settle(engine)
    assert role.rows("SELECT * FROM crm.later") == [(one,)]


def test_a_masked_reader_finds_no_personal_data_and_still_joins(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """Only crm_masked: text is hashed or cut unless it is a code; equal values stay equal."""
    one, two = two_stores
    put(engine, "customers", {"store_id": one, "id": 77, "email": "a@b.c", "first_name": "Ann",
                              "birthday": "1985-07-09", "address_city": "Perm",
                              "address_street": "Mira", "raw": {"email": "a@b.c"}})  # fmt: skip
    put(engine, "orders", {"store_id": one, "id": 78, "email": "a@b.c", "number": "78C",
                           "status": "new", "custom_fields": {"passport": "1"}})  # fmt: skip
    role = make_role()
    readers.grant(engine, role.name, store_ids=None, is_masked=True)
    assert role.is_refused("SELECT * FROM crm.orders")
    assert role.is_refused("SELECT * FROM crm.store")
    assert role.is_refused("SELECT salt FROM sync.salt")
    [(email, name, birthday, city, street, raw)] = role.rows(
        "SELECT email, first_name, birthday::text, address_city, address_street, raw"
        " FROM crm_masked.customers WHERE id = 77"
    )
    assert len(email) == 20
    assert "@" not in email
    assert name not in (None, "Ann")
    assert (birthday, city, street, raw) == ("1985-01-01", "Perm", None, None)
    assert role.rows(
        "SELECT o.number, o.status, o.custom_fields FROM crm_masked.customers AS c"
        " JOIN crm_masked.orders AS o USING (store_id, email) WHERE c.id = 77"
    ) == [("78C", "new", None)]
    seen = _stores_seen(role, "crm_masked")
    assert {name for name, stores in seen.items() if stores != {one, two}} == set()
    assert {"orders", "daily_sales", "order_status_spans", "coverage", "store"} <= seen.keys()


def test_no_masked_view_shows_text_that_nobody_judged_open(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """Every personal column of every table, whose value is the same marked text everywhere."""
    from sync.declare.personal import Care, care_of
    from sync.resources import RESOURCES

    role = make_role()
    readers.grant(engine, role.name, store_ids=None, is_masked=True)
    shown = []
    with role.connect() as connection:
        for resource in RESOURCES.values():
            for table, fields in (
                (resource.name, resource.fields),
                *((child.name, child.fields) for child in resource.children),
            ):
                for field in fields:
                    if field.kind.sql not in {"text", "jsonb"}:
                        continue
                    if care_of(table, field) in {Care.OPEN, Care.PLACE}:
                        continue
                    found = connection.execute(
                        f'SELECT count(*) FROM crm_masked."{table}"'  # type: ignore[arg-type]
                        f" WHERE \"{field.name}\"::text LIKE '%private%'"
                    ).fetchone()
                    if found != (0,):
                        shown.append(f"{table}.{field.name}")
                raws = connection.execute(
                    "SELECT 1 FROM information_schema.columns WHERE table_schema = 'crm_masked'"
                    f" AND table_name = '{table}' AND column_name = 'raw'"  # type: ignore[arg-type]
                ).fetchone()
                if raws:
                    count = connection.execute(
                        f'SELECT count(raw) FROM crm_masked."{table}"'  # type: ignore[arg-type]
                    ).fetchone()
                    assert count == (0,), table
    assert shown == []


def test_masked_and_limited_at_once(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """The masked views run with their owner's rights and leave other stores out themselves."""
    one, two = two_stores
    role = make_role()
    readers.grant(engine, role.name, store_ids=[one], is_masked=True)
    seen = _stores_seen(role, "crm_masked")
    assert {name for name, stores in seen.items() if stores != {one}} == set()
    with role.connect() as connection:
        connection.execute(
            "CREATE FUNCTION pg_temp.leak(value bigint) RETURNS boolean LANGUAGE plpgsql"
            " COST 0.0001 AS $$ BEGIN RAISE NOTICE 'saw %', value; RETURN true; END $$"
        )
        heard: list[str] = []
        connection.add_notice_handler(lambda notice: heard.append(notice.message_primary or ""))
        connection.execute("SELECT 1 FROM crm_masked.orders WHERE pg_temp.leak(store_id)")
        assert heard == [f"saw {one}"]
        assert two != one


def test_masked_views_hide_stores_only_while_some_reader_is_limited(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """A barrier hides rows that nobody may see, and statistics from the planner: without a limit
    masked queries are planned as plain ones are. From the first limit on it is there, whoever
    renews the views."""
    one, _ = two_stores
    barriers = (
        "SELECT count(*) FILTER (WHERE 'security_barrier=true' = ANY (reloptions)), count(*)"
        " FROM pg_class WHERE relnamespace = 'crm_masked'::regnamespace"
    )
    latest = (
        "EXPLAIN SELECT id FROM crm_masked.orders WHERE store_id = 1 ORDER BY created_at LIMIT 1"
    )
    free, limited, masked = make_role(), make_role(), make_role()

    def barred() -> tuple[int, int]:
        with engine.begin() as connection:
            some, every = connection.exec_driver_sql(barriers).one()
        return some, every

    readers.grant(engine, free.name, store_ids=None, is_masked=True)
    assert barred()[0] == 0
    with free.connect() as connection:
        connection.execute("SET enable_seqscan = off")
        plan = str(connection.execute(latest).fetchall())
    assert "orders_by_created_at" in plan
    assert "Sort" not in plan
    readers.grant(engine, limited.name, store_ids=[one], is_masked=False)
    assert len(set(barred())) == 1
    readers.grant(engine, masked.name, store_ids=[one], is_masked=True)
    readers.settle(engine)
    assert len(set(barred())) == 1
    assert masked.rows("SELECT DISTINCT store_id FROM crm_masked.orders") == [(one,)]
    assert free.value("SELECT count(*) FROM crm_masked.orders") == 2
    readers.revoke(engine, free.name)
    readers.revoke(engine, limited.name)
    assert len(set(barred())) == 1
    readers.revoke(engine, masked.name)
    assert barred()[0] == 0


def test_hashes_are_of_this_database_alone(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """Without the salt nobody can try phones until one fits."""
    role = make_role()
    readers.grant(engine, role.name, store_ids=None, is_masked=True)
    with engine.begin() as connection:
        before = connection.exec_driver_sql("SELECT salt FROM sync.salt").scalar_one()
        assert len(before) == 32
        shown = "SELECT email FROM crm_masked.customers LIMIT 1"
        first = connection.exec_driver_sql(shown).scalar()
        connection.exec_driver_sql("UPDATE sync.salt SET salt = sha256('other')")
        assert connection.exec_driver_sql(shown).scalar() != first


@pytest.mark.parametrize(
    ("options", "word"),
    [("SUPERUSER", "superuser"), ("BYPASSRLS", "superuser")],
)
def test_roles_that_cannot_be_held_are_refused(
    engine: sa.Engine, make_role: MakeRole, options: str, word: str
) -> None:
    """Who bypasses row-level security is told so, not granted a limit that is none."""
    store = add_store(engine, "one")
    role = make_role(options)
    with pytest.raises(BadRequest, match=word):
        readers.grant(engine, role.name, store_ids=[store], is_masked=False)
    with pytest.raises(BadRequest, match=word):
        readers.grant(engine, role.name, store_ids=None, is_masked=True)


def test_a_limited_role_may_not_be_a_member_of_one_that_sees_more(
    engine: sa.Engine, make_role: MakeRole
) -> None:
    """Nor of the mirror's own; a role that is not there is named with the statement to make it."""
    store = add_store(engine, "one")
    wide, narrow = make_role(), make_role()
    readers.grant(engine, wide.name, store_ids=None, is_masked=False)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"GRANT {wide.name} TO {narrow.name}")
    with pytest.raises(BadRequest, match=wide.name):
        readers.grant(engine, narrow.name, store_ids=[store], is_masked=False)
    with pytest.raises(BadRequest, match="CREATE ROLE"):
        readers.grant(engine, "nobody_of_that_name", store_ids=None, is_masked=False)
    with pytest.raises(BadRequest, match="own role"):
        readers.grant(engine, engine.url.username or "", store_ids=None, is_masked=False)


def test_the_wider_role_may_be_granted_last_and_gives_no_member_more(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """First the mask or the limit, then the membership, then the team: still nothing more."""
    one, _ = two_stores
    team, between, masked, limited = make_role(), make_role(), make_role(), make_role()
    readers.grant(engine, masked.name, store_ids=None, is_masked=True)
    readers.grant(engine, limited.name, store_ids=[one], is_masked=False)
    by_hand(engine, f"GRANT {team.name} TO {between.name}")
    for member in (masked, limited):
        by_hand(engine, f"GRANT {between.name} TO {member.name}")
        with pytest.raises(BadRequest, match=f"{member.name} is a member of {team.name}"):
            readers.grant(engine, team.name, store_ids=None, is_masked=False)
        assert team.is_refused("SELECT * FROM crm.orders")
        assert masked.is_refused("SELECT * FROM crm.orders")
        assert limited.rows("SELECT store_id FROM crm.orders") == [(one,)]
        by_hand(engine, f"REVOKE {between.name} FROM {member.name}")
    readers.grant(engine, team.name, store_ids=None, is_masked=False)
    assert team.value("SELECT count(*) FROM crm.orders") == 2
    assert masked.is_refused("SELECT * FROM crm.orders")


@pytest.mark.parametrize("how", ["INHERIT FALSE, SET TRUE", "INHERIT FALSE, SET FALSE, ADMIN TRUE"])
def test_a_membership_that_gives_nothing_until_it_is_used_counts(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole, how: str
) -> None:
    """SET ROLE, or granting it to oneself, is a statement away: of one store unmasked, of a role
    granted by hand, of one that Postgres has for reading everything."""
    one, _ = two_stores
    narrow, hand, masked = make_role(), make_role(), make_role()
    readers.grant(engine, narrow.name, store_ids=[one], is_masked=False)
    by_hand(engine, f"GRANT USAGE ON SCHEMA crm TO {hand.name}")
    by_hand(engine, f"GRANT SELECT ON crm.orders TO {hand.name}")
    for wider in (narrow.name, hand.name, "pg_read_all_data", "pg_execute_server_program"):
        by_hand(engine, f"GRANT {wider} TO {masked.name} WITH {how}")
        with pytest.raises(BadRequest, match=f"{masked.name} is a member of {wider}"):
            readers.grant(engine, masked.name, store_ids=None, is_masked=True)
        by_hand(engine, f"REVOKE {wider} FROM {masked.name}")
        assert_nothing_by(masked, wider)
    readers.grant(engine, masked.name, store_ids=None, is_masked=True)
    assert masked.value("SELECT count(*) FROM crm_masked.orders") == 2
    assert_nothing_by(masked, narrow.name)


def assert_nothing_by(role: Role, wider: str) -> None:
    """Neither as itself nor as the other role does it read crm as it is."""
    assert role.is_refused("SELECT * FROM crm.orders")
    assert role.is_refused(f"SET ROLE {wider}")


def test_stores_left_out_of_masked_views_stay_out_by_a_role_granted_by_hand(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """Nobody said of that role which stores it may see, so it would see all."""
    one, _ = two_stores
    hand, role = make_role(), make_role()
    readers.grant(engine, role.name, store_ids=[one], is_masked=True)
    by_hand(engine, f"GRANT USAGE ON SCHEMA crm_masked TO {hand.name}")
    by_hand(engine, f"GRANT SELECT ON crm_masked.orders TO {hand.name}")
    by_hand(engine, f"GRANT {hand.name} TO {role.name}")
    with pytest.raises(BadRequest, match="may use the schema crm_masked"):
        readers.grant(engine, role.name, store_ids=[one], is_masked=True)


def test_a_membership_made_after_both_grants_is_told_by_the_next_settling(
    engine: sa.Engine,
    two_stores: tuple[int, int],
    make_role: MakeRole,
    logged: Callable[[], str],
) -> None:
    """`migrate` says which, and what to run; it goes on, and what it names does end it."""
    team, masked = make_role(), make_role()
    readers.grant(engine, masked.name, store_ids=None, is_masked=True)
    readers.grant(engine, team.name, store_ids=None, is_masked=False)
    readers.settle(engine)
    assert masked.name not in logged()
    by_hand(engine, f"GRANT {team.name} TO {masked.name} WITH INHERIT FALSE")
    with masked.connect() as connection:
        connection.execute(f"SET ROLE {team.name}")
        assert connection.execute("SELECT count(*) FROM crm.orders").fetchone() == (2,)
    readers.settle(engine)
    said = logged()
    assert f"{masked.name} is a member of {team.name}, which reads crm unmasked" in said
    by_hand(engine, said[said.index("REVOKE") :].splitlines()[0])
    assert masked.is_refused(f"SET ROLE {team.name}")
    readers.settle(engine)
    assert masked.name not in logged()


def test_a_role_that_replicates_reads_every_change_and_cannot_be_held(
    engine: sa.Engine, make_role: MakeRole
) -> None:
    role = make_role("REPLICATION")
    with pytest.raises(BadRequest, match="replicates"):
        readers.grant(engine, role.name, store_ids=None, is_masked=True)
    readers.grant(engine, role.name, store_ids=None, is_masked=False)


def test_a_member_of_a_role_that_sees_no_more_is_no_trouble(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    one, two = two_stores
    both, single, masked = make_role(), make_role(), make_role()
    by_hand(engine, f"GRANT {single.name} TO {both.name}")
    by_hand(engine, f"GRANT {masked.name} TO {both.name}")
    readers.grant(engine, single.name, store_ids=[one], is_masked=False)
    readers.grant(engine, masked.name, store_ids=[two], is_masked=True)
    readers.grant(engine, both.name, store_ids=[one, two], is_masked=False)
    assert both.value("SELECT count(*) FROM crm.orders") == 2


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """What was logged since it was asked last."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    telemetry.configure("console")

    def read() -> str:
        text = out.getvalue()
        out.seek(0)
        out.truncate()
        return text

    yield read
    structlog.reset_defaults()


def by_hand(engine: sa.Engine, statement: str) -> None:
    """What somebody else than the mirror does to roles."""
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)


def test_grants_made_by_hand_are_not_shut_out_silently(
    engine: sa.Engine, make_role: MakeRole
) -> None:
    """The first limit would take every row from them: it is refused until they are granted here."""
    store = add_store(engine, "one")
    hand, limited = make_role(), make_role()
    with engine.begin() as connection:
        connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA crm TO {hand.name}")
        connection.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA crm TO {hand.name}")
    assert hand.value("SELECT count(*) FROM crm.store") == 1
    with pytest.raises(BadRequest, match=f"grant {hand.name}"):
        readers.grant(engine, limited.name, store_ids=[store], is_masked=False)
    readers.grant(engine, hand.name, store_ids=None, is_masked=False)
    readers.grant(engine, limited.name, store_ids=[store], is_masked=False)
    assert hand.value("SELECT count(*) FROM crm.store") == 1


def test_a_mirror_whose_own_role_is_an_ordinary_one(
    servers: Servers, engine: sa.Engine, make_role: MakeRole
) -> None:
    """As on a managed Postgres: it owns its tables and may neither bypass policies nor make roles
    or schemas; grants, limits and masks work all the same, and it goes on seeing every row."""
    del engine  # its database is dropped after the roles
    owner, limited, masked = make_role(), make_role(), make_role()
    name = f"owned_by_{owner.name}"
    with servers.postgres.connect("postgres") as connection:
        connection.execute(f"CREATE DATABASE {name}")
    with servers.postgres.connect(name) as connection:
        for schema in ("sync", "crm"):
            connection.execute(f"CREATE SCHEMA {schema} AUTHORIZATION {owner.name}")
    url = sa.make_url(servers.database_url).set(
        database=name, username=owner.name, password="secret"
    )
    own = sa.create_engine(url)
    try:
        upgrade(url.render_as_string(hide_password=False))
        one, two = add_store(own, "one"), add_store(own, "two")
        for store in (one, two):
            put(own, "orders", {"store_id": store, "id": 1, "email": "a@b.c"})
        readers.grant(own, limited.name, store_ids=[one], is_masked=False)
        with pytest.raises(NeedsOperator, match="may not make the schema crm_masked") as caught:
            readers.grant(own, masked.name, store_ids=[two], is_masked=True)
        with servers.postgres.connect(name) as connection:
            connection.execute(str(caught.value).partition("run: ")[2])
        readers.grant(own, masked.name, store_ids=[two], is_masked=True)
        for role in (limited, masked):
            role.use(name)
        assert limited.rows("SELECT store_id, email FROM crm.orders") == [(one, "a@b.c")]
        assert limited.rows("SELECT store_id FROM crm.store") == [(one,)]
        [(store, email)] = masked.rows("SELECT store_id, email FROM crm_masked.orders")
        assert store == two
        assert email != "a@b.c"
        with own.begin() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM crm.orders").scalar() == 2
            assert connection.exec_driver_sql("SELECT count(*) FROM crm.store").scalar() == 2
    finally:
        own.dispose()
        with servers.postgres.connect("postgres") as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_settling_touches_nothing_that_is_as_it_should_be(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """A report left open over a masked view or a limited table is no obstacle to an upgrade that
    changes neither."""
    masked, limited = make_role(), make_role()
    readers.grant(engine, masked.name, store_ids=None, is_masked=True)
    readers.grant(engine, limited.name, store_ids=[two_stores[0]], is_masked=False)
    with masked.connect() as report, limited.connect() as other:
        report.execute("BEGIN; SELECT count(*) FROM crm_masked.orders")
        other.execute("BEGIN; SELECT count(*) FROM crm.orders")
        told: list[str] = []
        readers.settle(engine, say=told.append)
        assert told == []


def test_a_masked_view_that_changes_is_replaced_between_its_readers(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """A report left open holds up that view, and nobody who reads it besides, nor other views."""
    masked, second = make_role(), make_role()
    readers.grant(engine, masked.name, store_ids=None, is_masked=True)
    readers.grant(engine, second.name, store_ids=None, is_masked=True)
    by_hand(engine, "ALTER TABLE crm.orders ADD COLUMN later numeric")
    by_hand(engine, "ALTER TABLE crm.customers ADD COLUMN later numeric")
    told: list[str] = []
    with masked.connect() as report:
        report.execute("BEGIN; SELECT count(*) FROM crm_masked.orders")

        def say(text: str) -> None:
            told.append(text)
            assert second.rows("SELECT count(*) FROM crm_masked.orders") == [(2,)]
            report.execute("ROLLBACK")

        readers.settle(engine, say=say)
        pid = report.info.backend_pid
    assert len(told) == 1
    assert told[0].startswith(f"The view crm_masked.orders waits for pid {pid} (user {masked.name}")
    for table in ("orders", "customers"):
        assert second.rows(f"SELECT later FROM crm_masked.{table} LIMIT 0") == []


def test_a_grant_does_what_it_can_and_says_what_is_left(
    engine: sa.Engine,
    two_stores: tuple[int, int],
    make_role: MakeRole,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One table in use holds up no other; the message names it, who uses it and how to go on; the
    same command then does the rest, and until then the role reads nothing."""
    monkeypatch.setattr(patience, "TRY_SECONDS", 0.5)
    short = partial(patience.Patience, seconds=0.5, pause=lambda _: None)
    monkeypatch.setattr(readers, "Patience", short)
    limited, busy = make_role(), make_role()
    readers.grant(engine, busy.name, store_ids=None, is_masked=False)
    with busy.connect() as report:
        report.execute("BEGIN; SELECT count(*) FROM crm.orders")
        with pytest.raises(TryLater) as told:
            readers.grant(engine, limited.name, store_ids=[two_stores[0]], is_masked=False)
        text = str(told.value)
        assert text.startswith("The policies of crm.orders (1 of ")
        assert f"pid {report.info.backend_pid} (user {busy.name}" in text
        assert "without theirs: orders. Until all is done" in text
        assert limited.is_refused("SELECT FROM crm.customers")
    readers.grant(engine, limited.name, store_ids=[two_stores[0]], is_masked=False)
    assert limited.rows("SELECT count(*) FROM crm.orders") == [(1,)]


def test_two_settlings_at_once_both_end(
    engine: sa.Engine, two_stores: tuple[int, int], make_role: MakeRole
) -> None:
    """Several hosts run `migrate` at once: Postgres refuses rights on one table granted by two."""
    for masked in (True, False):
        readers.grant(engine, make_role().name, store_ids=None, is_masked=masked)
    by_hand(engine, "DROP SCHEMA crm_masked CASCADE")
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(readers.settle, engine) for _ in range(3)]:
            done.result(timeout=120)
