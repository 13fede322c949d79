"""The analysts' commands, as they are typed: words, exit statuses, mistakes in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from sync import settings, vault
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
    """What the role may read is said; a mistake is a line and exit status 2."""
    role = make_role()
    done = run("grant", role.name, "--store", "shop")
    assert (done.exit_code, done.output) == (0, f"{role.name} may read crm, the rows of shop.\n")
    assert role.value("SELECT count(*) FROM crm.orders") == 1
    assert run("grant", role.name, "--mask").output == f"{role.name} may read crm_masked.\n"
    assert run("grant", role.name, "--revoke").exit_code == 0
    for wrong, word in (
        (("grant", "nobody_at_all"), "CREATE ROLE"),
        (("grant", role.name, "--store", "shpo"), "Did you mean 'shop'?"),
        (("grant", role.name, "--mask", "--revoke"), "give it alone"),
    ):
        done = run(*wrong)
        assert done.exit_code == 2
        assert word in done.output
        assert "Traceback" not in done.output


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
    assert done.output == f"  orders 1\nshop: 1 rows written to {tmp_path / 'shop'}.\n"
    assert (tmp_path / "shop/manifest.json").exists()
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO sync.coverage (store_id, resource) SELECT id, 'customers' FROM sync.store"
        )
    assert "customers 1" in run("export", "shop", "--to", str(tmp_path)).output
    wrong = run("export", "shop", "oders", "--to", str(tmp_path))
    assert wrong.exit_code == 2
    assert "Did you mean 'orders'?" in wrong.output


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
    assert run("migrate").exit_code == 0
    assert limited.rows("SELECT email FROM crm.later") == [("a@b.c",)]
    assert masked.value("SELECT email FROM crm_masked.later") not in (None, "a@b.c")
