"""The analysts' commands, as they are typed: words, exit statuses, mistakes in one line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa
from click.testing import CliRunner, Result

from sync import settings, vault
from sync.analysts import publication
from sync.commands import mirror
from sync.work import services
from tests.integration.analysts.conftest import MakeRole, add_store, put

Run = Callable[..., Result]


@pytest.fixture
def run(
    engine: sa.Engine, database: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    """Runs a command on a store named shop with one customer and one order."""
    store = add_store(engine, "shop")
    raw = {"id": 5, "email": "a@b.c"}
    put(engine, "customers", {"store_id": store, **raw, "raw": raw})
    put(engine, "orders", {"store_id": store, "id": 6, "customer_id": 5, "email": "a@b.c",
                           "total_summ": 12.5, "raw": {"id": 6, "email": "a@b.c"}})  # fmt: skip
    monkeypatch.setenv("SYNC_DATABASE_URL", database)
    monkeypatch.setenv("SYNC_REDIS_URL", redis_url)
    monkeypatch.setenv("SYNC_SECRET_KEY", vault.Key.generate().text().get_secret_value())
    settings.forget()
    services._made.clear()
    yield lambda *arguments, **options: CliRunner().invoke(mirror, arguments, **options)
    services.services().engine.dispose()
    services._made.clear()


def test_grant_and_revoke(run: Run, make_role: MakeRole) -> None:
    """What the role may read is said, and once what all roles may not; a mistake is a line and exit
    status 2."""
    role = make_role()
    done = run("grant", role.name, "--store", "shop")
    closed, first, second, *_ = done.output.splitlines()
    assert closed.startswith("Advisory locks, large objects and messages in the log were closed")
    assert (done.exit_code, first) == (0, f"{role.name} may read crm, the rows of shop.")
    assert second.startswith(f"Limits of {role.name}: 10 connections, a statement 10min,")
    assert role.value("SELECT count(*) FROM crm.orders") == 1
    done = run("grant", role.name, "--mask", "--idle-timeout", "90s")
    assert done.output.startswith(f"{role.name} may read crm_masked.\n")
    assert "an idle transaction 90s" in done.output
    assert f"Limits of {role.name}: none." in run("grant", role.name, "--no-limits").output
    done = run("grant", role.name, "--revoke")
    assert (done.exit_code, done.output) == (
        0, f"{role.name} has no access any more.\nLimits of {role.name}: none.\n",
    )  # fmt: skip
    assert run("grant", role.name, "--revoke").output == f"{role.name} was not a reader.\n"
    for wrong, word in (
        (("grant", "nobody_at_all"), "CREATE ROLE"),
        (("grant", role.name, "--store", "shpo"), "Did you mean 'shop'?"),
        (("grant", role.name, "--mask", "--revoke"), "give it alone"),
        (("grant", role.name, "--no-limits", "--connections", "3"), "without any of them"),
        (("grant", role.name, "--idle-timeout", "5"), "ms, s, min, h"),
    ):
        done = run(*wrong)
        assert done.exit_code == 2
        assert word in done.output
        assert "Traceback" not in done.output


def test_erase_verifies_and_the_list_is_saved_and_restored(
    run: Run, engine: sa.Engine, tmp_path: Path
) -> None:
    """What is left of the person is named with exit status 1; the saved list counts again."""
    put(engine, "customers", {"store_id": 1, "id": 8, "email": "a@b.c", "raw": {"email": "a@b.c"}})
    put(engine, "customers", {"store_id": 1, "id": 9, "email": "x1@b.c", "raw": {}})
    done = run("erase", "shop", "--customer", "9", "--verify", "--files", str(tmp_path), "--yes")
    assert done.exit_code == 0
    assert f"every table, the planner's statistics, Redis, {tmp_path}." in done.output
    assert "None is left" in done.output
    assert "backups" in done.output
    put(engine, "customers", {"store_id": 1, "id": 10, "email": "xx1@b.c", "raw": {}})
    put(engine, "customers", {"store_id": 1, "id": 11, "email": "xx1@b.c", "raw": {}})
    done = run("erase", "shop", "--customer", "10", "--verify", "--yes")
    assert done.exit_code == 1
    assert "crm.customers: 1 rows" in done.output
    assert run("erase", "shop", "--customer", "11", "--yes").exit_code == 0
    file = tmp_path / "list.json"
    assert run("suppression", "save", str(file)).output == f"3 entries written to {file}.\n"
    assert run("suppression", "save", str(file)).exit_code == 2
    assert run("suppression", "restore", str(file)).output.startswith("0 entries are new")
    assert run("suppression", "restore", str(tmp_path / "nothing")).exit_code == 2


def test_erase_finds_the_person_in_files_and_in_redis(
    run: Run, engine: sa.Engine, redis_url: str, tmp_path: Path
) -> None:
    """Files exported before keep the person until an export with --full; nothing of ours puts one
    into Redis, but if it were there it would be told."""
    put(engine, "customers", {"store_id": 1, "id": 9, "email": "x9@b.c", "raw": {}})
    assert run("export", "shop", "customers", "--to", str(tmp_path)).exit_code == 0
    with redis.Redis.from_url(redis_url) as client:
        client.hset("sync:odd", mapping={"\\u0078": "X9@B.C"})
    done = run("erase", "shop", "--customer", "9", "--verify", "--files", str(tmp_path), "--yes")
    assert done.exit_code == 1
    assert "Redis key sync:odd: 1 rows" in done.output
    assert "000001-00001.parquet: 1 rows" in done.output
    assert run("erase", "shop", "--customer", "5", "--files", str(tmp_path)).exit_code == 2


def test_erase_says_what_it_touches_asks_and_erases(run: Run, engine: sa.Engine) -> None:
    """A dry run changes nothing, neither does a no."""
    asked = ("erase", "shop", "--customer", "5")
    email = "SELECT email FROM crm.orders"
    dry = run(*asked, "--dry-run")
    assert dry.exit_code == 0
    assert dry.output == "  crm.customers: 1\n  crm.orders: 1\nNothing was changed.\n"
    assert run(*asked, input="n\n").exit_code == 1
    with engine.begin() as connection:
        assert connection.exec_driver_sql(email).scalar() == "a@b.c"
    assert "is erased: 2 rows" in run(*asked, "--yes").output
    with engine.begin() as connection:
        assert connection.exec_driver_sql(email).scalar() is None
    missing = run("erase", "shop", "--customer", "77", "--yes")
    assert missing.exit_code == 2
    assert "no customer 77" in missing.output


def test_what_commands_of_analysts_did_is_noted_without_the_person(
    run: Run, engine: sa.Engine, make_role: MakeRole, tmp_path: Path
) -> None:
    """Who erased, gave access or took rows out is known for a year; whose data it was is not."""
    role, saved = make_role(), str(tmp_path / "list.json")
    for typed in (
        ("grant", role.name, "--store", "shop", "--mask"),
        ("grant", role.name, "--revoke"),
        ("versions", "shop", "on"),
        ("export", "shop", "orders", "--to", str(tmp_path)),
        ("erase", "shop", "--customer", "5", "--yes"),
        ("suppression", "save", saved),
        ("suppression", "restore", saved),
    ):
        done = run(*typed)
        assert done.exit_code == 0, done.output
    with engine.begin() as connection:
        noted = connection.exec_driver_sql(
            "SELECT what, store, detail FROM sync.act WHERE source = 'command' ORDER BY id"
        ).all()
    assert [row.what for row in noted] == [
        "grant", "revoke", "versions on", "export", "erase", "suppression restore",
    ]  # fmt: skip
    assert noted[0].detail.startswith(f"{role.name}, masked, stores ")
    assert tuple(noted[4]) == ("erase", "shop", "2 rows")


def test_versions_are_switched(run: Run, engine: sa.Engine) -> None:
    """On with a number of days, off without losing it."""
    assert run("versions", "shop", "on", "--keep", "30").exit_code == 0
    assert run("versions", "shop", "off").exit_code == 0
    with engine.begin() as connection:
        rows = connection.exec_driver_sql("SELECT is_on, keep_days FROM sync.versioned").all()
    assert [tuple(row) for row in rows] == [(False, 30)]
    assert run("versions", "shop", "maybe").exit_code == 2


def test_export_writes_what_the_store_mirrors(run: Run, engine: sa.Engine, tmp_path: Path) -> None:
    """Named resources, or all the store has; a resource misspelt gets the nearest one."""
    done = run("export", "shop", "orders", "--to", str(tmp_path), "--format", "parquet")
    assert done.exit_code == 0, done.output
    progress, end = done.output.splitlines()
    assert re.fullmatch(r"  orders 1: 1 of 1 records, [\d,]+/s, 0 s left", progress)
    assert end == f"shop: 1 rows written to {tmp_path / 'shop'}."
    assert (tmp_path / "shop/manifest.json").exists()
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO sync.coverage (store_id, resource) SELECT id, 'customers' FROM sync.store"
        )
    assert "customers 1" in run("export", "shop", "--to", str(tmp_path)).output
    wrong = run("export", "shop", "oders", "--to", str(tmp_path))
    assert wrong.exit_code == 2
    assert "Did you mean 'orders'?" in wrong.output


def test_a_full_export_takes_what_was_exported_and_is_switched_off(
    run: Run, engine: sa.Engine, tmp_path: Path
) -> None:
    """Its files would keep an erased person; named resources are exported alone, as ever."""
    assert run("export", "shop", "customers", "--to", str(tmp_path)).exit_code == 0
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO sync.coverage (store_id, resource, selected)"
            " SELECT id, 'customers', false FROM sync.store"
        )
    assert run("erase", "shop", "--customer", "5", "--yes").exit_code == 0
    customers = tmp_path / "shop/customers"
    assert run("export", "shop", "orders", "--to", str(tmp_path), "--full").exit_code == 0
    assert [path.name for path in customers.iterdir()] == ["000001-00001.parquet"]
    assert "customers 1" in run("export", "shop", "--to", str(tmp_path), "--full").output
    assert [path.name for path in customers.iterdir()] == ["000003-00001.parquet"]


def test_a_publication_keeps_its_stores_until_told(
    run: Run, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run again after an upgrade, as documented, it must not publish other stores."""
    monkeypatch.setattr(publication, "_check_server", lambda _: None)
    add_store(engine, "other")
    add_store(engine, "third")

    def filters() -> set[str | None]:
        with engine.begin() as connection:
            return set(
                connection.exec_driver_sql(
                    "SELECT rowfilter FROM pg_publication_tables WHERE pubname = 'warehouse'"
                ).scalars()
            )

    two = ("--store", "shop", "--store", "other")
    for more, said in (((*two,), "shop, other"), ((), "shop, other")):
        done = run("publish", "warehouse", *more)
        assert done.exit_code == 0, done.output
        assert done.output.endswith(f"the rows of {said}.\n")
        [shown] = filters()
        assert set(re.findall(r"\d+", shown or "")) == {"1", "2"}
    assert run("publish", "warehouse", "--store", "shop").exit_code == 0
    assert run("publish", "warehouse").output.endswith("the rows of shop.\n")
    assert filters() == {"(store_id = 1)"}
    assert run("publish", "warehouse", "--all-stores").output.endswith("the rows of all stores.\n")
    assert filters() == {None}
    assert run("publish", "warehouse", "--withdraw").exit_code == 0
    with engine.begin() as connection:
        noted = connection.exec_driver_sql("SELECT what, detail FROM sync.act ORDER BY id").all()
    assert [tuple(row) for row in noted] == [
        ("publish", "warehouse: shop, other"), ("publish", "warehouse: shop, other"),
        ("publish", "warehouse: shop"), ("publish", "warehouse: shop"),
        ("publish", "warehouse: all stores"), ("publish --withdraw", "warehouse"),
    ]  # fmt: skip
    for wrong, word in (
        (("shop",), "is a store"),
        (("warehouse", "--store", "shop", "--all-stores"), "--store or --all-stores"),
    ):
        done = run("publish", *wrong)
        assert done.exit_code == 2
        assert word in done.output


def test_migrate_brings_readers_what_a_release_added(
    run: Run, engine: sa.Engine, make_role: MakeRole
) -> None:
    """Limited and masked readers too, whose grants are made table by table."""
    limited, masked = make_role(), make_role()
    run("grant", limited.name, "--store", "shop")
    run("grant", masked.name, "--mask")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE crm.later (store_id bigint, email text)")
        connection.exec_driver_sql("INSERT INTO crm.later SELECT id, 'a@b.c' FROM sync.store")
        connection.exec_driver_sql("UPDATE sync.store SET api_key = ''")  # as of a removed store
    done = run("migrate")
    assert done.exit_code == 0, done.output
    assert limited.rows("SELECT email FROM crm.later") == [("a@b.c",)]
    assert masked.value("SELECT email FROM crm_masked.later") not in (None, "a@b.c")
